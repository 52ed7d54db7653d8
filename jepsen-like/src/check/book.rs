//! Every statement that may have been recorded at any time, and what the nodes held at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::read::{StatementContent, list, may_be_accepted, number, text};
use crate::history::{History, Op, Outcome};

/// A statement that may have been accepted.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) said: StatementContent,
    /// The statement had no effect before then, because it had not been submitted. 0 if no client is known to have
    /// submitted it.
    pub(super) from_ns: u64,
    /// Its texts, as they were submitted.
    pub(super) texts: BTreeSet<String>,
}

/// Statements by id.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) known: BTreeMap<String, Known>,
    /// The ids of the statements of each kind.
    by_kind: BTreeMap<String, BTreeSet<String>>,
}

impl Book {
    /// Everything that was submitted and not certainly refused, and everything that a ledger holds.
    pub(super) fn of(history: &History) -> Self {
        let mut book = Self::default();
        for (_, submit) in history.of(Op::Submit).filter(|(_, submit)| may_be_accepted(submit)) {
            let (id, envelope) = (text(&submit.input, "id"), text(&submit.input, "envelope"));
            let (Some(id), Some(envelope)) = (id, envelope) else { continue };
            if let Some(known) = book.known.get_mut(id) {
                known.texts.insert(envelope.to_owned());
            } else {
                book.add(id, envelope, submit.invoke_ns);
            }
        }
        for ledger in ledgers(history) {
            for leaf in ledger.leaves {
                if !book.known.contains_key(leaf.id) {
                    book.add(leaf.id, leaf.envelope, 0);
                }
            }
        }
        book
    }

    fn add(&mut self, id: &str, envelope: &str, from_ns: u64) {
        let Some(said) = StatementContent::of(envelope) else { return };
        self.by_kind.entry(said.kind.clone()).or_default().insert(id.to_owned());
        let texts = BTreeSet::from([envelope.to_owned()]);
        self.known.insert(id.to_owned(), Known { said, from_ns, texts });
    }

    /// The statements of a kind that may have had an effect by then, each with its id.
    pub(super) fn of_kind<'b>(
        &'b self,
        kind: &str,
        by_ns: u64,
    ) -> impl Iterator<Item = (&'b str, &'b Known)> + use<'b> {
        let ids = self.by_kind.get(kind).into_iter().flatten();
        let known = ids.filter_map(move |id| Some((id.as_str(), self.known.get(id)?)));
        known.filter(move |(_, known)| known.from_ns <= by_ns)
    }
}

/// A leaf of a ledger as a node holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf<'h> {
    pub(super) index: u64,
    pub(super) id: &'h str,
    pub(super) accepted_at: u64,
    pub(super) envelope: &'h str,
}

/// What a node held at one moment.
#[derive(Debug)]
pub(super) struct Ledger<'h> {
    /// The place of the record in the history.
    pub(super) at: usize,
    pub(super) node: u64,
    /// The whole answer.
    pub(super) output: &'h Value,
    pub(super) leaves: Vec<Leaf<'h>>,
}

/// Every record of a ledger, in order.
pub(super) fn ledgers(history: &History) -> impl Iterator<Item = Ledger<'_>> {
    let read = history.of(Op::Ledger).filter(|(_, record)| record.outcome == Outcome::Ok);
    read.map(|(at, record)| {
        let leaves = list(&record.output, "leaves").iter().filter_map(leaf).collect();
        Ledger { at, node: record.node, output: &record.output, leaves }
    })
}

/// The last record of each node's ledger.
pub(super) fn last_ledgers(history: &History) -> Vec<Ledger<'_>> {
    let last: BTreeMap<u64, Ledger<'_>> = ledgers(history).map(|ledger| (ledger.node, ledger)).collect();
    last.into_values().collect()
}

/// The last ledger of the node that holds most.
pub(super) fn longest_ledger(history: &History) -> Option<Ledger<'_>> {
    last_ledgers(history).into_iter().max_by_key(|ledger| ledger.leaves.len())
}

fn leaf(value: &Value) -> Option<Leaf<'_>> {
    Some(Leaf {
        index: number(value, "index")?,
        id: text(value, "evidenceId")?,
        accepted_at: number(value, "acceptedAt")?,
        envelope: text(value, "envelope")?,
    })
}

impl<'h> Ledger<'h> {
    /// The leaf at an index.
    pub(super) fn leaf(&self, index: u64) -> Option<Leaf<'h>> {
        // A complete ledger has every leaf in its place.
        let in_place = usize::try_from(index).ok().and_then(|place| self.leaves.get(place));
        let in_place = in_place.filter(|leaf| leaf.index == index);
        in_place.or_else(|| self.leaves.iter().find(|leaf| leaf.index == index)).copied()
    }

    /// How many leaves the registry was founded with: those that were accepted at the same time as the first one.
    pub(super) fn founded_with(&self) -> usize {
        let at = self.leaves.first().map(|leaf| leaf.accepted_at);
        self.leaves.iter().take_while(|leaf| Some(leaf.accepted_at) == at).count()
    }
}
