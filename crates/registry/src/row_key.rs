//! The keys of the tables. Names hold no NUL, so a NUL ends them and prefixes never overlap.

use assent_proof::{
    Containment, DomainName, EvidenceId, EvidenceKind, LineageName, Millis, PublicKey, Sha256, blake3_256,
};

use crate::chain::{Chain, Half};
use crate::record::TakenAt;

/// The one key of [`crate::Table::Meta`].
pub(crate) const META: &[u8] = b"state";

/// Key of a ledger index.
pub(crate) fn index(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Key of a domain.
pub(crate) fn domain(domain: &DomainName) -> Vec<u8> {
    domain.as_ref().as_bytes().to_vec()
}

/// Prefix of everything in a domain.
pub(crate) fn in_domain(domain: &DomainName) -> Vec<u8> {
    let mut key = self::domain(domain);
    key.push(0);
    key
}

/// Key of a domain's authority.
pub(crate) fn domain_authority(domain: &DomainName, authority: &PublicKey) -> Vec<u8> {
    let mut key = in_domain(domain);
    key.extend_from_slice(authority.as_bytes());
    key
}

/// Key of a lineage.
pub(crate) fn lineage(domain: &DomainName, lineage: &LineageName) -> Vec<u8> {
    let mut key = in_domain(domain);
    key.extend_from_slice(lineage.as_ref().as_bytes());
    key
}

/// Prefix of everything in a lineage.
pub(crate) fn in_lineage(domain: &DomainName, lineage: &LineageName) -> Vec<u8> {
    let mut key = self::lineage(domain, lineage);
    key.push(0);
    key
}

/// Key of an issuer in a lineage.
pub(crate) fn issuer(domain: &DomainName, lineage: &LineageName, issuer: &PublicKey) -> Vec<u8> {
    let mut key = in_lineage(domain, lineage);
    key.extend_from_slice(issuer.as_bytes());
    key
}

/// Key of an entry of a lineage.
pub(crate) fn entry(domain: &DomainName, lineage: &LineageName, ledger_index: u64) -> Vec<u8> {
    let mut key = in_lineage(domain, lineage);
    key.extend_from_slice(&index(ledger_index));
    key
}

/// Key of one statement of a slot.
pub(crate) fn slot(chain: Chain<'_>, sequence: u64, half: Half) -> Vec<u8> {
    let mut key = issuer(chain.domain, chain.lineage, chain.issuer);
    key.extend_from_slice(&index(sequence));
    key.push(half as u8);
    key
}

/// Key of the count of a digest's open lineages, and prefix of their keys.
pub(crate) fn of_subject(domain: &DomainName, subject: &Sha256) -> Vec<u8> {
    let mut key = in_domain(domain);
    key.extend_from_slice(&subject.0);
    key
}

/// Key of an open lineage of a digest.
pub(crate) fn open_subject(domain: &DomainName, subject: &Sha256, lineage: &LineageName) -> Vec<u8> {
    let mut key = of_subject(domain, subject);
    key.extend_from_slice(lineage.as_ref().as_bytes());
    key
}

/// Key of a restriction: what is restricted, and by which issuers.
pub(crate) fn restriction(
    domain: &DomainName,
    kind: EvidenceKind,
    target: &[u8],
    issuers: &[PublicKey],
) -> Vec<u8> {
    let mut issuers = issuers.to_vec();
    issuers.sort_unstable();
    let mut key = in_domain(domain);
    key.extend_from_slice(kind.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&blake3_256(target));
    for issuer in issuers {
        key.extend_from_slice(issuer.as_bytes());
    }
    key
}

/// Prefix of the containments of a target.
pub(crate) fn containments(domain: &DomainName, containment: &Containment) -> Vec<u8> {
    let mut key = in_domain(domain);
    key.extend_from_slice(containment.action().as_bytes());
    key.push(0);
    key.extend_from_slice(containment.target().as_bytes());
    key.push(0);
    key
}

/// Key of a containment of a target.
pub(crate) fn containment(domain: &DomainName, containment: &Containment, id: &EvidenceId) -> Vec<u8> {
    let mut key = containments(domain, containment);
    key.extend_from_slice(&id.0);
    key
}

/// Key of a release of a target by certain signers.
pub(crate) fn release(
    domain: &DomainName,
    containment: &Containment,
    signers: &[u8; 32],
    ledger_index: u64,
) -> Vec<u8> {
    let mut key = containments(domain, containment);
    key.extend_from_slice(signers);
    key.extend_from_slice(&index(ledger_index));
    key
}

/// Prefix of what a domain was told of another registry. By itself it is the key of how many lists there are.
pub(crate) fn peer(domain: &DomainName, origin: &str) -> Vec<u8> {
    let mut key = in_domain(domain);
    key.extend_from_slice(origin.as_bytes());
    key.push(0);
    key
}

/// Prefix of what an issuer told a domain of another registry.
pub(crate) fn peer_issuer(domain: &DomainName, origin: &str, issuer: &PublicKey) -> Vec<u8> {
    let mut key = peer(domain, origin);
    key.extend_from_slice(issuer.as_bytes());
    key
}

/// Prefix of what an issuer told a domain of another registry under one trust. By itself it is the key of the
/// list's ends.
pub(crate) fn peer_trust(
    domain: &DomainName,
    origin: &str,
    issuer: &PublicKey,
    trust: &EvidenceId,
) -> Vec<u8> {
    let mut key = peer_issuer(domain, origin, issuer);
    key.extend_from_slice(&trust.0);
    key
}

/// What follows [`peer_trust`] in the key of a checkpoint that was accepted at this time. Earlier ones come
/// after it.
pub(crate) fn peer_accepted(accepted_at: Millis) -> [u8; 8] {
    // Flipping the sign bit makes the bytes sort like the number; inverting them reverses that order.
    let ordered = accepted_at.0.cast_unsigned() ^ (1 << 63);
    index(!ordered)
}

/// Key of a slot in the list of [`peer_trust`]: newest first.
pub(crate) fn peer_slot(list: &[u8], taken: TakenAt) -> Vec<u8> {
    let mut key = list.to_vec();
    key.extend_from_slice(&peer_accepted(taken.accepted_at));
    key.extend_from_slice(&index(!taken.index));
    key
}

/// Key of the permit given for a nonce.
pub(crate) fn permit(domain: &DomainName, lineage: &LineageName, nonce: &str) -> Vec<u8> {
    let mut key = in_lineage(domain, lineage);
    key.extend_from_slice(nonce.as_bytes());
    key
}

/// The first key after every key that starts with `prefix`; none if the prefix is all 0xFF.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last.saturating_add(1));
            return Some(end);
        }
    }
    None
}
