//! The good inputs: what the fixtures make, what earlier builds left as test data, and the bytes that the golden tests of
//! the peers' messages pin.

use assent_fixtures::{Draft, Genesis, Keys, key, policy, signed_note, usual};
use assent_proof::{AttestationStatus, Checkpoint, EvidenceId, Role, Sha256};

/// Signed envelopes of many kinds. Two keys sign the first one.
pub(super) fn envelopes() -> Vec<Vec<u8>> {
    let keys = Keys::new(3);
    let signed = |(place, draft): (u64, Draft)| draft.slot(place, None).sign(&[&keys.attestation]);
    let mut all: Vec<Vec<u8>> = (0..).zip(drafts()).map(signed).collect();
    let root = drafts().into_iter().next();
    all.extend(root.map(|root| root.sign(&[&keys.attestation, &keys.audit])));
    all
}

/// The payloads of such envelopes.
pub(super) fn statements() -> Vec<Vec<u8>> {
    let payload = |mut draft: Draft| {
        draft.0.issuers = vec![key(20).public()];
        draft.0.to_vec()
    };
    drafts().into_iter().map(payload).collect()
}

fn drafts() -> Vec<Draft> {
    let id = EvidenceId([7; 32]);
    let (one, other) = (key(20).public(), key(21).public());
    vec![
        usual::root_statement(&[one, other], 2, other),
        usual::domain_statement("prod.eu", &[one, other], 1),
        usual::grant(one, Role::Attestation),
        usual::policy(policy::attested_policy()),
        usual::policy(policy::open_policy()),
        usual::revocation(one, Some(usual::at(-5))),
        usual::quarantine("exec-1"),
        usual::isolate(),
        usual::invalidate(id),
        usual::release(id),
        usual::reconciliation([id, EvidenceId([8; 32])], id),
        usual::permit(&usual::request()),
        usual::rules(2),
        usual::recovery(2, &[one]),
        usual::authorization_with(&["run", "stop"], Some(&["a"]), Some("prod"), Some(3)),
        usual::authorization_on(&["run"], &["runtime-1"]),
        usual::attestation(AttestationStatus::Warning, "sha384:00ff"),
        usual::integrity("sha384:00ff").references(&[id]).expires(usual::at(60)),
        usual::audit("started"),
    ]
}

/// Genesis files.
pub(super) fn genesis() -> Vec<Vec<u8>> {
    let keys = Keys::new(1);
    let root = [keys.root.clone()];
    let mut small = Genesis::new(usual::ORIGIN, usual::at(0), &root, 1, &keys.checkpoint);
    small.node(&keys.node, usual::grant(keys.node.public(), Role::Registry).domain("_root"));
    small.domain(&usual::domain(), &keys.governance, 1);
    let kept = include_bytes!("../../../cluster/tests/data/format-6/genesis.json");
    vec![small.bytes(), kept.to_vec()]
}

/// Checkpoints as notes, with their signatures.
pub(super) fn notes() -> Vec<Vec<u8>> {
    let note = |size, nodes: &[u8]| {
        let nodes: Vec<_> = nodes.iter().map(|seed| key(*seed)).collect();
        signed_note(&checkpoint(size), usual::ORIGIN, &key(2), &nodes, 1_795_374_000).to_vec()
    };
    vec![note(1, &[]), note(17, &[3]), note(u64::MAX, &[3, 4, 5])]
}

/// The text of a checkpoint.
pub(super) fn checkpoint(size: u64) -> String {
    Checkpoint { origin: usual::ORIGIN.to_owned(), size, root: Sha256::of(b"root").0 }.to_text()
}

/// Configurations.
pub(super) fn configurations() -> Vec<Vec<u8>> {
    let three = include_str!("../../../cluster/configs/three-nodes/node-1.toml");
    let five = include_str!("../../../cluster/configs/five-nodes/node-1.toml");
    [three, five].map(|text| text.as_bytes().to_vec()).into()
}

/// The parts of a snapshot that an earlier build sent: header, chunks, summary.
pub(super) fn snapshot_parts() -> Vec<Vec<u8>> {
    let mut left: &[u8] = include_bytes!("../../../cluster/tests/data/format-6/snapshot.parts");
    let mut parts = Vec::new();
    while let Some((length, rest)) = left.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((part, rest)) = rest.split_at_checked(length) else { break };
        parts.push(part.to_vec());
        left = rest;
    }
    parts
}

/// Every body of the peers' messages whose bytes the golden tests pin: the texts of hex digits in their source.
pub(super) fn bodies() -> Vec<Vec<u8>> {
    let source = include_str!("../../../cluster/src/peer/message/golden.rs");
    source.split('"').skip(1).step_by(2).filter_map(from_hex).filter(|body| !body.is_empty()).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_are_found_in_the_source_of_their_test() {
        let bodies = bodies();
        assert!(bodies.len() > 40, "{}", bodies.len());
        for pinned in ["9392920301c3c3c0", "a44c697374", "91c4027b7d", "91ce00011170"] {
            assert!(bodies.contains(&from_hex(pinned).unwrap()), "{pinned}");
        }
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("0"), None);
    }

    #[test]
    fn a_snapshot_has_a_header_chunks_and_a_summary() {
        assert!(snapshot_parts().len() >= 3);
    }
}
