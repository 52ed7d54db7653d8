//! Bearer tokens of the registry's own form: `assent_` and 43 characters of base64url, which are 256 random bits.
//!
//! The node never stores a token. A file lists the SHA-256 of each, and the node looks the digest of what a caller
//! shows up in a map. How long that takes may tell how much of a digest agrees with a listed one. That helps nobody:
//! from a digest no token can be computed, and a digest that agrees in more places is found only by trying tokens. So
//! the lookup needs no comparison in constant time.

use std::fmt;

use assent_proof::{Sha256, from_lower_hex};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// What every token begins with, so that scanners for leaked secrets find it.
pub const TOKEN_PREFIX: &str = "assent_";
/// The number of random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// The number of characters for them.
const TOKEN_CHARS: usize = 43;
/// Room for what so many characters decode to, by the decoder's own estimate.
const DECODED_ROOM: usize = 36;

/// The largest size of a file of tokens, in bytes.
pub const TOKEN_FILE_BYTES: usize = 64 * 1024;
/// The largest number of tokens in one file.
pub const TOKENS_MAX: usize = 64;

/// A bearer token. Its memory is overwritten when it is dropped.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new token. `fill` overwrites all of its argument with unpredictable bytes.
    pub fn generate(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new([0_u8; TOKEN_BYTES]);
        fill(bytes.as_mut_slice());
        // With room for all of it, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + TOKEN_CHARS + 1));
        text.push_str(TOKEN_PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self(text)
    }

    /// The text, which only its owner may see.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What a file of tokens lists for it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::of(self.0.as_bytes()).0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The SHA-256 of a token's text, with its prefix: what `printf %s "$TOKEN" | sha256sum` prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of what a caller has shown, if it has the form of a token. No copy of the text is made.
    pub fn of_shown(text: &str) -> Option<Self> {
        let random = text.strip_prefix(TOKEN_PREFIX).filter(|random| random.len() == TOKEN_CHARS)?;
        let mut bytes = Zeroizing::new([0_u8; DECODED_ROOM]);
        // Only the one spelling of the 32 bytes is decoded.
        let decoded = URL_SAFE_NO_PAD.decode_slice(random, bytes.as_mut_slice());
        matches!(decoded, Ok(TOKEN_BYTES)).then(|| Self(Sha256::of(text.as_bytes()).0))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digests that a file of tokens lists: one a line, in lower-case hex. `#` begins a comment. A file that lists
/// none must have a comment, which shows that it was not cut off by accident.
///
/// # Errors
/// Which line is wrong, and why. It does not repeat the line: an operator may have written a token there.
pub fn parse_tokens(text: &str) -> Result<Vec<TokenDigest>, String> {
    let mut digests = Vec::new();
    let mut commented = false;
    for (place, line) in text.lines().enumerate() {
        let number = place.saturating_add(1);
        let (line, comment) = line.split_once('#').map_or((line, false), |(line, _)| (line, true));
        commented |= comment;
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some(digest) = from_lower_hex::<32>(line) else {
            return Err(format!(
                "line {number} is not the SHA-256 of a token in 64 lower-case hex digits: write what `printf %s \"$TOKEN\" | \
                 sha256sum` prints, and never the token itself"
            ));
        };
        if digests.contains(&TokenDigest(digest)) {
            return Err(format!("line {number} lists a token again: remove the line"));
        }
        if digests.len() >= TOKENS_MAX {
            return Err(format!("line {number} is one token too many: a file lists at most {TOKENS_MAX}"));
        }
        digests.push(TokenDigest(digest));
    }
    if digests.is_empty() && !commented {
        return Err(
            "it is empty: list at least one token, or write a `#` comment to lock its callers out".to_owned()
        );
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(seed: u8) -> Token {
        Token::generate(|bytes| bytes.fill(seed))
    }

    #[test]
    fn a_generated_token_has_the_form_of_one_and_is_found_by_its_digest() {
        let one = token(7);
        assert_eq!(one.expose().len(), 50);
        assert!(one.expose().starts_with("assent_BwcHBwcH"), "the form of tokens is pinned");
        assert_eq!(TokenDigest::of_shown(one.expose()), Some(one.digest()));
        assert_ne!(token(8).digest(), one.digest());
    }

    #[test]
    fn what_is_not_exactly_a_token_has_no_digest() {
        let good = token(0).expose().to_owned();
        // The last character holds four bits, so a spelling with other bits set is another text for the same bytes.
        let another_spelling = format!("{}B", good.strip_suffix('A').unwrap());
        for text in [
            "",
            "assent_",
            good.strip_prefix("assent_").unwrap(),
            &good.to_uppercase(),
            &format!("{good}="),
            &format!("{good} "),
            &good[..49],
            &another_spelling,
            &good.replace('A', "+"),
        ] {
            assert_eq!(TokenDigest::of_shown(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let one = token(9);
        let shown = format!("{one:?}");
        assert!(!shown.contains("CQkJ") && !shown.contains("assent_"), "{shown}");
    }

    #[test]
    fn a_file_lists_digests_and_comments_and_nothing_else() {
        let (one, two) = (token(1).digest(), token(2).digest());
        let text = format!("# of the build scheduler\n{one}\n\n  {two}  # until March\n");
        assert_eq!(parse_tokens(&text), Ok(vec![one, two]));
        assert_eq!(parse_tokens("# nobody may call\n"), Ok(vec![]));
        let many: String = (0..65_u8).map(|seed| format!("{}\n", token(seed).digest())).collect();
        for (text, said) in [
            (String::new(), "empty"),
            ("\n \n".to_owned(), "empty"),
            (format!("{one}\n{one}\n"), "line 2 lists a token again"),
            (one.to_string().to_uppercase(), "line 1 is not the SHA-256"),
            (many, "at most 64"),
        ] {
            let why = parse_tokens(&text).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn a_token_in_a_file_is_refused_without_being_repeated() {
        let one = token(3);
        let why = parse_tokens(one.expose()).unwrap_err();
        assert!(!why.contains(one.expose()) && !why.contains("AwMD"), "{why}");
    }
}
