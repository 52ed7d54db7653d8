//! From submitted bytes to a [`VerifiedEnvelope`]: the only path, the same for every replica and for offline
//! tools.

use crate::code::Code;
use crate::dsse::{Envelope, STATEMENT_PAYLOAD_TYPE};
use crate::id::EvidenceId;
use crate::key::PublicKey;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::statement::Statement;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most signature verifications spent on one envelope: enough for any number of issuers whose signatures
/// carry key ids or come in the issuers' order, and for 13 in the worst order without key ids.
pub const ATTEMPTS_MAX: usize = 96;

/// An envelope in which every named issuer has a valid signature. It was verified for one origin and under
/// one version of the rules.
///
/// Only [`verify`] and [`ParsedEnvelope::verify`] make one. It says which keys signed what. Whether they may
/// sign it is for the registry to judge.
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

/// An envelope that is well formed and holds a statement for the registry that it was read for. Its
/// signatures are not verified, so it says what would be signed and not who signed it.
///
/// It is for checks that must not cost the verification of a signature. [`ParsedEnvelope::verify`] goes on
/// from here.
#[derive(Clone, Debug)]
pub struct ParsedEnvelope<'a> {
    bytes: &'a [u8],
    envelope: Envelope,
    message: Vec<u8>,
    statement: Statement,
    rules: Rules,
}

impl<'a> ParsedEnvelope<'a> {
    /// Reads an envelope that was submitted to the registry with this origin, under these rules. Computes no
    /// signature.
    ///
    /// Rule R73 (RFC-EG-033 §6, signed proof envelopes): An envelope is a DSSE envelope of at most 64 KiB
    /// with at most 64 signatures, in strict JSON, around one in-toto statement whose predicate has exactly
    /// the fields of the protocol (`too_large`, `malformed`).
    ///
    /// Rule R74 (RFC-EG-033 §10, proof replay attacks): A statement names this registry's origin
    /// (`wrong_registry`).
    ///
    /// # Errors
    /// In the order of the checks: `too_large`, `malformed` (with the field at fault), `wrong_registry`.
    pub fn parse(bytes: &'a [u8], origin: &str, rules: Rules) -> Result<Self, Refusal> {
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
        if rules.signature_needs_keyid
            && let Some(place) = envelope.signatures.iter().position(|signature| signature.keyid.is_none())
        {
            return Err(Refusal::at(Code::Malformed, format!("signatures[{place}].keyid"), "is missing"));
        }
        let message = envelope.pae();
        Ok(Self { bytes, envelope, message, statement, rules })
    }

    /// The evidence id.
    pub fn id(&self) -> EvidenceId {
        EvidenceId::of_pae(&self.message)
    }

    /// What would be signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The rules that it was read under.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The most signature verifications that [`verify`](Self::verify) spends on it, whatever the key ids say:
    /// one for each issuer and signature, and 96 at most.
    pub fn signatures_max(&self) -> usize {
        self.statement.issuers.len().saturating_mul(self.envelope.signatures.len()).min(ATTEMPTS_MAX)
    }

    /// Verifies the signatures.
    ///
    /// # Errors
    /// `signature_invalid` if an issuer has no valid signature and a signature is left over that belongs to
    /// no issuer; `unsigned_evidence` if an issuer has none and no signature is left over; `too_large` if 96
    /// attempts did not tell which signature belongs to which issuer.
    pub fn verify(self) -> Result<VerifiedEnvelope, Refusal> {
        match_signatures(&self.envelope, &self.message, &self.statement.issuers)?;
        Ok(VerifiedEnvelope {
            id: EvidenceId::of_pae(&self.message),
            statement: Arc::new(self.statement),
            bytes: Arc::from(self.bytes),
            rules: self.rules,
        })
    }
}

/// Verifies an envelope that was submitted to the registry with this origin (RFC-EG-033 §6), under the rules
/// that are in force where the envelope's turn comes in the ledger.
///
/// # Errors
/// Those of [`ParsedEnvelope::parse`], then those of [`ParsedEnvelope::verify`].
pub fn verify(bytes: &[u8], origin: &str, rules: Rules) -> Result<VerifiedEnvelope, Refusal> {
    ParsedEnvelope::parse(bytes, origin, rules)?.verify()
}

/// Finds a valid signature for each issuer. Other signatures may be there and are ignored.
///
/// Rule R75 (RFC-EG-033 §7, unsigned evidence inheritance): Every issuer that the statement names has a valid
/// signature of its own over exactly these bytes (`unsigned_evidence`, `signature_invalid`), and signatures
/// by keys that the statement does not name are ignored.
fn match_signatures(envelope: &Envelope, message: &[u8], issuers: &[PublicKey]) -> Result<(), Refusal> {
    let mut attempts = Attempts {
        envelope,
        message,
        left: ATTEMPTS_MAX,
        used: vec![false; envelope.signatures.len()],
        failed: BTreeSet::new(),
    };
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
    // Keys, each with the place of a signature that is not that key's.
    failed: BTreeSet<(PublicKey, usize)>,
}

impl Attempts<'_> {
    /// Whether an unused signature whose key id is `wanted` verifies under `key`; it is then used.
    ///
    /// Rule R76 (RFC-EG-033 §6, signed proof envelopes): At most 96 pairs of key and signature are tried on
    /// one envelope, and a pair that is tried again counts again (`too_large`).
    fn find(&mut self, key: &PublicKey, wanted: impl Fn(Option<&str>) -> bool) -> bool {
        for (place, (signature, used)) in self.envelope.signatures.iter().zip(&mut self.used).enumerate() {
            if *used || !wanted(signature.keyid.as_deref()) || signature.sig.len() != 64 {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { return false };
            self.left = left;
            // A pair that is tried again counts again, so that what verifies does not depend on what is
            // remembered. It is computed once.
            if self.failed.contains(&(*key, place)) {
                continue;
            }
            if key.verify(self.message, &signature.sig) {
                *used = true;
                return true;
            }
            self.failed.insert((*key, place));
        }
        false
    }

    /// The refusal of the envelope, in which `missing` has no valid signature.
    fn refusal(mut self, missing: &PublicKey, issuers: &[PublicKey]) -> Refusal {
        // A second signature by a key that already has one is not a bad signature. Take those out before
        // looking for a bad one.
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
