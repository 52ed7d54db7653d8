//! What the answers to a scheduler's questions were: allows, or denies by their code.

use assent_client::load::{Judgement, LoadReport};
use assent_proof::Code;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How an allow is counted.
const ALLOW: &str = "allow";

/// The parts of a decision, or of a problem document, that say why not.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    reasons: Vec<Reason>,
    #[serde(default)]
    code: Option<Code>,
}

#[derive(Deserialize)]
struct Reason {
    code: Code,
}

/// Judges answers of `POST /v1/authorize` for lineages that are allowed: an allow is expected. Any other answer is
/// counted by its first code.
pub(crate) fn judge(status: u16, body: &[u8]) -> Judgement {
    if status == 200 && body.starts_with(br#"{"decision":"allow""#) {
        return Judgement { label: ALLOW, expected: true, resend: false };
    }
    let label = match serde_json::from_slice::<Said>(body) {
        Ok(said) => {
            let reason = said.reasons.first().map(|reason| reason.code);
            reason.or(said.code).map_or("answer without a code", Code::as_str)
        }
        Err(_) => "not an answer of a node",
    };
    Judgement { label, expected: false, resend: false }
}

/// The answers that were not allows, by code, and the requests without an answer, by what went wrong.
pub(crate) fn denies(load: &LoadReport) -> BTreeMap<&'static str, u64> {
    load.outcomes
        .iter()
        .filter(|(label, _)| **label != ALLOW)
        .map(|(label, count)| (*label, *count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_allow_is_counted_by_its_code() {
        for (status, body, label) in [
            (200, r#"{"decision":"allow","x":1}"#, ALLOW),
            (503, r#"{"decision":"deny","reasons":[{"code":"overloaded","detail":"d"}]}"#, "overloaded"),
            (403, r#"{"decision":"deny","reasons":[{"code":"lineage_unknown"}]}"#, "lineage_unknown"),
            (503, r#"{"type":"t","code":"overloaded"}"#, "overloaded"),
            (503, r#"{"decision":"allow"}"#, "answer without a code"),
            (502, "<html>", "not an answer of a node"),
        ] {
            let judgement = judge(status, body.as_bytes());
            assert_eq!((judgement.label, judgement.expected), (label, label == ALLOW), "{status} {body}");
        }
    }
}
