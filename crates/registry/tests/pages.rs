//! Pages of what a registry holds: what they say of each entry.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use assent_registry::query;
use support::*;

#[test]
fn what_a_page_says_of_an_entry_does_not_depend_on_the_others_of_the_page() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let mut last = None;
    let mut ids = Vec::new();
    // As many that rest on as many that more statements are judged for the page than one evaluation may.
    for sequence in 0..60_u64 {
        let said = affirming().lineage("sum").slot(sequence, last).sign(&[&keys.attestation]);
        last = Some(accepted(&world.submit(&said)).evidence_id);
        ids.extend(last);
    }
    let mut last = None;
    for sequence in 0..73_u64 {
        let said = audit("step").lineage("sum").references(&ids).slot(sequence, last).sign(&[&keys.audit]);
        last = Some(accepted(&world.submit(&said)).evidence_id);
    }
    let page = query::lineage(&world.rows, &domain(), &"sum".parse().unwrap(), None, 1000).unwrap().unwrap();
    assert_eq!(page.entries.len(), 133);
    assert!(
        page.entries.iter().all(|entry| !entry.void),
        "{:?}",
        page.entries.iter().position(|entry| entry.void)
    );
}
