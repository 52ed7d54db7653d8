//! `docs/protocol.md` lists what the code has: words, lengths, fields.

use std::collections::BTreeSet;

use assent_api::{
    BatchResult, EndReason, MAX_AUTHORIZE_BYTES, MAX_BATCH, MAX_BATCH_BYTES, MAX_EVENTS_FILTER,
    MAX_EVENTS_WAIT_MS, MAX_RESULT_BYTES, OUTCOME_UNKNOWN, Problem, ReceiptBody,
};
use assent_proof::claims::{
    DECISION_TTL_SECONDS_MAX, MAX_CHECKPOINT_BYTES, MAX_CONSISTENCY, MAX_DETAIL_BYTES, MAX_LIST,
    MAX_MEASUREMENT_BYTES, MAX_NAME_BYTES, MAX_RECOVERY_VOTERS, MAX_REQUIREMENTS, MIN_ISSUERS_MAX,
};
use assent_proof::name::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use assent_proof::note::{MAX_KEY_NAME_BYTES, MAX_NOTE_SIGNATURES};
use assent_proof::statement::{MAX_ISSUERS, MAX_ORIGIN_BYTES, MAX_REFERENCES, MAX_SUBJECT_NAME_BYTES};
use assent_proof::verify::ATTEMPTS_MAX;
use assent_proof::{
    AttestationStatus, Code, EvidenceId, EvidenceKind, History, MAX_DEPTH, MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES, Millis, Of, PolicyVerdict, Refusal, RevocationReason, Role,
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
    let ends = [
        EndReason::TooSlow,
        EndReason::Stopping,
        EndReason::Failed,
        EndReason::HistoryChanged,
        EndReason::CallerNotPermitted,
    ];
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
    let number = |number: u32| usize::try_from(number).unwrap();
    let bounds = [
        ("envelope, in bytes", MAX_ENVELOPE_BYTES),
        ("signatures of an envelope", MAX_SIGNATURES),
        ("JSON, in levels", MAX_DEPTH),
        ("`registry` (an origin), in bytes", MAX_ORIGIN_BYTES),
        ("`domain`, `lineage`, in bytes", NAME_BYTES_MAX),
        ("a subject's `name`, in bytes", MAX_SUBJECT_NAME_BYTES),
        ("`issuers`", MAX_ISSUERS),
        ("`references`", MAX_REFERENCES),
        ("`actions`, `audience`, `runtimes`, `attestationStatus`, `measurements`, `policyDigests`", MAX_LIST),
        ("an action, an audience, an environment, a nonce, in bytes", TOKEN_BYTES_MAX),
        ("`name`, `verifier`, `event`, in bytes", MAX_NAME_BYTES),
        ("`detail`, in bytes", MAX_DETAIL_BYTES),
        (
            "`measurement`, `measured`, `policyDigest` and the entries of their lists, in bytes",
            MAX_MEASUREMENT_BYTES,
        ),
        ("`keys`, `governance`, `nodeKeys`", MAX_ISSUERS),
        ("`uses`", number(u32::MAX)),
        ("`peer`, in bytes", MAX_KEY_NAME_BYTES),
        ("`checkpoint`, in bytes", MAX_CHECKPOINT_BYTES),
        ("`consistency`", MAX_CONSISTENCY),
        ("`voters` of a recovery", MAX_RECOVERY_VOTERS),
        ("`require`", MAX_REQUIREMENTS),
        ("`minIssuers`", number(MIN_ISSUERS_MAX)),
        ("`maxAgeSeconds`", number(u32::MAX)),
        ("`decisionTtlSeconds`", number(DECISION_TTL_SECONDS_MAX)),
    ];
    for (what, most) in bounds {
        let cells = row(lengths, what);
        assert_eq!(cells.get(3), Some(&written(most).as_str()), "{what}");
    }
    assert_eq!(row(lengths, "`threshold`").get(3), Some(&"the number of the keys"));
    // Those of the registry, which compares them itself: what a statement rests on, and the issuers of a lineage.
    let rows = lengths.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, 1 + bounds.len() + 1 + 2, "the head, and no row that nothing compares");
    let too_large = part("### What is too large");
    for (most, what) in [
        (MAX_ENVELOPE_BYTES, "bytes of the envelope"),
        (ATTEMPTS_MAX, "verifications"),
        (MAX_NOTE_SIGNATURES, "signature lines"),
    ] {
        assert!(too_large.contains(&format!("| {} | {what}", written(most))), "{what}");
    }
    assert_eq!((MAX_AUTHORIZE_BYTES, MAX_BATCH_BYTES), (16 << 10, 1 << 20));
    assert!(part("### Statuses").contains("16 KiB for a request, 1 MiB for a batch"));
    let batches = format!("one list of 1 to {} elements and have at most 1 MiB", written(MAX_BATCH));
    assert!(part("### Batches").contains(&batches));
    assert_eq!(MAX_RESULT_BYTES, 4 << 10);
    assert!(part("### Batches").contains("An element has at most 4 KiB"));
    let events = part("### Events");
    assert!(events.contains(&format!("`waitMs` (0 to {MAX_EVENTS_WAIT_MS})")));
    assert!(events.contains(&format!("each up\nto {MAX_EVENTS_FILTER} times")));
}

/// The fields of the list on the page that begins like this: those that are always there, and those that may be.
fn fields(part: &'static str, begin: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (_, rest) = part.split_once(begin).unwrap_or_else(|| panic!("no `{begin}`"));
    let (list, _) = rest.split_once('}').unwrap();
    let (optional, always): (Vec<&str>, Vec<&str>) =
        list.split(',').map(str::trim).partition(|field| field.ends_with('?'));
    let names = |fields: Vec<&str>| {
        fields.into_iter().map(|field| field.trim_end_matches('?').to_owned()).collect::<BTreeSet<String>>()
    };
    (names(always), names(optional))
}

/// The fields of a body, as it is written.
fn written_fields(body: &impl serde::Serialize) -> BTreeSet<String> {
    serde_json::to_value(body).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_field_of_a_problem_and_of_a_batchs_result_is_on_the_page() {
    let refusal = Refusal::of_batch(1, &Refusal::new(Code::SignatureInvalid, "x"));
    let history = History::founded([3; 32]);
    let evidence_id = EvidenceId([1; 32]);
    let receipt = ReceiptBody { evidence_id, ledger_index: 0, revision: 1, accepted_at: Millis(1), history };
    let least = Problem::new(Code::Malformed, 400, "x");
    let most = Problem {
        outcome: Some(OUTCOME_UNKNOWN.to_owned()),
        receipt: Some(receipt),
        head: Some(evidence_id),
        next_sequence: Some(1),
        history: Some(history),
        shared_revision: Some(1),
        ledger_revision: Some(1),
        ..Problem::from_refusal(&refusal, 400)
    };
    let result = BatchResult { status: 400, good: true, receipt: Some(receipt), problem: Some(most.clone()) };
    let bare = BatchResult { good: false, receipt: None, problem: None, ..result.clone() };
    for (list, least, most) in [
        (fields(part("### Batches"), "[{"), written_fields(&bare), written_fields(&result)),
        (fields(part("### Statuses"), ": `{"), written_fields(&least), written_fields(&most)),
    ] {
        let (always, optional) = list;
        assert_eq!(always, least);
        assert_eq!(optional, most.difference(&least).cloned().collect::<BTreeSet<String>>());
    }
}

#[test]
fn every_code_is_among_those_that_some_call_answers_with() {
    let table = part("### What each call answers");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let answers = rows.filter_map(|row| row.trim_matches('|').split_once(" | "));
    let named: BTreeSet<&str> =
        answers.flat_map(|(_, answers)| answers.split('`').skip(1).step_by(2)).collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(named, codes);
}
