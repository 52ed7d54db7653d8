//! Decision receipts: one signature over a Merkle tree of decisions, so that each can be shown to others and
//! verified offline.
//!
//! A node signs the root of the tree over all decisions that it answered under one read barrier. A receipt
//! carries the exact leaf, its place and path, and the envelope with that one signature. It proves that the
//! holder of a trusted key signed the decision. It does not prove that the decision was right.

use crate::base64::{decode_base64, encode_base64, what_is_no_base64};
use crate::code::Code;
use crate::dsse::Envelope;
use crate::json::{self, FieldError, Fields, Json};
use crate::key::{PublicKey, SigningKey};
use crate::merkle::{BatchTree, leaf_hash, verify_inclusion};
use crate::refusal::Refusal;

/// The payload type of a signed batch of decisions. The signature covers it, so no other kind of signature
/// can pass as one.
pub const DECISIONS_PAYLOAD_TYPE: &str = "application/vnd.egpep.decisions.v1+json";

/// Longest decision with its receipt that is verified, in bytes.
pub const MAX_DECISION_BYTES: usize = 1024 * 1024;

/// Longest inclusion path: a tree of 2^63 leaves has no longer one.
const MAX_PATH: usize = 63;

/// Fewest bytes of a leaf's salt. The salt keeps the holder of one receipt from guessing the other leaves of
/// the tree.
const MIN_SALT_BYTES: usize = 16;

/// The name of the field in which a decision carries its receipt.
const RECEIPT: &str = "receipt";

/// The proof that one decision was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionReceipt {
    /// The exact bytes that were signed: the decision without its receipt, plus `salt`.
    pub leaf: Vec<u8>,
    /// The leaf's place in the tree, from 0.
    pub index: u64,
    /// The number of leaves.
    pub size: u64,
    /// The sibling hashes from the leaf to the root.
    pub path: Vec<[u8; 32]>,
    /// The signed `{root, size}`.
    pub envelope: Envelope,
}

impl DecisionReceipt {
    /// The receipt as JSON: `{leaf, index, size, path[], envelope}`, bytes and hashes in standard base64.
    pub fn to_json(&self) -> Json {
        let int = |n: u64| Json::Int(i64::try_from(n).unwrap_or(i64::MAX));
        Json::object([
            ("leaf", Json::Text(encode_base64(&self.leaf))),
            ("index", int(self.index)),
            ("size", int(self.size)),
            ("path", Json::texts(self.path.iter().map(|hash| encode_base64(hash)))),
            ("envelope", self.envelope.to_json()),
        ])
    }

    /// Reads a receipt that stands at `path` of a larger input, whose length the caller has bounded. This
    /// verifies nothing.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn from_json(value: &Json, path: &str) -> Result<Self, Refusal> {
        let mut fields = Fields::of(value, path)?;
        let leaf = fields.text("leaf")?;
        let receipt = DecisionReceipt {
            leaf: decode_base64(leaf)
                .ok_or_else(|| FieldError::new(fields.path_of("leaf"), what_is_no_base64(leaf)))?,
            index: count(&mut fields, "index")?,
            size: count(&mut fields, "size")?,
            path: hashes(&mut fields, "path")?,
            envelope: Envelope::from_json(fields.value("envelope")?, &fields.path_of("envelope"))?,
        };
        fields.finish()?;
        Ok(receipt)
    }

    /// The key among `trusted` that signed a tree in which this leaf stands.
    ///
    /// # Errors
    /// `malformed` for a payload of another type or form, `signature_invalid` when no trusted key signed it
    /// or the path does not prove the leaf.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<PublicKey, Refusal> {
        if self.envelope.payload_type != DECISIONS_PAYLOAD_TYPE {
            let detail = format!("must be `{DECISIONS_PAYLOAD_TYPE}`");
            return Err(Refusal::at(Code::Malformed, "receipt.envelope.payloadType", detail));
        }
        let signer = self.signer(trusted).ok_or_else(|| {
            Refusal::at(
                Code::SignatureInvalid,
                "receipt.envelope.signatures",
                "no valid signature by a trusted key",
            )
        })?;
        let (root, size) = read_root(&self.envelope.payload)?;
        if size != self.size || !verify_inclusion(&leaf_hash(&self.leaf), self.index, size, &self.path, &root)
        {
            let detail = "does not prove that the leaf stands in the signed tree";
            return Err(Refusal::at(Code::SignatureInvalid, "receipt.path", detail));
        }
        Ok(signer)
    }

    fn signer(&self, trusted: &[PublicKey]) -> Option<PublicKey> {
        let message = self.envelope.pae();
        // At most 64 signatures, and the trusted keys are the caller's own: the product is bounded by the
        // caller.
        let by = |key: &&PublicKey| self.envelope.signatures.iter().any(|s| key.verify(&message, &s.sig));
        trusted.iter().find(by).copied()
    }
}

/// Signs a batch of leaves with one signature; the receipts come in the order of the leaves.
///
/// Each leaf is the compact JSON of a decision without its receipt, plus `salt`: base64 of 16 random bytes.
pub fn sign_batch(leaves: Vec<Vec<u8>>, key: &SigningKey) -> Vec<DecisionReceipt> {
    let tree = BatchTree::new(leaves.iter().map(|leaf| leaf_hash(leaf)).collect());
    let size = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    let payload = Json::object([
        ("root", Json::Text(encode_base64(&tree.root()))),
        ("size", Json::Int(i64::try_from(size).unwrap_or(i64::MAX))),
    ]);
    let mut envelope = Envelope::unsigned(DECISIONS_PAYLOAD_TYPE, payload.to_vec());
    envelope.sign_with(key);
    let receipt = |(index, leaf)| DecisionReceipt {
        leaf,
        index: u64::try_from(index).unwrap_or(u64::MAX),
        size,
        path: tree.inclusion_path(index),
        envelope: envelope.clone(),
    };
    leaves.into_iter().enumerate().map(receipt).collect()
}

/// A decision that a trusted key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDecision {
    /// The decision without its receipt.
    pub decision: Json,
    /// Whether the decision is `allow`. It may be out of date: see its `validUntil`.
    pub allow: bool,
    /// Which of the trusted keys signed.
    pub signer: PublicKey,
}

/// Verifies a decision as a node answered it, against the keys that the caller trusts.
///
/// # Errors
/// `too_large`; `malformed` with the field at fault; `signature_invalid` when no trusted key signed it, the
/// leaf does not stand in the signed tree, or the decision says something else than its leaf.
pub fn verify_decision(bytes: &[u8], trusted: &[PublicKey]) -> Result<VerifiedDecision, Refusal> {
    if bytes.len() > MAX_DECISION_BYTES {
        let detail = format!("decision of `{}` bytes is over the limit of {MAX_DECISION_BYTES}", bytes.len());
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    let decision = json::parse(bytes)?;
    let mut fields = Fields::of(&decision, "")?;
    let receipt = DecisionReceipt::from_json(fields.value(RECEIPT)?, RECEIPT)?;
    fields.ignore_rest();
    let signer = receipt.verify(trusted)?;
    let decision = without(decision, RECEIPT);
    if !decision.same_as(&read_leaf(&receipt.leaf)?) {
        let detail = "says something else than the decision around it";
        return Err(Refusal::at(Code::SignatureInvalid, "receipt.leaf", detail));
    }
    let allow = match decision.get("decision").and_then(Json::as_str) {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(Refusal::at(Code::Malformed, "decision", "must be `allow` or `deny`")),
    };
    Ok(VerifiedDecision { decision, allow, signer })
}

/// The decision that a leaf holds, without its salt.
fn read_leaf(leaf: &[u8]) -> Result<Json, Refusal> {
    let at = |field: &str| {
        if field.is_empty() { "receipt.leaf".to_owned() } else { format!("receipt.leaf.{field}") }
    };
    let moved = |error: FieldError| {
        let field = at(&error.field);
        error.moved_to(field)
    };
    let leaf = json::parse(leaf).map_err(moved)?;
    let mut fields = Fields::of(&leaf, "").map_err(moved)?;
    let salt = fields.text("salt").map_err(moved)?;
    if decode_base64(salt).is_none_or(|salt| salt.len() < MIN_SALT_BYTES) {
        return Err(Refusal::at(Code::Malformed, at("salt"), "must be base64 of at least 16 bytes"));
    }
    // A receipt inside the leaf could not be compared with anything.
    if fields.opt_value(RECEIPT).is_some() {
        return Err(Refusal::at(Code::Malformed, at(RECEIPT), "is an unknown field"));
    }
    Ok(without(leaf, "salt"))
}

/// The signed `{root, size}`.
fn read_root(payload: &[u8]) -> Result<([u8; 32], u64), Refusal> {
    let moved = |error: FieldError| error.moved_to("receipt.envelope.payload");
    let payload = json::parse(payload).map_err(moved)?;
    let mut fields = Fields::of(&payload, "").map_err(moved)?;
    let root = fields.text("root").map_err(moved)?;
    let size = count(&mut fields, "size").map_err(moved)?;
    fields.finish().map_err(moved)?;
    let root =
        hash(root).ok_or_else(|| moved(FieldError::new("root", "has no root of 32 bytes in base64")))?;
    Ok((root, size))
}

fn without(object: Json, name: &str) -> Json {
    match object {
        Json::Object(fields) => Json::Object(fields.into_iter().filter(|(key, _)| key != name).collect()),
        other @ (Json::Null | Json::Bool(_) | Json::Int(_) | Json::Text(_) | Json::Array(_)) => other,
    }
}

fn count(fields: &mut Fields<'_>, name: &str) -> Result<u64, FieldError> {
    let value = fields.int(name)?;
    u64::try_from(value).map_err(|_| FieldError::new(fields.path_of(name), "must not be negative"))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    decode_base64(text)?.try_into().ok()
}

fn hashes(fields: &mut Fields<'_>, name: &str) -> Result<Vec<[u8; 32]>, FieldError> {
    let texts: Vec<String> = fields.list(name, MAX_PATH)?;
    let path = fields.path_of(name);
    let read = |(i, text): (usize, &String)| {
        hash(text).ok_or_else(|| FieldError::new(format!("{path}[{i}]"), "is not 32 bytes in base64"))
    };
    texts.iter().enumerate().map(read).collect()
}
