//! S8: what has expired stays expired.
//!
//! Registry time is the latest time at which anything was accepted, and no answer is given as of an earlier time. So
//! for every allow:
//! - Its `evaluatedAt` is not before any `acceptedAt` that a client had been told when the question was asked,
//!   whichever node told it and whichever node led. Nor is it before the `acceptedAt` of the last leaf of the revision
//!   that the allow names.
//! - At `evaluatedAt`, some execution-authorization that the allow may rest on was valid (`notBefore`, `notAfter`,
//!   `expiresAt`). Its `validUntil` is after `evaluatedAt`, and not after the end of all these authorizations.
//!
//! And `acceptedAt` never falls along a ledger. Together these rules say: what was expired when something was accepted
//! is never allowed again. The `evaluatedAt` of an answer that records nothing does not bind later answers: it does
//! not move registry time, and two nodes that trust their clocks may differ by up to twice the clock bound.

use super::book::{Book, Ledger, longest_ledger};
use super::read::{StatementContent, receipt, text};
use super::{Verdict, Violation};
use crate::history::{History, Record};

/// Looks at allows.
pub(super) fn check(history: &History) -> Verdict {
    let book = Book::of(history);
    let ledger = longest_ledger(history);
    let told = told(history);
    let mut verdict = Verdict::default();
    if let Some(ledger) = &ledger {
        let pairs = ledger.leaves.iter().zip(ledger.leaves.iter().skip(1));
        for (before, after) in pairs.filter(|(before, after)| after.accepted_at < before.accepted_at) {
            let what = format!("leaf {} was accepted before leaf {}", after.index, before.index);
            verdict.violations.push(Violation { what, shown_by: vec![ledger.at] });
        }
    }
    for (at, allow) in history.records.iter().enumerate().filter(|(_, record)| record.is_allow()) {
        let Some(evaluated) = time(allow, "evaluatedAt") else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let mut push = |what, shown_by| verdict.violations.push(Violation { what, shown_by });
        let before = told.partition_point(|(returned, ..)| *returned < allow.invoke_ns).checked_sub(1);
        if let Some((_, accepted, teller)) = before.and_then(|last| told.get(last))
            && evaluated < *accepted
        {
            push(
                format!("allowed as of {evaluated}, after a client had been told {accepted}"),
                vec![*teller, at],
            );
        }
        if let Some(ledger) = &ledger
            && let Some(accepted) = last_leaf(ledger, allow).filter(|accepted| evaluated < *accepted)
        {
            push(
                format!("allowed as of {evaluated} from a revision accepted at {accepted}"),
                vec![at, ledger.at],
            );
        }
        if let Some(what) = expired(&book, allow, evaluated) {
            push(what, vec![at]);
        }
    }
    verdict
}

/// The latest time that had been told, by when it was told, and the record that told it.
fn told(history: &History) -> Vec<(u64, i64, usize)> {
    let receipts = history.records.iter().enumerate().filter_map(|(at, record)| {
        let accepted = i64::try_from(receipt(record)?.accepted_at).ok()?;
        Some((record.return_ns?, accepted, at))
    });
    let mut told: Vec<_> = receipts.collect();
    told.sort_unstable();
    let mut latest = (i64::MIN, 0);
    for (_, accepted, teller) in &mut told {
        latest = latest.max((*accepted, *teller));
        (*accepted, *teller) = latest;
    }
    told
}

fn time(record: &Record, field: &str) -> Option<i64> {
    record.output.get(field)?.as_i64()
}

fn last_leaf(ledger: &Ledger<'_>, allow: &Record) -> Option<i64> {
    let last = super::read::number(&allow.output, "revision")?.checked_sub(1)?;
    i64::try_from(ledger.leaf(last)?.accepted_at).ok()
}

/// Why no authorization that the allow may rest on was valid.
fn expired(book: &Book, allow: &Record, evaluated: i64) -> Option<String> {
    let (domain, lineage) = (text(&allow.input, "domain")?, text(&allow.input, "lineage")?);
    let authorizations = book.of_kind("execution-authorization", allow.return_ns?);
    let ends: Vec<(i64, i64)> = authorizations
        .filter(|(_, known)| known.said.domain == domain && known.said.lineage == lineage)
        .map(|(_, known)| validity(&known.said))
        .collect();
    let end =
        ends.iter().filter(|(begin, end)| (*begin..*end).contains(&evaluated)).map(|(_, end)| *end).max();
    let until = time(allow, "validUntil").unwrap_or(i64::MAX);
    match end {
        // The history does not show what the allow rests on.
        None if ends.is_empty() => None,
        None => Some(format!("no authorization was valid at {evaluated}, the time of the allow")),
        Some(end) if until > end => {
            Some(format!("valid until {until}, and its last authorization ends at {end}"))
        }
        Some(_) if until <= evaluated => {
            Some(format!("valid until {until}, which was already over at {evaluated}"))
        }
        Some(_) => None,
    }
}

fn validity(said: &StatementContent) -> (i64, i64) {
    let end = said.time("notAfter").unwrap_or(i64::MAX).min(said.expires_at.unwrap_or(i64::MAX));
    (said.time("notBefore").unwrap_or(i64::MIN), end)
}
