//! `docs/protocol.md` lists what the code has: words, lengths, fields.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use assent_api::{
    BatchResult, EndReason, MAX_AUTHORIZE_BYTES, MAX_BATCH, MAX_BATCH_BYTES, MAX_EVENTS_FILTER,
    MAX_EVENTS_WAIT_MS, Problem,
};
use assent_proof::claims::{
    DECISION_TTL_SECONDS_MAX, MAX_CHECKPOINT_BYTES, MAX_CONSISTENCY, MAX_DETAIL_BYTES, MAX_LIST,
    MAX_MEASUREMENT_BYTES, MAX_NAME_BYTES, MAX_RECOVERY_VOTERS, MAX_REQUIREMENTS,
};
use assent_proof::note::MAX_KEY_NAME_BYTES;
use assent_proof::statement::{MAX_ISSUERS, MAX_ORIGIN_BYTES, MAX_REFERENCES};
use assent_proof::{
    AttestationStatus, Code, EvidenceKind, MAX_DEPTH, MAX_ENVELOPE_BYTES, MAX_SIGNATURES, Of, PolicyVerdict,
    Refusal, RevocationReason, Role,
};

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// The part of the page under this heading, up to the next one.
fn part(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
    rest.split("\n#").next().unwrap()
}

/// The row of a table that begins with this cell, as its cells.
fn row(part: &'static str, first: &str) -> Vec<&'static str> {
    let line = part.lines().find(|line| line.starts_with(&format!("| {first} |")));
    line.unwrap_or_else(|| panic!("no row `{first}`")).split('|').map(str::trim).collect()
}

#[test]
fn every_word_of_the_protocol_is_on_its_page() {
    let roles = part("### Roles");
    for role in Role::ALL {
        row(roles, &format!("`{role}`"));
    }
    let kinds = part("## Kinds");
    for kind in EvidenceKind::ALL {
        row(kinds, &format!("`{kind}`"));
    }
    let mut words: Vec<(&str, &str)> = Vec::new();
    words.extend(RevocationReason::ALL.iter().map(|word| (roles, word.as_str())));
    words.extend(AttestationStatus::ALL.iter().map(|word| (kinds, word.as_str())));
    words.extend(PolicyVerdict::ALL.iter().map(|word| (kinds, word.as_str())));
    words.extend(Of::ALL.iter().map(|word| (part("## Policy"), word.as_str())));
    let ends = [EndReason::TooSlow, EndReason::Stopping, EndReason::Failed, EndReason::HistoryChanged];
    words.extend(ends.iter().map(|word| (part("### Events"), word.as_str())));
    for (part, word) in words {
        assert!(part.contains(&format!("`{word}`")), "`{word}` is not where it should be");
    }
}

/// A number with a comma before each three digits.
fn written(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits.get(..first).unwrap().to_owned();
    for (place, digit) in digits.chars().skip(first).enumerate() {
        if place % 3 == 0 && !text.is_empty() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn every_length_on_the_page_is_the_codes() {
    let lengths = part("### Lengths");
    for (what, most) in [
        ("envelope, in bytes", MAX_ENVELOPE_BYTES),
        ("signatures of an envelope", MAX_SIGNATURES),
        ("JSON, in levels", MAX_DEPTH),
        ("`registry` (an origin), in bytes", MAX_ORIGIN_BYTES),
        ("`issuers`", MAX_ISSUERS),
        ("`references`", MAX_REFERENCES),
        ("`actions`, `audience`, `runtimes`, `attestationStatus`, `measurements`, `policyDigests`", MAX_LIST),
        ("`name`, `verifier`, `event`, in bytes", MAX_NAME_BYTES),
        ("`detail`, in bytes", MAX_DETAIL_BYTES),
        (
            "`measurement`, `measured`, `policyDigest` and the entries of their lists, in bytes",
            MAX_MEASUREMENT_BYTES,
        ),
        ("`keys`, `governance`, `nodeKeys`", MAX_ISSUERS),
        ("`peer`, in bytes", MAX_KEY_NAME_BYTES),
        ("`checkpoint`, in bytes", MAX_CHECKPOINT_BYTES),
        ("`consistency`", MAX_CONSISTENCY),
        ("`voters` of a recovery", MAX_RECOVERY_VOTERS),
        ("`require`", MAX_REQUIREMENTS),
        ("`decisionTtlSeconds`", DECISION_TTL_SECONDS_MAX.try_into().unwrap()),
    ] {
        let cells = row(lengths, what);
        assert_eq!(cells.get(3), Some(&written(most).as_str()), "{what}");
    }
    assert_eq!((MAX_AUTHORIZE_BYTES, MAX_BATCH_BYTES), (16 << 10, 1 << 20));
    assert!(part("### Statuses").contains("16 KiB for a request, 1 MiB for a batch"));
    let batches = format!("one list of 1 to {} elements and have at most 1 MiB", written(MAX_BATCH));
    assert!(part("### Batches").contains(&batches));
    let events = part("### Events");
    assert!(events.contains(&format!("`waitMs` (0 to {MAX_EVENTS_WAIT_MS})")));
    assert!(events.contains(&format!("each up\nto {MAX_EVENTS_FILTER} times")));
}

#[test]
fn every_field_of_a_problem_and_of_a_batchs_result_is_on_the_page() {
    let refusal = Refusal::of_batch(1, &Refusal::new(Code::SignatureInvalid, "x"));
    let result = BatchResult::refused(Problem::from_refusal(&refusal, 400));
    let value = serde_json::to_value(&result).unwrap();
    for field in value.as_object().unwrap().keys() {
        assert!(part("### Batches").contains(field.as_str()), "{field}");
    }
    for field in value.get("problem").unwrap().as_object().unwrap().keys() {
        assert!(part("### Statuses").contains(field.as_str()), "{field}");
    }
}
