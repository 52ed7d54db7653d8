//! PEM files with Ed25519 keys, read as openssl reads them: with text before, between and after the blocks,
//! several blocks, empty lines, either kind of line end, and a byte order mark.
//!
//! This module owns the text: which blocks a file has, which of them holds the key, and how messages describe
//! the others. It does no IO and puts no key material into a message.

use crate::key::{KeyError, PublicKey, SigningKey};
use crate::text::shown;
use ::base64::engine::general_purpose::STANDARD;
use ::base64::{Engine, decoded_len_estimate};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::spki::SubjectPublicKeyInfoRef;
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::pkcs8::{
    ALGORITHM_OID, DecodePrivateKey, DecodePublicKey, ObjectIdentifier, PrivateKeyInfo,
};

/// Longest PEM text that is looked at, in bytes.
pub const MAX_PEM_BYTES: usize = 1024 * 1024;

/// Most blocks that a message names.
const SHOWN_BLOCKS_MAX: usize = 4;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Which kind of key a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Public,
    Private,
}

impl Wanted {
    /// The label of its blocks.
    fn label(self) -> &'static str {
        match self {
            Wanted::Public => "PUBLIC KEY",
            Wanted::Private => "PRIVATE KEY",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Public => "public key",
            Wanted::Private => "private key",
        }
    }

    fn error(self, problem: impl Into<String>) -> KeyError {
        KeyError::Pem { expected: self.name(), problem: problem.into() }
    }
}

/// One block, without its first and last line.
struct Block<'a> {
    label: &'a str,
    lines: Vec<&'a str>,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM file (SubjectPublicKeyInfo, RFC 8410), as `openssl pkey -pubout` writes it.
    /// Answers the first Ed25519 key of its blocks, whatever text surrounds them. [`public_keys`] reads all
    /// keys of a file.
    ///
    /// # Errors
    /// Other text, other algorithms, and keys that [`from_bytes`](Self::from_bytes) refuses. The error says
    /// what the file holds instead.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        first_public_key(pem)
    }
}

impl SigningKey {
    /// Reads an unencrypted `PRIVATE KEY` PEM file (PKCS#8 v1 or v2, RFC 8410), as `openssl genpkey
    /// -algorithm ed25519` writes it. Answers the Ed25519 key of its blocks, whatever text and other blocks
    /// surround it.
    ///
    /// # Errors
    /// Other text, other algorithms, encrypted keys, two different Ed25519 keys, and a v2 file whose public
    /// half belongs to another key. The error says what the file holds instead.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        signing_key(pem)
    }
}

/// Whether the text has a `PUBLIC KEY` block, of whatever algorithm.
pub fn has_public_key(text: &str) -> bool {
    text.lines().any(|line| begins(line).is_some_and(|label| label == Wanted::Public.label()))
}

/// The one public key of a file: the first Ed25519 key of its `PUBLIC KEY` blocks or, if it has none, that of
/// its private key.
///
/// # Errors
/// Those of [`PublicKey::from_pem`] and of [`SigningKey::from_pem`].
pub fn public_key_of(text: &str) -> Result<PublicKey, KeyError> {
    if has_public_key(text) {
        return first_public_key(text);
    }
    public_keys(text)?.into_iter().next().ok_or_else(|| Wanted::Public.error("it holds no key"))
}

/// The public keys of a file, in their order: those of its `PUBLIC KEY` blocks or, if it has none, that of
/// its private key.
///
/// # Errors
/// A `PUBLIC KEY` block that holds no Ed25519 key, even beside blocks that do. If the file has no such block,
/// the errors of [`SigningKey::from_pem`].
pub fn public_keys(text: &str) -> Result<Vec<PublicKey>, KeyError> {
    let blocks = blocks(text, Wanted::Public)?;
    let public: Vec<&Block<'_>> = of(&blocks, Wanted::Public).collect();
    if !public.is_empty() {
        return public.into_iter().map(public_key).collect();
    }
    if of(&blocks, Wanted::Private).next().is_some() {
        return Ok(vec![signing_key_of(&blocks)?.public()]);
    }
    Err(nothing(&blocks, text, Wanted::Public))
}

/// The first Ed25519 key of the `PUBLIC KEY` blocks. If there is one, keys of other algorithms are skipped.
fn first_public_key(text: &str) -> Result<PublicKey, KeyError> {
    let blocks = blocks(text, Wanted::Public)?;
    let mut first_problem = None;
    for block in of(&blocks, Wanted::Public) {
        match public_key(block) {
            Err(problem @ KeyError::Algorithm { .. }) => first_problem = first_problem.or(Some(problem)),
            found => return found,
        }
    }
    Err(first_problem.unwrap_or_else(|| nothing(&blocks, text, Wanted::Public)))
}

/// The one Ed25519 key of the unencrypted `PRIVATE KEY` blocks. If there is one, keys of other algorithms are
/// skipped.
fn signing_key(text: &str) -> Result<SigningKey, KeyError> {
    let blocks = blocks(text, Wanted::Private)?;
    if of(&blocks, Wanted::Private).next().is_none() {
        return Err(nothing(&blocks, text, Wanted::Private));
    }
    signing_key_of(&blocks)
}

fn signing_key_of(blocks: &[Block<'_>]) -> Result<SigningKey, KeyError> {
    let mut found: Option<SigningKey> = None;
    let mut first_problem = None;
    for block in of(blocks, Wanted::Private) {
        let key = match private_key(block) {
            Ok(key) => key,
            Err(problem @ KeyError::Algorithm { .. }) => {
                first_problem = first_problem.or(Some(problem));
                continue;
            }
            Err(problem) => return Err(problem),
        };
        if found.as_ref().is_some_and(|other| other.public() != key.public()) {
            let problem = "it holds two different private keys: keep each in a file of its own";
            return Err(Wanted::Private.error(problem));
        }
        found = Some(key);
    }
    let other = || first_problem.unwrap_or_else(|| Wanted::Private.error("it holds no private key"));
    found.ok_or_else(other)
}

/// The blocks that can hold the wanted kind of key.
fn of<'a, 'b>(blocks: &'b [Block<'a>], wanted: Wanted) -> impl Iterator<Item = &'b Block<'a>> {
    blocks.iter().filter(move |block| block.label == wanted.label() && !block.is_encrypted())
}

fn public_key(block: &Block<'_>) -> Result<PublicKey, KeyError> {
    let der = block.der(Wanted::Public)?;
    if let Ok(info) = SubjectPublicKeyInfoRef::try_from(der.as_slice()) {
        check_algorithm(info.algorithm.oid, Wanted::Public)?;
    }
    let key = VerifyingKey::from_public_key_der(&der)
        .map_err(|error| Wanted::Public.error(error.to_string().to_lowercase()))?;
    PublicKey::from_bytes(key.as_bytes())
}

fn private_key(block: &Block<'_>) -> Result<SigningKey, KeyError> {
    let der = block.der(Wanted::Private)?;
    if let Ok(info) = PrivateKeyInfo::try_from(der.as_slice()) {
        check_algorithm(info.algorithm.oid, Wanted::Private)?;
    }
    ed25519_dalek::SigningKey::from_pkcs8_der(&der)
        .map(SigningKey::from_dalek)
        .map_err(|error| Wanted::Private.error(error.to_string().to_lowercase()))
}

fn check_algorithm(oid: ObjectIdentifier, wanted: Wanted) -> Result<(), KeyError> {
    if oid == ALGORITHM_OID {
        return Ok(());
    }
    let oid = oid.to_string();
    let found = match oid.as_str() {
        "1.2.840.113549.1.1.1" => "an RSA key",
        "1.2.840.113549.1.1.10" => "an RSA-PSS key",
        "1.2.840.10045.2.1" => "an elliptic-curve (ECDSA) key",
        "1.2.840.10040.4.1" => "a DSA key",
        "1.3.101.110" => "an X25519 key, which cannot sign",
        "1.3.101.111" => "an X448 key, which cannot sign",
        "1.3.101.113" => "an Ed448 key",
        _ => "a key of another algorithm",
    };
    Err(KeyError::Algorithm { expected: wanted.name(), found })
}

/// The error for a file without the wanted kind of key: what the file holds instead, and what to do.
fn nothing(blocks: &[Block<'_>], text: &str, wanted: Wanted) -> KeyError {
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return wanted.error("it is empty");
    }
    if blocks.is_empty() {
        return wanted.error(format!("it has no line `{BEGIN}{}{DASHES}`", wanted.label()));
    }
    let mut found: Vec<String> = Vec::new();
    for block in blocks {
        let what = block.what();
        if !found.contains(&what) && found.len() < SHOWN_BLOCKS_MAX {
            found.push(what);
        }
    }
    let remedy = blocks.iter().find_map(|block| block.remedy(wanted));
    let remedy = remedy.unwrap_or("`assent key generate` makes a key");
    wanted.error(format!("it holds {}, and no {}: {remedy}", found.join(", "), wanted.name()))
}

impl Block<'_> {
    /// Whether reading it takes a password. In PKCS#8 the label says so, in older files a header.
    fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY"
            || self.lines.iter().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
    }

    /// The decoded base64 of the block, wiped after use. Headers and empty lines are left out.
    fn der(&self, wanted: Wanted) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let lines = self.lines.iter().filter(|line| !line.contains(':'));
        // Each buffer has room for all of it from the start: growing would leave copies of the key behind.
        let room: usize = self.lines.iter().map(|line| line.len()).sum();
        let mut letters = Zeroizing::new(String::with_capacity(room));
        letters.extend(lines.flat_map(|line| line.chars()).filter(|c| !c.is_ascii_whitespace()));
        let mut der = Zeroizing::new(vec![0; decoded_len_estimate(letters.len())]);
        let length = STANDARD
            .decode_slice(letters.as_bytes(), &mut der)
            .map_err(|_| wanted.error(format!("its block `{}` is not base64", shown(self.label))))?;
        der.truncate(length);
        Ok(der)
    }

    /// What the block is, with its article, for messages.
    fn what(&self) -> String {
        let what = match self.label {
            _ if self.is_encrypted() => "an encrypted private key",
            "PRIVATE KEY" => "a private key",
            "PUBLIC KEY" => "a public key",
            "RSA PRIVATE KEY" => "an RSA private key",
            "RSA PUBLIC KEY" => "an RSA public key",
            "EC PRIVATE KEY" => "an elliptic-curve (ECDSA) private key",
            "DSA PRIVATE KEY" => "a DSA private key",
            "OPENSSH PRIVATE KEY" => "a private key in OpenSSH's own format",
            "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => "a certificate",
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "a certificate request",
            other => return format!("a block `{}`", shown(other)),
        };
        what.to_owned()
    }

    /// How to make the wanted file from this block, if there is a way.
    fn remedy(&self, wanted: Wanted) -> Option<&'static str> {
        match (self.label, wanted) {
            (_, Wanted::Private) if self.is_encrypted() => {
                Some("no password is asked for; `openssl pkey -in FILE -out NEW` writes the key without one")
            }
            (_, Wanted::Public) if self.is_encrypted() => {
                Some("`openssl pkey -in FILE -pubout -out NEW` writes the public key")
            }
            ("CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE", Wanted::Public) => {
                Some("`openssl x509 -in FILE -noout -pubkey` writes the certificate's public key")
            }
            ("PUBLIC KEY", Wanted::Private) => Some("give the file that the public key was made from"),
            _ => None,
        }
    }
}

/// The blocks of a text, in their order.
fn blocks(text: &str, wanted: Wanted) -> Result<Vec<Block<'_>>, KeyError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(wanted.error(format!("it is longer than {MAX_PEM_BYTES} bytes")));
    }
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.lines() {
        match open.take() {
            None => open = begins(line).map(|label| Block { label, lines: Vec::new() }),
            Some(block) if ends(line) == Some(block.label) => blocks.push(block),
            Some(block) if begins(line).is_some() || ends(line).is_some() => return Err(cut(&block, wanted)),
            Some(mut block) => {
                block.lines.push(line.trim_ascii());
                open = Some(block);
            }
        }
    }
    match open {
        Some(block) => Err(cut(&block, wanted)),
        None => Ok(blocks),
    }
}

fn cut(block: &Block<'_>, wanted: Wanted) -> KeyError {
    let label = shown(block.label);
    wanted.error(format!("its block `{label}` has no line `{END}{label}{DASHES}`: it was cut short"))
}

/// The label of the block that begins with this line.
fn begins(line: &str) -> Option<&str> {
    let label =
        line.trim_start_matches('\u{feff}').trim_ascii_end().strip_prefix(BEGIN)?.strip_suffix(DASHES)?;
    is_label(label).then_some(label)
}

/// The label of the block that ends with this line.
fn ends(line: &str) -> Option<&str> {
    let label = line.trim_ascii_end().strip_prefix(END)?.strip_suffix(DASHES)?;
    is_label(label).then_some(label)
}

/// Most bytes of a block's label.
const LABEL_BYTES: usize = 40;

/// Whether this can be the label of a block. Error messages show labels, so no part of a key may pass as one:
/// a file that has lost its line ends is a single line that begins and ends like a label's.
fn is_label(text: &str) -> bool {
    let is_of_labels = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    text.len() <= LABEL_BYTES && text.bytes().all(is_of_labels)
}
