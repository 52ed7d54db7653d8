//! The rare events of batches: those of a crowd, and those with an unknown issuer's envelope.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::workload::CROWD;
use super::{Seen, has_code};
use crate::history::{History, Op, Outcome, Record};

impl Seen {
    /// The outcomes of crowds, and of the calls beside them.
    pub(super) fn crowds(&mut self, history: &History) {
        let is_crowd = |record: &&Record| CROWD.contains(&record.client);
        for crowd in history.records.iter().filter(is_crowd) {
            let code = crowd.output.get("code").and_then(Value::as_str);
            if code == Some("overloaded") || has_code(crowd, "overloaded") {
                self.reached("crowd turned away");
            } else if crowd.op == Op::Authorize && crowd.output.get("decision").is_some() {
                self.reached("crowd answered");
            } else if code == Some("authority_unknown") {
                self.reached("crowd's garbage refused");
            } else if code == Some("times_invalid") {
                self.reached("crowd's early refused");
            } else if crowd.op == Op::Submit && crowd.outcome == Outcome::Ok {
                self.reached("crowd's again answered");
            }
            let meanwhile = |at: u64| at > crowd.invoke_ns && crowd.return_ns.is_some_and(|end| at < end);
            let beside = history.records.iter().any(|record| {
                record.client > 0
                    && !CROWD.contains(&record.client)
                    && record.node == crowd.node
                    && record.outcome == Outcome::Ok
                    && meanwhile(record.invoke_ns)
            });
            if beside {
                self.reached("caller beside a crowd");
            }
        }
    }

    /// The outcomes of batches with one envelope by an unknown issuer, and of batches that were all or nothing.
    pub(super) fn batches(&mut self, history: &History) {
        let mut batches: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for (_, record) in history.of(Op::Submit) {
            if let Some(name) = batch_of(record) {
                batches.entry(name).or_default().push(record);
            }
        }
        for (name, records) in batches {
            let all = records.iter().any(|record| is_in_batch(record, "mode", &json!("all")));
            let accepted = records.iter().filter(|record| record.outcome == Outcome::Ok).count();
            let stranger = records.iter().any(|record| {
                is_in_batch(record, "stranger", &json!(true)) && says(record, "code", "authority_unknown")
            });
            let whole = records.iter().any(|record| says(record, "field", "envelopes["));
            match (all, stranger) {
                (false, true) if accepted > 0 => {
                    self.reached("stranger refused alone");
                    if self.learned.contains(name) {
                        self.reached("leader found a stranger");
                    }
                }
                (true, _) if whole => self.reached("batch refused whole"),
                (true, _) if accepted > 1 && accepted == records.len() => {
                    self.reached("batch accepted whole");
                }
                _ => {}
            }
        }
    }
}

/// The name of the batch that a submission was part of.
pub(super) fn batch_of(record: &Record) -> Option<&str> {
    record.input.pointer("/batch/name")?.as_str()
}

/// Whether the input names this value for a submission's batch.
fn is_in_batch(record: &Record, field: &str, value: &Value) -> bool {
    record.input.get("batch").and_then(|batch| batch.get(field)) == Some(value)
}

/// Whether a field of the output begins with this text.
fn says(record: &Record, field: &str, begin: &str) -> bool {
    record.output.get(field).and_then(Value::as_str).is_some_and(|text| text.starts_with(begin))
}
