//! The parsers of what callers show, and of the files by which a node knows them: bearer tokens, JSON web tokens, JWKS files
//! and files of tokens.

use std::collections::BTreeSet;

use assent_cluster::access::outside::{JwtReader, read_jwks};
use assent_cluster::access::{
    JwtAlgorithm, JwtIssuerConfig, JwtRefusal, Shown, TOKEN_PREFIX, TOKENS_MAX, Token, TokenDigest,
    parse_tokens,
};
use assent_proof::{Millis, decode_base64, encode_base64};
use serde_json::Value;

use super::judge::{Growth, holds, refused, reread};
use super::parser::{Parser, Reading};

/// A file of tokens is written without its comments, except for one of one character.
const TOKEN_FILE: Growth = Growth { times: 1, more: 16 };

/// Keys and tokens that another program made and signed. Nobody has the private keys any more, so no other token can be good.
const JWKS: &str = include_str!("../../../cluster/src/access/jwt/golden/issuer.jwks.json");
const SIGNED: [&str; 5] = [
    include_str!("../../../cluster/src/access/jwt/golden/es256.jwt"),
    include_str!("../../../cluster/src/access/jwt/golden/es384.jwt"),
    include_str!("../../../cluster/src/access/jwt/golden/rs256.jwt"),
    include_str!("../../../cluster/src/access/jwt/golden/ps256.jwt"),
    include_str!("../../../cluster/src/access/jwt/golden/eddsa.jwt"),
];
const ALGORITHMS: [JwtAlgorithm; 5] =
    [JwtAlgorithm::ES256, JwtAlgorithm::ES384, JwtAlgorithm::RS256, JwtAlgorithm::PS256, JwtAlgorithm::EdDSA];
/// A time at which these tokens are good.
const NOW: Millis = Millis(1_800_000_000_000);
/// A time at which none of them is good any more.
const LATE: Millis = Millis(4_200_000_000_000);

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "token_file", check: token_file, samples: token_files },
    Parser { name: "bearer", check: bearer, samples: headers },
    Parser { name: "jwks", check: jwks, samples: key_sets },
    Parser { name: "jwt", check: jwt, samples: jwts },
    Parser { name: "jwt_parts", check: jwt_parts, samples: jwts_in_parts },
];

fn token_file(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let digests = match parse_tokens(text) {
        Ok(digests) => digests,
        Err(problem) => {
            holds(!repeats_a_token(text, &problem), "a refusal repeats no token")?;
            return refused(&problem);
        }
    };
    holds(digests.len() <= TOKENS_MAX, "a file lists no more tokens than are allowed")?;
    let lines: Vec<&str> = text.lines().rev().collect();
    let mut turned = parse_tokens(&lines.join("\n"))
        .map_err(|problem| format!("with its lines in the other order, the file is refused: {problem}"))?;
    turned.reverse();
    holds(turned == digests, "the order of its lines does not matter to a file of tokens")?;
    let read = |bytes: &[u8]| parse_tokens(std::str::from_utf8(bytes).map_err(|error| error.to_string())?);
    reread(bytes, TOKEN_FILE, read, |digests| written(digests).into_bytes())
}

/// A file that lists these digests. Without the comment, a file that lists none would be refused.
fn written(digests: &[TokenDigest]) -> String {
    let lines: Vec<String> = digests.iter().map(|digest| format!("{digest}\n")).collect();
    format!("#\n{}", lines.concat())
}

/// Whether a message has a token that stands in this text.
fn repeats_a_token(text: &str, message: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    words.filter(|word| TokenDigest::of_shown(word).is_some()).any(|token| message.contains(token))
}

/// An `Authorization` header. It is refused if it shows no bearer token, so that its caller counts as one that shows nothing.
fn bearer(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let Some(shown) = Shown::bearer_of(text) else {
        let lower = text.to_ascii_lowercase();
        let shows = lower.contains("bearer") || lower.contains(TOKEN_PREFIX);
        holds(!shows, "a header with a token is never taken for one that shows nothing")?;
        return Ok(Reading::Refused);
    };
    holds(shown == shown.trim() && text.contains(shown), "what is shown is a part of the header")?;
    let again = format!("Bearer {shown}");
    holds(Shown::bearer_of(&again) == Some(shown), "what is shown is the same in a header of its own")?;
    if TokenDigest::of_shown(shown).is_some() {
        holds(spelled_anew(shown).as_deref() == Some(shown), "a token has one spelling")?;
    }
    Ok(Reading::Accepted)
}

/// The token that is made of the random bytes of this one.
fn spelled_anew(token: &str) -> Option<String> {
    let random = decode_base64(token.strip_prefix(TOKEN_PREFIX)?)?;
    let random: [u8; 32] = random.try_into().ok()?;
    Some(Token::generate(|bytes| bytes.copy_from_slice(&random)).expose().to_owned())
}

fn jwks(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let mut keys = match read_jwks(text) {
        Ok(keys) => keys,
        Err(problem) => return refused(&problem),
    };
    holds((1..=64).contains(&keys.len()), "a file has from 1 to 64 keys")?;
    holds(keys.iter().all(|key| !key.algorithms.is_empty()), "each key verifies something")?;
    let named: Vec<&str> = keys.iter().filter_map(|key| key.kid.as_deref()).collect();
    let names: BTreeSet<&str> = named.iter().copied().collect();
    holds(names.len() == named.len(), "no two keys have one `kid`")?;
    // A number that no f64 holds may stand in a field that is passed over, but in no value here.
    let Ok(mut file) = serde_json::from_str::<Value>(text) else { return Ok(Reading::Accepted) };
    // serde also takes an array for an object, its values in the order of the fields.
    let Some(entries) = file.get_mut("keys").and_then(Value::as_array_mut) else {
        return Ok(Reading::Accepted);
    };
    holds(!entries.iter().any(has_secret), "no file with a private key or a shared secret is accepted")?;
    entries.reverse();
    let turned = read_jwks(&file.to_string())
        .map_err(|problem| format!("with its keys in the other order, the file is refused: {problem}"))?;
    keys.reverse();
    holds(turned == keys, "each key is read for itself, whatever stands before and after it")?;
    Ok(Reading::Accepted)
}

fn has_secret(entry: &Value) -> bool {
    ["d", "k"].iter().any(|part| entry.get(*part).is_some_and(|value| !value.is_null()))
}

fn jwt(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(token) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let reader = reader(&ALGORITHMS)?;
    let judged = reader.read(token, Some(NOW));
    // The node remembers tokens that it has verified, and those that are wrongly signed.
    holds(reader.read(token, Some(NOW)) == judged, "a token that is shown again is judged the same")?;
    holds(reader.read(token, None).is_err(), "a node that is not sure of its clock accepts no token")?;
    holds(reader.read(token, Some(LATE)).is_err(), "no token is accepted after its end")?;
    let identity = match judged {
        Ok(identity) => identity,
        Err(refusal) => return refused(&refusal),
    };
    let message = message_of(token);
    holds(
        SIGNED.iter().any(|signed| message_of(signed.trim()) == message),
        "only what the issuer has signed is accepted",
    )?;
    let (issuer, subject) = (identity.issuer.as_str(), identity.subject.as_str());
    holds(
        (issuer, subject) == ("https://issuer.example", "system:serviceaccount:ci:scheduler"),
        "the identity is that of the claims",
    )?;
    let mut accepting = 0_usize;
    for pinned in ALGORITHMS {
        match self::reader(&[pinned])?.read(token, Some(NOW)) {
            Ok(_) => accepting = accepting.saturating_add(1),
            Err(refusal) => {
                holds(refusal == JwtRefusal::AlgorithmNotPinned, "the refusal names the algorithm")?;
            }
        }
    }
    holds(accepting == 1, "a token is accepted only if its own algorithm is pinned")?;
    Ok(Reading::Accepted)
}

/// Header, claims and signature in three lines, the first two as the JSON that a token has in base64. Of a damaged token the
/// base64 is hardly ever read as JSON again; of a damaged line of these it often is.
fn jwt_parts(bytes: &[u8]) -> Result<Reading, String> {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(header), Some(claims), Some(signature)) = (lines.next(), lines.next(), lines.next()) else {
        return Ok(Reading::Refused);
    };
    let mut token = format!("{}.{}.", base64url(header), base64url(claims)).into_bytes();
    token.extend_from_slice(signature);
    jwt(&token)
}

fn base64url(bytes: &[u8]) -> String {
    encode_base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn reader(algorithms: &[JwtAlgorithm]) -> Result<JwtReader, String> {
    let config = JwtIssuerConfig {
        issuer: "https://issuer.example".to_owned(),
        audience: "assent".to_owned(),
        jwks: "issuer.jwks.json".into(),
        algorithms: algorithms.to_vec(),
        leeway_s: 30,
    };
    JwtReader::new([(config, JWKS)])
}

/// What the signature of a token is over.
fn message_of(token: &str) -> Option<&str> {
    token.rsplit_once('.').map(|(message, _)| message)
}

fn tokens() -> Vec<Token> {
    [1, 2, 255].map(|seed| Token::generate(|bytes| bytes.fill(seed))).into()
}

fn token_files() -> Vec<Vec<u8>> {
    let digests: Vec<TokenDigest> = tokens().iter().map(Token::digest).collect();
    let spaced: String =
        digests.iter().map(|digest| format!("\r\n  {digest}  # until March\r\n\n")).collect();
    // The last one lists a token itself, which is refused.
    let with_a_token = tokens().first().map(|token| token.expose().to_owned());
    let texts = [written(&digests), spaced, "# nobody may call\n".to_owned()];
    texts.into_iter().chain(with_a_token).map(String::into_bytes).collect()
}

fn headers() -> Vec<Vec<u8>> {
    let tokens = tokens();
    let mut texts: Vec<String> = tokens.iter().map(|token| format!("Bearer {}", token.expose())).collect();
    texts.extend(tokens.first().map(|token| format!("Basic {}", token.expose())));
    let others = ["bearer  a.b.c ", "Bearer", "Basic YTpi", "Digest x=\"bearer\"", "BEARER:x"];
    texts.extend(others.map(str::to_owned));
    texts.into_iter().map(String::into_bytes).collect()
}

fn key_sets() -> Vec<Vec<u8>> {
    let others = r#"{"keys": [
        {"kty": "oct", "kid": "a", "use": "enc"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "puwFNmWghWxdlTwawnrAuS_kbelrEiJl6kMh6a_XfgE"},
        {"kty": "RSA", "alg": "RS512", "n": "AQAB", "e": "AQAB", "use": "enc", "x5c": [null, {}]}
    ], "spiffe_sequence": 1}"#;
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VzYW1l"}]}"#;
    [JWKS, others, secret].map(|text| text.as_bytes().to_vec()).into()
}

fn jwts() -> Vec<Vec<u8>> {
    SIGNED.map(|token| token.trim().as_bytes().to_vec()).into()
}

fn jwts_in_parts() -> Vec<Vec<u8>> {
    SIGNED.iter().filter_map(|token| in_parts(token.trim())).collect()
}

fn in_parts(token: &str) -> Option<Vec<u8>> {
    let (header, rest) = token.split_once('.')?;
    let (claims, signature) = rest.split_once('.')?;
    let lines = [decode_base64(header)?, decode_base64(claims)?, signature.as_bytes().to_vec()];
    Some(lines.join(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if a golden token or one of its parts is not read any more, so that the search would try refusals alone.
    #[test]
    fn every_signed_token_is_accepted_whole_and_in_parts() {
        assert_eq!(jwts().len(), 5);
        for token in jwts() {
            assert_eq!(jwt(&token), Ok(Reading::Accepted), "{token:?}");
        }
        assert_eq!(jwts_in_parts().len(), 5);
        for parts in jwts_in_parts() {
            assert_eq!(jwt_parts(&parts), Ok(Reading::Accepted), "{parts:?}");
        }
    }

    /// It fails if a reader takes the algorithm that a token names, or claims that its signature is not over.
    #[test]
    fn a_token_whose_header_or_claims_were_changed_is_refused_and_still_has_its_form() {
        let text = String::from_utf8(jwts_in_parts()[0].clone()).unwrap();
        for (from, to) in [
            ("\"alg\":\"ES256\"", "\"alg\":\"none\""),
            ("\"alg\":\"ES256\"", "\"alg\":\"HS256\""),
            ("ci:scheduler", "ci:operator"),
            ("4102444800", "4102444801"),
        ] {
            assert!(text.contains(from), "{text}");
            assert_eq!(jwt_parts(text.replace(from, to).as_bytes()), Ok(Reading::Refused), "{to}");
        }
    }

    #[test]
    fn a_message_that_repeats_a_token_is_noticed() {
        let token = tokens()[0].expose().to_owned();
        let text = format!("# of ci\n {token}\r\n");
        assert!(repeats_a_token(&text, &format!("line 2 is `{token}`")));
        assert!(!repeats_a_token(&text, "line 2 is not the SHA-256 of a token"));
    }
}
