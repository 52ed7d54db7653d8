//! Sends a statement that was signed for a slot of a chain, so that no later run signs another statement for that
//! slot.
//!
//! Until a node has given a definite answer, the signed bytes are on disk: in an outbox if the caller names one, and
//! otherwise beside the keys ([`Unsettled`]). A command that signs for the same chain sends these bytes before it
//! looks for a free slot. If it looked first, it would find the slot that these bytes take.

use std::path::{Path, PathBuf};

use assent_client::{Client, Outbox, SubmitError, Submitted};
use assent_proof::{Envelope, Statement};

use crate::deliver;
use crate::exit::CliError;
use crate::key_locks::KeyLocks;
use crate::output::Output;
use crate::unsettled::{Chain, Kept, Unsettled};

/// The place where signed bytes are kept.
enum Place {
    Outbox { outbox: Outbox, dir: PathBuf },
    BesideKeys(Unsettled),
}

/// How the statements of one command are kept and sent.
pub(crate) struct Delivery {
    client: Client,
    place: Place,
    output: Output,
    /// No other command signs with these keys meanwhile.
    _locks: KeyLocks,
}

impl Delivery {
    /// Keeps statements in the outbox in this directory. Without a directory, keeps them beside these keys. The outbox
    /// and the keys are locked until this is dropped.
    pub(crate) async fn open(
        client: &Client,
        outbox: Option<&Path>,
        keys: &[PathBuf],
        output: Output,
    ) -> Result<Self, CliError> {
        let place = match outbox {
            Some(dir) => Place::Outbox { outbox: Outbox::open(dir)?, dir: dir.to_owned() },
            None => Place::BesideKeys(Unsettled::beside(keys)),
        };
        let paths: Vec<&Path> = keys.iter().map(PathBuf::as_path).collect();
        let locks = KeyLocks::take(&paths, output).await?;
        Ok(Delivery { client: client.clone(), place, output, _locks: locks })
    }

    /// Sends the statements that earlier runs have signed for this chain and whose outcome is unknown. With an outbox,
    /// it sends everything that is pending there. Returns whether one of these statements is the one that the caller
    /// wants now. If so, that statement is accepted and its receipt is printed, and the caller must sign nothing.
    ///
    /// # Errors
    /// The cause, if one of these statements is not accepted. The caller must then sign nothing else.
    pub(crate) async fn settle(
        &mut self,
        chain: &Chain,
        is_wanted: impl Fn(&Statement) -> bool,
    ) -> Result<bool, CliError> {
        match &mut self.place {
            Place::Outbox { outbox, dir } => {
                let pending = outbox.pending_envelopes()?;
                if pending.is_empty() {
                    return Ok(false);
                }
                deliver::flush(&self.client, outbox, dir, self.output).await?;
                let mut statements = pending.iter().filter_map(|envelope| statement_in(envelope));
                Ok(statements.any(|statement| Chain::of(&statement) == *chain && is_wanted(&statement)))
            }
            Place::BesideKeys(unsettled) => {
                let mut found = false;
                for (statement, submitted) in settle(&self.client, unsettled, chain).await? {
                    if is_wanted(&statement) {
                        found = true;
                        deliver::receipt(&submitted, self.output)?;
                    } else {
                        say_settled(&submitted, self.output);
                    }
                }
                Ok(found)
            }
        }
    }

    /// Keeps a signed statement, sends it and prints its receipt.
    pub(crate) async fn send(&mut self, envelope: &[u8]) -> Result<(), CliError> {
        match &mut self.place {
            Place::Outbox { outbox, dir } => {
                outbox.put(envelope)?;
                deliver::flush(&self.client, outbox, dir, self.output).await
            }
            Place::BesideKeys(unsettled) => {
                let submitted = send(&self.client, unsettled, envelope, self.output).await?;
                deliver::receipt(&submitted, self.output)
            }
        }
    }
}

/// Sends the statements that are kept beside these keys for this chain, in order, and returns those that were
/// accepted.
///
/// # Errors
/// The cause, if one of these statements is not accepted. The caller must then sign nothing else for the chain. A
/// statement without a definite answer stays kept, and the error of a refused one describes the chain.
pub(crate) async fn settle(
    client: &Client,
    unsettled: &Unsettled,
    chain: &Chain,
) -> Result<Vec<(Statement, Submitted)>, CliError> {
    let mut accepted = Vec::new();
    for Kept { id, path, bytes, statement } in unsettled.of_chain(chain)? {
        match client.submit(bytes).await {
            Ok(submitted) => {
                unsettled.settle(id)?;
                accepted.push((statement, submitted));
            }
            Err(error) if error.is_settled() => {
                unsettled.settle(id)?;
                let ended = match deliver::equivocation(&error) {
                    Some(_) => "was recorded as an equivocation",
                    None => "was refused",
                };
                let error = deliver::refused(error);
                let detail = format!(
                    "`{id}`, which an earlier run signed for this chain, {ended}, and nothing else was signed: {}",
                    error.detail
                );
                return Err(CliError { detail, ..error });
            }
            // A statement that no node accepts now, or that another service refuses, may have been accepted before.
            Err(error) => return Err(kept(error, &path)),
        }
    }
    Ok(accepted)
}

/// Keeps a signed statement beside these keys and sends it.
///
/// # Errors
/// Without a definite answer the statement stays kept, and the error says where.
pub(crate) async fn send(
    client: &Client,
    unsettled: &Unsettled,
    envelope: &[u8],
    output: Output,
) -> Result<Submitted, CliError> {
    let Kept { id, path, bytes, .. } = unsettled.keep(envelope)?;
    match client.submit(bytes).await {
        Ok(submitted) => {
            // The statement is accepted. If it is sent again, the answer is its first receipt.
            if let Err(error) = unsettled.settle(id) {
                output.say(&format!(
                    "note: {}; remove that file, since the statement is accepted",
                    error.detail
                ));
            }
            Ok(submitted)
        }
        // An earlier attempt of this call may have reached a node of the registry. Only the refusal of such a node is final.
        Err(error @ (SubmitError::Refused(_) | SubmitError::Unknown(_))) if !error.is_settled() => {
            Err(kept(error, &path))
        }
        Err(error) => {
            unsettled.settle(id)?;
            Err(deliver::refused(error))
        }
    }
}

/// Prints that a statement of an earlier run is accepted.
pub(crate) fn say_settled(submitted: &Submitted, output: Output) {
    output.say(&format!(
        "what an earlier run has signed for this chain is accepted: {}",
        submitted.receipt.evidence_id
    ));
}

/// Whether two statements say the same, regardless of the time and the slot for which they were made.
pub(crate) fn says_the_same(one: &Statement, other: &Statement) -> bool {
    let lasts = |statement: &Statement| {
        let end = statement.expires_at?;
        Some(end.0.saturating_sub(statement.issued_at.0))
    };
    one.kind == other.kind
        && Chain::of(one) == Chain::of(other)
        && one.subject == other.subject
        && one.issuers == other.issuers
        && one.references == other.references
        && one.claims.same_as(&other.claims)
        && (one.expires_at == other.expires_at || lasts(one) == lasts(other))
}

/// The statement in an envelope, if there is one.
fn statement_in(envelope: &[u8]) -> Option<Statement> {
    Statement::parse(&Envelope::parse(envelope).ok()?.payload).ok()
}

/// The error of a statement that stays kept.
fn kept(error: SubmitError, path: &Path) -> CliError {
    let remedy = match &error {
        SubmitError::Refused(_) => {
            "a service other than a node of the statement's registry may have refused it: check the endpoint and the statement, and run \
             the same command again; remove that file only if no node of that registry can have accepted the statement"
        }
        SubmitError::NotTaken(_) | SubmitError::Unknown(_) => {
            "run the same command again: it sends exactly these bytes, and signs nothing else for their slot before they have a \
             definite answer"
        }
    };
    let error = CliError::from(error);
    let detail = format!("{}; the signed statement is kept in `{}`", error.detail, path.display());
    CliError { detail, remedy: remedy.to_owned(), ..error }
}
