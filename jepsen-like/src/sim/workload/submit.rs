//! Submission: the same bytes until the outcome is known, through one node after another.

use std::time::Duration;

use assent_proof::{Envelope, EvidenceId};
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::http::{Answer, NoAnswer};
use super::super::recorder::Begun;
use super::book::{Chain, ChainId};
use super::client::Client;
use crate::history::{Op, Outcome, receipt};

/// How often a submission is tried before its outcome is left unknown.
const TRIES: u64 = 6;
/// The deadline of one attempt; a node answers within two seconds.
const WITHIN: Duration = Duration::from_millis(2_500);

/// The outcome of a submission.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Submitted {
    /// It is in the ledger, and took its slot if it has one.
    Accepted,
    /// It is in the ledger as the second half of an equivocation.
    Equivocation,
    /// This attempt did not bring it into the ledger, for this reason of the rules.
    Refused(Value),
    /// The outcome is unknown, or no node could take it.
    Unknown,
}

impl Client {
    /// Submits until the outcome is known, a few times at most.
    pub(super) async fn submit(&mut self, domain: usize, envelope: &[u8]) -> Submitted {
        for round in 0..TRIES {
            if round > 0 {
                let pause = self.dice.between(50, 400);
                sleep(Duration::from_millis(pause)).await;
            }
            let node = self.any_node();
            let submitted = self.submit_once(domain, envelope, node, true).await;
            let taken = !matches!(submitted, Some(Submitted::Unknown) | None);
            self.shuns = (!taken).then_some(node);
            match submitted {
                Some(Submitted::Unknown) | None => {}
                // A repetition, for the rule that the same bytes have one receipt.
                Some(Submitted::Accepted) if self.dice.chance(1, 12) => {
                    let node = self.any_node();
                    let _ = self.submit_once(domain, envelope, node, true).await;
                    return Submitted::Accepted;
                }
                Some(known) => return known,
            }
        }
        Submitted::Unknown
    }

    /// One attempt at one node; `None` if nothing was sent.
    pub(super) async fn submit_once(
        &mut self,
        domain: usize,
        envelope: &[u8],
        node: u64,
        valid: bool,
    ) -> Option<Submitted> {
        let id = Envelope::parse(envelope).map(|envelope| envelope.id().to_string()).unwrap_or_default();
        let mut input = json!({"id": id, "envelope": String::from_utf8_lossy(envelope)});
        if let (false, Some(fields)) = (valid, input.as_object_mut()) {
            fields.insert("valid".to_owned(), Value::Bool(false));
        }
        let key = self.book().domains.get(domain).map(|domain| domain.name.to_string()).unwrap_or_default();
        let begun = self.shared.recorder.begin(Op::Submit, self.id, node, &key, input);
        let asked = self.http.ask(node, Method::POST, "/v1/envelopes", envelope.to_vec(), WITHIN).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(NoAnswer::NotSent) => {
                begun.forget();
                return None;
            }
            Err(NoAnswer::MaybeSent) => {
                begun.unknown(Value::Null);
                return Some(Submitted::Unknown);
            }
        };
        let (submitted, output) = read(answer);
        if submitted == Submitted::Accepted {
            self.book().was_accepted(domain, envelope, &output);
        }
        write_down(begun, &submitted, output);
        Some(submitted)
    }

    /// Submits what `sign` makes for the next slot of a chain, or what is still pending there. `None` if another
    /// caller is using that chain.
    pub(super) async fn submit_to_chain(
        &mut self,
        id: &ChainId,
        sign: impl FnOnce(u64, Option<EvidenceId>) -> Vec<u8>,
    ) -> Option<(Submitted, EvidenceId)> {
        let mut chain = self.book().take(id)?;
        let envelope = chain.pending.take().unwrap_or_else(|| sign(chain.next, chain.parent));
        let Some(evidence) = Envelope::parse(&envelope).ok().map(|envelope| envelope.id()) else {
            self.book().give(id, chain);
            return None;
        };
        let submitted = self.submit(id.0, &envelope).await;
        match &submitted {
            Submitted::Accepted => chain.took(evidence),
            Submitted::Unknown => chain.pending = Some(envelope),
            Submitted::Refused(problem) => learn(&mut chain, problem),
            Submitted::Equivocation => {}
        }
        self.book().give(id, chain);
        Some((submitted, evidence))
    }
}

/// Records how a submission ended.
pub(super) fn write_down(begun: Begun, submitted: &Submitted, output: Value) {
    match submitted {
        Submitted::Accepted => begun.end(Outcome::Ok, output),
        Submitted::Unknown if is_unknown(&output) => begun.unknown(output),
        Submitted::Equivocation | Submitted::Refused(_) | Submitted::Unknown => {
            begun.end(Outcome::Deny, output);
        }
    }
}

/// If a submission is refused because of its slot, the refusal names the next slot.
pub(super) fn learn(chain: &mut Chain, problem: &Value) {
    let next = problem.get("nextSequence").and_then(Value::as_u64);
    if let Some(next) = next {
        chain.next = next;
        chain.parent = problem.get("head").and_then(Value::as_str).and_then(|head| head.parse().ok());
    }
}

fn is_unknown(output: &Value) -> bool {
    output.get("outcome").and_then(Value::as_str) == Some("unknown") || output.is_null()
}

/// The body of a batch of these envelopes.
pub(super) fn batch_body(mode: &str, envelopes: &[&[u8]]) -> Vec<u8> {
    let begin = format!("{{\"mode\":\"{mode}\",\"envelopes\":[");
    [begin.into_bytes(), envelopes.join(&b','), b"]}".to_vec()].concat()
}

/// What a batch's answer says of the envelope in this place, as an answer of its own. If no envelope was checked, it
/// is the whole answer, which says why. If others were answered and this one was not, its outcome is unknown.
pub(super) fn of_place(answer: &Answer, place: u64) -> Answer {
    if answer.body.get("results").is_none() {
        return answer.clone();
    }
    let result = answer.body.pointer(&format!("/results/{place}")).unwrap_or(&Value::Null);
    let status = result.get("status").and_then(Value::as_u64);
    Answer {
        status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0),
        body: result.get("receipt").or_else(|| result.get("problem")).cloned().unwrap_or(Value::Null),
        text: String::new(),
    }
}

/// The outcome of a submission that an answer states, and the answer's body.
pub(super) fn read(answer: Answer) -> (Submitted, Value) {
    let output = match receipt(answer.status, answer.body) {
        Ok(receipt) => return (Submitted::Accepted, receipt),
        Err(body) => body,
    };
    let code = output.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    let submitted = match code.as_str() {
        _ if is_unknown(&output) => Submitted::Unknown,
        "authority_inconsistent" if output.get("receipt").is_some_and(Value::is_object) => {
            Submitted::Equivocation
        }
        "no_quorum"
        | "deadline_exceeded"
        | "overloaded"
        | "clock_uncertain"
        | "evidence_mutated"
        | "revision_not_reached" => Submitted::Unknown,
        // Also `registry_diverged`: so far only the rules answer it, about another registry's checkpoint.
        _ => Submitted::Refused(output.clone()),
    };
    (submitted, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_a_batch_has_its_own_answer_and_a_missing_one_is_unknown() {
        let body = json!({"results": [{"status": 201, "receipt": {"ledgerIndex": 7}},
            {"status": 403, "problem": {"code": "authority_unknown"}}]});
        let answer = Answer { status: 200, body, text: String::new() };
        let (first, output) = read(of_place(&answer, 0));
        assert_eq!((first, &output["ledgerIndex"]), (Submitted::Accepted, &json!(7)));
        let (second, _) = read(of_place(&answer, 1));
        assert_eq!(second, Submitted::Refused(json!({"code": "authority_unknown"})));
        assert_eq!(read(of_place(&answer, 2)), (Submitted::Unknown, Value::Null));
        let body = json!({"code": "overloaded"});
        let none = Answer { status: 503, body: body.clone(), text: String::new() };
        assert_eq!(read(of_place(&none, 1)), (Submitted::Unknown, body));
    }

    #[test]
    fn the_body_of_a_batch_has_each_envelope_byte_for_byte() {
        let body = batch_body("all", &[b"{ \"a\":1}", b"{}"]);
        assert_eq!(body, br#"{"mode":"all","envelopes":[{ "a":1},{}]}"#);
    }
}
