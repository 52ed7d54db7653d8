//! Turns committed entries into rows. This replica verifies each envelope itself, under the rules in force at its
//! place in the log. It compares a raise of the rules also with the voters before its entry. All entries of a batch
//! are applied in one transaction.
//!
//! A command of a version that this build does not know may be a revocation, so it is never skipped: nothing of its
//! batch is applied, and the node stops. A command of a known version that does not decode is malformed on every node
//! alike, and changes nothing.

use assent_proof::{History, Millis, Rules};
use assent_registry::{
    Checked, CodecError, Command, Group, Outcomes, RowError, Rows, RowsMut, RulesVersion, ToVerify, query,
    rules_in_force,
};
use assent_store::{RegistryStore, WriteError};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::alias::EntryOf;

use super::types::{NodeId, PeerNode, Proposal, TypeConfig};
use super::verifier::Verifier;
use super::voters::Voters;

/// What applying needs of one entry.
pub(super) enum Step {
    /// An entry of Raft's own.
    Nothing,
    /// A change of the voters, from this entry on.
    Voters(Voters),
    /// Envelopes to apply.
    Command(Bytes),
}

impl Step {
    /// What applying needs of this entry.
    pub(super) fn of(payload: &EntryPayload<Proposal, NodeId, PeerNode>) -> Self {
        match payload {
            EntryPayload::Normal(Proposal(command)) => Step::Command(command.clone()),
            EntryPayload::Membership(membership) => Step::Voters(Voters::of(membership)),
            EntryPayload::Blank => Step::Nothing,
        }
    }
}

/// The result of applying a batch.
pub(super) struct AppliedSteps {
    /// One for each step.
    pub(super) outcomes: Vec<Outcomes>,
    /// The history in force.
    pub(super) history: Option<History>,
    /// The ledger's size.
    pub(super) revision: u64,
    /// The registry's time; none before genesis.
    pub(super) registry_time: Option<Millis>,
    /// The rules that the registry follows after the batch.
    pub(super) rules: Rules,
}

/// Checks and applies the steps, the first of them under `voters`. Either all of them are applied, or none and an
/// error is returned.
pub(super) fn apply_steps(
    registry: &RegistryStore,
    verifier: &Verifier,
    known: RulesVersion,
    mut voters: Voters,
    applied: &[u8],
    steps: &[Step],
) -> Result<AppliedSteps, WriteError<RowError>> {
    let commands: Result<Vec<_>, RowError> =
        steps.iter().map(|step| read(step, known, &mut voters)).collect();
    let mut commands = commands.map_err(WriteError::Refused)?;
    // The envelopes are verified before the transaction, so that it stays short. If the rules are raised in the
    // meantime, they are verified again in it.
    for command in commands.iter_mut().flatten() {
        command.verify_ahead(verifier);
    }
    registry.write(Some(applied), |rows| {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in &commands {
            outcomes.push(match command {
                Some(command) => command.apply(rows, verifier, known)?,
                None => Outcomes::default(),
            });
        }
        let rows: &dyn Rows = rows;
        let summary = query::summary(rows)?;
        Ok(AppliedSteps {
            outcomes,
            history: query::history(rows)?,
            revision: summary.as_ref().map_or(0, |summary| summary.revision),
            registry_time: summary.map(|summary| summary.registry_time),
            rules: rules_in_force(rows)?,
        })
    })
}

/// A command, and the voters at its place in the log.
struct ReadCommand {
    command: Command,
    voters: Voters,
    /// None before the envelopes are checked.
    ahead: Option<Ahead>,
}

/// What this replica found of a command's envelopes before the transaction that applies them.
struct Ahead {
    /// The rules that the replica followed then.
    rules: Rules,
    /// One for each envelope, in the order of the command.
    checked: Vec<Checked>,
}

impl Ahead {
    /// The finding of each envelope, and the rules under which it was found.
    fn each(&self) -> impl Iterator<Item = (Rules, &Checked)> {
        self.checked.iter().map(move |checked| (self.rules, checked))
    }
}

/// An envelope of a command. This replica verifies it itself.
struct EntryEnvelope<'a> {
    bytes: &'a Bytes,
    /// The finding from before the transaction, and its rules.
    ahead: Option<(Rules, &'a Checked)>,
    verifier: &'a Verifier,
    voters: &'a Voters,
}

impl ToVerify for EntryEnvelope<'_> {
    fn verified(&self, rules: Rules) -> Checked {
        let checked = match self.ahead {
            Some((under, checked)) if under == rules => checked.clone(),
            Some(_) | None => self.verifier.check(self.bytes, rules),
        };
        self.voters.unless_unsigned_raise(checked)
    }
}

impl ReadCommand {
    /// Verifies every envelope under the rules that are in force now, and keeps the findings.
    fn verify_ahead(&mut self, verifier: &Verifier) {
        let rules = verifier.in_force();
        let envelopes = self.command.groups.iter().flat_map(|group| &group.envelopes);
        let checked = envelopes.map(|envelope| verifier.check(envelope, rules)).collect();
        self.ahead = Some(Ahead { rules, checked });
    }

    fn apply(
        &self,
        rows: &mut dyn RowsMut,
        verifier: &Verifier,
        known: RulesVersion,
    ) -> Result<Outcomes, RowError> {
        let mut ahead = self.ahead.iter().flat_map(Ahead::each);
        let mut envelope =
            |bytes| EntryEnvelope { bytes, ahead: ahead.next(), verifier, voters: &self.voters };
        let groups: Vec<Group<EntryEnvelope<'_>>> = self
            .command
            .groups
            .iter()
            .map(|Group { atomic, envelopes }| Group {
                atomic: *atomic,
                envelopes: envelopes.iter().map(&mut envelope).collect(),
            })
            .collect();
        let groups = assent_registry::apply(rows, known, self.command.proposed_at, &groups)?;
        let history = query::history(&*rows)?;
        Ok(Outcomes { groups, history })
    }
}

/// The command of a step. None if the step is Raft's own, or malformed.
///
/// # Errors
/// [`RowError::CommandVersion`] if only another build can read it. It must stop this node.
fn read(step: &Step, known: RulesVersion, voters: &mut Voters) -> Result<Option<ReadCommand>, RowError> {
    let bytes = match step {
        Step::Command(bytes) => bytes,
        Step::Voters(next) => {
            voters.clone_from(next);
            return Ok(None);
        }
        Step::Nothing => return Ok(None),
    };
    Command::version_known(bytes, known).map_err(RowError::CommandVersion)?;
    match Command::decode(bytes) {
        Ok(command) => Ok(Some(ReadCommand { command, voters: voters.clone(), ahead: None })),
        Err(CodecError::Version(version)) => Err(RowError::CommandVersion(version)),
        Err(
            error @ (CodecError::Empty
            | CodecError::Encoding(_)
            | CodecError::Trailing(_)
            | CodecError::NotCanonical),
        ) => {
            tracing::error!(%error, "a committed command does not decode and changes nothing");
            Ok(None)
        }
    }
}

/// Applies entries, the first of them under `voters`, to rows that are only inspected, for example to find out what
/// they would result in.
pub(crate) fn apply_to(
    rows: &mut dyn RowsMut,
    verifier: &Verifier,
    known: RulesVersion,
    mut voters: Voters,
    entries: &[EntryOf<TypeConfig>],
) -> Result<(), RowError> {
    for entry in entries {
        if let Some(command) = read(&Step::of(&entry.payload), known, &mut voters)? {
            command.apply(rows, verifier, known)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_proof::{Code, Refusal};

    use super::*;
    use crate::raft::verifier::VerifierLimits;

    #[test]
    fn what_was_verified_ahead_counts_under_its_own_rules_alone() {
        let run: assent_store::RunBlocking = Arc::new(|work| {
            work();
            Box::pin(std::future::ready(()))
        });
        let verifier = Verifier::new("registry.test/1".to_owned(), run, VerifierLimits::default());
        let (bytes, voters) = (Bytes::from_static(b"no envelope"), Voters::default());
        let checked = Checked::Refused(Refusal::new(Code::SignatureInvalid, "found ahead"));
        let ahead = Some((Rules::TEST, &checked));
        let envelope = EntryEnvelope { bytes: &bytes, ahead, verifier: &verifier, voters: &voters };
        let code = |rules| match envelope.verified(rules) {
            Checked::Verified(_) => None,
            Checked::Refused(refusal) => Some(refusal.code),
        };
        assert_eq!(code(Rules::TEST), Some(Code::SignatureInvalid));
        assert_eq!(code(Rules::GENESIS), Some(Code::Malformed));
    }
}
