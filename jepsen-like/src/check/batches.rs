//! S20: in a batch, a fault of one envelope is held against that envelope alone, or, in mode `all`, against all of
//! them.
//!
//! Submissions that say that they belong to one batch are judged together:
//! - In mode `each`, no envelope is refused because of another one.
//! - In either mode, no envelope whose issuers the registry knew is refused with `authority_unknown` for its own sake.
//!   The registry knows an issuer if it is in the statements that founded it, in a grant that was acknowledged before,
//!   or among the signers of something that was acknowledged before. An answer that tells the client to ask again,
//!   such as `overloaded`, is not a refusal.
//! - No envelope of an unknown issuer is accepted.
//! - In mode `all`, no envelope is newly accepted if another one is refused, for whatever reason.
//! - If one envelope has an answer, every envelope has one.
//!
//! S2 judges whether any other refusal is right, and S4 whether a refused envelope is in a ledger all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::book::longest_ledger;
use super::read::{Batch, StatementContent, batch, is_refused_for_another, is_served, receipt, text};
use super::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};

/// One submission of a batch.
struct Element<'h> {
    at: usize,
    record: &'h Record,
    of: Batch<'h>,
}

/// Looks at submissions in batches.
pub(super) fn check(history: &History) -> Verdict {
    let mut batches: BTreeMap<&str, Vec<Element<'_>>> = BTreeMap::new();
    for (at, record) in history.of(Op::Submit) {
        if let Some(of) = batch(record) {
            batches.entry(of.name).or_default().push(Element { at, record, of });
        }
    }
    let mut verdict = Verdict::default();
    if batches.is_empty() {
        return verdict;
    }
    let known = known(history);
    for (name, elements) in batches {
        verdict.looked_at = verdict.looked_at.saturating_add(u64::try_from(elements.len()).unwrap_or(0));
        let alone = elements.iter().filter_map(|element| Some((element.alone(&known)?, vec![element.at])));
        for (what, shown_by) in alone.chain(unanswered(&elements)).chain(in_part(&elements)) {
            verdict.violations.push(Violation { what: format!("`{name}`: {what}"), shown_by });
        }
    }
    verdict
}

impl Element<'_> {
    /// What is wrong with the outcome of this envelope, whatever the outcomes of the others are.
    fn alone(&self, known: &BTreeMap<String, u64>) -> Option<String> {
        let what = if self.of.stranger {
            receipt(self.record).map(|_| "an envelope by an unknown issuer was accepted")
        } else if !self.is_refused() {
            None
        } else if is_refused_for_another(self.record) {
            (!self.of.all).then_some("an envelope was refused because of another one, and the mode is `each`")
        } else {
            let is_strange = text(&self.record.output, "code") == Some("authority_unknown");
            (is_strange && self.is_known(known))
                .then_some("an envelope by a known issuer was refused as by an unknown one")
        };
        what.map(str::to_owned)
    }

    /// Whether the registry knew all of its issuers when it was submitted.
    fn is_known(&self, known: &BTreeMap<String, u64>) -> bool {
        let said = text(&self.record.input, "envelope").and_then(StatementContent::of);
        let before = |issuer: &String| known.get(issuer).is_some_and(|from| *from < self.record.invoke_ns);
        said.is_some_and(|said| said.issuers.iter().all(before))
    }

    /// Whether the refusal is final.
    fn is_refused(&self) -> bool {
        self.record.outcome == Outcome::Deny && receipt(self.record).is_none() && is_served(self.record)
    }

    /// Whether this submission put it into the ledger.
    fn is_new(&self) -> bool {
        let repeated = self.record.output.get("repeated").and_then(Value::as_bool) == Some(true);
        self.record.outcome == Outcome::Ok && receipt(self.record).is_some() && !repeated
    }
}

/// The keys that the registry knows, each with the time at which a client had certainly been told of it.
fn known(history: &History) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    let mut tell = |envelope: &str, from_ns: u64| {
        let Some(said) = StatementContent::of(envelope) else { return };
        let granted = text(&said.claims, "authority").filter(|_| said.kind == "authority-grant");
        let granted = granted.map(str::to_owned);
        for key in said.issuers.into_iter().chain(granted) {
            let first = known.entry(key).or_insert(from_ns);
            *first = from_ns.min(*first);
        }
    };
    if let Some(ledger) = longest_ledger(history) {
        ledger.leaves.iter().take(ledger.founded_with()).for_each(|leaf| tell(leaf.envelope, 0));
    }
    for (_, record) in history.of(Op::Submit).filter(|(_, record)| record.outcome == Outcome::Ok) {
        if let (Some(envelope), Some(returned)) = (text(&record.input, "envelope"), record.return_ns) {
            tell(envelope, returned);
        }
    }
    known
}

/// An envelope without an answer in a batch of which others have one.
fn unanswered(elements: &[Element<'_>]) -> Option<(String, Vec<usize>)> {
    let (without, with): (Vec<&Element<'_>>, Vec<&Element<'_>>) =
        elements.iter().partition(|element| element.record.output.is_null());
    let (without, with) = (without.first()?, with.first()?);
    Some(("one envelope has no answer, and another one has".to_owned(), vec![without.at, with.at]))
}

/// An accepted and a refused envelope of one batch in mode `all`.
fn in_part(elements: &[Element<'_>]) -> Option<(String, Vec<usize>)> {
    let mut all = elements.iter().filter(|element| element.of.all);
    let new = all.clone().find(|element| element.is_new())?;
    let refused = all.find(|element| element.record.outcome == Outcome::Deny)?;
    let what = "one envelope was accepted and another one was not, and the mode is `all`";
    Some((what.to_owned(), vec![new.at, refused.at]))
}
