//! S14: an answer proves itself to a reader who was not there.
//!
//! Every allow carries a receipt. Every receipt verifies with the product's offline verifier against the keys that the
//! ledger's `_root` grants the role `registry`: one of them signed it, the leaf is in the signed tree, and the leaf
//! says what the decision says. Every decision is about the request that was asked. It says `allow` exactly when the
//! client was allowed, and has no reasons exactly then. All decisions are of one cluster. Every leaf of a ledger has
//! the id of its bytes, and the signatures of all its issuers.
//!
//! A deny without a receipt is taken as it is, because a node that is stopping signs none; so is an answer that is a
//! problem and not a decision. If there is no ledger, no keys are known, and signatures are not checked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use assent_proof::{PublicKey, Rules, RulesVersion, verify, verify_decision};

use super::book::{Leaf, ledgers};
use super::read::{StatementContent, is_question, list, number, request, text};
use super::{Verdict, Violation};
use crate::history::{History, Outcome, Record};

/// Looks at decisions and leaves.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut leaves: BTreeMap<(&str, &str), (usize, Leaf<'_>, Rules)> = BTreeMap::new();
    for ledger in ledgers(history) {
        let mut rules = Rules::GENESIS;
        for leaf in ledger.leaves {
            leaves.entry((leaf.id, leaf.envelope)).or_insert((ledger.at, leaf, rules));
            rules = raised(&leaf).unwrap_or(rules);
        }
    }
    let first = leaves.values().map(|(_, leaf, _)| leaf).min_by_key(|leaf| leaf.index);
    let origin = first.and_then(|leaf| origin(leaf.envelope)).unwrap_or_default();
    for (at, leaf, rules) in leaves.values() {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if let Some(problem) = unproven(leaf, &origin, *rules) {
            let what = format!("leaf {} (`{}`): {problem}", leaf.index, leaf.id);
            verdict.violations.push(Violation { what, shown_by: vec![*at] });
        }
    }
    let trusted: BTreeSet<PublicKey> = leaves.values().filter_map(|(_, leaf, _)| node_key(leaf)).collect();
    let trusted: Vec<PublicKey> = trusted.into_iter().collect();
    let mut cluster = None;
    for (at, record) in history.records.iter().enumerate().filter(|(_, record)| is_question(record)) {
        if text(&record.output, "decision").is_none() && record.outcome != Outcome::Ok {
            continue;
        }
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let mut push = |what| verdict.violations.push(Violation { what, shown_by: vec![at] });
        if let Some(problem) = unlike(record) {
            push(problem.to_owned());
        }
        if let Some(problem) = unsigned(record, &trusted) {
            push(problem);
        }
        if cluster_of(record) != *cluster.get_or_insert(cluster_of(record)) {
            push("it names another cluster than the answers before".to_owned());
        }
    }
    verdict
}

/// The cluster that a decision names; its epoch may be later than the epoch of earlier answers.
fn cluster_of(record: &Record) -> Option<&str> {
    text(&record.output, "history")?.split_once("/e").map(|(cluster, _)| cluster)
}

/// How a decision differs from what was asked and from what the client was told.
fn unlike(record: &Record) -> Option<&'static str> {
    let output = &record.output;
    let allows = text(output, "decision") == Some("allow");
    if record.outcome != Outcome::Unknown && allows != (record.outcome == Outcome::Ok) {
        return Some("it says another thing than the client took it for");
    }
    if allows != list(output, "reasons").is_empty() {
        return Some("an allow has no reasons, and a deny has some");
    }
    if output.get("request").map(request) != Some(request(&record.input)) {
        return Some("it is about another request than was asked");
    }
    None
}

/// Why its receipt does not verify.
fn unsigned(record: &Record, trusted: &[PublicKey]) -> Option<String> {
    if record.output.get("receipt").is_none_or(Value::is_null) {
        return (record.outcome == Outcome::Ok).then(|| "an allow without a receipt".to_owned());
    }
    if trusted.is_empty() {
        return None;
    }
    let verified = verify_decision(record.output.to_string().as_bytes(), trusted);
    verified.err().map(|refusal| format!("its receipt does not verify: {refusal}"))
}

/// Why a leaf does not verify under the rules under which it was accepted.
fn unproven(leaf: &Leaf<'_>, origin: &str, rules: Rules) -> Option<String> {
    match verify(leaf.envelope.as_bytes(), origin, rules) {
        Ok(verified) if verified.id().to_string() == leaf.id => None,
        Ok(verified) => Some(format!("its bytes have the id `{}`", verified.id())),
        Err(refusal) => Some(refusal.to_string()),
    }
}

/// The registry to which a statement is addressed.
pub(super) fn origin(envelope: &str) -> Option<String> {
    let envelope = assent_proof::Envelope::parse(envelope.as_bytes()).ok()?;
    let statement: Value = serde_json::from_slice(&envelope.payload).ok()?;
    Some(statement.pointer("/predicate/registry")?.as_str()?.to_owned())
}

/// The version of the rules to which a leaf raises the registry.
fn raised(leaf: &Leaf<'_>) -> Option<Rules> {
    let said = StatementContent::of(leaf.envelope).filter(|said| said.kind == "rules")?;
    Rules::of(RulesVersion(number(&said.claims, "version")?.try_into().ok()?))
}

/// The node's key that a leaf grants.
fn node_key(leaf: &Leaf<'_>) -> Option<PublicKey> {
    let said = StatementContent::of(leaf.envelope)?;
    let grants = said.kind == "authority-grant"
        && said.domain == "_root"
        && text(&said.claims, "role") == Some("registry");
    if grants { text(&said.claims, "authority")?.parse().ok() } else { None }
}
