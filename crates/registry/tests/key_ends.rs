//! When granted keys end, as operators see it.

use std::collections::BTreeMap;

use crate::support::*;
use assent_proof::{Role, Seconds};
use assent_registry::query::{self, KeyEndsPage};

/// All stretches of so many authorities each, put together; and how many there were.
fn walked(world: &World, stretch: usize, seconds: i64) -> (BTreeMap<Role, Seconds>, usize) {
    let mut all: BTreeMap<Role, Seconds> = BTreeMap::new();
    let mut after: Option<Vec<u8>> = None;
    for stretches in 1..100 {
        let KeyEndsPage { soonest, next } =
            query::key_ends(&world.rows, after.as_deref(), stretch, ms(seconds)).unwrap();
        for (role, end) in soonest {
            all.entry(role).and_modify(|known| *known = end.min(*known)).or_insert(end);
        }
        if next.is_none() {
            return (all, stretches);
        }
        after = next;
    }
    panic!("the walk does not end");
}

#[test]
fn the_soonest_end_of_each_role_is_found_in_whatever_stretches_the_authorities_are_read() {
    let mut world = World::new();
    let soon = key(71);
    world.govern(grant_for(soon.public(), Role::Attestation, at(-10), at(600)), &[&soon]);
    let (whole, stretches) = walked(&world, 1_000, 0);
    assert_eq!(stretches, 1);
    assert_eq!(whole[&Role::Attestation], at(600));
    assert_eq!(whole[&Role::Audit], at(86_400));
    // Governance's keys have no end.
    assert!(!whole.contains_key(&Role::Governance));
    for stretch in 1..5 {
        let (pieces, stretches) = walked(&world, stretch, 0);
        assert!(stretches > 2, "{stretches} stretches of {stretch}");
        assert_eq!(pieces, whole, "stretches of {stretch}");
    }
}

#[test]
fn a_key_that_has_ended_or_was_revoked_is_no_longer_waited_for() {
    let mut world = World::new();
    let (soon, sooner) = (key(71), key(72));
    world.govern(grant_for(soon.public(), Role::Gateway, at(-10), at(600)), &[&soon]);
    world.govern(grant_for(sooner.public(), Role::Gateway, at(-10), at(300)), &[&sooner]);
    assert_eq!(walked(&world, 1_000, 0).0[&Role::Gateway], at(300));
    assert_eq!(walked(&world, 1_000, 299).0[&Role::Gateway], at(300));
    assert_eq!(walked(&world, 1_000, 300).0[&Role::Gateway], at(600));
    let governance = world.keys.clone();
    let revoking: Vec<_> = governance.governance.iter().collect();
    accepted(&world.submit(&revocation(soon.public(), None).sign(&revoking)));
    assert_eq!(walked(&world, 1_000, 300).0[&Role::Gateway], at(86_400));
}
