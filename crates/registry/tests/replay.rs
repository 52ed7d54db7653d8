//! Determinism: a replay of the ledger gives the same rows again, in batches of any size.

use crate::support::*;
use assent_proof::EvidenceId;
use assent_registry::{GenesisFile, MemoryRows, bootstrap, query};
use proptest::prelude::*;

/// Submits a random mixture, then replays the ledger into an empty registry.
fn history(choices: &[(u8, u8)]) -> World {
    let mut world = World::new();
    let keys = world.keys.clone();
    let mut held: Vec<EvidenceId> = Vec::new();
    let mut heads: Vec<Vec<Option<(u64, EvidenceId)>>> = vec![vec![None; 5]; 3];
    for (step, (what, which)) in choices.iter().enumerate() {
        let signers =
            [&keys.attestation, &keys.attestation2, &keys.runtime, &keys.orchestration, &keys.governance[0]];
        let issuer = usize::from(*which) % signers.len();
        let place = usize::from(*which) / signers.len() % 3;
        let name = ["exec-1", "exec-2", "exec-3"][place];
        let head = heads[place][issuer];
        let (sequence, parent) = head.map_or((0, None), |(sequence, id)| (sequence + 1, Some(id)));
        let sequence = if what % 7 == 0 { sequence.saturating_sub(1) } else { sequence };
        let parent = if sequence == 0 { None } else { parent };
        let draft = match issuer {
            0 | 1 => affirming(),
            2 => integrity("m1"),
            3 => validation(if what % 2 == 0 { "p1" } else { "p2" }, assent_proof::PolicyVerdict::Pass),
            _ => authorization(&["run", "stop"]),
        };
        let seconds = i64::try_from(step).unwrap();
        let governance = &keys.governance[0];
        let (next, governed) = world.governance_slot();
        let chained = what % 23 < 17;
        let bytes = match what % 23 {
            22 => {
                let since = (what % 2 == 0).then(|| at(seconds - 3));
                revocation(signers[issuer].public(), since).sign(&[governance])
            }
            21 => quarantine(name).issued(at(seconds)).sign(&[&keys.audit]),
            20 => match head {
                Some((_, id)) => invalidate(id).sign(&[&keys.audit]),
                None => isolate().sign(&[&keys.audit]),
            },
            19 => {
                let lineage = Some(name.parse().unwrap());
                let nonce = Some(format!("n-{}", which % 4));
                let request = assent_proof::AuthorizeRequest { lineage, nonce, ..request() };
                permit(&request).issued(at(seconds)).sign(&[&keys.node])
            }
            18 => match held.pop() {
                Some(held) => release(held).slot(next, governed).sign(&[governance]),
                None => continue,
            },
            17 => {
                let uses = authorization_with(&["run"], None, None, Some(2));
                let (sequence, parent) = heads[place][4].map_or((0, None), |(n, id)| (n + 1, Some(id)));
                uses.lineage(name).slot(sequence, parent).sign(&[governance])
            }
            _ => draft.lineage(name).slot(sequence, parent).issued(at(seconds)).sign(&[signers[issuer]]),
        };
        if let assent_registry::Outcome::Accepted { receipt, fresh: true } = world.submit_at(seconds, &bytes)
        {
            match what % 23 {
                17 => {
                    let sequence = heads[place][4].map_or(0, |(sequence, _)| sequence + 1);
                    heads[place][4] = Some((sequence, receipt.evidence_id));
                }
                18 => world.governed(next + 1, receipt.evidence_id),
                21 => held.push(receipt.evidence_id),
                _ if chained => heads[place][issuer] = Some((sequence, receipt.evidence_id)),
                _ => {}
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Rule R126.
    #[test]
    fn replaying_the_ledger_gives_the_same_rows(
        choices in prop::collection::vec((any::<u8>(), any::<u8>()), 1..40), per_command in 1_usize..9,
    ) {
        let world = history(&choices);
        let again = world.replayed(per_command);
        prop_assert!(again == world.rows);
    }

    #[test]
    fn applying_the_same_commands_twice_gives_the_same_rows(
        choices in prop::collection::vec((any::<u8>(), any::<u8>()), 1..40),
    ) {
        prop_assert!(history(&choices).rows == history(&choices).rows);
    }
}

/// Rule R159.
#[test]
fn a_genesis_file_gives_every_node_the_same_registry_and_name() {
    let world = World::founded(2, 2, None);
    let bytes = genesis_bytes(&world.keys, 2);
    let one = GenesisFile::parse(&bytes).unwrap();
    let two = GenesisFile::parse(&bytes).unwrap();
    assert_eq!(one.cluster_id(), two.cluster_id());
    assert_eq!(one.origin(), ORIGIN);
    let (mut a, mut b) = (MemoryRows::new(), MemoryRows::new());
    bootstrap(&mut a, &one).unwrap();
    bootstrap(&mut b, &two).unwrap();
    assert!(a == b);
    assert_eq!(query::registry_time(&a).unwrap(), ms(0));
    assert!(query::node_key_granted(&a, &world.keys.node.public(), ms(0)).unwrap());
    assert!(!query::node_key_granted(&a, &world.keys.node.public(), ms(90_000)).unwrap(), "it has expired");
    assert!(!query::node_key_granted(&a, &world.keys.root.public(), ms(0)).unwrap());
    assert!(bootstrap(&mut a, &one).is_err(), "a registry is founded once");
}

/// Rule R158.
#[test]
fn a_genesis_file_that_is_not_acceptable_founds_nothing() {
    let world = World::founded(1, 1, None);
    let bytes = genesis_bytes(&world.keys, 1);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(GenesisFile::parse(text.replace("egpep/v1", "egpep/v2").as_bytes()).is_err());
    assert!(GenesisFile::parse(br#"{"genesis":"egpep/v1","envelopes":[]}"#).is_err());
    assert!(GenesisFile::parse(&bytes[..bytes.len() - 5]).is_err());
    let mut file = assent_proof::json::parse(&bytes).unwrap();
    if let assent_proof::Json::Object(fields) = &mut file
        && let assent_proof::Json::Array(list) = &mut fields[1].1
    {
        list.remove(0);
    }
    let without_root = GenesisFile::parse(&file.to_vec()).unwrap();
    assert!(bootstrap(&mut MemoryRows::new(), &without_root).is_err());
}
