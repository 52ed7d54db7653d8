//! From committed entries to rows: each envelope is checked by this replica itself, and all entries of a batch are applied
//! in one transaction.

use assent_registry::{Checked, Command, Outcomes, RowError, Rows, RowsMut, RulesVersion, query};
use assent_store::{RegistryStore, WriteError};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::alias::EntryOf;

use super::types::{NodeId, PeerNode, Proposal, TypeConfig};
use super::verifier::Verifier;

/// One entry, reduced to what applying takes.
pub(super) enum Step {
    /// Raft's own, or nothing that decodes.
    Nothing,
    /// Envelopes to apply.
    Command(Bytes),
}

impl Step {
    /// What applying takes of an entry.
    pub(super) fn of(payload: &EntryPayload<Proposal, NodeId, PeerNode>) -> Self {
        match payload {
            EntryPayload::Normal(Proposal(command)) => Step::Command(command.clone()),
            EntryPayload::Blank | EntryPayload::Membership(_) => Step::Nothing,
        }
    }
}

/// Checks and applies the steps; all of them, or none and an error.
pub(super) fn apply_steps(
    registry: &RegistryStore,
    verifier: &Verifier,
    known: RulesVersion,
    applied: &[u8],
    steps: &[Step],
) -> Result<(Vec<Outcomes>, u64), WriteError<RowError>> {
    let commands: Vec<_> = steps.iter().map(|step| check(verifier, step)).collect();
    registry.write(Some(applied), |rows| {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in &commands {
            outcomes.push(match command {
                Some(command) => command.apply(rows, known)?,
                None => Outcomes::default(),
            });
        }
        let rows: &dyn Rows = rows;
        Ok((outcomes, query::revision(rows)?))
    })
}

/// A command whose every envelope this replica has looked at itself.
struct CheckedCommand {
    proposed_at: assent_proof::Millis,
    groups: Vec<(bool, Vec<Checked>)>,
}

impl CheckedCommand {
    fn apply(&self, rows: &mut dyn RowsMut, known: RulesVersion) -> Result<Outcomes, RowError> {
        assent_registry::apply(rows, known, self.proposed_at, &self.groups).map(|groups| Outcomes { groups })
    }
}

fn check(verifier: &Verifier, step: &Step) -> Option<CheckedCommand> {
    let Step::Command(bytes) = step else { return None };
    match Command::decode(bytes) {
        Ok(command) => Some(CheckedCommand {
            proposed_at: command.proposed_at,
            groups: command
                .groups
                .iter()
                .map(|group| {
                    (group.atomic, group.envelopes.iter().map(|bytes| verifier.check(bytes)).collect())
                })
                .collect(),
        }),
        Err(error) => {
            tracing::error!(%error, "a committed command does not decode and changes nothing");
            None
        }
    }
}

/// Applies entries to rows that are only looked at, as when it is asked what they would come to.
pub(crate) fn apply_to(
    rows: &mut dyn RowsMut,
    verifier: &Verifier,
    known: RulesVersion,
    entries: &[EntryOf<TypeConfig>],
) -> Result<(), RowError> {
    for command in entries.iter().filter_map(|entry| check(verifier, &Step::of(&entry.payload))) {
        command.apply(rows, known)?;
    }
    Ok(())
}
