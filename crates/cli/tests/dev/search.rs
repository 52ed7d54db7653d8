//! A search for secrets, in each form in which a program could have written them.

use std::collections::{BTreeSet, HashMap};

use assent_proof::{decode_base64, encode_base64};

/// How many characters of a text, and how many bytes of a secret itself, are enough to find it.
const TEXT: usize = 16;
const LIST: usize = 24;
const RAW: usize = 8;

/// The search of some secrets. Each is cut into pieces, so that a part of it is found too.
pub(crate) struct Search {
    names: Vec<String>,
    /// The pieces by their first bytes, each with the secret that it is of.
    pieces: HashMap<Vec<u8>, Vec<(Vec<u8>, usize)>>,
    /// Which pairs of bytes a piece begins with.
    begins: Vec<bool>,
}

impl Search {
    pub(crate) fn new() -> Self {
        Search { names: Vec::new(), pieces: HashMap::new(), begins: vec![false; 1 << 16] }
    }

    /// Looks for a secret. It is given as the bytes that must not be known, in one or several spellings.
    pub(crate) fn add(&mut self, name: &str, spellings: &[Vec<u8>]) {
        assert!(!spellings.is_empty(), "{name} has no secret");
        let place = self.names.len();
        self.names.push(name.to_owned());
        for secret in spellings {
            assert!(secret.len() >= RAW, "{name} is too short");
            for (form, length) in forms(secret) {
                for piece in form.chunks_exact(length) {
                    self.begins[pair(piece)] = true;
                    let known = self.pieces.entry(piece[..RAW].to_vec()).or_default();
                    known.push((piece.to_vec(), place));
                }
            }
        }
    }

    /// The names of the secrets of which a part is in these bytes.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, window) in bytes.windows(RAW).enumerate() {
            if !self.begins[pair(window)] {
                continue;
            }
            for (piece, place) in self.pieces.get(window).into_iter().flatten() {
                if bytes[at..].starts_with(piece) {
                    found.insert(self.names[*place].as_str());
                }
            }
        }
        found
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// What these bytes look like where they are written, and how much of each is looked for.
fn forms(secret: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let joined = |each: &dyn Fn(&u8) -> String, with: &str| {
        secret.iter().map(each).collect::<Vec<String>>().join(with).into_bytes()
    };
    let mut forms = vec![
        (secret.to_vec(), RAW),
        (joined(&|byte| format!("{byte:02x}"), ""), TEXT),
        (joined(&|byte| format!("{byte:02X}"), ""), TEXT),
        // As `Debug` and JSON write bytes.
        (joined(&|byte| byte.to_string(), ", "), LIST),
        (joined(&|byte| byte.to_string(), ","), LIST),
        (joined(&|byte| format!("{byte:02x}"), ", "), LIST),
    ];
    // In base64 they may begin at each bit of a character, by what comes before them.
    for shift in 0..3 {
        let text = encode_base64(&[vec![0; shift].as_slice(), secret].concat());
        let (first, end) = ((shift * 8).div_ceil(6), (shift + secret.len()) * 8 / 6);
        let own = &text[first..end];
        forms.push((own.as_bytes().to_vec(), TEXT));
        forms.push((own.replace('+', "-").replace('/', "_").into_bytes(), TEXT));
    }
    forms
}

/// The secret of a private key in PEM, PKCS#8: its 32 bytes, and the part of the PEM's text that has them.
pub(crate) fn of_key(pem: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let body = lines.concat();
    let der = decode_base64(&body).unwrap();
    // Ed25519 (RFC 8410): an octet string in an octet string. ECDSA (RFC 5915): the version, and an octet string.
    let before =
        |mark: &[u8]| der.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    let at = before(&[0x04, 0x22, 0x04, 0x20]).or_else(|| before(&[0x02, 0x01, 0x01, 0x04, 0x20])).unwrap();
    let (first, end) = ((at * 8).div_ceil(6), (at + 32) * 8 / 6);
    let mut secret = vec![der[at..at + 32].to_vec()];
    // A line's text as bytes, of which an error could print the numbers.
    for line in 0..lines.len() {
        let (from, to) = (first.max(line * 64), end.min((line + 1) * 64));
        if from + RAW < to {
            secret.push(body.as_bytes()[from..to].to_vec());
        }
    }
    secret
}

/// The secret of a bearer token: its random bytes, and its text.
pub(crate) fn of_token(token: &str) -> Vec<Vec<u8>> {
    let random = token.trim().strip_prefix("assent_").unwrap();
    vec![decode_base64(random).unwrap(), random.as_bytes().to_vec()]
}

/// The secret of a JSON web token: its signature, without which nobody can use it, and the signature's text.
pub(crate) fn of_jwt(jwt: &str) -> Vec<Vec<u8>> {
    let (_, signature) = jwt.rsplit_once('.').unwrap();
    vec![decode_base64(signature).unwrap(), signature.as_bytes().to_vec()]
}

/// Fails if a secret is not found in one of the ways in which a program could write it, or if another one is found.
pub(crate) fn finds_what_is_planted(search: &Search, name: &str, secret: &[u8]) {
    let url = |text: String| text.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    let behind = |before: &[u8]| encode_base64(&[before, secret].concat());
    let half = secret.len() / 2;
    let written = [
        secret.to_vec(),
        secret[half..].to_vec(),
        hex::encode(secret).into_bytes(),
        hex::encode(&secret[..half]).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        encode_base64(secret).into_bytes(),
        url(encode_base64(secret)).into_bytes(),
        behind(b"1").into_bytes(),
        url(behind(b"12")).into_bytes(),
        format!("{secret:?}").into_bytes(),
        format!("{secret:02x?}").into_bytes(),
        serde_json::to_vec(secret).unwrap(),
    ];
    for written in written {
        let planted = [b"2026-12-01T00:00:00Z  INFO a=\"", written.as_slice(), b"\" b=1\n"].concat();
        let found = search.found_in(&planted);
        let shown = String::from_utf8_lossy(&planted);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [name], "{shown}");
    }
}
