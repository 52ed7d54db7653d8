//! How findings become a decision.

use assent_proof::{Code, EvidenceId, Millis, PolicyBody};

use super::verdict::{Decision, Findings, Grounds, JudgedBy, conclude};

const POLICY: EvidenceId = EvidenceId([1; 32]);
const AUTHORIZATION: EvidenceId = EvidenceId([2; 32]);
const NOW: Millis = Millis(1_000);

/// What is found where nothing speaks against an allow.
fn unopposed() -> Findings {
    let policy = PolicyBody {
        require: Vec::new(),
        attestation_status: None,
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    };
    let mut findings = Findings::new(NOW, 1);
    findings.policy = Some(JudgedBy::new(POLICY, &policy));
    findings
}

fn grounds() -> Option<Grounds> {
    Some(Grounds::new(POLICY, AUTHORIZATION, 10))
}

/// Why it denies, of a deny, which holds for no time.
#[track_caller]
fn denied(decision: &Decision) -> Vec<Code> {
    assert!(!decision.is_allow());
    assert_eq!(decision.valid_until, NOW);
    decision.reasons.iter().map(|reason| reason.code).collect()
}

/// Rules R49, R50.
#[test]
fn an_allow_needs_grounds_under_the_judging_policy_no_reason_to_deny_and_time_left() {
    let allowed = conclude(unopposed(), grounds());
    assert!(allowed.is_allow());
    assert_eq!(allowed.valid_until, Millis(11_000));

    assert_eq!(denied(&conclude(unopposed(), None)), [Code::EvidenceMissing]);

    let under_another = Grounds::new(EvidenceId([3; 32]), AUTHORIZATION, 10);
    assert_eq!(denied(&conclude(unopposed(), Some(under_another))), [Code::EvidenceMissing]);

    let mut over = unopposed();
    over.until(Some(NOW));
    assert_eq!(denied(&conclude(over, grounds())), [Code::EvidenceMissing]);

    let mut opposed = unopposed();
    opposed.deny(Code::LineageClosed, "it is closed".to_owned(), None);
    assert_eq!(denied(&conclude(opposed, grounds())), [Code::LineageClosed]);
}
