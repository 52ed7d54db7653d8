//! A model of the rules, as simple as possible: what a registry must answer, with which the checks compare what a
//! registry did answer.
//!
//! A [`Model`] is a value: the list of accepted statements. It computes everything else from that list each time. It
//! was written from docs/protocol.md and shares no rule with the registry: of the product it uses only the reading of
//! envelopes, ids and times, and hashes and keys. It takes an envelope's signatures as valid; it verifies the
//! signatures under a checkpoint of another registry. Of a new root it uses only the keys and the threshold.

mod authorize;
mod ledger_state;
mod peers;
mod rules;
mod statement;
mod submit;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use assent_proof::blake3_256;

use ledger_state::LedgerState;
use statement::Statement;

/// How far in the future `issuedAt` may lie: the default bound of the nodes' clocks.
const CLOCK_BOUND_MS: i64 = 500;

/// The statements that a registry has accepted.
#[derive(Debug, Clone, Default)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The cluster's name, if it is known: without it no history is the history of this registry.
    cluster: Option<Arc<str>>,
    leaves: Vec<Arc<Leaf>>,
    digest: [u8; 32],
    /// The state that follows from the leaves, computed when it is first needed.
    ledger_state: OnceLock<LedgerState>,
}

/// A statement that was accepted.
#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    statement: Statement,
    accepted_ms: i64,
    /// Whether it is a second statement for its slot.
    equivocation: bool,
    /// For a permit, the authorizations of which it took a use.
    takes: Vec<String>,
}

/// The outcome of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitAnswer {
    /// It is accepted, at this place among the accepted statements.
    Accepted(usize),
    /// It was accepted before at this place, or adds nothing to the statement at this place.
    Again(usize),
    /// It is refused with this code.
    Refused(&'static str),
    /// It is a second statement for one slot, recorded at this place and answered as inconsistent.
    Equivocation(usize),
}

/// The answer to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The codes of all reasons that deny; an allow has none.
    pub reasons: BTreeSet<&'static str>,
    /// The authorizations with uses that count; a permit takes one use of each.
    takes: Vec<String>,
    /// The permit that the same request already had, by its place.
    pub permit: Option<usize>,
    /// The first moment at which the answer no longer holds; a deny holds for no time.
    pub valid_until_ms: i64,
}

impl Judgement {
    /// Whether it allows.
    pub fn allows(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Model {
    /// A registry of this cluster, `blake3:<hex>`, that holds nothing yet.
    pub fn of_cluster(cluster: &str) -> Self {
        let inner = Inner { cluster: Some(cluster.into()), ..Inner::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The history in force: the cluster, and the epoch that the leaves have reached.
    fn history(&self) -> Option<String> {
        self.inner.cluster.as_ref().map(|cluster| format!("{cluster}/e{}", self.epoch()))
    }

    /// The number of accepted statements.
    pub fn len(&self) -> usize {
        self.inner.leaves.len()
    }

    /// Whether nothing was accepted.
    pub fn is_empty(&self) -> bool {
        self.inner.leaves.is_empty()
    }

    /// The time of the registry: when it last accepted a statement.
    pub fn time_ms(&self) -> i64 {
        self.leaves().map(|leaf| leaf.accepted_ms).max().unwrap_or(i64::MIN)
    }

    /// A digest of the accepted statements, in their order and with their times.
    pub fn digest(&self) -> u128 {
        let half = self.inner.digest.first_chunk().copied().unwrap_or_default();
        u128::from_be_bytes(half)
    }

    /// The evidence id at a place.
    pub fn id_at(&self, place: usize) -> Option<&str> {
        self.inner.leaves.get(place).map(|leaf| leaf.statement.id.as_str())
    }

    /// The model with one more accepted statement, whatever the rules say of it: for the statements that founded the
    /// registry.
    pub fn founded_with(&self, envelope: &str, accepted_ms: i64) -> Option<Self> {
        Some(self.with(Statement::read(envelope)?, accepted_ms, false, Vec::new()))
    }

    fn with(&self, statement: Statement, accepted_ms: i64, equivocation: bool, takes: Vec<String>) -> Self {
        let mut digest = self.inner.digest.to_vec();
        digest.extend_from_slice(statement.id.as_bytes());
        digest.extend_from_slice(&accepted_ms.to_be_bytes());
        let mut leaves = self.inner.leaves.clone();
        leaves.push(Arc::new(Leaf { statement, accepted_ms, equivocation, takes }));
        let cluster = self.inner.cluster.clone();
        let inner = Inner { cluster, leaves, digest: blake3_256(&digest), ledger_state: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    fn leaves(&self) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.inner.leaves.iter().map(Arc::as_ref)
    }

    fn place_of(&self, id: &str) -> Option<usize> {
        self.leaves().position(|leaf| leaf.statement.id == id)
    }

    fn find(&self, id: &str) -> Option<&Leaf> {
        self.leaves().find(|leaf| leaf.statement.id == id)
    }

    fn ledger_state(&self) -> &LedgerState {
        self.inner.ledger_state.get_or_init(|| LedgerState::of(&self.inner.leaves))
    }
}
