//! What allows a request, and everything that denies one.

use crate::support::*;
use assent_proof::{
    AttestationStatus, Code, EvidenceKind, Of, PolicyBody, PolicyVerdict, Requirement, Role, Sha256,
    Unchecked,
};

fn require(kind: EvidenceKind, of: Of, min_issuers: u32, max_age_seconds: Option<u32>) -> Requirement {
    Requirement { kind, of, min_issuers, max_age_seconds }
}

/// Rules R39, R49, R50.
#[test]
fn an_authorized_and_freshly_attested_execution_is_allowed() {
    let mut world = World::new();
    let (artifact, attested) = world.grounds();
    let decision = world.decide();
    assert!(decision.is_allow(), "{decision:?}");
    assert_eq!(decision.head, Some(attested));
    assert_eq!(decision.revision, world.revision());
    assert_eq!(decision.valid_until, ms(10));
    match decision.verdict() {
        assent_registry::Verdict::Allow(allow) => assert_eq!(allow.authorized_by(), artifact),
        assent_registry::Verdict::Deny => panic!("denied"),
    }
}

/// Rule R17.
#[test]
fn without_a_policy_nothing_is_allowed() {
    let mut world = World::founded(1, 1, None);
    world.grounds();
    assert_eq!(codes(&world.decide()), [Code::PolicyMissing]);
}

/// Rules R17, R20.
#[test]
fn an_unknown_domain_or_lineage_is_denied() {
    let world = World::new();
    let mut asked = request();
    asked.domain = "elsewhere".parse().unwrap();
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::DomainUnknown]);
    assert_eq!(codes(&world.decide()), [Code::LineageUnknown]);
    asked = request();
    asked.lineage = None;
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::LineageUnknown]);
}

/// Rule R20.
#[test]
fn without_a_lineage_the_one_open_lineage_of_the_digest_is_meant() {
    let mut world = World::new();
    world.grounds();
    let mut asked = request();
    asked.lineage = None;
    assert!(world.decide_at(0, &asked).is_allow());
    let keys = world.keys.clone();
    let other = authorization(&["run"]).lineage("exec-2").sign(&[&keys.governance[0]]);
    accepted(&world.submit(&other));
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::LineageAmbiguous]);
}

/// Rules R16, R20, R27, R41, R49, R51.
#[test]
fn every_reason_is_named_in_the_order_of_the_codes() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let artifact =
        authorization_with(&["train"], Some(&["slurm"]), Some("prod"), Some(1)).sign(&[&keys.governance[0]]);
    accepted(&world.submit(&artifact));
    let mut asked = request();
    asked.history = world.history();
    asked.min_revision = Some(1000);
    asked.subject = Sha256::of(b"another");
    asked.expected_head = Some(id_of(&affirming().sign(&[&keys.attestation])));
    let decision = world.decide_at(0, &asked);
    assert_eq!(
        codes(&decision),
        [
            Code::EvidenceMissing,
            Code::SubjectMismatch,
            Code::ActionNotPermitted,
            Code::AudienceMismatch,
            Code::EnvironmentMismatch,
            Code::PermitRequired,
            Code::HeadMismatch,
            Code::RevisionNotReached,
        ]
    );
    assert!(!decision.is_allow());
    assert_eq!(decision.valid_until, decision.evaluated_at);
}

/// Rule R41.
#[test]
fn an_artifact_binds_audience_and_environment_byte_by_byte() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let artifact =
        authorization_with(&["run"], Some(&["slurm"]), Some("prod"), None).sign(&[&keys.governance[0]]);
    accepted(&world.submit(&artifact));
    let mut asked = request();
    asked.audience = Some("slurm".to_owned());
    asked.environment = Some("prod".to_owned());
    assert!(world.decide_at(0, &asked).is_allow());
    asked.audience = Some("Slurm".to_owned());
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::AudienceMismatch]);
    asked.audience = None;
    asked.environment = None;
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::AudienceMismatch, Code::EnvironmentMismatch]);
}

/// Rule R41.
#[test]
fn an_artifact_that_is_bound_to_runtimes_permits_the_request_only_on_one_of_them() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let bound = authorization_on(&["run"], &["host-1", "host-3"]);
    let bound = accepted(&world.submit(&bound.sign(&[&keys.governance[0]])));
    for host in ["host-1", "host-2"] {
        let said = affirming().lineage(host).subject(host);
        accepted(&world.submit(&said.sign(&[&keys.attestation])));
    }
    let on = |runtime: &str| {
        let mut asked = request();
        asked.runtime = Some(runtime.parse().unwrap());
        asked
    };
    assert!(world.decide_at(0, &on("host-1")).is_allow());
    let decision = world.decide_at(0, &on("host-2"));
    assert_eq!(codes(&decision), [Code::RuntimeMismatch]);
    assert_eq!(decision.reasons[0].evidence, Some(bound.evidence_id));
    assert_eq!(codes(&world.decide()), [Code::RuntimeMismatch], "the request names none");
    // An authorized runtime that the registry does not know is not a runtime either.
    assert_eq!(codes(&world.decide_at(0, &on("host-3"))), [Code::LineageUnknown]);
    let none = authorization_on(&["run"], &[]).slot(1, Some(bound.evidence_id));
    let none = accepted(&world.submit(&none.sign(&[&keys.governance[0]])));
    let decision = world.decide_at(0, &on("host-1"));
    assert_eq!(codes(&decision), [Code::RuntimeMismatch], "an empty list permits none");
    let any = authorization(&["run"]).slot(2, Some(none.evidence_id));
    accepted(&world.submit(&any.sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow(), "without a list, any runtime or none");
    assert!(world.decide_at(0, &on("host-2")).is_allow());
}

/// Rules R19, R45.
#[test]
fn a_contraindicated_attestation_counts_only_if_the_policy_says_so_and_the_decision_shows_it() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation]);
    accepted(&world.submit(&bad));
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::AttestationNotAffirming]);
    assert_eq!(decision.policy.unwrap().unchecked, [Unchecked::Runtime, Unchecked::Measurements]);
    let any = PolicyBody {
        require: vec![require(EvidenceKind::RuntimeAttestation, Of::Execution, 1, None)],
        attestation_status: None,
        ..attested_policy()
    };
    let set = world.govern(policy(any), &[]);
    let decision = world.decide();
    assert!(decision.is_allow(), "{decision:?}");
    let judged_by = decision.policy.unwrap();
    assert_eq!(judged_by.evidence_id, set.evidence_id);
    let words: Vec<String> = judged_by.unchecked.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "the policy requires nothing of the runtime",
            "any attestation status is accepted, `contraindicated` too",
            "any measurement is accepted",
            "`runtime-attestation` of the execution counts at any age",
        ]
    );
}

/// Rule R47.
#[test]
fn evidence_ages_from_the_earlier_of_issued_and_accepted() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let late = affirming().issued(at(-290)).sign(&[&keys.attestation]);
    accepted(&world.submit(&late));
    let decision = world.decide();
    assert!(decision.is_allow());
    assert_eq!(decision.valid_until, ms(10));
    assert_eq!(world.decide_at(5, &request()).valid_until, ms(10), "its age limit ends it before the ttl");
    assert_eq!(codes(&world.decide_at(10, &request())), [Code::RuntimeStale]);
}

/// Rule R14.
#[test]
fn time_never_runs_backwards_below_registry_time() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let later = affirming().lineage("exec-2").issued(at(1000)).sign(&[&keys.attestation]);
    accepted(&world.submit_at(1000, &later));
    assert_eq!(codes(&world.decide()), [Code::RuntimeStale], "a slow clock revives nothing");
}

/// Rules R32, R35.
#[test]
fn only_the_newest_statement_of_an_issuer_is_looked_at() {
    let mut world = World::new();
    let (_, first) = world.grounds();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").slot(1, Some(first));
    let bad = accepted(&world.submit(&bad.sign(&[&keys.attestation])));
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::AttestationNotAffirming]);
    assert_eq!(decision.reasons[0].evidence, Some(bad.evidence_id));
    let good = affirming().slot(2, Some(bad.evidence_id)).sign(&[&keys.attestation]);
    accepted(&world.submit(&good));
    assert!(world.decide().is_allow(), "the issuer said otherwise");
}

/// Rule R31.
#[test]
fn one_negative_denies_however_many_others_pass() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let warning = attestation(AttestationStatus::Warning, "m1").sign(&[&keys.attestation2]);
    accepted(&world.submit(&warning));
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    assert_eq!(
        codes(&world.decide_at(500, &request())),
        [Code::RuntimeStale, Code::RuntimeStale, Code::AttestationNotAffirming]
    );
    assert!(
        codes(&world.decide_at(100_000, &request())).contains(&Code::AttestationNotAffirming),
        "negatives do not age"
    );
}

/// Rule R30.
#[test]
fn a_failed_policy_validation_denies_even_if_none_is_required() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    accepted(&world.submit(&validation("p1", PolicyVerdict::Fail).sign(&[&keys.orchestration])));
    assert_eq!(codes(&world.decide()), [Code::PolicyValidationFailed]);
}

/// Rules R28, R29.
#[test]
fn an_absent_list_is_not_checked_and_an_empty_one_approves_nothing() {
    let any = PolicyBody { attestation_status: None, ..attested_policy() };
    let mut world = World::with_policy(any);
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    accepted(&world.submit(&attestation(AttestationStatus::Warning, "m1").sign(&[&keys.attestation])));
    assert!(world.decide().is_allow());
    world.govern(policy(PolicyBody { measurements: Some(vec![]), ..attested_policy() }), &[]);
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    world.govern(
        policy(PolicyBody { attestation_status: None, measurements: Some(vec![]), ..attested_policy() }),
        &[],
    );
    assert_eq!(codes(&world.decide()), [Code::MeasurementNotApproved]);
    world.govern(
        policy(PolicyBody {
            attestation_status: None,
            measurements: Some(vec!["m1".to_owned()]),
            ..attested_policy()
        }),
        &[],
    );
    assert!(world.decide().is_allow(), "the policy at the read point judges old evidence too");
}

/// Rules R44, R45.
#[test]
fn policy_digests_must_be_approved_by_enough_issuers() {
    let body = PolicyBody {
        require: vec![require(EvidenceKind::PolicyValidation, Of::Execution, 2, None)],
        policy_digests: Some(vec!["p1".to_owned()]),
        ..attested_policy()
    };
    let mut world = World::with_policy(body);
    let keys = world.keys.clone();
    let artifact = accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::EvidenceMissing]);
    accepted(&world.submit(&validation("p1", PolicyVerdict::Pass).sign(&[&keys.orchestration])));
    assert_eq!(codes(&world.decide()), [Code::EvidenceMissing]);
    let own = validation("p2", PolicyVerdict::Pass).slot(1, Some(artifact.evidence_id));
    let own = accepted(&world.submit(&own.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::PolicyValidationFailed]);
    let own = validation("p1", PolicyVerdict::Pass).slot(2, Some(own.evidence_id));
    accepted(&world.submit(&own.sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow());
}

/// Rule R44.
#[test]
fn a_requirement_of_the_runtime_is_met_only_by_the_runtimes_lineage() {
    let body = PolicyBody {
        require: vec![require(EvidenceKind::RuntimeAttestation, Of::Runtime, 1, Some(300))],
        ..attested_policy()
    };
    let mut world = World::with_policy(body);
    world.grounds();
    let keys = world.keys.clone();
    assert_eq!(codes(&world.decide()), [Code::EvidenceMissing]);
    let mut asked = request();
    asked.runtime = Some("host-1".parse().unwrap());
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::EvidenceMissing, Code::LineageUnknown]);
    let host = affirming().lineage("host-1").subject("host");
    let host = accepted(&world.submit(&host.sign(&[&keys.attestation])));
    assert!(world.decide_at(0, &asked).is_allow());
    let bad = attestation(AttestationStatus::None, "m1").lineage("host-1").subject("host");
    accepted(&world.submit(&bad.slot(1, Some(host.evidence_id)).sign(&[&keys.attestation])));
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::AttestationNotAffirming]);
}

/// Rules R36, R38, R40, R50, R57.
#[test]
fn expired_evidence_authorities_and_artifacts_do_not_count() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).expires(at(100)).sign(&[&keys.governance[0]])));
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    assert_eq!(world.decide_at(95, &request()).valid_until, ms(100));
    assert_eq!(codes(&world.decide_at(100, &request())), [Code::EvidenceExpired]);

    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    world.grounds();
    assert!(world.decide_at(7199, &request()).is_allow());
    assert_eq!(codes(&world.decide_at(7200, &request())), [Code::EvidenceExpired]);

    let mut world = World::new();
    let short = key(50);
    world.govern(grant_for(short.public(), Role::Attestation, at(0), at(60)), &[&short]);
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    accepted(&world.submit(&affirming().sign(&[&short])));
    assert_eq!(world.decide_at(55, &request()).valid_until, ms(60));
    assert_eq!(codes(&world.decide_at(60, &request())), [Code::AuthorityExpired]);
}

/// Rules R22, R110.
#[test]
fn a_closed_lineage_is_denied_and_takes_no_more_evidence() {
    let mut world = World::new();
    let (artifact, attested) = world.grounds();
    let keys = world.keys.clone();
    accepted(&world.submit(&audit("completed").references(&[artifact]).sign(&[&keys.gateway])));
    assert_eq!(codes(&world.decide()), [Code::LineageClosed]);
    let mut asked = request();
    asked.lineage = None;
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::LineageUnknown]);
    let more = affirming().slot(1, Some(attested)).sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&more)), Code::LineageClosed);
}

/// Rule R43.
#[test]
fn a_policy_that_always_wants_a_permit_never_allows_by_reading() {
    let mut world = World::with_policy(PolicyBody { permit_always: true, ..attested_policy() });
    world.grounds();
    assert_eq!(codes(&world.decide()), [Code::PermitRequired]);
}

/// Rule R48.
#[test]
fn an_unreadable_row_denies() {
    use assent_registry::{Row, RowError, Rows, Table, View, authorize};
    struct Torn<'a>(&'a dyn Rows, Table);
    impl Rows for Torn<'_> {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
            if table == self.1 {
                Err(RowError::Mutated { table, key: key.to_vec() })
            } else {
                self.0.get(table, key)
            }
        }
        fn scan(
            &self,
            table: Table,
            from: &[u8],
            until: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<Row>, RowError> {
            if table == self.1 {
                Err(RowError::Unreadable("torn".to_owned()))
            } else {
                self.0.scan(table, from, until, limit)
            }
        }
    }
    let mut world = World::new();
    world.grounds();
    for table in
        [Table::Meta, Table::Authorities, Table::Domains, Table::Policies, Table::Lineages, Table::Slots]
    {
        let decision = authorize(&View::new(&Torn(&world.rows, table)), &request(), ms(0));
        assert_eq!(codes(&decision), [Code::EvidenceMutated], "{table:?}");
    }
}

/// Rule R31.
#[test]
fn a_negative_about_the_runtime_denies_even_if_its_kind_is_not_required() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let host = validation("p1", PolicyVerdict::Fail).lineage("host-1").subject("host");
    accepted(&world.submit(&host.sign(&[&keys.orchestration])));
    assert!(world.decide().is_allow());
    let mut asked = request();
    asked.runtime = Some("host-1".parse().unwrap());
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::PolicyValidationFailed]);
}

/// Rule R47.
#[test]
fn a_statement_dated_ahead_is_no_younger_than_its_acceptance() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let ahead = affirming().issued(at(1)).sign(&[&keys.attestation]);
    // 400 ms early, which the clock bound permits.
    let accepted_at = assent_proof::Millis(ms(0).0 + 600);
    let group = group_of(false, vec![unverified(&ahead)]);
    let outcomes =
        assent_registry::apply(&mut world.rows, assent_registry::RulesVersion::NEWEST, accepted_at, &[group]);
    accepted(&outcomes.unwrap()[0][0]);
    let just_before_its_issue_ages = assent_proof::Millis(ms(300).0 + 700);
    let view = assent_registry::View::new(&world.rows);
    let decision = assent_registry::authorize(&view, &request(), just_before_its_issue_ages);
    assert_eq!(codes(&decision), [Code::RuntimeStale]);
}

/// Rule R25.
#[test]
fn a_negative_that_damage_hid_is_missed_and_denies() {
    use assent_registry::{RowsMut, Table};
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation2]);
    accepted(&world.submit(&bad));
    let hidden: Vec<Vec<u8>> = world
        .rows
        .iter()
        .filter(|(table, key, _)| {
            let issuer = keys.attestation2.public();
            *table == Table::Slots && key.windows(32).any(|part| part == issuer.as_bytes())
        })
        .map(|(_, key, _)| key.to_vec())
        .collect();
    assert_eq!(hidden.len(), 1);
    world.rows.delete(Table::Slots, &hidden[0]).unwrap();
    assert_eq!(codes(&world.decide()), [Code::EvidenceMutated]);
}

/// Rule R25.
#[test]
fn a_second_lineage_of_a_digest_that_damage_hid_is_missed_and_denies() {
    use assent_registry::{RowsMut, Table};
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let by_digest = assent_proof::AuthorizeRequest { lineage: None, ..request() };
    assert!(world.decide_at(0, &by_digest).is_allow());
    accepted(&world.submit(&authorization(&["run"]).lineage("exec-2").sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(0, &by_digest)), [Code::LineageAmbiguous]);
    let rows: Vec<_> = world
        .rows
        .iter()
        .filter(|(table, ..)| *table == Table::OpenSubjects)
        .map(|(_, key, _)| key.to_vec())
        .collect();
    assert_eq!(rows.len(), 3, "two lineages and their count");
    for hidden in rows {
        let whole = world.rows.clone();
        world.rows.delete(Table::OpenSubjects, &hidden).unwrap();
        assert_eq!(codes(&world.decide_at(0, &by_digest)), [Code::EvidenceMutated]);
        world.rows = whole;
    }
}

/// Rule R51.
#[test]
fn a_decision_names_at_most_32_reasons_every_code_among_them_and_counts_the_others() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    // A tenant grants the role of audit to many keys, and each of them contains the lineage and the domain.
    let many: Vec<_> = (0..100).map(|n| key(100 + n)).collect();
    for auditor in &many {
        world.govern(grant(auditor.public(), Role::Audit), &[auditor]);
    }
    for auditor in &many {
        accepted(&world.submit(&quarantine("exec-1").sign(&[auditor])));
        accepted(&world.submit(&isolate().sign(&[auditor])));
    }
    let mut asked = request();
    asked.history = world.history();
    asked.min_revision = Some(10_000);
    let decision = world.decide_at(0, &asked);
    assert_eq!(decision.reasons.len(), assent_registry::limit::REASONS);
    assert!(decision.more_reasons > 0);
    let named: std::collections::BTreeSet<Code> = codes(&decision).into_iter().collect();
    let all =
        [Code::EvidenceMissing, Code::DomainIsolated, Code::LineageQuarantined, Code::RevisionNotReached];
    assert_eq!(named, all.into_iter().collect(), "a code that is last in order is named all the same");
    let page = assent_registry::query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    assert_eq!(page.quarantined_by.len(), assent_registry::limit::CONTAINMENTS_NAMED);
    // Each holds, whether or not it is named: releasing all but the last changes nothing.
    let held: Vec<_> = many.iter().map(|auditor| id_of(&isolate().sign(&[auditor]))).collect();
    for (place, isolation) in held.iter().enumerate() {
        assert!(codes(&world.decide()).contains(&Code::DomainIsolated), "{place} are released");
        world.govern(release(*isolation), &[]);
    }
    assert!(!codes(&world.decide()).contains(&Code::DomainIsolated));
}

/// Rules R13, R62.
#[test]
fn an_answer_does_not_depend_on_what_was_asked_before_it_on_the_same_view() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    // Another lineage, whose answer rests on more statements than one evaluation judges.
    accepted(&world.submit(&authorization(&["run"]).lineage("heavy").sign(&[&keys.governance[0]])));
    let mut base = Vec::new();
    for sequence in 0..4200_u64 {
        let bytes = integrity("m1").lineage("base").slot(sequence, base.last().copied());
        base.push(accepted(&world.submit(&bytes.sign(&[&keys.runtime]))).evidence_id);
    }
    let common = integrity("m1").lineage("common").sign(&[&keys.runtime]);
    let common = accepted(&world.submit(&common)).evidence_id;
    let mut parent = None;
    for (sequence, references) in (0_u64..).zip(base.chunks(5)) {
        let issued = at(-i64::try_from(sequence % 200).unwrap());
        let references = [&[common], references].concat();
        let draft = affirming().lineage("heavy").issued(issued).references(&references);
        let bytes = draft.slot(sequence, parent).sign(&[&keys.attestation2]);
        parent = Some(accepted(&world.submit_at(10, &bytes)).evidence_id);
    }
    accepted(&world.submit_at(20, &invalidate(common).sign(&[&keys.audit])));
    let heavy = assent_proof::AuthorizeRequest { lineage: Some("heavy".parse().unwrap()), ..request() };
    let light = request();
    let view = assent_registry::View::new(&world.rows);
    for asked in [&heavy, &light, &heavy, &light] {
        assert_eq!(assent_registry::authorize(&view, asked, ms(20)), world.decide_at(20, asked));
    }
    assert!(world.decide_at(20, &light).is_allow());
    assert!(codes(&world.decide_at(20, &heavy)).contains(&Code::InheritanceUnverifiable));
}

/// Rule R21.
#[test]
fn the_executions_own_lineage_is_no_runtime_however_it_was_named() {
    let of_runtime = require(EvidenceKind::RuntimeAttestation, Of::Runtime, 1, None);
    for (require, expected) in [
        (attested_policy().require, vec![Code::LineageUnknown]),
        (vec![of_runtime], vec![Code::EvidenceMissing, Code::LineageUnknown]),
    ] {
        let mut world = World::with_policy(PolicyBody { require, ..attested_policy() });
        world.grounds();
        let named = assent_proof::AuthorizeRequest { runtime: Some(lineage()), ..request() };
        let by_digest = assent_proof::AuthorizeRequest { lineage: None, ..named.clone() };
        for asked in [named, by_digest] {
            assert_eq!(codes(&world.decide_at(0, &asked)), expected, "{asked:?}");
        }
    }
}
