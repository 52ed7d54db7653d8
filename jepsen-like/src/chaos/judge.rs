//! Wrong answers: what no fault excuses.
//!
//! A function of the history alone. A deny is never wrong here, and neither is silence; they are measured elsewhere.

use std::collections::BTreeMap;

use super::history::{Digest, History, Outcome, Stored, Struck, Submission};

/// Something that must not happen, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which rule was broken.
    pub rule: Rule,
    /// What shows it.
    pub evidence: String,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No allow that was asked for after its restriction was acknowledged.
    RestrictionBinds,
    /// No allow that was asked for and answered while no quorum was there.
    NoQuorumNoAllow,
    /// What was acknowledged is on every node.
    NothingIsLost,
    /// What was acknowledged is on every node byte for byte.
    NothingIsChanged,
    /// The same bytes have one receipt.
    OneReceipt,
    /// An envelope that follows an acknowledged one is not refused.
    NothingIsForgotten,
    /// A submission's outcome is known in the end.
    OutcomesAreKnown,
    /// At the end all nodes have applied the same.
    NodesConverge,
    /// Nodes that have applied the same hold the same.
    EqualDigests,
}

impl Rule {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::RestrictionBinds => "a restriction binds",
            Rule::NoQuorumNoAllow => "no allow without a quorum",
            Rule::NothingIsLost => "nothing is lost",
            Rule::NothingIsChanged => "nothing is changed",
            Rule::OneReceipt => "one receipt",
            Rule::NothingIsForgotten => "nothing is forgotten",
            Rule::OutcomesAreKnown => "outcomes are known",
            Rule::NodesConverge => "nodes converge",
            Rule::EqualDigests => "equal digests",
        }
    }
}

/// Everything wrong in a history.
pub fn judge(history: &History) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    restrictions(history, &mut wrong);
    quorums(history, &mut wrong);
    for submission in &history.submissions {
        receipts(submission, &mut wrong);
    }
    stored(history, &mut wrong);
    digests(&history.nodes, &history.digests, &mut wrong);
    wrong
}

fn restrictions(history: &History, wrong: &mut Vec<Wrong>) {
    let mut bound = BTreeMap::new();
    for restriction in &history.restricted {
        let first = bound.entry(restriction.question).or_insert(restriction);
        if restriction.acknowledged < first.acknowledged {
            *first = restriction;
        }
    }
    for asked in history.asked.iter().filter(|asked| asked.outcome == Outcome::Allow) {
        // Asked in the very moment of the acknowledgement is not asked after it.
        if let Some(restriction) = bound.get(&asked.question)
            && asked.invoked > restriction.acknowledged
        {
            let evidence = format!(
                "its {} was acknowledged at {:?}: {asked:?}",
                restriction.how, restriction.acknowledged
            );
            wrong.push(Wrong { rule: Rule::RestrictionBinds, evidence });
        }
    }
}

fn quorums(history: &History, wrong: &mut Vec<Wrong>) {
    for fault in history.faults.iter().filter(|fault| fault.struck == Struck::Majority) {
        let without = |at| at > fault.effective && at < fault.healing;
        let allowed = history.asked.iter().filter(|asked| {
            asked.outcome == Outcome::Allow && without(asked.invoked) && without(asked.returned)
        });
        for asked in allowed {
            let evidence = format!(
                "from {:?} to {:?} only a minority was there, without {:?}: {asked:?}",
                fault.effective, fault.healing, fault.victims
            );
            wrong.push(Wrong { rule: Rule::NoQuorumNoAllow, evidence });
        }
    }
}

fn receipts(submission: &Submission, wrong: &mut Vec<Wrong>) {
    let mut push = |rule, evidence: String| wrong.push(Wrong { rule, evidence });
    let id = &submission.id;
    if let Some(first) = submission.receipts.first() {
        if let Some(other) = submission.receipts.iter().find(|receipt| *receipt != first) {
            push(Rule::OneReceipt, format!("`{id}`: {first:?}, and again {other:?}"));
        }
        if first.evidence_id != *id {
            push(Rule::OneReceipt, format!("`{id}`: {first:?}"));
        }
    }
    match &submission.refused {
        Some(why) => push(Rule::NothingIsForgotten, format!("`{id}` was refused: {why}")),
        None if submission.receipts.is_empty() => {
            let unknown = submission.unknown;
            push(Rule::OutcomesAreKnown, format!("`{id}`: the client gave up {unknown} times"));
        }
        None => {}
    }
}

fn stored(history: &History, wrong: &mut Vec<Wrong>) {
    let mut found = BTreeMap::new();
    for entry in &history.found {
        found.insert((entry.node, entry.id.as_str()), entry.stored);
    }
    for submission in history.submissions.iter().filter(|submission| !submission.receipts.is_empty()) {
        for node in &history.nodes {
            let rule = match found.get(&(*node, submission.id.as_str())) {
                Some(Stored::Same) => continue,
                Some(Stored::Different) => Rule::NothingIsChanged,
                Some(Stored::Missing) | None => Rule::NothingIsLost,
            };
            let evidence =
                format!("node {node}: `{}`, acknowledged at {:?}", submission.id, submission.ended);
            wrong.push(Wrong { rule, evidence });
        }
    }
}

fn digests(nodes: &[u64], digests: &[Digest], wrong: &mut Vec<Wrong>) {
    let missing = nodes.iter().filter(|node| !digests.iter().any(|digest| digest.node == **node));
    for node in missing {
        let evidence = format!("node {node} gave no digest");
        wrong.push(Wrong { rule: Rule::NodesConverge, evidence });
    }
    for (place, digest) in digests.iter().enumerate() {
        for other in digests.iter().skip(place + 1) {
            let rule = match (digest.applied == other.applied, digest.digest == other.digest) {
                (true, true) => continue,
                (true, false) => Rule::EqualDigests,
                (false, _) => Rule::NodesConverge,
            };
            wrong.push(Wrong { rule, evidence: format!("{digest:?} and {other:?}") });
        }
    }
}
