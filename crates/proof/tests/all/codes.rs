//! The enum of codes.

use assent_proof::Code;
use std::collections::BTreeSet;

#[test]
fn codes_have_distinct_strings_that_read_back() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), 59);
    assert_eq!(Code::ALL.len(), 59);
    for code in Code::ALL {
        assert_eq!(code.as_str().parse::<Code>().unwrap(), *code);
        assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    }
    assert!("No_quorum".parse::<Code>().is_err());
}

#[test]
fn every_code_has_a_clause_of_the_rfc_and_one_line_of_remedy() {
    for code in Code::ALL {
        let section = code.clause().strip_prefix("RFC-EG-033 §").unwrap();
        assert!((2..=10).contains(&section.parse::<u8>().unwrap()), "{code}");
        assert!(
            !code.remedy().is_empty() && !code.remedy().contains('\n') && !code.remedy().ends_with('.'),
            "{code}"
        );
    }
}

#[test]
fn codes_keep_the_order_in_which_a_decision_lists_its_reasons() {
    let order: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let expected = "unsigned_evidence lineage_fragmented runtime_stale no_quorum evidence_detached \
        authority_inconsistent registry_diverged evidence_missing evidence_mutated inheritance_unverifiable malformed \
        too_large encoding_unsupported signature_invalid wrong_registry head_moved times_invalid claims_invalid \
        target_unknown authority_unknown authority_revoked authority_expired role_not_permitted threshold_not_met \
        domain_unknown domain_isolated lineage_closed subject_mismatch clock_uncertain deadline_exceeded overloaded \
        caller_not_permitted policy_missing lineage_unknown lineage_ambiguous lineage_quarantined evidence_expired \
        evidence_invalidated attestation_not_affirming measurement_not_approved policy_validation_failed \
        action_not_permitted audience_mismatch environment_mismatch runtime_mismatch permit_required \
        authorization_consumed nonce_reused head_mismatch revision_not_reached history_mismatch \
         cursor_beyond_ledger member_unknown member_exists member_behind quorum_at_risk membership_busy \
         member_removed internal_error";
    assert_eq!(order, expected.split_whitespace().collect::<Vec<_>>());
    assert!(Code::ALL.is_sorted());
}
