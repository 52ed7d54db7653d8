//! The history of a run: one record on each line, so that any checker can judge it. `README.md` describes the format.
//!
//! A [`Record`] is one operation from its invocation to its return, or one thing that the harness did or saw. Times
//! are nanoseconds since the run began, on one clock that no node can read: simulated time, or, if the nodes are real
//! processes, the harness's own clock. This module owns the form of records, and their reading and writing; it never
//! judges them.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All records of a run, in order of invocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The records.
    pub records: Vec<Record>,
}

/// One operation, or one thing that the harness did or saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The kind of record.
    pub op: Op,
    /// The client that did it; 0 is the harness. A client does one thing at a time.
    pub client: u64,
    /// The node that was asked, struck or sampled. It is 0 if there is no particular node, for example in a submission
    /// that the real client made through any of the nodes.
    pub node: u64,
    /// The key of checks that go key by key: a domain's name, or empty.
    pub key: String,
    /// What was asked.
    pub input: Value,
    /// What came back; null if nothing came back.
    pub output: Value,
    /// When it was invoked.
    pub invoke_ns: u64,
    /// When it returned; `None` if it never did.
    pub return_ns: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// An envelope was submitted. Input `{id, envelope}` (evidence id; the envelope as text); output a receipt `{evidenceId,
    /// ledgerIndex, revision, acceptedAt, repeated}`, or a problem document with `code` (and `receipt` for an equivocation).
    Submit,
    /// An authorize. Input is the request, output the answer's whole body.
    Authorize,
    /// A permit. Input is the request with its nonce, output the answer's whole body.
    Permit,
    /// A page of events. Input `{after}`, output `{events: [{index, evidenceId}], history, revision}`.
    Events,
    /// At the end, what a node holds. Output `{revision, applied, digest, leaves: [{index, evidenceId, acceptedAt, envelope}]}`;
    /// `envelope` is the stored text, and `applied` the log index at which `digest` (of all rows) was taken.
    Ledger,
    /// A fault, from when it began to have an effect until it was undone. Input `{kind, nodes, …}`. The kind `cut`
    /// says that for all that time `node` could exchange messages with no node, itself included, that could exchange
    /// messages with a quorum. For chaos's kinds, `kill`, `pause` and `stop`, the input names in `struck` the part of
    /// the cluster: `follower`, `leader` or `majority`.
    Fault,
    /// What the harness saw of a node's Raft state when it changed. Output `{boot, term, vote: {term, node, committed}, state,
    /// leader, lastLog, committed: {index, term}, applied: {index, term}, voters: [[id…]…], learners: [id…], revision}`; log indexes
    /// or null, `state` one of `leader`, `candidate`, `follower`, `learner`, `shutdown`; `boot` counts the starts of this node.
    Sample,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Accepted, allowed, read.
    Ok,
    /// Refused or denied: it certainly had no effect, except an equivocation, which has a receipt.
    Deny,
    /// The outcome is unknown: it may have happened, may still happen, or may never happen.
    Unknown,
}

impl Outcome {
    /// How a question ended, by the status and the body of its answer.
    pub fn of_question(status: u16, body: &Value) -> Self {
        match body.get("decision").and_then(Value::as_str) {
            Some("allow") if status == 200 => Self::Ok,
            Some("deny") => Self::Deny,
            // A problem document: there was no decision.
            _ if body.get("code").is_some() => Self::Deny,
            _ => Self::Unknown,
        }
    }
}

/// The receipt that answered a submission, as a history has it: the status tells whether it is `repeated`.
///
/// # Errors
/// The body itself, if the answer is not a receipt.
pub fn receipt(status: u16, mut body: Value) -> Result<Value, Value> {
    if !matches!(status, 200 | 201) {
        return Err(body);
    }
    let Some(fields) = body.as_object_mut() else { return Err(body) };
    fields.insert("repeated".to_owned(), Value::Bool(status == 200));
    Ok(body)
}

/// An error of reading or writing a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be read or written.
    #[error("reading or writing the history: {0}")]
    Io(#[from] io::Error),
    /// A line is not a record.
    #[error("line {line} of the history is not a record: {problem}")]
    Malformed {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: serde_json::Error,
    },
}

impl History {
    /// Reads a history of JSON lines. Records are put in order of invocation; equal times stay in the file's order.
    pub fn read(from: impl BufRead) -> Result<Self, HistoryError> {
        let mut records = Vec::new();
        for (at, line) in from.lines().enumerate() {
            let record: Record = serde_json::from_str(&line?)
                .map_err(|problem| HistoryError::Malformed { line: at.saturating_add(1), problem })?;
            records.push(record);
        }
        Ok(Self::new(records))
    }

    /// A history of these records.
    pub fn new(mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.invoke_ns);
        Self { records }
    }

    /// Writes one JSON document a line.
    pub fn write(&self, mut to: impl Write) -> Result<(), HistoryError> {
        for record in &self.records {
            serde_json::to_writer(&mut to, record).map_err(io::Error::from)?;
            to.write_all(b"\n")?;
        }
        Ok(to.flush()?)
    }

    /// Writes it to a file.
    pub fn save(&self, path: &Path) -> Result<(), HistoryError> {
        self.write(BufWriter::new(File::create(path)?))
    }

    /// The records of one kind, each with its place in the history.
    pub fn of(&self, op: Op) -> impl Iterator<Item = (usize, &Record)> {
        self.records.iter().enumerate().filter(move |(_, record)| record.op == op)
    }
}

impl Record {
    /// Whether it had returned when `other` was invoked.
    pub fn precedes(&self, other: &Record) -> bool {
        self.return_ns.is_some_and(|returned| returned < other.invoke_ns)
    }

    /// Whether it is an authorize or a permit that was allowed.
    pub fn is_allow(&self) -> bool {
        matches!(self.op, Op::Authorize | Op::Permit) && self.outcome == Outcome::Ok
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_without_a_decision_or_a_code_leaves_a_question_open() {
        let decided = |decision: &str| json!({"decision": decision});
        assert_eq!(Outcome::of_question(200, &decided("allow")), Outcome::Ok);
        assert_eq!(Outcome::of_question(403, &decided("allow")), Outcome::Unknown, "no allow comes with 403");
        assert_eq!(Outcome::of_question(403, &decided("deny")), Outcome::Deny);
        assert_eq!(Outcome::of_question(503, &json!({"code": "overloaded"})), Outcome::Deny);
        assert_eq!(Outcome::of_question(200, &Value::Null), Outcome::Unknown);
    }

    #[test]
    fn a_receipt_is_repeated_if_its_status_says_so() {
        assert_eq!(receipt(201, json!({"revision": 3})), Ok(json!({"revision": 3, "repeated": false})));
        assert_eq!(receipt(200, json!({"revision": 3})), Ok(json!({"revision": 3, "repeated": true})));
        assert_eq!(receipt(409, json!({"code": "x"})), Err(json!({"code": "x"})));
        assert_eq!(receipt(200, Value::Null), Err(Value::Null));
    }

    #[test]
    fn a_history_is_one_record_a_line_and_reads_back() {
        let record = Record {
            op: Op::Authorize,
            client: 2,
            node: 1,
            key: "prod".into(),
            input: json!({"domain": "prod"}),
            output: json!({"decision": "deny"}),
            invoke_ns: 5,
            return_ns: None,
            outcome: Outcome::Deny,
        };
        let history = History::new(vec![Record { invoke_ns: 9, ..record.clone() }, record]);
        let mut text = Vec::new();
        history.write(&mut text).unwrap();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(History::read(text.as_slice()).unwrap(), history);
        assert_eq!(history.records[0].invoke_ns, 5, "in order of invocation");
        let bad = [text.as_slice(), b"{}\n"].concat();
        assert!(History::read(bad.as_slice()).unwrap_err().to_string().starts_with("line 3"));
    }
}
