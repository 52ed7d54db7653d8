//! Signed notes: a text, and under it one line for each signature (`c2sp.org/signed-note`).
//!
//! This module owns the form of a note and of a verifier key, and what each type of key signs. It never
//! decides which keys must sign: [`verify_checkpoint`](crate::checkpoint::verify_checkpoint) does.

use crate::base64::{decode_base64, encode_base64};
use crate::code::Code;
use crate::cosignature::{COSIGNATURE_HEADER, Cosignature};
use crate::key::{PublicKey, SigningKey};
use crate::refusal::Refusal;
use crate::text::{is_obeyed, shown};
use sha2::{Digest, Sha256};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// Longest note that is read, in bytes: the longest text, and room for 64 signatures of post-quantum size.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;

/// Longest text of a note, in bytes.
pub const MAX_NOTE_TEXT_BYTES: usize = 64 * 1024;

/// Most signature lines of a note. The specification asks for 16 at least.
pub const MAX_NOTE_SIGNATURES: usize = 64;

/// Longest name of a key, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 512;

/// What a signature line begins with: U+2014 and a space.
const LINE_PREFIX: &str = "— ";

/// A signed note. Only its form is checked; no signature is verified yet.
///
/// Written as the text, an empty line and the signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed: 1 to 65,536 bytes, ending in a newline, no other control character below U+0020.
    pub text: String,
    /// 1 to 64 signatures, in the order of their lines.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line: `— <name> <base64(key_id ‖ signature)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name; see [`is_key_name`].
    pub name: String,
    /// The key's id, of 32 bits. Together with the name it tells keys apart; it does not authenticate them.
    pub key_id: [u8; 4],
    /// The signature in the form of the key's type, at least one byte: 64 bytes for Ed25519, 72 for a
    /// cosignature.
    pub signature: Vec<u8>,
}

impl Note {
    /// Reads a note. This verifies no signature.
    ///
    /// What is accepted is written back byte for byte by [`to_vec`](Self::to_vec).
    ///
    /// Rule R118 (RFC-EG-033 §2, synchronization continuity proofs): The checkpoint of a
    /// `synchronization-continuity` names the peer of its trust (`wrong_registry`), has at most 64 signature
    /// lines (`too_large`), is signed by the peer's registry key and is cosigned by more than half of its
    /// node keys (`unsigned_evidence`, `signature_invalid`).
    ///
    /// # Errors
    /// `too_large` over a bound; `malformed` for anything that the specification does not allow, for base64
    /// that is not padded, standard and canonical, and for a name of more than 512 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Note, Refusal> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(too_large(format!("a note has at most `{MAX_NOTE_BYTES}` bytes")));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed("a note is valid UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(malformed("a note has no control character but the newline"));
        }
        // The last empty line: the text may have others.
        let (text, lines) = note
            .rfind("\n\n")
            .and_then(|at| note.split_at_checked(at + 1))
            .and_then(|(text, rest)| Some((text, rest.strip_prefix('\n')?)))
            .ok_or_else(|| malformed("a note has an empty line between its text and its signatures"))?;
        if text.len() > MAX_NOTE_TEXT_BYTES {
            return Err(too_large(format!("a note's text has at most `{MAX_NOTE_TEXT_BYTES}` bytes")));
        }
        let lines = lines
            .strip_suffix('\n')
            .ok_or_else(|| malformed("a note ends in a signature line and a newline"))?;
        if lines.split('\n').count() > MAX_NOTE_SIGNATURES {
            return Err(too_large(format!("a note has at most `{MAX_NOTE_SIGNATURES}` signatures")));
        }
        let signatures = lines.split('\n').map(NoteSignature::parse).collect::<Result<_, _>>()?;
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// The note's bytes. [`parse`](Self::parse) reads them back if the fields are as documented.
    pub fn to_vec(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Display for Note {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl NoteSignature {
    /// Reads one signature line, without its newline. This verifies nothing.
    ///
    /// # Errors
    /// `malformed`, as for [`Note::parse`].
    pub fn parse(line: &str) -> Result<NoteSignature, Refusal> {
        let bad = |problem: &str| malformed(format!("signature line `{}` {problem}", shown(line)));
        let rest = line
            .strip_prefix(LINE_PREFIX)
            .ok_or_else(|| bad("does not begin with an em dash and a space"))?;
        let (name, blob) = rest.split_once(' ').ok_or_else(|| bad("has no signature"))?;
        if !is_key_name(name) {
            return Err(bad("has no valid key name"));
        }
        let blob = strict_base64(blob).ok_or_else(|| bad("is not in padded standard base64"))?;
        match blob.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(NoteSignature { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(bad("is too short")),
        }
    }
}

/// The signature line, without its newline.
impl Display for NoteSignature {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let blob = encode_base64(&[&self.key_id, self.signature.as_slice()].concat());
        write!(f, "{LINE_PREFIX}{} {blob}", self.name)
    }
}

/// What a key signs, and so the type byte in its id and in its verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKeyKind {
    /// 0x01: Ed25519 over the note's text.
    Ed25519,
    /// 0x04: a timestamped Ed25519 cosignature of a checkpoint (`c2sp.org/tlog-cosignature`).
    Cosignature,
}

impl NoteKeyKind {
    /// The type byte.
    pub fn byte(self) -> u8 {
        match self {
            NoteKeyKind::Ed25519 => 0x01,
            NoteKeyKind::Cosignature => 0x04,
        }
    }
}

/// A key that verifies notes. Written as a verifier key, `<name>+<hex of the id>+<base64(type byte ‖ public
/// key)>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteKey {
    name: String,
    key: PublicKey,
    kind: NoteKeyKind,
}

impl NoteKey {
    /// The key of this name that signs texts.
    ///
    /// # Errors
    /// `malformed` if [`is_key_name`] does not hold.
    pub fn ed25519(name: impl Into<String>, key: PublicKey) -> Result<NoteKey, Refusal> {
        Self::new(name.into(), key, NoteKeyKind::Ed25519)
    }

    /// The key of this name that cosigns checkpoints.
    ///
    /// # Errors
    /// `malformed` if [`is_key_name`] does not hold.
    pub fn cosigner(name: impl Into<String>, key: PublicKey) -> Result<NoteKey, Refusal> {
        Self::new(name.into(), key, NoteKeyKind::Cosignature)
    }

    fn new(name: String, key: PublicKey, kind: NoteKeyKind) -> Result<NoteKey, Refusal> {
        if !is_key_name(&name) {
            return Err(malformed(format!("`{}` is not a key name", shown(&name))));
        }
        Ok(NoteKey { name, key, kind })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What the key signs.
    pub fn kind(&self) -> NoteKeyKind {
        self.kind
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ type byte ‖ public key).
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind, &self.key)
    }

    /// Whether this key signed the note: `false` when no line has its name and its id.
    ///
    /// A cosigner's lines mean something only if the text is a checkpoint, which the caller must check.
    ///
    /// # Errors
    /// `signature_invalid` when any line with its name and its id does not verify, which rejects the note,
    /// even if another such line verifies.
    pub fn verify(&self, note: &Note) -> Result<bool, Refusal> {
        Ok(!self.verified_signatures(note)?.is_empty())
    }

    /// The signatures of all lines by this key. Each of them verifies.
    pub(crate) fn verified_signatures<'note>(&self, note: &'note Note) -> Result<Vec<&'note [u8]>, Refusal> {
        let id = self.key_id();
        let own = note.signatures.iter().filter(|line| line.name == self.name && line.key_id == id);
        own.map(|line| {
            if !self.signed(&note.text, &line.signature) {
                let name = shown(&self.name);
                let detail =
                    format!("the line of `{name}` with key id `{}` does not verify", hex::encode(id));
                return Err(Refusal::at(Code::SignatureInvalid, "signatures", detail));
            }
            Ok(line.signature.as_slice())
        })
        .collect()
    }

    fn signed(&self, text: &str, signature: &[u8]) -> bool {
        match self.kind {
            // If one key were used for both, a cosignature would otherwise pass as the note signature of such
            // a text.
            NoteKeyKind::Ed25519 => {
                !text.starts_with(COSIGNATURE_HEADER) && self.key.verify(text.as_bytes(), signature)
            }
            NoteKeyKind::Cosignature => Cosignature::from_bytes(signature)
                .is_ok_and(|cosignature| cosignature.verify(text, &self.key)),
        }
    }
}

impl Display for NoteKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let key = encode_base64(&[&[self.kind.byte()], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.key_id()))
    }
}

impl FromStr for NoteKey {
    type Err = Refusal;

    /// Reads a verifier key of a known type. Its id is lower-case hex and must be the one that the rest yields.
    fn from_str(text: &str) -> Result<NoteKey, Refusal> {
        let bad = |problem: &str| malformed(format!("verifier key `{}` {problem}", shown(text)));
        // The name has no `+`; the base64 may have some.
        let (name, rest) = text.split_once('+').ok_or_else(|| bad("has no key id"))?;
        let (id, key) = rest.split_once('+').ok_or_else(|| bad("has no public key"))?;
        let key = strict_base64(key).ok_or_else(|| bad("is not in padded standard base64"))?;
        let (kind, key) = key.split_first().ok_or_else(|| bad("has no type"))?;
        let kind = [NoteKeyKind::Ed25519, NoteKeyKind::Cosignature]
            .into_iter()
            .find(|known| known.byte() == *kind)
            .ok_or_else(|| bad("is of an unknown type"))?;
        let key = key.try_into().map_err(|_| bad("does not have a key of 32 bytes"))?;
        let key = PublicKey::from_bytes(key).map_err(|error| bad(&format!("is refused: {error}")))?;
        let key = NoteKey::new(name.to_owned(), key, kind)?;
        if id != hex::encode(key.key_id()) {
            return Err(bad("has the id of another key"));
        }
        Ok(key)
    }
}

/// Signs `text`, which ends in a newline, as the key `name` of the type 0x01.
///
/// The note parses only if [`is_key_name`] holds for `name` and the text is as [`Note::text`] documents. If
/// the key also cosigns, it must sign nothing but checkpoints: a text that begins like a cosignature's
/// message, with `cosignature/v1` and then a time, could be taken for one. No [`NoteKey`] verifies such a
/// text as a note.
pub fn sign_note(text: &str, name: &str, key: &SigningKey) -> NoteSignature {
    NoteSignature {
        name: name.to_owned(),
        key_id: key_id(name, NoteKeyKind::Ed25519, &key.public()),
        signature: key.sign(text.as_bytes()).to_vec(),
    }
}

/// Whether a key may have this name: 1 to 512 bytes without `+`, without Unicode white space and without a
/// character that [is obeyed](crate::text::is_obeyed). The specification is less strict: it forbids only `+`
/// and white space.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_KEY_NAME_BYTES
        && !name.chars().any(|c| c == '+' || is_obeyed(c) || is_space(c))
}

pub(crate) fn key_id(name: &str, kind: NoteKeyKind, key: &PublicKey) -> [u8; 4] {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind.byte()])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

/// Decodes base64 that is standard, padded and canonical.
pub(crate) fn strict_base64(text: &str) -> Option<Vec<u8>> {
    decode_base64(text).filter(|bytes| encode_base64(bytes) == text)
}

pub(crate) fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

fn too_large(detail: String) -> Refusal {
    Refusal::new(Code::TooLarge, detail)
}
/// Unicode's property White_Space, as of Unicode 16. The list is written out, so that the validity of a name
/// does not depend on the Unicode tables of the standard library that a build uses.
fn is_space(c: char) -> bool {
    let spaces = [
        '\u{9}'..='\u{d}',
        '\u{20}'..='\u{20}',
        '\u{85}'..='\u{85}',
        '\u{a0}'..='\u{a0}',
        '\u{1680}'..='\u{1680}',
        '\u{2000}'..='\u{200a}',
        '\u{2028}'..='\u{2029}',
        '\u{202f}'..='\u{202f}',
        '\u{205f}'..='\u{205f}',
        '\u{3000}'..='\u{3000}',
    ];
    spaces.iter().any(|range| range.contains(&c))
}
