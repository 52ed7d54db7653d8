//! Histories: what was read in one history means nothing in another, and the registry knows where the two part.

use crate::support::*;
use assent_proof::{AuthorizeRequest, Code, Cursor, History};
use assent_registry::query::{self, EventFilter, Located, events, history, locate};
use assent_registry::{Decision, MemoryRows, RowError, View, authorize_permitted};

/// This history of the world's cluster.
fn of(world: &World, epoch: u64) -> History {
    History::new(*world.history().unwrap().cluster(), epoch).unwrap()
}

fn another() -> History {
    History::founded([0xee; 32])
}

fn located(world: &World, history: History, revision: u64) -> Located {
    locate(&world.rows, Cursor { history, revision }).unwrap()
}

fn asked_in(history: History) -> AuthorizeRequest {
    AuthorizeRequest { history: Some(history), ..request() }
}

#[test]
fn a_registry_is_founded_in_epoch_1_of_its_cluster_and_each_recovery_begins_the_next_history() {
    let mut world = World::new();
    let cluster = query::summary(&world.rows).unwrap().unwrap().cluster_id;
    assert_eq!(world.history(), Some(History::founded(cluster)));
    for epoch in 2..5 {
        world.recover();
        assert_eq!(world.history(), History::new(cluster, epoch));
    }
    let founded: History = assent_registry::ClusterId(cluster).into();
    assert_eq!(founded, of(&world, 1));
}

#[test]
fn a_place_of_this_history_lies_in_the_ledger_or_beyond_its_end() {
    let world = World::new();
    let revision = world.revision();
    for within in [0, 1, revision] {
        assert_eq!(located(&world, of(&world, 1), within), Located::Here);
    }
    for beyond in [revision + 1, u64::MAX] {
        assert_eq!(located(&world, of(&world, 1), beyond), Located::Beyond { revision });
    }
}

#[test]
fn a_place_of_an_earlier_history_is_told_up_to_where_both_are_the_same() {
    let mut world = World::new();
    let mut began = Vec::new();
    for _ in 0..3 {
        world.govern(policy(attested_policy()), &[]);
        began.push(world.recover().ledger_index);
    }
    let in_force = of(&world, 4);
    for (epoch, shared) in (1..).zip(&began) {
        for revision in [0, *shared, *shared + 1, u64::MAX] {
            let expected = Located::Elsewhere { in_force, shared: Some(*shared) };
            assert_eq!(located(&world, of(&world, epoch), revision), expected, "epoch {epoch} at {revision}");
        }
    }
    assert_eq!(began.len(), 3);
}

#[test]
fn another_clusters_history_shares_nothing_and_a_later_epoch_is_unknown() {
    let world = World::new();
    let in_force = of(&world, 1);
    assert_eq!(located(&world, another(), 3), Located::Elsewhere { in_force, shared: Some(0) });
    assert_eq!(located(&world, of(&world, 2), 3), Located::Elsewhere { in_force, shared: None });
}

#[test]
fn the_leaf_that_began_an_epoch_is_missed_and_not_guessed() {
    let mut world = World::new();
    world.recover();
    let first = of(&world, 1);
    // The row that says that there was a recovery, without the recovery.
    world.rows = without_the_last_entry_of_root(&world);
    let found = locate(&world.rows, Cursor { history: first, revision: 1 });
    assert!(matches!(found, Err(RowError::Mutated { .. })), "{found:?}");
}

/// The world's rows without the newest entry of `_root`'s `_governance`.
fn without_the_last_entry_of_root(world: &World) -> MemoryRows {
    use assent_registry::{Rows, RowsMut, Table};
    let mut rows = world.rows.clone();
    let entries = rows.scan(Table::LineageEntries, b"_root\0_governance\0", None, usize::MAX).unwrap();
    let mut of_root = entries.into_iter().filter(|(key, _)| key.starts_with(b"_root\0_governance\0"));
    let (last, _) = of_root.next_back().unwrap();
    rows.delete(Table::LineageEntries, &last).unwrap();
    rows
}

#[test]
fn a_state_without_a_genesis_has_no_history_and_no_place_in_it() {
    let rows = MemoryRows::new();
    assert_eq!(history(&rows), Ok(None));
    assert!(locate(&rows, Cursor { history: another(), revision: 0 }).is_err());
    assert!(events(&rows, &EventFilter::default(), 0, 9, 9).is_err());
}

#[test]
fn events_and_lineages_say_the_history_that_they_are_of() {
    let mut world = World::new();
    world.grounds();
    for epoch in 1..3 {
        let page = events(&world.rows, &EventFilter::default(), 0, 9, 9).unwrap();
        assert_eq!(page.history, of(&world, epoch));
        let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
        assert_eq!(page.history, of(&world, epoch));
        world.recover();
    }
}

#[track_caller]
fn mismatches(decision: &Decision, asked: History, in_force: History) {
    assert_eq!(codes(decision), [Code::HistoryMismatch]);
    let detail = &decision.reasons[0].detail;
    assert!(detail.contains(&asked.to_string()) && detail.contains(&in_force.to_string()), "{detail}");
    assert_eq!(decision.history, Some(in_force));
}

/// Rule R15.
#[test]
fn a_request_about_another_history_is_denied_for_that_alone_whatever_else_it_asks() {
    let mut world = World::new();
    world.grounds();
    let first = of(&world, 1);
    assert!(world.decide_at(0, &asked_in(first)).is_allow());
    let head = world.decide().head;
    world.recover();
    let (second, third) = (of(&world, 2), of(&world, 3));
    assert!(world.decide().is_allow(), "a request that names no history is answered in the one in force");
    assert!(world.decide_at(0, &asked_in(second)).is_allow());
    for wrong in [first, third, another()] {
        mismatches(&world.decide_at(0, &asked_in(wrong)), wrong, second);
        // Of what is of another history nothing is compared: a revision that is reached, one that is not, a head.
        for (min_revision, expected_head) in [(Some(1), None), (Some(1000), None), (None, head)] {
            let asked = AuthorizeRequest { min_revision, expected_head, ..asked_in(wrong) };
            mismatches(&world.decide_at(0, &asked), wrong, second);
        }
        let elsewhere = AuthorizeRequest { domain: "nowhere".parse().unwrap(), ..asked_in(wrong) };
        mismatches(&world.decide_at(0, &elsewhere), wrong, second);
    }
    let asked =
        AuthorizeRequest { min_revision: Some(world.revision()), expected_head: head, ..asked_in(second) };
    assert!(world.decide_at(0, &asked).is_allow());
}

#[test]
fn a_revision_of_an_ended_history_is_not_taken_for_one_of_the_new_one() {
    let mut world = World::new();
    world.grounds();
    // A caller was told a revision by nodes that are lost: the recovered ledger grows past that number with other leaves.
    let written = Cursor { history: of(&world, 1), revision: world.revision() + 1 };
    world.recover();
    world.recover();
    assert!(world.revision() >= written.revision);
    let decision = world.decide_at(0, &request().not_before(written));
    mismatches(&decision, written.history, of(&world, 3));
}

#[test]
fn a_permit_of_an_ended_history_is_in_the_ledger_and_allows_nothing_any_more() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let asked = AuthorizeRequest { nonce: Some("one".to_owned()), ..asked_in(of(&world, 1)) };
    let statement = permit(&asked).issued(at(0)).sign(&[&keys.node]);
    let first = accepted(&world.submit(&statement));
    let decide = |world: &World| authorize_permitted(&View::new(&world.rows), &asked, ms(0));
    assert!(decide(&world).is_allow());
    world.recover();
    mismatches(&decide(&world), of(&world, 1), of(&world, 2));
    assert_eq!(accepted(&world.submit(&statement)), first, "what was recorded stays recorded");
    // In a history that is not in force none is recorded.
    let late = AuthorizeRequest { nonce: Some("two".to_owned()), ..asked.clone() };
    let outcome = world.submit(&permit(&late).issued(at(0)).sign(&[&keys.node]));
    assert_eq!(refused(&outcome), Code::HistoryMismatch);
}
