//! Statements that conflict or restrict may arrive in any order: the status, the void set and later decisions
//! are the same.

use std::collections::BTreeSet;

use crate::support::*;
use assent_proof::{AttestationStatus, AuthorizeRequest, Code, EvidenceId, LineageStatus};
use assent_registry::{AuthorityStatus, query};
use proptest::prelude::*;

/// What is there before anything conflicts: two lineages, of which the second rests on the first.
fn before() -> (World, [EvidenceId; 3]) {
    let mut world = World::founded(3, 1, Some(attested_policy()));
    let (_, attested) = world.grounds();
    let keys = world.keys.clone();
    let other = affirming().issued(at(-30)).sign(&[&keys.attestation2]);
    let other = accepted(&world.submit_at(5, &other)).evidence_id;
    accepted(&world.submit_at(5, &authorization(&["run"]).lineage("rests").sign(&[&keys.governance[1]])));
    let rests = affirming().lineage("rests").references(&[attested]).sign(&[&keys.attestation2]);
    let rests = accepted(&world.submit_at(5, &rests)).evidence_id;
    (world, [attested, other, rests])
}

/// Everything that may arrive in any order, none of which refuses another.
fn arrivals(world: &World, [attested, other, _]: [EvidenceId; 3]) -> Vec<Vec<u8>> {
    let keys = world.keys.clone();
    let [one, two, three] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    vec![
        attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation]),
        attestation(AttestationStatus::Affirming, "m7").issued(at(-31)).sign(&[&keys.attestation2]),
        revocation(keys.runtime.public(), None).sign(&[one]),
        revocation(keys.runtime.public(), Some(at(4))).sign(&[two]),
        revocation(keys.runtime.public(), Some(at(2))).sign(&[three]),
        revocation(keys.zone.public(), Some(at(1))).sign(&[&keys.zone]),
        quarantine("rests").sign(&[&keys.audit]),
        quarantine("rests").sign(&[one]),
        quarantine("exec-1").sign(&[two]),
        invalidate(attested).sign(&[&keys.audit]),
        invalidate(attested).sign(&[three]),
        invalidate(other).sign(&[two]),
    ]
}

#[derive(Debug, PartialEq)]
struct Seen {
    codes: Vec<Vec<Code>>,
    statuses: Vec<LineageStatus>,
    void: BTreeSet<EvidenceId>,
    authorities: Vec<(Option<AuthorityStatus>, Option<assent_proof::Seconds>)>,
}

fn seen(world: &World) -> Seen {
    let rests = AuthorizeRequest { lineage: Some("rests".parse().unwrap()), ..request() };
    let mut statuses = Vec::new();
    let mut void = BTreeSet::new();
    for name in ["exec-1", "rests"] {
        let page =
            query::lineage(&world.rows, &domain(), &name.parse().unwrap(), None, 100).unwrap().unwrap();
        statuses.push(page.status);
        void.extend(page.entries.iter().filter(|entry| entry.void).map(|entry| entry.evidence_id));
    }
    let authorities = [&world.keys.runtime, &world.keys.zone, &world.keys.attestation].map(|key| {
        let entry = query::authority(&world.rows, &key.public(), ms(20)).unwrap();
        (entry.as_ref().map(|entry| entry.status), entry.and_then(|entry| entry.invalid_since))
    });
    Seen {
        codes: [20, 200, 400]
            .iter()
            .flat_map(|seconds| {
                [codes(&world.decide_at(*seconds, &request())), codes(&world.decide_at(*seconds, &rests))]
            })
            .collect(),
        statuses,
        void,
        authorities: authorities.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Rule R131.
    #[test]
    fn restrictions_and_equivocations_end_alike_in_any_order(
        some in prop::sample::subsequence((0..12_usize).collect::<Vec<_>>(), 2..=12),
        shuffled in Just(()).prop_perturb(|(), mut rng| (0..12).map(|_| rng.next_u64()).collect::<Vec<u64>>()),
        later in any::<bool>(),
    ) {
        let (world, ids) = before();
        let arriving = arrivals(&world, ids);
        let mut permuted = some.clone();
        permuted.sort_by_key(|place| shuffled[*place]);
        let mut ends = Vec::new();
        for order in [&some, &permuted] {
            let mut world = world.clone();
            for place in order {
                let outcome = world.submit_at(10, &arriving[*place]);
                prop_assert!(!matches!(outcome, assent_registry::Outcome::Refused { .. }), "{place}: {outcome:?}");
            }
            if later {
                // What follows sees no difference either.
                let keys = world.keys.clone();
                let by = revocation(keys.governance[1].public(), Some(at(8))).sign(&[&keys.governance[0]]);
                accepted(&world.submit_at(15, &by));
            }
            ends.push(seen(&world));
        }
        prop_assert_eq!(&ends[0], &ends[1]);
    }
}
