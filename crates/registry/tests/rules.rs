//! Versions of the rules: a registry is founded at the first version, raised one by one, and keeps the old versions
//! for the past.

use crate::support::*;
use assent_proof::{
    Claims, Code, DomainName, Envelope, EvidenceId, EvidenceKind, LineageName, Millis, Role, Rules,
};
use assent_registry::{
    Checked, GenesisFile, MemoryRows, Outcome, RowError, Rows, RulesVersion, Table, ToVerify, Unverified,
    apply, bootstrap, query, rules_in_force, rules_known,
};

const UNKNOWN: RowError = RowError::RulesUnknown { version: 2, known: 1 };

/// A registry applied by somebody who knows the rules that only tests have.
fn newer() -> World {
    let mut world = World::new();
    world.known = RulesVersion::TEST;
    world
}

fn version(rows: &MemoryRows) -> u32 {
    query::summary(rows).unwrap().unwrap().rules_version
}

/// The head of `_root`'s `_governance` and its last slot.
fn root_head(rows: &MemoryRows) -> (Option<EvidenceId>, Option<u64>) {
    let page = query::lineage(rows, &DomainName::root(), &LineageName::governance(), None, 1);
    let page = page.unwrap().unwrap();
    (page.head, page.sequence)
}

/// An audit event without `detail`, in a lineage of its own.
fn terse(world: &World, lineage: &str, about: EvidenceId) -> Vec<u8> {
    audit("started").lineage(lineage).references(&[about]).sign(&[&world.keys.audit])
}

/// The same with `detail`.
fn detailed(world: &World, lineage: &str, about: EvidenceId) -> Vec<u8> {
    let mut draft = audit("started").lineage(lineage).references(&[about]);
    let claims = Claims::AuditLineage { event: "started".to_owned(), detail: Some("on gpu 3".to_owned()) };
    draft.0.claims = claims.to_json();
    draft.sign(&[&world.keys.audit])
}

/// Applies commands one after the other, each whole or not at all, as a store's transaction does.
fn apply_all(
    rows: &mut MemoryRows,
    known: RulesVersion,
    commands: &[(Millis, Vec<Vec<u8>>)],
) -> Vec<Result<Vec<Outcome>, RowError>> {
    let one = |(time, envelopes): &(Millis, Vec<Vec<u8>>)| {
        let group: Vec<_> = envelopes.iter().map(|bytes| unverified(bytes)).collect();
        let mut after = rows.clone();
        let outcomes = apply(&mut after, known, *time, &[group_of(false, group)])?.remove(0);
        *rows = after;
        Ok(outcomes)
    };
    commands.iter().map(one).collect()
}

#[test]
fn a_registry_begins_with_the_first_rules_whatever_a_build_knows() {
    assert_eq!(RulesVersion::GENESIS, RulesVersion(1));
    assert!(RulesVersion::NEWEST >= RulesVersion::GENESIS);
    let world = World::new();
    assert_eq!(version(&world.rows), 1);
    for known in [RulesVersion::GENESIS, RulesVersion::NEWEST, RulesVersion::TEST, RulesVersion(u32::MAX)] {
        let mut rows = world.rows.clone();
        assert_eq!(apply::<Unverified<'_>>(&mut rows, known, ms(0), &[]), Ok(Vec::new()));
        assert_eq!(rules_known(&rows, known), Ok(()));
        assert!(rows == world.rows);
    }
    assert_eq!(
        rules_known(&MemoryRows::new(), RulesVersion(0)),
        Err(RowError::RulesUnknown { version: 1, known: 0 })
    );
}

/// Rule R158.
#[test]
fn a_genesis_file_cannot_found_a_registry_further_on() {
    let world = World::new();
    let keys = &world.keys;
    let head = root_head(&world.rows);
    let further = [
        rules(2).sign(&[&keys.node]),
        recovery(2, &[keys.node.public()]).slot(head.1.unwrap() + 1, head.0).sign(&[&keys.root]),
    ];
    for statement in further {
        let file = assent_proof::json::parse(&genesis_bytes(keys, 1)).unwrap();
        let assent_proof::Json::Object(mut fields) = file else { panic!("an object") };
        let assent_proof::Json::Array(list) = &mut fields[1].1 else { panic!("a list") };
        list.push(assent_proof::json::parse(&statement).unwrap());
        let file = GenesisFile::parse(&assent_proof::Json::Object(fields).to_vec()).unwrap();
        let error = bootstrap(&mut MemoryRows::new(), &file).unwrap_err().to_string();
        assert!(error.contains("claims_invalid: `envelopes[3].predicateType`"), "{error}");
    }
}

/// Rule R113.
#[test]
fn a_rules_statement_of_a_node_raises_the_version_and_moves_no_head() {
    let mut world = newer();
    let keys = world.keys.clone();
    let (before, head) = (world.revision(), root_head(&world.rows));
    let raise = rules(2).sign(&[&keys.node]);
    let receipt = accepted(&world.submit(&raise));
    assert_eq!((receipt.ledger_index, world.revision()), (before, before + 1));
    assert_eq!((version(&world.rows), root_head(&world.rows)), (2, head));
    // The same bytes again return the first receipt; whoever comes second with other bytes learns what is next.
    let rows = world.rows.clone();
    match world.submit(&raise) {
        Outcome::Accepted { receipt: again, fresh: false } => assert_eq!(again, receipt),
        other => panic!("{other:?}"),
    }
    assert_eq!(refused(&world.submit(&rules(2).issued(at(-1)).sign(&[&keys.node]))), Code::ClaimsInvalid);
    assert!(world.rows == rows);
    // The chain of `_root` goes on as if nothing had been.
    let node = key(64);
    accepted(&world.submit_to_root(
        0,
        grant(node.public(), Role::Registry).domain("_root"),
        &[&keys.root, &node],
    ));
}

/// Rule R150.
#[test]
fn versions_are_neither_skipped_nor_repeated_nor_lowered() {
    let mut world = newer();
    let node = world.keys.node.clone();
    let refuses = |world: &mut World, given: u32, next: &str| {
        let before = world.rows.clone();
        let outcome = world.submit(&rules(given).issued(at(-1)).sign(&[&node]));
        let (code, field, detail) = refusal(&outcome);
        assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.version"));
        assert!(detail.contains(&format!("the next one is `{next}`")), "{detail}");
        assert!(world.rows == before);
    };
    for given in [1, 3, u32::MAX] {
        refuses(&mut world, given, "2");
    }
    accepted(&world.submit(&rules(2).sign(&[&node])));
    for given in [1, 2, 4] {
        refuses(&mut world, given, "3");
    }
}

#[test]
fn nodes_of_the_registry_raise_the_rules_and_nobody_else() {
    let mut world = newer();
    let keys = world.keys.clone();
    let elsewhere = key(60);
    world.govern(grant(elsewhere.public(), Role::Registry), &[&elsewhere]);
    let before = world.rows.clone();
    let mut slotted = rules(2);
    slotted.0.sequence = Some(9);
    let cases = [
        (rules(2).sign(&[&keys.root]), Code::RoleNotPermitted),
        (rules(2).sign(&[&keys.governance[0]]), Code::AuthorityUnknown),
        (rules(2).sign(&[&elsewhere]), Code::AuthorityUnknown),
        (rules(2).sign(&[&keys.checkpoint]), Code::AuthorityUnknown),
        (rules(2).sign(&[&keys.node, &keys.root]), Code::RoleNotPermitted),
        (rules(2).sign(&[&keys.node, &elsewhere]), Code::AuthorityUnknown),
        (rules(2).issued(at(-61)).sign(&[&keys.node]), Code::TimesInvalid),
        (rules(2).domain("prod.eu").sign(&[&elsewhere]), Code::Malformed),
        (rules(2).lineage("exec-1").sign(&[&keys.node]), Code::Malformed),
        (rules(2).references(&[EvidenceId([1; 32])]).sign(&[&keys.node]), Code::Malformed),
        (slotted.sign(&[&keys.node]), Code::Malformed),
        (rules(2).subject("another").sign(&[&keys.node]), Code::SubjectMismatch),
        (rules(2).expires(at(60)).sign(&[&keys.node]), Code::TimesInvalid),
        (raw(EvidenceKind::Rules, "{}").sign(&[&keys.node]), Code::Malformed),
    ];
    for (number, (bytes, code)) in cases.iter().enumerate() {
        assert_eq!(refused(&world.submit(bytes)), *code, "case {number}");
    }
    assert!(world.rows == before);
    // Each of its signers has to be a node whose key stands.
    let second = key(64);
    accepted(&world.submit_to_root(
        0,
        grant(second.public(), Role::Registry).domain("_root"),
        &[&keys.root, &second],
    ));
    accepted(&world.submit(&revocation(keys.node.public(), None).domain("_root").sign(&[&keys.root])));
    assert_eq!(refused(&world.submit(&rules(2).sign(&[&keys.node]))), Code::AuthorityRevoked);
    assert_eq!(refused(&world.submit(&rules(2).sign(&[&keys.node, &second]))), Code::AuthorityRevoked);
    accepted(&world.submit(&rules(2).sign(&[&second])));
}

/// Rule R152.
#[test]
fn all_nodes_sign_one_raise_and_it_is_of_use_for_a_minute() {
    let mut world = newer();
    let keys = world.keys.clone();
    let second = key(64);
    accepted(&world.submit_to_root(
        0,
        grant(second.public(), Role::Registry).domain("_root"),
        &[&keys.root, &second],
    ));
    let raise = rules(2).issued(at(0)).sign(&[&keys.node, &second]);
    let mut late = newer();
    late.rows.clone_from(&world.rows);
    assert_eq!(refused(&late.submit_at(61, &raise)), Code::TimesInvalid);
    accepted(&world.submit_at(60, &raise));
    assert_eq!(version(&world.rows), 2);
}

/// Rule R11.
#[test]
fn a_build_that_does_not_know_the_next_rules_stops_and_keeps_nothing() {
    let world = World::new();
    let raise = rules(2).sign(&[&world.keys.node]);
    let evidence = affirming().sign(&[&world.keys.attestation]);
    for atomic in [false, true] {
        let mut rows = world.rows.clone();
        let stopped = apply(&mut rows, RulesVersion(1), ms(0), &[group_of(atomic, vec![unverified(&raise)])]);
        assert_eq!(stopped, Err(UNKNOWN));
        assert!(rows == world.rows);
    }
    assert!(UNKNOWN.to_string().contains("start this node with a newer build"), "{UNKNOWN}");
    // What would be refused anyway stops nobody.
    let mut rows = world.rows.clone();
    let skipping = rules(3).sign(&[&world.keys.node]);
    let group = group_of(false, vec![unverified(&skipping)]);
    let outcomes = apply(&mut rows, RulesVersion(1), ms(0), &[group]).unwrap();
    assert_eq!(refused(&outcomes[0][0]), Code::ClaimsInvalid);
    // A state that follows them already is as good a reason.
    let mut rows = world.rows.clone();
    apply(&mut rows, RulesVersion::TEST, ms(0), &[group_of(false, vec![unverified(&raise)])]).unwrap();
    assert_eq!(rules_known(&rows, RulesVersion::TEST), Ok(()));
    assert_eq!(rules_known(&rows, RulesVersion(1)), Err(UNKNOWN));
    let before = rows.clone();
    for envelopes in [vec![], vec![unverified(&evidence)], vec![unverified(&raise)]] {
        assert_eq!(apply(&mut rows, RulesVersion(1), ms(1), &[group_of(false, envelopes)]), Err(UNKNOWN));
    }
    assert!(rows == before);
}

/// Rule R154.
#[test]
fn new_rules_hold_from_the_next_envelope_on() {
    let mut world = newer();
    let (_, about) = world.grounds();
    let raise = rules(2).sign(&[&world.keys.node]);
    let early = terse(&world, "exec-2", about);
    let late = terse(&world, "exec-3", about);
    let full = detailed(&world, "exec-4", about);
    let outcomes = world.submit_group(0, false, &[early.clone(), raise, late, full, early.clone()]);
    let first = accepted(&outcomes[0]);
    accepted(&outcomes[1]);
    let (code, field, _) = refusal(&outcomes[2]);
    assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.detail"));
    accepted(&outcomes[3]);
    assert_eq!(accepted(&outcomes[4]), first, "what was accepted stays so");
    assert_eq!(refused(&world.submit(&terse(&world, "exec-5", about))), Code::ClaimsInvalid);
}

#[test]
fn a_batch_that_is_not_kept_raises_nothing() {
    let mut world = newer();
    let (_, about) = world.grounds();
    let before = world.rows.clone();
    let raise = rules(2).sign(&[&world.keys.node]);
    let outcomes = world.submit_group(0, true, &[raise, terse(&world, "exec-2", about)]);
    assert!(outcomes.iter().all(|outcome| refused(outcome) == Code::ClaimsInvalid), "{outcomes:?}");
    assert!(world.rows == before);
    accepted(&world.submit(&terse(&world, "exec-2", about)));
}

/// Rule R153.
#[test]
fn replicas_of_different_builds_are_equal_until_the_older_one_stops() {
    let world = World::new();
    let keys = &world.keys;
    let about = affirming().sign(&[&keys.attestation]);
    let commands = [
        (ms(0), vec![about.clone(), authorization(&["run"]).sign(&[&keys.governance[0]])]),
        (ms(1), vec![terse(&world, "exec-2", id_of(&about)), rules(3).sign(&[&keys.node])]),
        (ms(2), vec![quarantine("exec-2").sign(&[&keys.audit]), rules(2).sign(&[&keys.root])]),
        (ms(3), vec![detailed(&world, "exec-3", id_of(&about)), rules(2).sign(&[&keys.node])]),
        (ms(4), vec![terse(&world, "exec-4", id_of(&about))]),
    ];
    let (mut older, mut newer) = (world.rows.clone(), world.rows.clone());
    let (before, after) = commands.split_at(3);
    let by_older = apply_all(&mut older, RulesVersion(1), before);
    assert!(by_older.iter().all(Result::is_ok));
    assert_eq!(by_older, apply_all(&mut newer, RulesVersion::TEST, before));
    assert!(older == newer, "which build applied them does not show");
    let held = older.clone();
    assert_eq!(apply_all(&mut older, RulesVersion(1), &after[..1]), [Err(UNKNOWN)]);
    assert!(older == held, "nothing of the command is kept");
    let by_newer = apply_all(&mut newer, RulesVersion::TEST, after);
    assert!(by_newer.iter().all(Result::is_ok));
    assert_eq!(version(&newer), 2);
    // Started again with a newer build, it goes on from what it held and is equal once more.
    assert_eq!(apply_all(&mut older, RulesVersion::TEST, after), by_newer);
    assert!(older == newer);
}

/// Rule R154.
#[test]
fn a_raise_outlives_the_key_that_signed_it() {
    let mut world = newer();
    let keys = world.keys.clone();
    let raise = rules(2).sign(&[&keys.node]);
    accepted(&world.submit_at(10, &raise));
    let revoked = revocation(keys.node.public(), Some(at(5))).domain("_root").sign(&[&keys.root]);
    accepted(&world.submit_at(20, &revoked));
    assert_eq!(version(&world.rows), 2, "what was accepted under new rules cannot be taken back");
    assert!(world.replayed(64) == world.rows);
}

#[test]
fn replaying_a_ledger_across_a_raise_gives_the_same_rows() {
    let mut world = newer();
    let (_, about) = world.grounds();
    accepted(&world.submit_at(1, &terse(&world, "exec-2", about)));
    accepted(&world.submit_at(1, &rules(2).sign(&[&world.keys.node])));
    accepted(&world.submit_at(1, &detailed(&world, "exec-3", about)));
    accepted(&world.submit_at(2, &detailed(&world, "exec-4", about)));
    for per_command in [1, 2, 64] {
        assert!(world.replayed(per_command) == world.rows, "{per_command} leaves a command");
    }
}

#[test]
fn each_leaf_is_written_in_the_version_that_the_rules_before_it_name() {
    let mut world = newer();
    let (_, about) = world.grounds();
    accepted(&world.submit_at(1, &terse(&world, "exec-2", about)));
    let raised_at = world.revision();
    accepted(&world.submit_at(1, &rules(2).sign(&[&world.keys.node])));
    accepted(&world.submit_at(1, &detailed(&world, "exec-3", about)));
    let leaves = world.rows.scan(Table::Leaves, b"", None, usize::MAX).unwrap();
    let versions: Vec<u8> = leaves.iter().map(|(_, value)| value[0]).collect();
    let newer_from = usize::try_from(raised_at).unwrap() + 1;
    assert!(versions[..newer_from].iter().all(|version| *version == 1), "{versions:?}");
    assert_eq!(versions[newer_from..], [2], "the raise itself is still written under the rules before it");
    for index in 0..world.revision() {
        let (id, accepted_at) = query::leaf(&world.rows, index).unwrap().unwrap();
        assert!(query::envelope(&world.rows, &id).unwrap().is_some() && accepted_at <= ms(1), "leaf {index}");
    }
}

/// Rules R72, R78.
#[test]
fn an_envelope_is_verified_under_the_rules_in_force_where_its_turn_comes() {
    // Under the rules of version 2 each signature carries its key id.
    let world = newer();
    let bare = |lineage: &str| {
        let mut envelope =
            Envelope::parse(&authorization(&["run"]).lineage(lineage).sign(&[&world.keys.governance[0]]))
                .unwrap();
        envelope.signatures[0].keyid = None;
        envelope.to_vec()
    };
    let raise = rules(2).sign(&[&world.keys.node]);
    for atomic in [false, true] {
        // Alike, before and after the raise, in one command.
        let mut rows = world.rows.clone();
        let (before, after) = (bare("exec-2"), bare("exec-3"));
        let first = group_of(atomic, vec![unverified(&before), unverified(&raise)]);
        let groups = [first, group_of(atomic, vec![unverified(&after)])];
        let outcomes = apply(&mut rows, RulesVersion::TEST, ms(0), &groups).unwrap().concat();
        accepted(&outcomes[0]);
        accepted(&outcomes[1]);
        assert_eq!(refused(&outcomes[2]), Code::Malformed, "atomic: {atomic}");
        assert_eq!(rules_in_force(&rows).unwrap(), Rules::TEST);
        // The first receipt of what was accepted before stays true, and is given again.
        let first = accepted(&outcomes[0]);
        let group = group_of(false, vec![unverified(&before)]);
        let again = apply(&mut rows, RulesVersion::TEST, ms(0), &[group]).unwrap();
        assert_eq!(again[0][0], Outcome::Accepted { receipt: first, fresh: false });
        // But not to somebody who has the payload and no signature.
        let mut forged = Envelope::parse(&before).unwrap();
        forged.signatures[0].sig[0] ^= 1;
        let forged = forged.to_vec();
        let group = group_of(false, vec![unverified(&forged)]);
        let again = apply(&mut rows, RulesVersion::TEST, ms(0), &[group]).unwrap();
        assert_eq!(refused(&again[0][0]), Code::Malformed);
    }
}

/// Rule R72.
#[test]
fn an_envelope_that_was_verified_under_other_rules_stops_the_replica() {
    let world = World::new();
    struct Stale<'a>(&'a [u8]);
    impl ToVerify for Stale<'_> {
        fn verified(&self, _: Rules) -> Checked {
            unverified(self.0).verified(Rules::TEST)
        }
    }
    let bytes = authorization(&["run"]).sign(&[&world.keys.governance[0]]);
    let mut rows = world.rows.clone();
    let applied = apply(&mut rows, RulesVersion::TEST, ms(0), &[group_of(false, vec![Stale(&bytes)])]);
    assert!(
        matches!(&applied, Err(RowError::Unreadable(why)) if why.contains("verified under")),
        "{applied:?}"
    );
    assert!(rows == world.rows);
}
