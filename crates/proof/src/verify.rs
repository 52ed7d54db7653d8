//! From submitted bytes to a [`VerifiedEnvelope`]: the one gate, the same for every replica and for offline tools.

use crate::code::Code;
use crate::dsse::{Envelope, STATEMENT_PAYLOAD_TYPE};
use crate::id::EvidenceId;
use crate::key::PublicKey;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::statement::Statement;
use std::sync::Arc;

/// Most signature verifications spent on one envelope: enough for any number of issuers whose signatures carry key ids
/// or come in the issuers' order, and for 13 in the worst order without key ids.
const ATTEMPTS_MAX: usize = 96;

/// An envelope of which every issuer named has a valid signature, made for the origin and under the rules it was verified
/// against.
///
/// [`verify`] is the only constructor. It says who signed what; whether they may is the registry's to judge.
#[derive(Clone, Debug)]
pub struct VerifiedEnvelope {
    id: EvidenceId,
    statement: Arc<Statement>,
    bytes: Arc<[u8]>,
    rules: Rules,
}

impl VerifiedEnvelope {
    /// The evidence id.
    pub fn id(&self) -> EvidenceId {
        self.id
    }

    /// What the issuers signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The envelope as submitted.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The rules that it was verified under. Under other rules it may not verify.
    pub fn rules(&self) -> Rules {
        self.rules
    }
}

/// Verifies an envelope that was submitted to the registry with this origin (RFC-EG-033 §6), under the rules that
/// are in force where the envelope's turn comes in the ledger.
///
/// # Errors
/// In the order of the checks: `too_large`, `malformed` (with the field at fault), `wrong_registry`,
/// `signature_invalid` when an issuer lacks a signature and one is left over that belongs to no issuer,
/// `unsigned_evidence` when an issuer lacks one and none is; `too_large` when 96 attempts did not tell whose the
/// signatures are.
pub fn verify(bytes: &[u8], origin: &str, rules: Rules) -> Result<VerifiedEnvelope, Refusal> {
    let envelope = Envelope::parse(bytes)?;
    let payload_type = envelope.payload_type.as_str();
    if payload_type != STATEMENT_PAYLOAD_TYPE && rules.other_payload_type != Some(payload_type) {
        return Err(Refusal::at(
            Code::Malformed,
            "payloadType",
            format!("must be `{STATEMENT_PAYLOAD_TYPE}`"),
        ));
    }
    let statement = Statement::parse(&envelope.payload)?;
    if statement.registry != origin {
        let detail = format!("made for `{}`, not for `{origin}`", statement.registry);
        return Err(Refusal::at(Code::WrongRegistry, "predicate.registry", detail));
    }
    let message = envelope.pae();
    if rules.signature_needs_keyid
        && let Some(place) = envelope.signatures.iter().position(|signature| signature.keyid.is_none())
    {
        return Err(Refusal::at(Code::Malformed, format!("signatures[{place}].keyid"), "is missing"));
    }
    match_signatures(&envelope, &message, &statement.issuers)?;
    Ok(VerifiedEnvelope {
        id: EvidenceId::of_pae(&message),
        statement: Arc::new(statement),
        bytes: Arc::from(bytes),
        rules,
    })
}

/// Finds a valid signature for each issuer; others may be there and are ignored.
fn match_signatures(envelope: &Envelope, message: &[u8], issuers: &[PublicKey]) -> Result<(), Refusal> {
    let mut attempts =
        Attempts { envelope, message, left: ATTEMPTS_MAX, used: vec![false; envelope.signatures.len()] };
    // Key ids first: with honest ones every signature is tried once. They only choose the order.
    let keyids: Vec<[String; 3]> =
        issuers.iter().map(|key| [key.keyid(), key.to_string(), hex::encode(key.as_bytes())]).collect();
    let mut signed = vec![false; issuers.len()];
    for ((issuer, keyids), signed) in issuers.iter().zip(&keyids).zip(&mut signed) {
        *signed = attempts.find(issuer, |keyid| keyid.is_some_and(|id| keyids.iter().any(|own| own == id)));
    }
    for (issuer, signed) in issuers.iter().zip(&mut signed) {
        *signed = *signed || attempts.find(issuer, |_| true);
    }
    match issuers.iter().zip(&signed).find(|(_, signed)| !**signed) {
        Some((missing, _)) => Err(attempts.refusal(missing, issuers)),
        None => Ok(()),
    }
}

/// The bounded search for signatures of one envelope.
struct Attempts<'a> {
    envelope: &'a Envelope,
    message: &'a [u8],
    left: usize,
    // Signatures that are known to belong to an issuer.
    used: Vec<bool>,
}

impl Attempts<'_> {
    /// Whether an unused signature whose key id is `wanted` verifies under `key`; it is then used.
    fn find(&mut self, key: &PublicKey, wanted: impl Fn(Option<&str>) -> bool) -> bool {
        for (signature, used) in self.envelope.signatures.iter().zip(&mut self.used) {
            if *used || !wanted(signature.keyid.as_deref()) || signature.sig.len() != 64 {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { return false };
            self.left = left;
            if key.verify(self.message, &signature.sig) {
                *used = true;
                return true;
            }
        }
        false
    }

    /// Why the envelope is refused: `missing` has no valid signature.
    fn refusal(mut self, missing: &PublicKey, issuers: &[PublicKey]) -> Refusal {
        // A second signature by a key that has one is no bad signature; take those out before looking for one.
        for issuer in issuers {
            while self.find(issuer, |_| true) {}
        }
        if self.left == 0 {
            let detail = format!(
                "{ATTEMPTS_MAX} attempts did not tell whose the signatures are: give each its `keyid`"
            );
            return Refusal::at(Code::TooLarge, "signatures", detail);
        }
        if self.used.iter().all(|used| *used) {
            let detail = format!("no signature by the named issuer `{missing}`");
            return Refusal::at(Code::UnsignedEvidence, "signatures", detail);
        }
        let detail = format!("a signature verifies under no named issuer, and `{missing}` has no valid one");
        Refusal::at(Code::SignatureInvalid, "signatures", detail)
    }
}
