//! The evidence that the load needs, signed before anything is measured.

use assent_proof::{
    AttestationStatus, AuthorizeRequest, Claims, DomainName, EvidenceId, LineageName, STATEMENT_PAYLOAD_TYPE,
    Seconds, Sha256, SigningKey, Statement, pae, sign_statement,
};
use bytes::Bytes;

use crate::Failure;

/// The action that is authorized and asked for.
const ACTION: &str = "run";

/// How long before now an authorization begins, in seconds: the nodes' clocks are not this one.
const LEEWAY_SECONDS: i64 = 60;

/// How long an authorization lasts, in seconds.
const VALIDITY_SECONDS: i64 = 6 * 3600;

/// Where evidence goes, and when it was issued.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The registry's origin.
    pub(crate) origin: String,
    /// The domain.
    pub(crate) domain: DomainName,
    /// Told apart from other runs on the same cluster.
    pub(crate) run: String,
    /// The time of issue.
    pub(crate) now: Seconds,
}

impl Place {
    /// A lineage's name, from its place in this run.
    fn lineage(&self, what: &str) -> Result<LineageName, Failure> {
        Ok(format!("bench-{}-{what}", self.run).parse()?)
    }

    /// A statement of one issuer in its first slot.
    fn first(&self, lineage: &LineageName, issuer: &SigningKey, claims: &Claims) -> Statement {
        Statement {
            subject_name: Some(lineage.to_string()),
            subject: Sha256::of(lineage.as_str().as_bytes()),
            kind: claims.kind(),
            registry: self.origin.clone(),
            domain: self.domain.clone(),
            lineage: lineage.clone(),
            issuers: vec![issuer.public()],
            sequence: Some(0),
            parent: None,
            references: Vec::new(),
            issued_at: self.now,
            expires_at: None,
            claims: claims.to_json(),
        }
    }
}

fn authorization(now: Seconds) -> Claims {
    Claims::ExecutionAuthorization {
        actions: vec![ACTION.to_owned()],
        audience: None,
        environment: None,
        not_before: now.saturating_add(-LEEWAY_SECONDS),
        not_after: now.saturating_add(VALIDITY_SECONDS),
        uses: None,
        runtimes: None,
    }
}

fn attestation() -> Claims {
    Claims::RuntimeAttestation {
        verifier: "cluster-load".to_owned(),
        status: AttestationStatus::Affirming,
        measurement: "cluster-load".to_owned(),
    }
}

/// A lineage that `assent dev`'s policy allows: the envelopes that it takes, and the request that is allowed then.
pub(crate) fn allowing(
    place: &Place,
    n: usize,
    governance: &SigningKey,
    attester: &SigningKey,
) -> Result<([Bytes; 2], AuthorizeRequest), Failure> {
    let lineage = place.lineage(&format!("allow-{n}"))?;
    let authorized = place.first(&lineage, governance, &authorization(place.now));
    let attested = place.first(&lineage, attester, &attestation());
    let request = AuthorizeRequest {
        domain: place.domain.clone(),
        lineage: Some(lineage),
        runtime: None,
        action: ACTION.to_owned(),
        subject: authorized.subject,
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
        history: None,
    };
    let envelopes =
        [sign_statement(&authorized, &[governance]).into(), sign_statement(&attested, &[attester]).into()];
    Ok((envelopes, request))
}

/// What one client submits, in order: attestations of one lineage after the other, `chain` statements each.
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
        let mut statement = place.first(&place.lineage(&format!("{client}-{link}"))?, attester, &claims);
        for sequence in 0..chain.min(count.saturating_sub(envelopes.len())) {
            statement.sequence = Some(u64::try_from(sequence)?);
            envelopes.push(Bytes::from(sign_statement(&statement, &[attester])));
            statement.parent = Some(EvidenceId::of_pae(&pae(STATEMENT_PAYLOAD_TYPE, &statement.to_vec())));
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
    use assent_proof::{Rules, verify};

    fn place() -> Place {
        Place {
            origin: "dev.local/registry".to_owned(),
            domain: "dev.local".parse().unwrap(),
            run: "1".to_owned(),
            now: Seconds(1_700_000_000),
        }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
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
