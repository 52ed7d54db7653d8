//! S10: a replay from the beginning gives what a node holds, even if the node got it by a snapshot and the entries
//! after it.
//!
//! The check founds a registry anew, in memory, on the first leaves of the longest ledger. It applies every later leaf
//! by itself, at the time at which it was accepted, and each leaf must come to its place. After as many leaves as a
//! node holds, the digest of all rows is the node's digest, whatever the node went through: batches of any size,
//! snapshots, crashes in between, upgrades of the rules.
//!
//! The product's own rules apply the leaves: a mistake in these rules shows in S2. If a node holds less than it
//! applied, and what it holds is the beginning of the longest ledger, S5 finds it. A value that is not a digest, as in
//! histories written by hand, is passed over.

use std::collections::{BTreeSet, VecDeque};

use blake3::Hash;

use assent_proof::{Envelope, Millis};
use assent_registry::{
    GenesisFile, Group, MemoryRows, Outcome, RulesVersion, Unverified, apply, bootstrap, query,
};
use assent_store::RegistryDigest;

use super::book::{Leaf, Ledger, ledgers, longest_ledger};
use super::offline::origin;
use super::read::{number, text};
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at ledgers with a digest.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut told: Vec<NodeReport> = ledgers(history).filter_map(|ledger| told(&ledger)).collect();
    told.sort_by_key(|told| told.revision);
    let Some(longest) = longest_ledger(history).filter(|_| !told.is_empty()) else { return verdict };
    let mut replay = Replay::founded_on(&longest);
    for told in told {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let digest =
            replay.as_mut().map_err(|problem| problem.clone()).and_then(|replay| replay.up_to(told.revision));
        let what = match digest {
            Ok(digest) if digest == told.digest => continue,
            Ok(digest) => format!(
                "node {} holds `blake3:{}`, and the first {} leaves replayed give `blake3:{digest}`",
                told.node, told.digest, told.revision
            ),
            Err(problem) => format!("a replay does not give what node {} holds: {problem}", told.node),
        };
        let shown_by = BTreeSet::from([longest.at, told.at]).into_iter().collect();
        verdict.violations.push(Violation { what, shown_by });
    }
    verdict
}

/// What a node reported of itself.
struct NodeReport {
    at: usize,
    node: u64,
    revision: u64,
    digest: Hash,
}

fn told(ledger: &Ledger<'_>) -> Option<NodeReport> {
    let digest = text(ledger.output, "digest")?.strip_prefix("blake3:")?;
    let (revision, digest) = (number(ledger.output, "revision")?, Hash::from_hex(digest).ok()?);
    Some(NodeReport { at: ledger.at, node: ledger.node, revision, digest })
}

/// A registry that the check builds from leaves, one after another.
struct Replay<'h> {
    rows: MemoryRows,
    origin: String,
    done: u64,
    rest: VecDeque<Leaf<'h>>,
}

impl<'h> Replay<'h> {
    fn founded_on(ledger: &Ledger<'h>) -> Result<Self, String> {
        let (first, rest) = ledger.leaves.split_at(ledger.founded_with());
        let rows =
            founded_on(first).map_err(|problem| format!("its first leaves found no registry: {problem}"))?;
        first.iter().try_for_each(|leaf| is_there(&rows, leaf))?;
        let origin = first.first().and_then(|leaf| origin(leaf.envelope)).unwrap_or_default();
        Ok(Self { rows, origin, done: first.len() as u64, rest: rest.iter().copied().collect() })
    }

    /// The digest of the rows at a revision, which must not be smaller than the revision of the call before.
    fn up_to(&mut self, revision: u64) -> Result<Hash, String> {
        while self.done < revision {
            let leaf = self.rest.front().ok_or_else(|| format!("no node has leaf {}", self.done))?;
            apply_one(&mut self.rows, &self.origin, leaf)
                .map_err(|problem| format!("leaf {}: {problem}", leaf.index))?;
            self.rest.pop_front();
            self.done = self.done.saturating_add(1);
        }
        Ok(Hash::from_bytes(RegistryDigest::of(&self.rows).digest))
    }
}

fn apply_one(rows: &mut MemoryRows, origin: &str, leaf: &Leaf<'_>) -> Result<(), String> {
    let envelopes = vec![Unverified { bytes: leaf.envelope.as_bytes(), origin }];
    let group = Group { atomic: false, envelopes };
    let outcomes =
        apply(rows, RulesVersion::TEST, time(leaf), &[group]).map_err(|error| error.to_string())?;
    match outcomes.iter().flatten().next() {
        Some(Outcome::Refused { refusal, .. }) => Err(format!("it is refused: {refusal}")),
        _ => is_there(rows, leaf),
    }
}

fn founded_on(leaves: &[Leaf<'_>]) -> Result<MemoryRows, String> {
    let envelopes: Result<Vec<Envelope>, _> =
        leaves.iter().map(|leaf| Envelope::parse(leaf.envelope.as_bytes())).collect();
    let file = GenesisFile::format(&envelopes.map_err(|refusal| refusal.to_string())?);
    let file =
        GenesisFile::parse(&file.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    let mut rows = MemoryRows::new();
    bootstrap(&mut rows, &file).map_err(|error| error.to_string())?;
    Ok(rows)
}

/// Whether a leaf came to its place, at its time.
fn is_there(rows: &MemoryRows, leaf: &Leaf<'_>) -> Result<(), String> {
    match query::leaf(rows, leaf.index) {
        Ok(Some((id, at))) if id.to_string() == leaf.id && at == time(leaf) => Ok(()),
        Ok(there) => {
            Err(format!("at {} comes {there:?} and not `{}` at {}", leaf.index, leaf.id, leaf.accepted_at))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn time(leaf: &Leaf<'_>) -> Millis {
    Millis(i64::try_from(leaf.accepted_at).unwrap_or(i64::MAX))
}
