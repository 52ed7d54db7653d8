//! From submitted bytes to a [`VerifiedEnvelope`]: the one gate, the same for every replica and for offline tools.

use crate::code::Code;
use crate::dsse::{Envelope, STATEMENT_PAYLOAD_TYPE};
use crate::id::EvidenceId;
use crate::key::PublicKey;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::statement::Statement;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most signature verifications spent on one envelope: enough for any number of issuers whose signatures carry key ids
/// or come in the issuers' order, and for 13 in the worst order without key ids.
const ATTEMPTS_MAX: usize = 96;

/// An envelope of which every issuer named has a valid signature, made for the origin and under the rules it was verified
/// against.
///
/// [`verify`], which is [`ParsedEnvelope::verify`] of what was parsed, is the only constructor. It says who signed what; whether they
/// may is the registry's to judge.
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

/// An envelope that is well formed and holds a statement for the registry that it was read for. Nobody has looked at its signatures,
/// so it says what would be signed and not who signed it.
///
/// What can be told of an envelope without the cost of a signature is told of this. [`ParsedEnvelope::verify`] goes on from here.
#[derive(Clone, Debug)]
pub struct ParsedEnvelope<'a> {
    bytes: &'a [u8],
    envelope: Envelope,
    message: Vec<u8>,
    statement: Statement,
    rules: Rules,
}

impl<'a> ParsedEnvelope<'a> {
    /// Reads an envelope that was submitted to the registry with this origin, under these rules. Computes no signature.
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

    /// Most signatures that [`verify`](Self::verify) computes for it, whatever the key ids say: one for each issuer and signature,
    /// and 96 at most.
    pub fn signatures_max(&self) -> usize {
        self.statement.issuers.len().saturating_mul(self.envelope.signatures.len()).min(ATTEMPTS_MAX)
    }

    /// Looks at the signatures.
    ///
    /// # Errors
    /// `signature_invalid` when an issuer lacks a signature and one is left over that belongs to no issuer,
    /// `unsigned_evidence` when an issuer lacks one and none is; `too_large` when 96 attempts did not tell whose the
    /// signatures are.
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

/// Verifies an envelope that was submitted to the registry with this origin (RFC-EG-033 §6), under the rules that
/// are in force where the envelope's turn comes in the ledger.
///
/// # Errors
/// Those of [`ParsedEnvelope::parse`], then those of [`ParsedEnvelope::verify`].
pub fn verify(bytes: &[u8], origin: &str, rules: Rules) -> Result<VerifiedEnvelope, Refusal> {
    ParsedEnvelope::parse(bytes, origin, rules)?.verify()
}

/// Finds a valid signature for each issuer; others may be there and are ignored.
fn match_signatures(envelope: &Envelope, message: &[u8], issuers: &[PublicKey]) -> Result<(), Refusal> {
    if attempts_possible(issuers.len(), envelope.signatures.len()) < ATTEMPTS_MAX {
        return Pairs::new(envelope, message, issuers).matched();
    }
    match_counted(envelope, message, issuers)
}

/// Most attempts that [`match_counted`] makes of so many issuers and signatures, whatever verifies. The key id of a signature names two
/// issuers at most, one by its `keyid` and one by its bytes. Then every issuer may be tried with every signature, and once more to say
/// why the envelope is refused. There every signature may be found to be a second one, and the search for the next begins anew.
fn attempts_possible(issuers: usize, signatures: usize) -> usize {
    let pairs = issuers.saturating_mul(signatures);
    let anew = signatures.saturating_mul(signatures.saturating_add(1)) / 2;
    signatures.saturating_add(pairs).saturating_mul(2).saturating_add(anew)
}

/// The texts by which a signature's key id may name this key.
fn keyids_of(key: &PublicKey) -> [String; 3] {
    [key.keyid(), key.to_string(), hex::encode(key.as_bytes())]
}

/// The issuers and signatures of an envelope with so few of them that the bound on attempts is never reached, so that it makes no
/// difference in which order they are tried.
///
/// It gives what [`match_counted`] gives, and computes no more than it takes: it ends at the first issuer that none of the signatures is
/// by, and then looks only for one signature that is by none of the issuers.
struct Pairs<'a> {
    envelope: &'a Envelope,
    message: &'a [u8],
    issuers: &'a [PublicKey],
    /// Whose key id each signature has: the place of the issuer, if it is one.
    names: Vec<Option<usize>>,
    /// Whether the signature at the second place is by the issuer at the first, as far as that was computed.
    computed: BTreeMap<(usize, usize), bool>,
    /// Signatures that are known to be by an issuer, and so by no other.
    owned: BTreeSet<usize>,
}

impl<'a> Pairs<'a> {
    fn new(envelope: &'a Envelope, message: &'a [u8], issuers: &'a [PublicKey]) -> Self {
        let keyids: Vec<[String; 3]> = issuers.iter().map(keyids_of).collect();
        let named = |keyid: &str| keyids.iter().position(|own| own.iter().any(|own| own == keyid));
        let names =
            envelope.signatures.iter().map(|signature| signature.keyid.as_deref().and_then(named)).collect();
        Self { envelope, message, issuers, names, computed: BTreeMap::new(), owned: BTreeSet::new() }
    }

    fn matched(&mut self) -> Result<(), Refusal> {
        let issuers = self.issuers;
        for (place, issuer) in issuers.iter().enumerate() {
            if !self.has_signed(place, issuer) {
                return Err(if self.all_owned() { unsigned(issuer) } else { invalid(issuer) });
            }
        }
        Ok(())
    }

    /// Whether one of the signatures is by this issuer: first those with its key id, and those with another issuer's last.
    fn has_signed(&mut self, issuer: usize, key: &PublicKey) -> bool {
        let rank = |name: Option<usize>| match name {
            Some(named) if named == issuer => 0,
            None => 1,
            Some(_) => 2,
        };
        let mut order: Vec<(u8, usize)> =
            self.names.iter().enumerate().map(|(place, name)| (rank(*name), place)).collect();
        order.sort_unstable();
        order.into_iter().any(|(_, place)| !self.owned.contains(&place) && self.is_by(issuer, key, place))
    }

    /// Whether each of the signatures is by an issuer. The first one that is by none ends the search.
    fn all_owned(&mut self) -> bool {
        let issuers = self.issuers;
        (0..self.envelope.signatures.len()).all(|place| {
            self.owned.contains(&place)
                || issuers.iter().enumerate().any(|(issuer, key)| self.is_by(issuer, key, place))
        })
    }

    /// Whether the signature at this place is by this issuer.
    fn is_by(&mut self, issuer: usize, key: &PublicKey, place: usize) -> bool {
        if let Some(known) = self.computed.get(&(issuer, place)) {
            return *known;
        }
        let found = self.envelope.signatures.get(place);
        let Some(signature) = found.filter(|found| found.sig.len() == 64) else { return false };
        let is_by = key.verify(self.message, &signature.sig);
        self.computed.insert((issuer, place), is_by);
        if is_by {
            self.owned.insert(place);
        }
        is_by
    }
}

/// Finds the signatures within the bound on attempts, which decides what verifies if there are many.
fn match_counted(envelope: &Envelope, message: &[u8], issuers: &[PublicKey]) -> Result<(), Refusal> {
    let mut attempts = Attempts {
        envelope,
        message,
        left: ATTEMPTS_MAX,
        used: vec![false; envelope.signatures.len()],
        failed: BTreeSet::new(),
    };
    // Key ids first: with honest ones every signature is tried once. They only choose the order.
    let keyids: Vec<[String; 3]> = issuers.iter().map(keyids_of).collect();
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
    fn find(&mut self, key: &PublicKey, wanted: impl Fn(Option<&str>) -> bool) -> bool {
        for (place, (signature, used)) in self.envelope.signatures.iter().zip(&mut self.used).enumerate() {
            if *used || !wanted(signature.keyid.as_deref()) || signature.sig.len() != 64 {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { return false };
            self.left = left;
            // It counts as an attempt each time, so that what verifies does not depend on what is remembered, and is computed once.
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
        if self.used.iter().all(|used| *used) { unsigned(missing) } else { invalid(missing) }
    }
}

/// An issuer has not signed, and all the signatures are by other issuers.
fn unsigned(missing: &PublicKey) -> Refusal {
    let detail = format!("no signature by the named issuer `{missing}`");
    Refusal::at(Code::UnsignedEvidence, "signatures", detail)
}

/// An issuer has no valid signature, and a signature is by none of the issuers.
fn invalid(missing: &PublicKey) -> Refusal {
    let detail = format!("a signature verifies under no named issuer, and `{missing}` has no valid one");
    Refusal::at(Code::SignatureInvalid, "signatures", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::EnvelopeSignature;
    use crate::key::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    /// An envelope whose signatures are by keys of these seeds, or are too short if there is none, each with the key id of a seed.
    fn envelope(signatures: &[(Option<u8>, Option<u8>)]) -> Envelope {
        let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, b"statement".to_vec());
        let message = envelope.pae();
        let signature = |(by, keyid): &(Option<u8>, Option<u8>)| EnvelopeSignature {
            keyid: keyid.map(|seed| key(seed).public().keyid()),
            sig: by.map_or_else(|| vec![1; 63], |seed| key(seed).sign(&message).to_vec()),
        };
        envelope.signatures = signatures.iter().map(signature).collect();
        envelope
    }

    fn public(seeds: &[u8]) -> Vec<PublicKey> {
        seeds.iter().map(|seed| key(*seed).public()).collect()
    }

    #[test]
    fn few_issuers_and_signatures_give_what_the_counted_search_gives_whatever_they_are() {
        let by = [None, Some(1), Some(2), Some(9)];
        let named = [None, Some(1), Some(2)];
        let each: Vec<(Option<u8>, Option<u8>)> =
            by.iter().flat_map(|by| named.iter().map(move |named| (*by, *named))).collect();
        let mut compared = 0;
        for issuers in [public(&[1]), public(&[1, 2]), public(&[2, 3, 1])] {
            for first in &each {
                for second in &each {
                    let three = vec![*first, *second, *first];
                    for signatures in [vec![], vec![*first], vec![*first, *second], three] {
                        let envelope = envelope(&signatures);
                        let message = envelope.pae();
                        assert!(attempts_possible(issuers.len(), signatures.len()) < ATTEMPTS_MAX);
                        let counted = match_counted(&envelope, &message, &issuers);
                        let few = Pairs::new(&envelope, &message, &issuers).matched();
                        assert_eq!(few, counted, "{signatures:?}");
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(compared, 3 * 12 * 12 * 4);
    }

    #[test]
    fn junk_under_the_names_of_five_issuers_costs_little_more_than_one_of_them() {
        let issuers = public(&[1, 2, 3, 4, 5]);
        let junk: Vec<(Option<u8>, Option<u8>)> = (1..=5).map(|seed| (Some(9), Some(seed))).collect();
        let envelope = envelope(&junk);
        let message = envelope.pae();
        let mut pairs = Pairs::new(&envelope, &message, &issuers);
        let refusal = pairs.matched().unwrap_err();
        assert_eq!(refusal, match_signatures(&envelope, &message, &issuers).unwrap_err());
        assert_eq!(refusal, match_counted(&envelope, &message, &issuers).unwrap_err());
        assert_eq!(refusal.code, Code::SignatureInvalid);
        // All five signatures under the first issuer, and one of them under the other four.
        assert_eq!(pairs.computed.len(), 9);
    }

    #[test]
    fn good_signatures_with_their_key_ids_are_computed_once_each_in_whatever_order() {
        let issuers = public(&[1, 2, 3, 4]);
        let envelope = envelope(&[4, 2, 1, 3].map(|seed| (Some(seed), Some(seed))));
        let message = envelope.pae();
        let mut pairs = Pairs::new(&envelope, &message, &issuers);
        assert_eq!(pairs.matched(), Ok(()));
        assert_eq!(pairs.computed.len(), 4);
    }

    #[test]
    fn the_bound_on_attempts_is_counted_wherever_it_could_be_reached() {
        // The most attempts that the counted search makes of so much: all of them fail.
        let issuers = public(&[1, 2, 3, 4, 5]);
        let junk = |number: usize| envelope(&vec![(Some(9), Some(1)); number]);
        for number in 0..=64 {
            let envelope = junk(number);
            let message = envelope.pae();
            let refusal = match_signatures(&envelope, &message, &issuers).unwrap_err();
            assert_eq!(refusal, match_counted(&envelope, &message, &issuers).unwrap_err(), "{number}");
            // Those with its key id under the first, and each under each issuer twice.
            let too_many = number + 2 * 5 * number >= ATTEMPTS_MAX;
            assert_eq!(refusal.code == Code::TooLarge, too_many, "{number}");
        }
    }
}
