//! The golden bytes of every stored and replicated type. If one of these tests fails, stores of released
//! versions no longer open: give the type a new version instead of new bytes.

use bytes::Bytes;

use assent_proof::{
    AttestationStatus, Claims, Containment, EvidenceId, EvidenceKind, Millis, Of, PolicyBody, Requirement,
    RevocationReason, Role, Rules, Seconds, Sha256, SigningKey,
};

use crate::codec::{CodecError, UnknownVersionError, Versioned, decode, encode};
use crate::command::{Command, Group};
use crate::record::*;

#[track_caller]
fn golden<T: Versioned + PartialEq + std::fmt::Debug>(value: &T, expected: &str) {
    let bytes = encode(value, Rules::GENESIS);
    assert_eq!(hex::encode(&bytes), expected, "the encoding of {value:?} changed");
    assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(decode::<T>(&longer), Err(CodecError::Trailing(1)));
    assert!(decode::<T>(&bytes[..bytes.len() - 1]).is_err());
    for found in [T::NEWEST + 1, 0, 99] {
        let mut other = bytes.clone();
        other[0] = found;
        let unknown = UnknownVersionError { found, known: T::NEWEST };
        assert_eq!(decode::<T>(&other), Err(CodecError::Version(unknown)));
    }
}

fn id(byte: u8) -> EvidenceId {
    EvidenceId([byte; 32])
}

fn key() -> assent_proof::PublicKey {
    SigningKey::from_seed([1; 32]).public()
}

fn contained() -> Contained {
    Contained { unreleased: 2, released: vec![ReleasedBy { signers: [7; 32], newest: 300 }] }
}

#[test]
fn rows_keep_their_bytes() {
    golden(
        &MetaRow {
            revision: 3,
            registry_time: Millis(1_795_374_000_000),
            rules_version: 1,
            epoch: 4,
            origin: "o".to_owned(),
            cluster_id: [5; 32],
            registry_key: key(),
        },
        include_str!("golden/meta.hex").trim(),
    );
    golden(&LeafRow { evidence_id: id(1), accepted_at: Millis(2) }, include_str!("golden/leaf.hex").trim());
    golden(
        &EvidenceRow {
            index: 1,
            accepted_at: Millis(2),
            rules: 1,
            kind: EvidenceKind::RuntimeAttestation,
            domain: "d".parse().unwrap(),
            lineage: "l".parse().unwrap(),
            issuers: vec![key()],
            counted: vec![CountedSigner { key: key(), admitted_by: id(5) }],
            threshold: 1,
            sequence: Some(4),
            references: vec![id(2)],
            equivocation: false,
            containment: Some(Containment::Quarantine("l".parse().unwrap())),
            invalidated_by: Some(id(6)),
            rejected_by: Some(id(7)),
            released_by: None,
            consumed: 8,
        },
        include_str!("golden/evidence.hex").trim(),
    );
    golden(
        &AuthorityRow {
            name: "n".to_owned(),
            role: Role::Audit,
            domain: "d".parse().unwrap(),
            not_before: Seconds(1),
            not_after: Some(Seconds(2)),
            admitted_by: id(3),
            revoked: Some(RevokedMark { by: id(4), reason: RevocationReason::KeyCompromise }),
            invalid_since: Some(Seconds(5)),
        },
        include_str!("golden/authority.hex").trim(),
    );
    golden(
        &DomainRow { governance: vec![key()], threshold: 1, admitted_by: id(1), isolations: contained() },
        include_str!("golden/domain.hex").trim(),
    );
    golden(
        &PolicyRow {
            evidence_id: id(1),
            body: PolicyBody {
                require: vec![Requirement {
                    kind: EvidenceKind::RuntimeIntegrity,
                    of: Of::Runtime,
                    min_issuers: 2,
                    max_age_seconds: Some(300),
                }],
                attestation_status: Some(vec![AttestationStatus::Affirming]),
                measurements: Some(vec![]),
                policy_digests: None,
                decision_ttl_seconds: 10,
                permit_always: false,
            },
        },
        include_str!("golden/policy.hex").trim(),
    );
    golden(
        &LineageRow {
            subjects: vec![Sha256([6; 32])],
            founder: Some(key()),
            head: Some(id(1)),
            next_sequence: 2,
            issuers: 3,
            closed_by: None,
            conflicts: vec![Conflict {
                issuer: key(),
                sequence: 4,
                reconciled: Some(Reconciled { by: id(2), canonical: id(3) }),
            }],
            quarantines: contained(),
        },
        include_str!("golden/lineage.hex").trim(),
    );
    golden(
        &IssuerRow {
            next_sequence: 1,
            head: id(1),
            newest: vec![KindSlot { kind: EvidenceKind::RuntimeIntegrity, sequence: 0 }],
        },
        include_str!("golden/issuer.hex").trim(),
    );
    golden(
        &SlotRow {
            evidence_id: id(1),
            accepted_at: Millis(2),
            issued_at: Seconds(3),
            expires_at: None,
            references: vec![],
            claims: Claims::RuntimeAttestation {
                verifier: "v".to_owned(),
                status: AttestationStatus::None,
                measurement: "m".to_owned(),
            },
            before: Some(300),
        },
        include_str!("golden/slot.hex").trim(),
    );
    golden(
        &PermitRow { evidence_id: id(1), request: [3; 32], consumed: vec![id(2)] },
        include_str!("golden/permit.hex").trim(),
    );
    golden(
        &TrustRow {
            peer: "registry.example/us".to_owned(),
            registry_key: key(),
            node_keys: vec![key()],
            not_after: Seconds(9),
        },
        include_str!("golden/trust.hex").trim(),
    );
    let taken = |index| TakenAt { accepted_at: Millis(5), index };
    golden(
        &PeerRow { lineage: "l".parse().unwrap(), sequence: 3, before: Some(taken(4)), after: None },
        include_str!("golden/peer.hex").trim(),
    );
    golden(
        &PeerListRow { oldest: taken(4), newest: taken(300) },
        include_str!("golden/peer_list.hex").trim(),
    );
    golden(&PeerListsRow { lists: 300 }, include_str!("golden/peer_lists.hex").trim());
    golden(
        &CheckpointRow { origin: "o".to_owned(), trust: id(9), size: 300, root: [4; 32] },
        include_str!("golden/checkpoint.hex").trim(),
    );
    golden(
        &ReleaseRow { evidence_id: id(1), containment: id(2), before: Some(3), after: None },
        include_str!("golden/release.hex").trim(),
    );
    golden(&OpenSubjectRow { open: 300 }, include_str!("golden/open_subject.hex").trim());
    golden(
        &RestrictionRow { evidence_id: id(1), invalid_since: None },
        include_str!("golden/restriction.hex").trim(),
    );
}

#[test]
fn commands_keep_their_bytes() {
    golden(
        &Command {
            proposed_at: Millis(1),
            groups: vec![Group { atomic: true, envelopes: vec![Bytes::from_static(b"{}")] }],
        },
        include_str!("golden/command.hex").trim(),
    );
}

/// The versions that the test rules add, which are in no release: each older version is read and written as
/// before.
#[test]
fn every_version_keeps_its_bytes() {
    let leaf = LeafRow { evidence_id: id(1), accepted_at: Millis(2) };
    let group = Group { atomic: true, envelopes: vec![Bytes::from_static(b"{}")] };
    let command = Command { proposed_at: Millis(1), groups: vec![group] };
    let ones = "01".repeat(32);
    assert_eq!(hex::encode(encode(&leaf, Rules::TEST)), format!("029202c420{ones}"));
    assert_eq!(decode(&encode(&leaf, Rules::TEST)), Ok(leaf));
    assert_eq!(hex::encode(encode(&command, Rules::TEST)), "02929192c391c4027b7d01");
    assert_eq!(decode(&encode(&command, Rules::TEST)), Ok(command));
}

#[test]
fn hostile_command_bytes_are_errors() {
    for bytes in [
        &b""[..],
        &[1],
        &[1, 0x93],
        // A list that declares 4 GiB of groups.
        &[1, 0x92, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff],
        // A byte string that declares 4 GiB.
        &[1, 0x92, 0x01, 0x91, 0x92, 0xc3, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(Command::decode(bytes).is_err(), "{bytes:?}");
    }
    let mut nested = vec![1];
    nested.extend(std::iter::repeat_n(0x91, 200_000));
    assert!(Command::decode(&nested).is_err());
}
