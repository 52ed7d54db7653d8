//! The DSSE envelope: pre-authentication encoding, strict reading, writing, adding signatures.
//!
//! [`verify`](mod@crate::verify) decides whether an envelope's signatures are valid; this module never does.
//! Unknown fields of the envelope are ignored, as DSSE v1.0 demands. A `keyid` is a hint, and no decision
//! depends on it.

use crate::base64::{decode_base64, encode_base64, what_is_no_base64};
use crate::code::Code;
use crate::id::EvidenceId;
use crate::json::{self, FieldError, Fields, Json};
use crate::key::{PublicKey, SigningKey};
use crate::refusal::Refusal;

/// The payload type of statements.
pub const STATEMENT_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Longest envelope that is accepted, in bytes as submitted.
pub const MAX_ENVELOPE_BYTES: usize = 64 * 1024;

/// Most signatures that one envelope may carry.
pub const MAX_SIGNATURES: usize = 64;

/// DSSE's pre-authentication encoding: the bytes that are signed. Lengths count bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// A DSSE envelope, decoded. Its signatures are not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The type of the payload. The signatures cover it too.
    pub payload_type: String,
    /// The signatures, at most [`MAX_SIGNATURES`].
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// A hint at the key; unauthenticated.
    pub keyid: Option<String>,
    /// The signature, of any algorithm.
    pub sig: Vec<u8>,
}

impl Envelope {
    /// An envelope without signatures yet.
    pub fn unsigned(payload_type: impl Into<String>, payload: Vec<u8>) -> Self {
        Envelope { payload, payload_type: payload_type.into(), signatures: Vec::new() }
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// `too_large` over [`MAX_ENVELOPE_BYTES`]; `malformed` with the field at fault for everything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            let detail =
                format!("envelope of `{}` bytes is over the limit of {MAX_ENVELOPE_BYTES}", bytes.len());
            return Err(Refusal::new(Code::TooLarge, detail));
        }
        Ok(Self::from_json(&json::parse(bytes)?, "")?)
    }

    /// Reads an envelope that stands at `path` of a larger input, whose length the caller has bounded.
    pub fn from_json(value: &Json, path: &str) -> Result<Self, FieldError> {
        let mut fields = Fields::of(value, path)?;
        let payload = base64_field(&mut fields, "payload")?;
        let payload_type = fields.text("payloadType")?.to_owned();
        let entries = fields.array("signatures")?;
        let signatures_path = fields.path_of("signatures");
        if entries.len() > MAX_SIGNATURES {
            let problem = format!("has `{}` entries, more than {MAX_SIGNATURES}", entries.len());
            return Err(FieldError::new(signatures_path, problem));
        }
        let mut signatures = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let mut fields = Fields::of(entry, format!("{signatures_path}[{i}]"))?;
            let keyid = fields.opt_text("keyid")?.map(str::to_owned);
            let sig = base64_field(&mut fields, "sig")?;
            fields.ignore_rest();
            signatures.push(EnvelopeSignature { keyid, sig });
        }
        fields.ignore_rest();
        Ok(Envelope { payload, payload_type, signatures })
    }

    /// The envelope as JSON, in DSSE's order of fields and standard base64.
    pub fn to_json(&self) -> Json {
        let signature = |s: &EnvelopeSignature| {
            let keyid = s.keyid.iter().map(|keyid| ("keyid", Json::text(keyid)));
            Json::object(keyid.chain([("sig", Json::Text(encode_base64(&s.sig)))]))
        };
        Json::object([
            ("payload", Json::Text(encode_base64(&self.payload))),
            ("payloadType", Json::text(&self.payload_type)),
            ("signatures", Json::Array(self.signatures.iter().map(signature).collect())),
        ])
    }

    /// The envelope as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        self.to_json().to_vec()
    }

    /// The bytes that are signed.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The evidence id: it depends on payload and payload type alone.
    pub fn id(&self) -> EvidenceId {
        EvidenceId::of_pae(&self.pae())
    }

    /// Signs with `key` and adds securesystemslib's key id. A signature of that key that is already there is
    /// replaced.
    pub fn sign_with(&mut self, key: &SigningKey) {
        let message = self.pae();
        self.put(&message, &key.public(), key.sign(&message));
    }

    /// Adds a signature by `key` that was made elsewhere (an HSM, Vault) over [`pae`](Envelope::pae).
    ///
    /// # Errors
    /// `signature_invalid` if it is not that key's signature over these bytes.
    pub fn attach(&mut self, key: &PublicKey, sig: [u8; 64]) -> Result<(), Refusal> {
        let message = self.pae();
        if !key.verify(&message, &sig) {
            let detail = format!("not a signature by `{key}` over this envelope");
            return Err(Refusal::new(Code::SignatureInvalid, detail));
        }
        self.put(&message, key, sig);
        Ok(())
    }

    fn put(&mut self, message: &[u8], key: &PublicKey, sig: [u8; 64]) {
        let keyid = key.keyid();
        // Verifiers such as securesystemslib refuse an envelope in which one key id appears twice.
        self.signatures.retain(|s| s.keyid.as_deref() != Some(&keyid) && !key.verify(message, &s.sig));
        self.signatures.push(EnvelopeSignature { keyid: Some(keyid), sig: sig.to_vec() });
    }
}

fn base64_field(fields: &mut Fields<'_>, name: &str) -> Result<Vec<u8>, FieldError> {
    let text = fields.text(name)?;
    decode_base64(text).ok_or_else(|| FieldError::new(fields.path_of(name), what_is_no_base64(text)))
}
