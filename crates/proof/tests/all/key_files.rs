//! `crates/proof/vectors/key_files.json`: key files that were damaged on their way, and what a reader says about each.
//!
//! No version of the rules judges a key file, so these are not among the verdicts of `hostile.json`. Each vector has
//! the file's text, the answer to a reader of the private key, the answer to a reader of the public key, and the
//! base64 that is in the file. `accepted` means that the key of seed `09…09` is read; otherwise the error contains the
//! given text. No error contains eight consecutive characters of the base64.

use assent_proof::*;

use crate::keys::LOW_ORDER;
use crate::make::key;
use crate::vectors::is_what_the_code_makes;

/// The key that is read.
const ACCEPTED: &str = "accepted";

/// Fewest characters of base64 in a row that give something away: six bytes.
const LETTERS: usize = 8;

const CUT_SHORT: &str = "it was cut short";
const NO_PRIVATE_LINE: &str = "it has no line `-----BEGIN PRIVATE KEY-----`";
const NO_PUBLIC_LINE: &str = "it has no line `-----BEGIN PUBLIC KEY-----`";
const HOLDS_PRIVATE: &str = "it holds a private key, and no public key";
const HOLDS_PUBLIC: &str = "it holds a public key, and no private key";
const NOT_BASE64: &str = "is not base64";

/// A key file, and what is said of it.
struct KeyFile {
    name: &'static str,
    text: String,
    /// The base64 that is in it, without white space.
    letters: Vec<String>,
    /// What [`SigningKey::from_pem`] says.
    private: &'static str,
    /// What [`PublicKey::from_pem`] says.
    public: &'static str,
}

fn file(
    name: &'static str,
    text: impl Into<String>,
    letters: &[&str],
    private: &'static str,
    public: &'static str,
) -> KeyFile {
    let letters = letters.iter().map(|letters| (*letters).to_owned()).collect();
    KeyFile { name, text: text.into(), letters, private, public }
}

fn block(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// The base64 of a file with one block.
fn body(pem: &str) -> String {
    pem.lines().nth(1).unwrap().to_owned()
}

fn base64_of(hex: &str) -> String {
    encode_base64(&hex::decode(hex).unwrap())
}

/// What became of its lines.
fn lines() -> Vec<KeyFile> {
    let (private, public) = (key(9).to_pem().to_string(), key(9).public().to_pem());
    let (secret, half) = (body(&private), body(&public));
    let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
    let of_private = |name, text: String, says_private, says_public| {
        file(name, text, &[&secret], says_private, says_public)
    };
    let of_public =
        |name, text: String, says_private, says_public| file(name, text, &[&half], says_private, says_public);
    let no_line = |name, text: String| of_private(name, text, NO_PRIVATE_LINE, NO_PUBLIC_LINE);
    let cut = |name, text: String| of_private(name, text, CUT_SHORT, CUT_SHORT);
    vec![
        of_private("honest-private", private.clone(), ACCEPTED, HOLDS_PRIVATE),
        of_public("honest-public", public.clone(), HOLDS_PUBLIC, ACCEPTED),
        no_line("line-ends-lost", private.replace('\n', "")),
        of_public("line-ends-lost-public", public.replace('\n', ""), NO_PRIVATE_LINE, NO_PUBLIC_LINE),
        no_line("line-ends-escaped", private.replace('\n', "\\n")),
        no_line("line-ends-are-spaces", private.replace('\n', " ")),
        no_line("line-ends-are-carriage-returns", private.replace('\n', "\r")),
        no_line("line-end-lost-before-the-base64", format!("{begin}{secret}\n{end}\n")),
        cut("line-end-lost-after-the-base64", format!("{begin}\n{secret}{end}\n")),
        of_private("line-ends-of-windows", private.replace('\n', "\r\n"), ACCEPTED, HOLDS_PRIVATE),
        of_public("line-ends-of-windows-public", public.replace('\n', "\r\n"), HOLDS_PUBLIC, ACCEPTED),
        of_private("last-line-end-missing", private.trim_end().to_owned(), ACCEPTED, HOLDS_PRIVATE),
        of_private("byte-order-mark", format!("\u{feff}{private}"), ACCEPTED, HOLDS_PRIVATE),
        of_public("byte-order-mark-public", format!("\u{feff}{public}"), HOLDS_PUBLIC, ACCEPTED),
        of_private("text-around", format!("Key Attributes\n{private}that was it\n"), ACCEPTED, HOLDS_PRIVATE),
        of_private("base64-behind", format!("{private}{secret}\n"), ACCEPTED, HOLDS_PRIVATE),
        no_line("junk-behind-the-first-line", private.replacen(begin, &format!("{begin}x"), 1)),
        cut("junk-behind-the-last-line", private.replacen(end, &format!("{end}x"), 1)),
        cut("end-missing", format!("{begin}\n{secret}\n")),
        no_line("begin-missing", format!("{secret}\n{end}\n")),
        no_line("base64-alone", format!("{secret}\n")),
        cut("begun-twice", format!("{begin}\n{private}")),
        cut("ends-otherwise", private.replacen("END PRIVATE", "END PUBLIC", 1)),
        file("empty", "", &[], "it is empty", "it is empty"),
        file("white-space", " \r\n\t\n", &[], "it is empty", "it is empty"),
    ]
}

/// What its blocks are called, and which there are.
fn labels() -> Vec<KeyFile> {
    let (private, public) = (key(9).to_pem().to_string(), key(9).public().to_pem());
    let (secret, half) = (body(&private), body(&public));
    let (other, other_half) = (key(8).to_pem().to_string(), key(8).public().to_pem());
    let (other_secret, other_letters) = (body(&other), body(&other_half));
    let labelled = |name, label: &str, says_private, says_public| {
        file(name, block(label, &secret), &[&secret], says_private, says_public)
    };
    let no_label = |name, label: &str| labelled(name, label, NO_PRIVATE_LINE, NO_PUBLIC_LINE);
    vec![
        labelled("label-unknown", "SECRET", "it holds a block `SECRET`", "it holds a block `SECRET`"),
        labelled("label-public-around-private", "PUBLIC KEY", HOLDS_PUBLIC, "asn.1 error"),
        file(
            "label-private-around-public",
            block("PRIVATE KEY", &half),
            &[&half],
            "pkcs#8 asn.1 error",
            HOLDS_PRIVATE,
        ),
        labelled(
            "label-encrypted",
            "ENCRYPTED PRIVATE KEY",
            "it holds an encrypted private key",
            "it holds an encrypted private key",
        ),
        labelled("label-openssh", "OPENSSH PRIVATE KEY", "OpenSSH's own format", "OpenSSH's own format"),
        labelled("label-certificate", "CERTIFICATE", "it holds a certificate", "openssl x509"),
        no_label("label-lower-case", "private key"),
        no_label("label-with-an-escape", "\u{1b}[2JPRIVATE KEY"),
        no_label("label-with-a-bell", "PRIVATE\u{7} KEY"),
        no_label("label-with-a-line-separator", "PRIVATE\u{2028}KEY"),
        no_label("label-with-an-override", "\u{202e}PRIVATE KEY"),
        no_label("label-of-41-characters", &"A".repeat(41)),
        file(
            "label-holds-the-base64",
            format!("-----BEGIN PRIVATE KEY {secret}-----\n"),
            &[&secret],
            NO_PRIVATE_LINE,
            NO_PUBLIC_LINE,
        ),
        file("two-blocks-alike", format!("{private}{private}"), &[&secret], ACCEPTED, HOLDS_PRIVATE),
        file(
            "two-private-keys",
            format!("{private}{other}"),
            &[&secret, &other_secret],
            "two different private keys",
            HOLDS_PRIVATE,
        ),
        file(
            "two-public-keys",
            format!("{public}{other_half}"),
            &[&half, &other_letters],
            HOLDS_PUBLIC,
            ACCEPTED,
        ),
        file("both-halves", format!("{public}{private}"), &[&secret, &half], ACCEPTED, ACCEPTED),
    ]
}

/// What became of its base64.
fn letters() -> Vec<KeyFile> {
    let (secret, half) = (body(&key(9).to_pem()), body(&key(9).public().to_pem()));
    let (front, back) = secret.split_at(32);
    let private = |name, body: &str, letters: &[&str]| {
        file(name, block("PRIVATE KEY", body), letters, NOT_BASE64, HOLDS_PRIVATE)
    };
    let public = |name, body: &str, letters: &[&str]| {
        file(name, block("PUBLIC KEY", body), letters, HOLDS_PUBLIC, NOT_BASE64)
    };
    vec![
        file(
            "base64-on-two-lines",
            block("PRIVATE KEY", &format!("{front}\n{back}")),
            &[&secret],
            ACCEPTED,
            HOLDS_PRIVATE,
        ),
        private("base64-with-an-asterisk", &format!("{front}*{back}"), &[front, back]),
        private("base64-of-urls", &format!("{front}-_{back}"), &[front, back]),
        private("base64-with-a-control-character", &format!("{front}\u{1b}{back}"), &[front, back]),
        private("base64-with-a-letter-less", &secret[1..], &[&secret[1..]]),
        private("base64-with-a-letter-more", &format!("{secret}A"), &[&secret]),
        private("base64-padded-for-nothing", &format!("{secret}="), &[&secret]),
        public("base64-without-its-padding", half.trim_end_matches('='), &[half.trim_end_matches('=')]),
        public("base64-padded-twice", &format!("{half}="), &[&half]),
    ]
}

/// What its base64 is of: other lengths, and other algorithms.
fn bytes() -> Vec<KeyFile> {
    let seed = |bytes: usize| "09".repeat(bytes);
    let point = hex::encode(key(9).public().as_bytes());
    let der = |pem: &str| hex::encode(decode_base64(&body(pem)).unwrap());
    let (private_der, public_der) = (der(&key(9).to_pem()), der(&key(9).public().to_pem()));
    let private = |name, hex: &str, says| {
        let letters = base64_of(hex);
        file(name, block("PRIVATE KEY", &letters), &[&letters], says, HOLDS_PRIVATE)
    };
    let public = |name, hex: &str, says| {
        let letters = base64_of(hex);
        file(name, block("PUBLIC KEY", &letters), &[&letters], HOLDS_PUBLIC, says)
    };
    // PKCS#8 and SubjectPublicKeyInfo (RFC 8410) around the algorithm's number.
    let of_algorithm = |oid: &str| format!("302e0201003005{oid}04220420{}", seed(32));
    let point_of = |oid: &str| format!("302a3005{oid}032100{point}");
    let [x25519, ed448, other] = ["06032b656e", "06032b6571", "06032b6501"];
    vec![
        file("nothing-in-it", block("PRIVATE KEY", ""), &[], "pkcs#8 asn.1 error", HOLDS_PRIVATE),
        file("nothing-in-it-public", block("PUBLIC KEY", ""), &[], HOLDS_PUBLIC, "asn.1 error"),
        private("bytes-cut", &private_der[..90], "pkcs#8 asn.1 error"),
        private("bytes-behind", &format!("{private_der}000000"), "trailing data"),
        private(
            "seed-of-31-bytes",
            &format!("302d020100300506032b65700421041f{}", seed(31)),
            "pkcs#8 cryptographic key data malformed",
        ),
        private(
            "seed-of-33-bytes",
            &format!("302f020100300506032b657004230421{}", seed(33)),
            "pkcs#8 cryptographic key data malformed",
        ),
        private("seed-alone", &seed(32), "pkcs#8 asn.1 error"),
        public("bytes-cut-public", &public_der[..84], "asn.1 error"),
        public("bytes-behind-public", &format!("{public_der}00"), "trailing data"),
        public(
            "point-of-31-bytes",
            &format!("3029300506032b6570032000{}", &point[..62]),
            "spki cryptographic key data malformed",
        ),
        public("point-alone", &point, "asn.1 error"),
        public(
            "point-of-low-order",
            &format!("302a300506032b6570032100{}", LOW_ORDER[4]),
            "public key has a low order",
        ),
        private("algorithm-x25519", &of_algorithm(x25519), "it holds an X25519 key"),
        private("algorithm-ed448", &of_algorithm(ed448), "it holds an Ed448 key"),
        private("algorithm-unknown", &of_algorithm(other), "it holds a key of another algorithm"),
        private(
            "algorithm-with-parameters",
            &format!("3030020100300706032b6570050004220420{}", seed(32)),
            "pkcs#8 algorithm parameters malformed",
        ),
        public("algorithm-x25519-public", &point_of(x25519), "it holds an X25519 key"),
        public("algorithm-ed448-public", &point_of(ed448), "it holds an Ed448 key"),
        public("algorithm-unknown-public", &point_of(other), "it holds a key of another algorithm"),
        public(
            "algorithm-with-parameters-public",
            &format!("302c300706032b65700500032100{point}"),
            "spki cryptographic key data malformed",
        ),
    ]
}

fn files() -> Vec<KeyFile> {
    [lines(), labels(), letters(), bytes()].into_iter().flatten().collect()
}

/// What is said of a file: `accepted`, or the error.
fn said(read: Result<PublicKey, KeyError>) -> String {
    match read {
        Ok(found) => {
            assert_eq!(found, key(9).public(), "another key was read");
            ACCEPTED.to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn spoilt_key_files_are_the_vectors() {
    let vectors = files().into_iter().map(|file| {
        Json::object([
            ("name", Json::text(file.name)),
            ("file", Json::Text(file.text)),
            ("base64", Json::texts(file.letters)),
            ("private", Json::text(file.private)),
            ("public", Json::text(file.public)),
        ])
    });
    is_what_the_code_makes("key_files.json", vectors.collect());
}

#[test]
fn of_each_spoilt_key_file_is_said_what_has_to_be_said() {
    for KeyFile { name, text, private, public, .. } in files() {
        for (expected, read) in [
            (private, SigningKey::from_pem(&text).map(|key| key.public())),
            (public, PublicKey::from_pem(&text)),
        ] {
            let said = said(read);
            let as_expected = if expected == ACCEPTED { said == ACCEPTED } else { said.contains(expected) };
            assert!(as_expected, "{name}: `{said}`, expected `{expected}`");
        }
    }
}

#[test]
fn no_error_about_a_key_file_has_eight_characters_of_its_base64_or_what_terminals_obey() {
    let mut windows = 0;
    for KeyFile { name, text, letters, .. } in files() {
        let bare: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let errors = [
            SigningKey::from_pem(&text).map(drop),
            PublicKey::from_pem(&text).map(drop),
            pem::public_key_of(&text).map(drop),
            pem::public_keys(&text).map(drop),
        ];
        for told in errors.into_iter().filter_map(Result::err) {
            // Logs have the one, and what is unwrapped shows the other.
            for told in [told.to_string(), format!("{told:?}")] {
                assert!(!told.chars().any(text::is_obeyed), "{name}: {told:?}");
                for letters in &letters {
                    assert!(bare.contains(letters), "{name}: the file does not have `{letters}`");
                    for window in letters.as_bytes().windows(LETTERS) {
                        let window = std::str::from_utf8(window).unwrap();
                        assert!(!told.contains(window), "{name}: `{window}` is in `{told}`");
                        windows += 1;
                    }
                }
            }
        }
    }
    assert!(windows > 5_000, "only {windows} were looked for");
}
