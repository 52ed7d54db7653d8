//! S20: of a batch, what is wrong with one envelope is held against it alone, or in mode `all` against all of them.
//!
//! Submissions that say which batch they are of are looked at together.
//! - In mode `each`, none is refused for the sake of another one.
//! - In either mode, none is refused with `authority_unknown` for its own sake whose issuers the registry knew: they are in the statements that
//!   founded it, in a grant that was acknowledged before, or something that they signed was. That a client is told to ask again, as with
//!   `overloaded`, is no refusal.
//! - None by a stranger is accepted.
//! - In mode `all`, none is accepted anew where another one is refused, for whatever reason.
//! - If one has an answer, every one has.
//!
//! Whether any other refusal is right is S2's, and whether what was refused is in a ledger all the same is S4's.

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

/// Submissions in batches are looked at.
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
    /// What is wrong with what became of it, whatever became of the others.
    fn alone(&self, known: &BTreeMap<String, u64>) -> Option<String> {
        let what = if self.of.stranger {
            receipt(self.record).map(|_| "an envelope by a stranger was accepted")
        } else if !self.is_refused() {
            None
        } else if is_refused_for_another(self.record) {
            (!self.of.all).then_some("one was refused for another one's sake, and the mode is `each`")
        } else {
            let is_strange = text(&self.record.output, "code") == Some("authority_unknown");
            (is_strange && self.is_known(known))
                .then_some("one by an issuer that the registry knew was refused as a stranger's")
        };
        what.map(str::to_owned)
    }

    /// Whether the registry knew all of its issuers when it was submitted.
    fn is_known(&self, known: &BTreeMap<String, u64>) -> bool {
        let said = text(&self.record.input, "envelope").and_then(StatementContent::of);
        let before = |issuer: &String| known.get(issuer).is_some_and(|from| *from < self.record.invoke_ns);
        said.is_some_and(|said| said.issuers.iter().all(before))
    }

    /// Whether it was refused for good.
    fn is_refused(&self) -> bool {
        self.record.outcome == Outcome::Deny && receipt(self.record).is_none() && is_served(self.record)
    }

    /// Whether this submission put it into the ledger.
    fn is_new(&self) -> bool {
        let repeated = self.record.output.get("repeated").and_then(Value::as_bool) == Some(true);
        self.record.outcome == Outcome::Ok && receipt(self.record).is_some() && !repeated
    }
}

/// The keys that the registry knows, each with when somebody had certainly been told so.
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

/// One of which nothing was said, while something was of others.
fn unanswered(elements: &[Element<'_>]) -> Option<(String, Vec<usize>)> {
    let (without, with): (Vec<&Element<'_>>, Vec<&Element<'_>>) =
        elements.iter().partition(|element| element.record.output.is_null());
    let (without, with) = (without.first()?, with.first()?);
    Some(("one has no answer, and another one has".to_owned(), vec![without.at, with.at]))
}

/// One that was accepted and one that was not, in mode `all`.
fn in_part(elements: &[Element<'_>]) -> Option<(String, Vec<usize>)> {
    let mut all = elements.iter().filter(|element| element.of.all);
    let new = all.clone().find(|element| element.is_new())?;
    let refused = all.find(|element| element.record.outcome == Outcome::Deny)?;
    let what = "one was accepted and another one was not, and the mode is `all`";
    Some((what.to_owned(), vec![new.at, refused.at]))
}
