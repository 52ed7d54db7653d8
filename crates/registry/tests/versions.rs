//! Rows and commands of versions that this build does not know: they are never taken for damage or garbage, and never
//! passed over.

use crate::support::*;
use assent_proof::{AuthorizeRequest, Code, Rules};
use assent_registry::{
    CodecError, Command, Group, MemoryRows, RowError, Rows, RowsMut, RulesVersion, Table,
    UnknownVersionError, View, apply, authorize, query,
};

/// The rows, with all those of a table changed.
fn with_each(rows: &MemoryRows, table: Table, change: impl Fn(&mut Vec<u8>)) -> MemoryRows {
    let mut changed = rows.clone();
    for (key, mut value) in rows.scan(table, b"", None, usize::MAX).unwrap() {
        change(&mut value);
        changed.put(table, &key, &value).unwrap();
    }
    changed
}

#[test]
fn a_row_of_a_version_that_this_build_does_not_know_denies_and_says_which_build_to_start() {
    let mut world = World::new();
    world.grounds();
    for table in
        [Table::Meta, Table::Authorities, Table::Domains, Table::Policies, Table::Lineages, Table::Slots]
    {
        let newer = with_each(&world.rows, table, |row| row[0] += 1);
        let view = View::new(&newer);
        assert_eq!(codes(&authorize(&view, &request(), ms(0))), [Code::EvidenceMutated], "{table:?}");
        let reason = view.takes_another_build().unwrap();
        assert!(matches!(reason, RowError::RowVersion { table: found, .. } if found == table), "{reason:?}");
        let said = reason.to_string();
        assert!(said.starts_with(&format!("a row of table `{}` has version ", table.name())), "{said}");
        assert!(said.ends_with("start this node with a newer build"), "{said}");

        let damaged = with_each(&world.rows, table, |row| row.truncate(row.len() - 1));
        let view = View::new(&damaged);
        assert_eq!(codes(&authorize(&view, &request(), ms(0))), [Code::EvidenceMutated], "{table:?}");
        assert_eq!(view.takes_another_build(), None, "{table:?}");
    }
}

#[test]
fn applying_and_reading_fail_at_a_row_of_a_version_that_this_build_does_not_know() {
    let mut world = World::new();
    let keys = world.keys.clone();
    world.grounds();
    let envelope = affirming().lineage("another").sign(&[&keys.attestation]);
    for table in [Table::Meta, Table::Authorities] {
        let mut newer = with_each(&world.rows, table, |row| row[0] += 1);
        let group = group_of(false, vec![unverified(&envelope)]);
        let applied = apply(&mut newer, RulesVersion::NEWEST, ms(0), &[group]);
        assert!(
            matches!(&applied, Err(RowError::RowVersion { table: found, .. }) if *found == table),
            "{applied:?}"
        );
    }
    let newer = with_each(&world.rows, Table::Domains, |row| row[0] += 1);
    let read = query::domains(&newer, None, 10);
    assert!(matches!(read, Err(RowError::RowVersion { table: Table::Domains, .. })), "{read:?}");
}

#[test]
fn a_command_of_another_version_is_told_apart_from_garbage() {
    let bytes = Command { proposed_at: ms(0), groups: Vec::new() }.encode(Rules::GENESIS);
    let with_version = |version: u8| [&[version][..], &bytes[1..]].concat();
    for (found, build) in [(3, "a newer build"), (255, "a newer build"), (0, "the build that wrote it")] {
        let unknown = |known| UnknownVersionError { found, known };
        assert_eq!(Command::decode(&with_version(found)), Err(CodecError::Version(unknown(2))));
        assert_eq!(Command::version_known(&with_version(found), RulesVersion(1)), Err(unknown(1)));
        assert_eq!(Command::version_known(&with_version(found), RulesVersion::TEST), Err(unknown(2)));
        let said =
            |reads| format!("version {found}, and this build reads {reads}: start this node with {build}");
        assert_eq!(unknown(1).to_string(), said("version 1"));
        assert_eq!(unknown(2).to_string(), said("versions 1 to 2"));
    }
    let longer = [&bytes[..], &[0]].concat();
    for garbage in [&b""[..], &bytes[..1], &bytes[..bytes.len() - 1], &longer[..], &b"\x01no command"[..]] {
        assert_eq!(Command::version_known(garbage, RulesVersion(1)), Ok(()));
        let error = Command::decode(garbage).unwrap_err();
        assert!(!matches!(error, CodecError::Version(_)), "{error}");
    }
}

#[test]
fn a_command_is_written_in_the_version_that_the_rules_name_and_every_version_is_read() {
    let group = Group { atomic: true, envelopes: vec![b"envelope".to_vec().into()] };
    let command = Command { proposed_at: ms(7), groups: vec![group] };
    let (older, newer) = (command.encode(Rules::GENESIS), command.encode(Rules::TEST));
    assert_eq!((older[0], newer[0]), (1, 2));
    assert_ne!(older[1..], newer[1..], "the second version has another shape");
    for bytes in [&older, &newer] {
        assert_eq!(Command::decode(bytes).as_ref(), Ok(&command));
    }
    let of_an_older_build = Command::version_known(&newer, RulesVersion(1));
    assert_eq!(of_an_older_build, Err(UnknownVersionError { found: 2, known: 1 }));
}

/// Rule R12.
#[test]
fn what_one_decision_could_not_read_no_later_one_on_the_same_state_passes_by() {
    let mut world = World::new();
    let keys = world.keys.clone();
    world.grounds();
    accepted(&world.submit(&authorization(&["run"]).lineage("exec-2").sign(&[&keys.governance[0]])));
    let mut newer = world.rows.clone();
    for (key, mut value) in world.rows.scan(Table::Lineages, b"", None, usize::MAX).unwrap() {
        if key.windows(6).any(|part| part == b"exec-2") {
            value[0] += 1;
            newer.put(Table::Lineages, &key, &value).unwrap();
        }
    }
    let other = AuthorizeRequest { lineage: Some("exec-2".parse().unwrap()), ..request() };
    let view = View::new(&newer);
    assert!(authorize(&view, &request(), ms(0)).is_allow(), "nothing that it rests on is of another version");
    assert_eq!(codes(&authorize(&view, &other, ms(0))), [Code::EvidenceMutated]);
    assert_eq!(codes(&authorize(&view, &request(), ms(0))), [Code::EvidenceMutated]);
}
