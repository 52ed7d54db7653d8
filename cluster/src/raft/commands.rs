//! From committed entries to rows: each envelope is checked by this replica itself, a raise of the rules also against the
//! voters before its entry, and all entries of a batch are applied in one transaction.
//!
//! A command of a version that this build does not know may be a revocation, so it is never passed over: nothing of its batch is
//! applied, and the node stops. A command of a known version that does not decode is garbage on every node alike, and changes
//! nothing.

use assent_registry::mutant::{self, Mutant};
use assent_registry::{Checked, CodecError, Command, Outcomes, RowError, Rows, RowsMut, RulesVersion, query};
use assent_store::{RegistryStore, WriteError};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::alias::EntryOf;

use super::types::{NodeId, PeerNode, Proposal, TypeConfig};
use super::verifier::Verifier;
use super::voters::Voters;

/// One entry, reduced to what applying takes.
pub(super) enum Step {
    /// Raft's own.
    Nothing,
    /// From here on these vote.
    Voters(Voters),
    /// Envelopes to apply.
    Command(Bytes),
}

impl Step {
    /// What applying takes of an entry.
    pub(super) fn of(payload: &EntryPayload<Proposal, NodeId, PeerNode>) -> Self {
        match payload {
            EntryPayload::Normal(Proposal(command)) => Step::Command(command.clone()),
            EntryPayload::Membership(membership) => Step::Voters(Voters::of(membership)),
            EntryPayload::Blank => Step::Nothing,
        }
    }
}

/// Checks and applies the steps, the first of them under `voters`; all of them, or none and an error.
pub(super) fn apply_steps(
    registry: &RegistryStore,
    verifier: &Verifier,
    known: RulesVersion,
    mut voters: Voters,
    applied: &[u8],
    steps: &[Step],
) -> Result<(Vec<Outcomes>, u64), WriteError<RowError>> {
    let commands: Result<Vec<_>, RowError> =
        steps.iter().map(|step| check(verifier, step, &mut voters)).collect();
    let mut commands = commands.map_err(WriteError::Refused)?;
    if mutant::is_active(Mutant::NodeLocalApply) {
        later_by_their_number(&mut commands);
    }
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

/// The command of a step, with every envelope checked; none if the step is Raft's own, or garbage.
///
/// # Errors
/// [`RowError::CommandVersion`] if only another build can read it. It must stop this node.
fn check(verifier: &Verifier, step: &Step, voters: &mut Voters) -> Result<Option<CheckedCommand>, RowError> {
    let bytes = match step {
        Step::Command(bytes) => bytes,
        Step::Voters(next) => {
            voters.clone_from(next);
            return Ok(None);
        }
        Step::Nothing => return Ok(None),
    };
    let one = |bytes: &Bytes| {
        let mut checked = verifier.check(bytes);
        voters.refuse_unsigned_raise(&mut checked);
        checked
    };
    match Command::decode(bytes) {
        Ok(command) => Ok(Some(CheckedCommand {
            proposed_at: command.proposed_at,
            groups: command
                .groups
                .iter()
                .map(|group| (group.atomic, group.envelopes.iter().map(one).collect()))
                .collect(),
        })),
        Err(CodecError::Version(version)) => Err(RowError::CommandVersion(version)),
        Err(error @ (CodecError::Empty | CodecError::Encoding(_) | CodecError::Trailing(_))) => {
            tracing::error!(%error, "a committed command does not decode and changes nothing");
            Ok(None)
        }
    }
}

/// A mutant's time: how many entries a replica applies together is its own affair.
fn later_by_their_number(commands: &mut [Option<CheckedCommand>]) {
    let together = i64::try_from(commands.len()).unwrap_or(i64::MAX);
    for command in commands.iter_mut().flatten() {
        command.proposed_at.0 = command.proposed_at.0.saturating_add(together);
    }
}

/// What a mutant says that applying a command will have given; nothing is kept of it.
pub(crate) fn foretell(
    registry: &RegistryStore,
    verifier: &Verifier,
    known: RulesVersion,
    voters: &mut Voters,
    command: &Bytes,
) -> Option<Outcomes> {
    let command = check(verifier, &Step::Command(command.clone()), voters).ok()??;
    let mut foretold = None;
    let looked = registry.write(None, |rows| {
        foretold = command.apply(rows, known).ok();
        // An error, so that nothing is written.
        Err::<(), _>(RowError::Unreadable("only looked at".to_owned()))
    });
    foretold.filter(|_| looked.is_err())
}

/// Applies entries, the first of them under `voters`, to rows that are only looked at, as when it is asked what they would
/// come to.
pub(crate) fn apply_to(
    rows: &mut dyn RowsMut,
    verifier: &Verifier,
    known: RulesVersion,
    mut voters: Voters,
    entries: &[EntryOf<TypeConfig>],
) -> Result<(), RowError> {
    for entry in entries {
        if let Some(command) = check(verifier, &Step::of(&entry.payload), &mut voters)? {
            command.apply(rows, known)?;
        }
    }
    Ok(())
}
