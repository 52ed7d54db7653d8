//! Reads the records of a history without trusting the code that is judged.
//!
//! This module owns the reading of answers and envelopes. If a field is missing or has another form, it reads as
//! absent, and an absent field is never judged: S14 judges whether answers have their documented form.

use std::collections::BTreeSet;

use serde_json::Value;

use assent_proof::{Seconds, decode_base64};

use crate::history::{History, Op, Outcome, Record};

/// Codes by which the registry says that it cannot know at the moment.
const CANNOT_KNOW: &[&str] = &[
    "no_quorum",
    "deadline_exceeded",
    "overloaded",
    "clock_uncertain",
    "registry_diverged",
    "evidence_mutated",
    "revision_not_reached",
];

/// A field's text.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field)?.as_str()
}

/// A field's number.
pub(super) fn number(value: &Value, field: &str) -> Option<u64> {
    value.get(field)?.as_u64()
}

/// A field's list; empty if there is none.
pub(super) fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A log index, written as a number or as `{index, …}`.
pub(super) fn log_index(value: &Value, field: &str) -> Option<u64> {
    let value = value.get(field)?;
    value.as_u64().or_else(|| number(value, "index"))
}

/// A request without the fields that are null: it means the same as with them.
pub(super) fn request(value: &Value) -> Value {
    let Some(fields) = value.as_object() else { return value.clone() };
    let said = fields.iter().filter(|(_, value)| !value.is_null());
    Value::Object(said.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The content of a receipt, without `repeated`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) id: String,
    pub(super) index: u64,
    pub(super) revision: u64,
    pub(super) accepted_at: u64,
}

impl Receipt {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "evidenceId")?.to_owned(),
            index: number(value, "ledgerIndex")?,
            revision: number(value, "revision")?,
            accepted_at: number(value, "acceptedAt")?,
        })
    }
}

/// The receipt that a record was answered with: of a submission, of its equivocation, or of a recorded permit.
pub(super) fn receipt(record: &Record) -> Option<Receipt> {
    match record.op {
        Op::Submit => Receipt::of(&record.output).or_else(|| Receipt::of(record.output.get("receipt")?)),
        Op::Permit => Receipt::of(record.output.get("permit")?),
        _ => None,
    }
}

/// Whether a submission may have had an effect.
pub(super) fn may_be_accepted(record: &Record) -> bool {
    record.outcome != Outcome::Deny
        || receipt(record).is_some()
        || text(&record.output, "outcome") == Some("unknown")
}

/// The batch that a submission was part of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'h> {
    /// The batch's name; no other batch of the history has it.
    pub(super) name: &'h str,
    /// Whether the batch is all or nothing (mode `all`).
    pub(super) all: bool,
    /// Whether this envelope is by a key that was never granted anything.
    pub(super) stranger: bool,
}

/// The batch that a submission was part of, if it was part of one.
pub(super) fn batch(record: &Record) -> Option<Batch<'_>> {
    let batch = record.input.get("batch")?;
    Some(Batch {
        name: text(batch, "name")?,
        all: text(batch, "mode")? == "all",
        stranger: batch.get("stranger")?.as_bool()?,
    })
}

/// Whether it was refused because another envelope of its batch was: the refusal's field names another place in the
/// batch.
pub(super) fn is_refused_for_another(record: &Record) -> bool {
    text(&record.output, "field").is_some_and(|field| field.starts_with("envelopes["))
}

/// Whether a refusal does not say how the rules judge this envelope by itself. In a batch that is all or nothing, the
/// refusal may name the fault of another envelope, or that this one proves an equivocation, for which it would have
/// been recorded if it had been submitted alone.
pub(super) fn is_of_failed_batch(record: &Record) -> bool {
    batch(record).is_some_and(|batch| batch.all)
        && receipt(record).is_none()
        && (is_refused_for_another(record) || text(&record.output, "code") == Some("authority_inconsistent"))
}

/// Whether it is an authorize or a permit.
pub(super) fn is_question(record: &Record) -> bool {
    matches!(record.op, Op::Authorize | Op::Permit)
}

/// Whether a checkpoint of another registry was submitted, and refused because it does not extend that registry's last
/// one. That is an answer by the rules, although elsewhere its code says that this registry cannot know.
pub(super) fn is_peers_divergence(record: &Record) -> bool {
    let is_checkpoint = |said: StatementContent| said.kind == "synchronization-continuity";
    record.op == Op::Submit
        && text(&record.output, "code") == Some("registry_diverged")
        && text(&record.input, "envelope").and_then(StatementContent::of).is_some_and(is_checkpoint)
}

/// Whether the cluster did its work: it accepted, allowed or read, or it denied or refused by the rules.
pub(super) fn is_served(record: &Record) -> bool {
    let codes = list(&record.output, "reasons").iter().filter_map(|reason| text(reason, "code"));
    let mut codes = codes.chain(text(&record.output, "code"));
    match record.outcome {
        Outcome::Ok => true,
        Outcome::Deny => {
            let cannot_know = codes.any(|code| CANNOT_KNOW.contains(&code));
            !record.output.is_null() && (!cannot_know || is_peers_divergence(record))
        }
        Outcome::Unknown => false,
    }
}

/// Whether a client asked for it, as opposed to the harness.
pub(super) fn is_clients(record: &Record) -> bool {
    matches!(record.op, Op::Submit | Op::Authorize | Op::Permit | Op::Events)
}

/// The content of an envelope. No signature is checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StatementContent {
    pub(crate) kind: String,
    pub(super) domain: String,
    pub(super) lineage: String,
    /// The subject's SHA-256.
    pub(super) subject: String,
    pub(super) issuers: BTreeSet<String>,
    pub(super) sequence: Option<u64>,
    /// In milliseconds.
    pub(super) expires_at: Option<i64>,
    pub(super) claims: Value,
}

impl StatementContent {
    /// Reads an envelope's text.
    pub(crate) fn of(envelope: &str) -> Option<Self> {
        let envelope: Value = serde_json::from_str(envelope).ok()?;
        let payload = decode_base64(text(&envelope, "payload")?)?;
        let statement: Value = serde_json::from_slice(&payload).ok()?;
        let predicate = statement.get("predicate")?;
        let issuers = list(predicate, "issuers").iter().filter_map(Value::as_str);
        Some(Self {
            kind: text(&statement, "predicateType")?.strip_prefix("urn:egpep:v1:")?.to_owned(),
            domain: text(predicate, "domain")?.to_owned(),
            lineage: text(predicate, "lineage")?.to_owned(),
            subject: statement.pointer("/subject/0/digest/sha256")?.as_str()?.to_owned(),
            issuers: issuers.map(str::to_owned).collect(),
            sequence: number(predicate, "sequence"),
            expires_at: millis(predicate, "expiresAt"),
            claims: predicate.get("claims")?.clone(),
        })
    }

    /// A claim's time in milliseconds.
    pub(super) fn time(&self, claim: &str) -> Option<i64> {
        millis(&self.claims, claim)
    }
}

fn millis(value: &Value, field: &str) -> Option<i64> {
    let seconds: Seconds = text(value, field)?.parse().ok()?;
    Some(seconds.to_millis().0)
}

/// The last moment that a history records.
pub(super) fn end_ns(history: &History) -> u64 {
    history
        .records
        .iter()
        .map(|record| record.return_ns.unwrap_or(0).max(record.invoke_ns))
        .max()
        .unwrap_or(0)
}
