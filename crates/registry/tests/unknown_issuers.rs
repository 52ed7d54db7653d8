//! Envelopes that name issuers which the registry does not know: how it answers before it computes a signature.
//!
//! In addition, every envelope that any test of this crate submits on its own is checked by the same rule
//! (`World::submit_at`). An envelope that is accepted is never refused for unknown issuers, and an envelope that is
//! refused for them has the code that its application gives. Only an envelope that is also wrong in another way, for
//! example one with a revoked issuer, may then have another code.

use crate::support::*;
use assent_proof::{Code, Envelope, ParsedEnvelope, PolicyVerdict, PublicKey, Role, SigningKey};
use assent_registry::{Outcome, View, admits, refuses_unknown_issuers, rules_in_force};

/// Statements of nearly every kind, none of which brings a key.
fn drafts(world: &World) -> Vec<Draft> {
    let attested = query_id(world);
    vec![
        authorization(&["run"]),
        affirming(),
        validation("p", PolicyVerdict::Pass),
        integrity("m"),
        audit("started"),
        policy(attested_policy()).slot(9, Some(attested)),
        revocation(world.keys.audit.public(), None),
        quarantine("exec-1"),
        isolate(),
        invalidate(attested),
        release(attested).slot(9, Some(attested)),
        rules(2),
        recovery(2, &[world.keys.node.public()]).slot(9, Some(attested)),
    ]
}

fn query_id(world: &World) -> assent_proof::EvidenceId {
    assent_registry::query::leaf(&world.rows, 0).unwrap().unwrap().0
}

/// The envelope with signatures that are nobody's.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::parse(bytes).unwrap();
    for signature in &mut envelope.signatures {
        signature.sig = vec![7; 64];
    }
    envelope.to_vec()
}

/// Rule R69.
#[test]
fn a_statement_by_unknown_keys_is_refused_before_its_signatures_with_the_code_of_apply() {
    let mut world = World::new();
    let stranger = key(99);
    for draft in drafts(&world) {
        let bytes = draft.sign(&[&stranger]);
        let said = unknown_issuers(&world.rows, &bytes).unwrap();
        assert_eq!(unknown_issuers(&world.rows, &forged(&bytes)), Some(said.clone()), "{:?}", draft.0.kind);
        let Outcome::Refused { refusal, .. } = world.submit(&bytes) else { panic!("{:?}", draft.0.kind) };
        assert_eq!(refusal, said);
        assert_eq!(said.code, Code::AuthorityUnknown, "{:?}", draft.0.kind);
    }
}

#[test]
fn a_statement_by_a_known_key_beside_an_unknown_one_is_refused_too_if_it_admits_no_key() {
    let world = World::founded(2, 1, Some(attested_policy()));
    let keys = world.keys.clone();
    let target = keys.audit.public();
    let both = revocation(target, None).sign(&[&keys.governance[0], &key(99)]);
    assert_eq!(unknown_issuers(&world.rows, &both).map(|refusal| refusal.code), Some(Code::AuthorityUnknown));
    let known = revocation(target, None).sign(&[&keys.governance[0], &keys.governance[1]]);
    assert_eq!(unknown_issuers(&world.rows, &known), None);
}

#[test]
fn a_revoked_key_and_one_of_another_domain_are_known_and_apply_says_what_is_wrong() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    let revoked = affirming().sign(&[&keys.attestation]);
    assert_eq!(unknown_issuers(&world.rows, &revoked), None);
    assert_eq!(refused(&world.submit(&revoked)), Code::AuthorityRevoked);
    let of_root = affirming().sign(&[&keys.root]);
    assert_eq!(unknown_issuers(&world.rows, &of_root), None);
    assert_eq!(refused(&world.submit(&of_root)), Code::AuthorityUnknown);
}

/// Rule R69.
#[test]
fn a_statement_that_admits_keys_needs_one_known_issuer_and_its_new_keys_need_not_be_known() {
    let world = World::new();
    let keys = world.keys.clone();
    let new = key(99);
    let grant = grant(new.public(), Role::Audit).slot(9, Some(query_id(&world)));
    assert_eq!(unknown_issuers(&world.rows, &grant.sign(&[&keys.governance[0], &new])), None);
    let alone = unknown_issuers(&world.rows, &grant.sign(&[&new])).unwrap();
    assert_eq!(alone.code, Code::ThresholdNotMet);
    let domain = domain_statement("prod.us", &[new.public()], 1).slot(9, Some(query_id(&world)));
    assert_eq!(unknown_issuers(&world.rows, &domain.sign(&[&keys.root, &new])), None);
    assert!(unknown_issuers(&world.rows, &domain.sign(&[&new])).is_some());
    let root = root_statement(&[new.public()], 1, keys.checkpoint.public()).slot(9, Some(query_id(&world)));
    assert_eq!(unknown_issuers(&world.rows, &root.sign(&[&keys.root, &new])), None);
    assert!(unknown_issuers(&world.rows, &root.sign(&[&new])).is_some());
}

#[test]
fn a_key_that_an_envelope_before_it_admits_counts_as_known() {
    let world = World::new();
    let keys = world.keys.clone();
    let new = key(99);
    let admitting = |draft: &Draft, signers: &[&SigningKey]| -> Vec<PublicKey> {
        admits(&verified(&world.rows, &draft.sign(signers)).unwrap()).into_iter().collect()
    };
    let granted = admitting(&grant(new.public(), Role::Attestation), &[&keys.governance[0], &new]);
    assert_eq!(granted, [new.public()]);
    assert!(admitting(&affirming(), &[&keys.attestation]).is_empty());
    let of_domain = admitting(&domain_statement("prod.us", &[new.public()], 1), &[&keys.root, &new]);
    assert_eq!(of_domain, [new.public()]);
    let bytes = affirming().sign(&[&new]);
    let rules = rules_in_force(&world.rows).unwrap();
    let parsed = ParsedEnvelope::parse(&bytes, ORIGIN, rules).unwrap();
    let view = View::new(&world.rows);
    assert!(refuses_unknown_issuers(&view, &parsed, |_| false).unwrap().is_some());
    assert_eq!(refuses_unknown_issuers(&view, &parsed, |key| granted.contains(key)).unwrap(), None);
}

#[test]
fn an_unknown_issuer_is_named_whatever_the_time_has_made_of_the_known_ones_before_it() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    let (known, new) = (&keys.attestation, key(99));
    let bytes = policy(attested_policy()).slot(9, Some(query_id(&world))).sign(&[known, &new]);
    let said = unknown_issuers(&world.rows, &bytes).unwrap();
    assert_eq!(said.code, Code::AuthorityUnknown);
    assert!(said.detail.contains(&new.public().to_string()), "{said}");
}

/// Rule R82.
#[test]
fn a_statement_in_an_unknown_domain_is_refused_for_the_domain_first_as_apply_does() {
    let mut world = World::new();
    let bytes = affirming().domain("nowhere").sign(&[&key(99)]);
    assert_eq!(unknown_issuers(&world.rows, &bytes).map(|refusal| refusal.code), Some(Code::DomainUnknown));
    assert_eq!(refused(&world.submit(&bytes)), Code::DomainUnknown);
}
