//! A registry by the rules and one by the model, and the facts from which a generator draws statements that are mostly
//! accepted.

use std::collections::BTreeMap;

use assent_proof::{AuthorizeRequest, Claims, EvidenceId, EvidenceKind, Millis, Refusal};
use assent_registry::facts::Growing;
use assent_registry::{GenesisError, MemoryRows, RowError, query};

use super::draft::{Act, ChainId, Draft};
use super::keys::public;
use crate::history::Record;
use crate::model::Model;

/// The second in which the first step is taken.
pub(super) const T0: i64 = 1_795_374_000;

/// Why a ledger could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The rules could not read or write their rows, which are in memory.
    #[error("the rules cannot use their rows: {0}")]
    Rows(#[from] RowError),
    /// The registry could not be founded.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A statement of the founding is malformed.
    #[error("founding the registry: {0}")]
    Refused(#[from] Refusal),
    /// Something is not as this module assumes.
    #[error("{0}")]
    Unexpected(String),
}

impl LedgerError {
    pub(super) fn unexpected(what: impl Into<String>) -> Self {
        LedgerError::Unexpected(what.into())
    }
}

/// The first difference between the rules and the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of difference: the same text in every ledger with the same difference.
    pub kind: String,
    /// The particulars.
    pub detail: String,
}

/// What was done, when, and with what outcome.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at_ms: i64,
    pub(super) act: Act,
    /// The id of what it added to the ledger, if it added anything.
    pub(super) made: Option<EvidenceId>,
    /// What both answered, in a few words.
    pub(super) said: String,
}

/// A statement in the ledger.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: EvidenceId,
    pub(super) draft: Draft,
    pub(super) accepted: Millis,
    /// Whether it is the second statement for its slot.
    pub(super) second: bool,
    /// Whether its chain had a later slot already.
    pub(super) late: bool,
}

impl Known {
    pub(super) fn kind(&self) -> EvidenceKind {
        self.draft.claims.kind()
    }

    pub(super) fn lies_in(&self, domain: &str) -> bool {
        self.draft.domain.as_str() == domain
    }
}

/// Two statements for one slot.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) chain: ChainId,
    pub(super) halves: [EvidenceId; 2],
}

/// A registry and its model.
#[derive(Debug, Clone)]
pub struct Both {
    pub(super) rows: MemoryRows,
    pub(super) model: Model,
    pub(super) facts: Growing,
    /// The time of the next step.
    pub(super) now_ms: i64,
    /// What was submitted, accepted or not.
    pub(super) sent: Vec<Draft>,
    /// What was accepted since the founding.
    pub(super) known: Vec<Known>,
    /// The statements in each slot of each chain.
    chains: BTreeMap<ChainId, Vec<Vec<EvidenceId>>>,
    pub(super) pairs: Vec<Pair>,
    /// The requests of the permits that were recorded.
    pub(super) permits: Vec<AuthorizeRequest>,
    pub(super) steps: Vec<Step>,
    /// How often each answer was given.
    pub(super) tally: BTreeMap<String, u64>,
    /// How often each event occurred.
    pub(super) events: BTreeMap<&'static str, u64>,
    /// The first difference, after which the ledger ends.
    pub(super) finding: Option<Finding>,
    /// The records of what was done, each at a moment of its own, if records are kept.
    pub(super) records: Option<Vec<Record>>,
}

impl Both {
    /// A registry that is not founded yet.
    pub(super) fn unfounded() -> Self {
        Self {
            rows: MemoryRows::new(),
            model: Model::default(),
            facts: Growing::default(),
            now_ms: T0 * 1000,
            sent: Vec::new(),
            known: Vec::new(),
            chains: BTreeMap::new(),
            pairs: Vec::new(),
            permits: Vec::new(),
            steps: Vec::new(),
            tally: BTreeMap::new(),
            events: BTreeMap::new(),
            finding: None,
            records: None,
        }
    }

    /// The first difference, if there is one.
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// Takes one step in both, and compares their answers. Returns the id of what it added to the ledger, if it added
    /// anything.
    ///
    /// # Errors
    /// Either of them could not take the step at all.
    pub(super) fn take(&mut self, act: Act) -> Result<Option<EvidenceId>, LedgerError> {
        // The step is stored first, so that it is kept if either of them panics.
        self.steps.push(Step { at_ms: self.now_ms, act: act.clone(), made: None, said: String::new() });
        let (made, said) = match &act {
            Act::Submit(draft) => self.submit(draft)?,
            Act::Raise(draft) => self.raise(draft)?,
            Act::Ask(request) => (None, self.ask(request)?),
            Act::Permit(request) => self.permit(request)?,
        };
        if let Some(step) = self.steps.last_mut() {
            (step.made, step.said) = (made, said);
        }
        Ok(made)
    }

    /// The statements in each slot of a chain: the one that took the slot, and the second one if there is one.
    pub(super) fn chain(&self, id: &ChainId) -> &[Vec<EvidenceId>] {
        self.chains.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Notes that a statement took its slot, or is the second one there. Returns whether it is the second one, and
    /// whether the chain already had a later slot.
    pub(super) fn placed(&mut self, draft: &Draft, id: EvidenceId) -> (bool, bool) {
        let Some(slot) = draft.slot else { return (false, false) };
        let chain = self.chains.entry(draft.chain()).or_default();
        let at = usize::try_from(slot.sequence).unwrap_or(usize::MAX);
        let late = at.saturating_add(1) < chain.len();
        match chain.get_mut(at) {
            None => chain.push(vec![id]),
            Some(halves) => {
                halves.push(id);
                if let [first, .., second] = halves.as_slice() {
                    self.pairs.push(Pair { chain: draft.chain(), halves: [*first, *second] });
                }
                return (true, late);
            }
        }
        (false, false)
    }

    /// A statement of the ledger, unless it is part of the founding.
    pub(super) fn find(&self, id: &EvidenceId) -> Option<&Known> {
        self.known.iter().find(|known| known.id == *id)
    }

    /// Whether a key is admitted and not revoked.
    pub(super) fn is_live(&self, number: u8) -> bool {
        let view = query::authority(&self.rows, &public(number), Millis(self.now_ms));
        view.is_ok_and(|entry| entry.is_some_and(|entry| entry.revoked_by.is_none()))
    }

    /// Whether a revocation of a key was accepted.
    pub(super) fn is_revoked(&self, number: u8) -> bool {
        let key = public(number);
        self.known.iter().any(
            |known| matches!(&known.draft.claims, Claims::Revocation { authority, .. } if *authority == key),
        )
    }

    /// The times at which statements of a key were accepted.
    pub(super) fn accepted_of(&self, number: u8) -> Vec<Millis> {
        let signed = self.known.iter().filter(|known| known.draft.signers.contains(&number));
        signed.map(|known| known.accepted).collect()
    }

    pub(super) fn count(&mut self, what: String) {
        let count = self.tally.entry(what).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Records that they differ.
    pub(super) fn differ(&mut self, kind: String, detail: String) {
        self.finding.get_or_insert(Finding { kind, detail });
    }
}
