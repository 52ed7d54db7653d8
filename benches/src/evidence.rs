//! The evidence that the load needs, signed before anything is measured.

use assent_fixtures::claims::{self, Authorization};
use assent_fixtures::{Chain, Draft};
use assent_proof::{
    AttestationStatus, AuthorizeRequest, Claims, DomainName, Envelope, EnvelopeSignature, LineageName,
    PublicKey, Seconds, SigningKey,
};
use bytes::Bytes;

use crate::Failure;

/// The action that is authorized and asked for.
const ACTION: &str = "run";

/// How long before now an authorization begins, in seconds: the nodes' clocks may differ from the clock of this
/// program.
const LEEWAY_SECONDS: i64 = 60;

/// How long an authorization lasts, in seconds.
const VALIDITY_SECONDS: i64 = 6 * 3600;

/// The seed of a key that no authority has.
const STRANGER: [u8; 32] = [0x5e; 32];

/// Where the evidence belongs, and when it was issued.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The registry's origin.
    pub(crate) origin: String,
    /// The domain.
    pub(crate) domain: DomainName,
    /// A name that tells this run apart from other runs on the same cluster.
    pub(crate) run: String,
    /// The time of issue.
    pub(crate) now: Seconds,
}

impl Place {
    /// A lineage's name, made unique to this run.
    fn lineage(&self, what: &str) -> Result<LineageName, Failure> {
        Ok(format!("bench-{}-{what}", self.run).parse()?)
    }

    /// A lineage, about a subject of the same name.
    fn of(&self, lineage: &LineageName) -> assent_fixtures::Place {
        assent_fixtures::Place::new(&self.origin, self.domain.clone(), self.now)
            .lineage(lineage.clone())
            .about(lineage.as_str())
    }

    /// A statement for a first slot.
    fn first(&self, lineage: &LineageName, claims: &Claims) -> Draft {
        let mut draft = self.of(lineage).draft(claims);
        draft.0.subject_name = Some(lineage.to_string());
        draft
    }
}

fn authorization(now: Seconds) -> Claims {
    let (not_before, not_after) = (now.saturating_add(-LEEWAY_SECONDS), now.saturating_add(VALIDITY_SECONDS));
    Authorization::of(&[ACTION], not_before, not_after).claims()
}

fn attestation() -> Claims {
    claims::attestation("cluster-load", AttestationStatus::Affirming, "cluster-load")
}

/// A lineage that the policy of `assent dev` allows: the envelopes that must be submitted, and the request that is
/// allowed afterwards.
pub(crate) fn allowing(
    place: &Place,
    n: usize,
    governance: &SigningKey,
    attester: &SigningKey,
) -> Result<([Bytes; 2], AuthorizeRequest), Failure> {
    let lineage = place.lineage(&format!("allow-{n}"))?;
    let authorized = place.first(&lineage, &authorization(place.now)).sign(&[governance]);
    let attested = place.first(&lineage, &attestation()).sign(&[attester]);
    Ok(([authorized.into(), attested.into()], place.of(&lineage).request(ACTION)))
}

/// A revocation of this key by the domain's governance, which changes nothing that was said before.
pub(crate) fn revocation(place: &Place, authority: PublicKey, governance: &SigningKey) -> Bytes {
    let in_domain = assent_fixtures::Place::new(&place.origin, place.domain.clone(), place.now);
    in_domain.draft(&claims::revocation(authority, None)).sign(&[governance]).into()
}

/// An envelope in the name of these issuers, in which every one of so many signatures is somebody else's. The issuers
/// are known, so a node must check signatures to refuse it.
pub(crate) fn forged(
    place: &Place,
    n: usize,
    issuers: &[&SigningKey],
    signatures: usize,
) -> Result<Bytes, Failure> {
    let lineage = place.lineage(&format!("forged-{n}"))?;
    let signed = place.first(&lineage, &attestation()).sign(issuers);
    let mut envelope = Envelope::parse(&signed)?;
    let sig = SigningKey::from_seed(STRANGER).sign(&envelope.pae()).to_vec();
    envelope.signatures = vec![EnvelopeSignature { keyid: None, sig }; signatures];
    Ok(envelope.to_vec().into())
}

/// What one client submits, in order: attestations of one lineage after another, with `chain` statements in each.
pub(crate) fn chains(
    place: &Place,
    client: &str,
    count: usize,
    chain: usize,
    attester: &SigningKey,
) -> Result<Vec<Bytes>, Failure> {
    let claims = attestation();
    let mut envelopes = Vec::with_capacity(count);
    for link in 0..count.div_ceil(chain.max(1)) {
        let draft = place.first(&place.lineage(&format!("{client}-{link}"))?, &claims);
        let mut slots = Chain::new();
        for _ in 0..chain.min(count.saturating_sub(envelopes.len())) {
            envelopes.push(Bytes::from(slots.sign(draft.clone(), &[attester])));
        }
    }
    Ok(envelopes)
}

/// [`chains`] for many clients, on all processors.
pub(crate) fn chains_for_all(
    place: &Place,
    level: &str,
    clients: usize,
    count: usize,
    chain: usize,
    attester: &SigningKey,
) -> Result<Vec<Vec<Bytes>>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clients).max(1);
    let names: Vec<String> = (0..clients).map(|client| format!("{level}-{client}")).collect();
    let sign = |names: &[String]| -> Result<Vec<Vec<Bytes>>, Failure> {
        names.iter().map(|name| chains(place, name, count, chain, attester)).collect()
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            names.chunks(clients.div_ceil(threads)).map(|names| scope.spawn(move || sign(names))).collect();
        let mut all = Vec::with_capacity(clients);
        for part in parts {
            all.extend(part.join().map_err(|_| "a signing thread panicked")??);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_fixtures::key;
    use assent_proof::{EvidenceId, Rules, verify};

    fn place() -> Place {
        Place {
            origin: "dev.local/registry".to_owned(),
            domain: "dev.local".parse().unwrap(),
            run: "1".to_owned(),
            now: Seconds(1_700_000_000),
        }
    }

    #[test]
    fn what_allows_is_an_authorization_and_an_attestation_of_what_is_asked_for() {
        let (envelopes, request) = allowing(&place(), 3, &key(1), &key(2)).unwrap();
        for bytes in &envelopes {
            let envelope = verify(bytes, &place().origin, Rules::NEWEST).unwrap();
            let statement = envelope.statement();
            assert_eq!(Some(&statement.lineage), request.lineage.as_ref());
            assert_eq!((statement.subject, statement.sequence), (request.subject, Some(0)));
            Claims::parse(Rules::NEWEST, statement.kind, &statement.claims).unwrap();
        }
    }

    #[test]
    fn a_forged_envelope_is_well_formed_and_has_no_signature_of_its_issuers() {
        let bytes = forged(&place(), 7, &[&key(1), &key(2)], 48).unwrap();
        let envelope = Envelope::parse(&bytes).unwrap();
        assert_eq!(envelope.signatures.len(), 48);
        assert!(verify(&bytes, &place().origin, Rules::NEWEST).is_err());
        assert_ne!(bytes, forged(&place(), 8, &[&key(1), &key(2)], 48).unwrap());
    }

    #[test]
    fn a_revocation_is_signed_by_governance_and_names_the_key() {
        let bytes = revocation(&place(), key(9).public(), &key(3));
        let envelope = verify(&bytes, &place().origin, Rules::NEWEST).unwrap();
        assert_eq!(envelope.statement().issuers, [key(3).public()]);
        let claims =
            Claims::parse(Rules::NEWEST, envelope.statement().kind, &envelope.statement().claims).unwrap();
        assert!(matches!(claims, Claims::Revocation { authority, .. } if authority == key(9).public()));
    }

    #[test]
    fn each_client_has_chains_of_its_own_that_join() {
        let all = chains_for_all(&place(), "c", 3, 7, 3, &key(2)).unwrap();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7]);
        let mut lineages = std::collections::BTreeSet::new();
        for client in &all {
            let mut last: Option<(LineageName, EvidenceId)> = None;
            for (i, bytes) in client.iter().enumerate() {
                let envelope = verify(bytes, &place().origin, Rules::NEWEST).unwrap();
                let statement = envelope.statement();
                assert_eq!(statement.sequence, Some(i as u64 % 3));
                let parent = last.filter(|(lineage, _)| *lineage == statement.lineage).map(|(_, id)| id);
                assert_eq!(statement.parent, parent);
                last = Some((statement.lineage.clone(), envelope.id()));
                lineages.insert(statement.lineage.clone());
            }
        }
        assert_eq!(lineages.len(), 9);
    }
}
