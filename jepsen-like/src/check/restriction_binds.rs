//! S1: what was restricted stays restricted.
//!
//! A question (authorize or permit) must be denied if one of these was acknowledged before it was asked:
//! - Its domain is isolated, or the lineage or runtime that it names is quarantined, and no release of that very
//!   containment can have had an effect by the time of the answer.
//! - Every issuer that may have an execution-authorization in its lineage is revoked, or has only invalidated ones.
//! - Of a kind that the policy named in the answer requires, fewer issuers are left, in the same way, than the policy
//!   requires.
//!
//! An answer does not say on which keys it rests. So these are the cases in which any answer would rest on a
//! restricted key: the check counts as a possible ground everything that was submitted by the time of the answer and
//! not certainly refused, and counts every release that may have been accepted. If the question names no lineage,
//! every lineage of the subject is a possible ground. The model of the rules (S2) judges keys that a new `root` or
//! `domain` leaves out, and what `invalidSince` makes void.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::book::{Book, Known};
use super::read::{StatementContent, is_question, list, number, receipt, text};
use super::{Verdict, Violation};
use crate::history::{History, Op, Record};

/// A restriction that was acknowledged.
struct Restriction {
    at: usize,
    id: String,
    said: StatementContent,
}

/// Why a question must be denied.
struct Bound {
    why: String,
    by: BTreeSet<usize>,
}

/// Looks at questions that had to be denied.
pub(super) fn check(history: &History) -> Verdict {
    let book = Book::of(history);
    let acknowledged: Vec<Restriction> = history.of(Op::Submit).filter_map(restriction).collect();
    let mut verdict = Verdict::default();
    let questions = history.records.iter().enumerate().filter(|(_, record)| is_question(record));
    for (at, asked) in questions {
        let Some(returned) = asked.return_ns else { continue };
        let before = |restriction: &&Restriction| {
            let record = history.records.get(restriction.at);
            record.is_some_and(|record| record.precedes(asked))
        };
        let restrictions = acknowledged.iter().filter(before).collect();
        let Some(bound) = (Case { book: &book, asked, returned, restrictions }).bound() else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if asked.is_allow() {
            let shown_by = bound.by.into_iter().chain([at]).collect();
            verdict.violations.push(Violation { what: format!("allowed although {}", bound.why), shown_by });
        }
    }
    verdict
}

fn restriction((at, submit): (usize, &Record)) -> Option<Restriction> {
    let said = StatementContent::of(text(&submit.input, "envelope")?)?;
    let id = receipt(submit)?.id;
    matches!(said.kind.as_str(), "revocation" | "containment").then_some(Restriction { at, id, said })
}

/// A question and what was acknowledged before it.
struct Case<'a> {
    book: &'a Book,
    asked: &'a Record,
    returned: u64,
    restrictions: Vec<&'a Restriction>,
}

impl<'a> Case<'a> {
    fn bound(&self) -> Option<Bound> {
        self.contained().or_else(|| self.unauthorized()).or_else(|| self.unmet())
    }

    fn input(&self, field: &str) -> Option<&'a str> {
        text(&self.asked.input, field)
    }

    /// Its domain is isolated, or one of its lineages quarantined.
    fn contained(&self) -> Option<Bound> {
        let domain = self.input("domain")?;
        let holds = |restriction: &&&Restriction| {
            let claims = &restriction.said.claims;
            let target = text(claims, "target");
            let hit = match text(claims, "action") {
                Some("isolate") => target == Some(domain),
                Some("quarantine") => {
                    restriction.said.domain == domain
                        && target.is_some()
                        && [self.input("lineage"), self.input("runtime")].contains(&target)
                }
                _ => false,
            };
            hit && !self.may_be_released(&restriction.id)
        };
        let restriction = self.restrictions.iter().find(holds)?;
        let why = format!("the {} `{}` was in force", containment(restriction), restriction.id);
        Some(Bound { why, by: BTreeSet::from([restriction.at]) })
    }

    fn may_be_released(&self, id: &str) -> bool {
        let mut releases = self.book.of_kind("release", self.returned);
        releases.any(|(_, known)| text(&known.said.claims, "containment") == Some(id))
    }

    /// No issuer that may have authorized it is left.
    fn unauthorized(&self) -> Option<Bound> {
        let lineage = self.input("lineage");
        let subject = self.asked.input.pointer("/subject/digest/sha256").and_then(Value::as_str);
        let issuers = self.issuers("execution-authorization", |said| match lineage {
            Some(lineage) => said.lineage == lineage,
            None => subject == Some(said.subject.as_str()),
        });
        self.fewer_than(1, "execution-authorization", &issuers)
    }

    /// The policy requires more issuers than are left.
    fn unmet(&self) -> Option<Bound> {
        let id = self.asked.output.pointer("/policy/evidenceId").and_then(Value::as_str)?;
        let policy = self.book.known.get(id)?;
        list(&policy.said.claims, "require").iter().find_map(|required| {
            let lineage = match text(required, "of")? {
                "execution" => self.input("lineage"),
                _ => self.input("runtime"),
            }?;
            let kind = text(required, "kind")?;
            let issuers = self.issuers(kind, |said| said.lineage == lineage);
            self.fewer_than(number(required, "minIssuers")?, kind, &issuers)
        })
    }

    /// The issuers that may have a statement of this kind, each with what ended it, if it has ended.
    fn issuers(
        &self,
        kind: &'a str,
        of: impl Fn(&StatementContent) -> bool,
    ) -> BTreeMap<&'a str, Option<usize>> {
        let domain = self.input("domain");
        let mut issuers = BTreeMap::new();
        for (id, Known { said, .. }) in self.book.of_kind(kind, self.returned) {
            if Some(said.domain.as_str()) != domain || !of(said) {
                continue;
            }
            for issuer in &said.issuers {
                let over = self.over(issuer, id);
                let known = issuers.entry(issuer.as_str()).or_insert(over);
                // One piece of evidence that still stands is enough.
                *known = known.and(over);
            }
        }
        issuers
    }

    /// What revoked the issuer or invalidated the evidence.
    fn over(&self, issuer: &str, id: &str) -> Option<usize> {
        let ends = |restriction: &&&Restriction| {
            let claims = &restriction.said.claims;
            text(claims, "authority") == Some(issuer)
                || text(claims, "action") == Some("invalidate") && text(claims, "target") == Some(id)
        };
        self.restrictions.iter().find(ends).map(|restriction| restriction.at)
    }

    fn fewer_than(&self, least: u64, kind: &str, issuers: &BTreeMap<&str, Option<usize>>) -> Option<Bound> {
        let by: BTreeSet<usize> = issuers.values().copied().flatten().collect();
        let left = issuers.values().filter(|over| over.is_none()).count();
        let too_few = u64::try_from(left).is_ok_and(|left| left < least);
        let why = format!("of the {} issuers of `{kind}` only {left} are left", issuers.len());
        (too_few && !by.is_empty()).then_some(Bound { why, by })
    }
}

fn containment(restriction: &Restriction) -> &'static str {
    match text(&restriction.said.claims, "action") {
        Some("isolate") => "isolation",
        _ => "quarantine",
    }
}
