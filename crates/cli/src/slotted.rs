//! Sends a statement that was signed for a slot of a chain, so that no later run signs another statement for that
//! slot.
//!
//! Until the statement is settled, the signed bytes are on disk beside the keys ([`Unsettled`]), and in an outbox too if
//! the caller names one. A command that signs for the same chain sends these bytes before it looks for a free slot. If
//! it looked first, it would find the slot that these bytes take. Beside the keys they are found by every command that
//! signs with one of them, with whatever outbox. If all keys come from stdin, only the outbox has the bytes.

use std::path::{Path, PathBuf};

use assent_api::Problem;
use assent_client::{Client, ClientError, Outbox, SubmitError, Submitted};
use assent_proof::{Code, Envelope, EvidenceId, Statement};

use crate::deliver;
use crate::exit::CliError;
use crate::key_locks::KeyLocks;
use crate::output::Output;
use crate::unsettled::{Chain, Kept, Unsettled};

/// How the statements of one command are kept and sent.
pub(crate) struct Delivery {
    client: Client,
    /// Beside the keys.
    unsettled: Unsettled,
    /// The outbox that the caller names, with its directory.
    outbox: Option<(Outbox, PathBuf)>,
    output: Output,
    /// No other command signs with these keys meanwhile.
    _locks: KeyLocks,
}

impl Delivery {
    /// Keeps statements beside these keys, and in the outbox in this directory if there is one. The outbox and the keys
    /// are locked until this is dropped.
    pub(crate) async fn open(
        client: &Client,
        outbox: Option<&Path>,
        keys: &[PathBuf],
        output: Output,
    ) -> Result<Self, CliError> {
        let outbox = match outbox {
            Some(dir) => Some((Outbox::open(dir)?, dir.to_owned())),
            None => None,
        };
        let paths: Vec<&Path> = keys.iter().map(PathBuf::as_path).collect();
        let locks = KeyLocks::take(&paths, output).await?;
        let unsettled = Unsettled::beside(keys);
        Ok(Delivery { client: client.clone(), unsettled, outbox, output, _locks: locks })
    }

    /// Sends everything that is pending in the outbox, and the statements that earlier runs have signed for this chain
    /// and that are not settled. Returns whether one of these statements is the one that the caller wants now. If so,
    /// that statement is accepted and its receipt is printed, and the caller must sign nothing.
    ///
    /// # Errors
    /// The cause, if one of these statements is not accepted. The caller must then sign nothing else.
    pub(crate) async fn settle(
        &mut self,
        chain: &Chain,
        is_wanted: impl Fn(&Statement) -> bool,
    ) -> Result<bool, CliError> {
        let mut found = false;
        if let Some((outbox, dir)) = &mut self.outbox {
            let pending = outbox.pending_envelopes()?;
            if !pending.is_empty() {
                flush(&self.client, outbox, dir, &self.unsettled, self.output).await?;
                let mut statements = pending.iter().filter_map(|envelope| statement_in(envelope));
                found = statements.any(|statement| Chain::of(&statement) == *chain && is_wanted(&statement));
            }
        }
        for (statement, submitted) in settle(&self.client, &self.unsettled, chain, self.output).await? {
            if is_wanted(&statement) {
                found = true;
                deliver::receipt(&submitted, self.output)?;
            } else {
                say_settled(&submitted, self.output);
            }
        }
        Ok(found)
    }

    /// Keeps a signed statement, sends it and prints its receipt.
    pub(crate) async fn send(&mut self, envelope: &[u8]) -> Result<(), CliError> {
        let Some((outbox, dir)) = &mut self.outbox else {
            let submitted = send(&self.client, &self.unsettled, envelope, self.output).await?;
            return deliver::receipt(&submitted, self.output);
        };
        // Where no file can be made, a command without an outbox cannot keep a statement either, so it sends none.
        let places = self.unsettled.where_writable();
        let kept = if places.is_nowhere() { None } else { Some(places.keep(envelope)?) };
        if let Err(error) = outbox.put(envelope) {
            // It is not sent.
            let error = CliError::from(error);
            return Err(match kept {
                Some(kept) => forgotten(error, &places, kept.id),
                None => error,
            });
        }
        flush(&self.client, outbox, dir, &self.unsettled, self.output).await
    }
}

/// Sends what is pending in an outbox and prints the receipts. What is settled is removed beside the keys.
async fn flush(
    client: &Client,
    outbox: &mut Outbox,
    dir: &Path,
    unsettled: &Unsettled,
    output: Output,
) -> Result<(), CliError> {
    let report = outbox.flush(client).await;
    for (id, _) in &report.accepted {
        forget_accepted(unsettled, *id, output);
    }
    for (id, problem) in &report.refused {
        if !SubmitError::Refused(Box::new(problem.clone())).is_settled() {
            let what = match unsettled.file(*id) {
                Some(path) => format!("stays kept in `{}`: {}", path.display(), refused_remedy(problem)),
                None => {
                    let refused = dir.join("refused");
                    format!(
                        "is kept only in `{}`: once the cause is removed, submit these bytes again; or sign another statement, and never \
                         submit these bytes",
                        refused.display()
                    )
                }
            };
            output.say(&format!("note: `{id}` is refused and {what}"));
        } else if let Err(error) = unsettled.settle(*id) {
            output.say(&format!("note: `{id}` is refused; {}; remove that file", error.detail));
        }
    }
    deliver::reported(report, dir, output)
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
    output: Output,
) -> Result<Vec<(Statement, Submitted)>, CliError> {
    let mut accepted = Vec::new();
    for Kept { id, path, bytes, statement } in unsettled.of_chain(chain)? {
        match client.submit(bytes).await {
            Ok(submitted) => {
                forget_accepted(unsettled, id, output);
                accepted.push((statement, submitted));
            }
            Err(error) if error.is_settled() => {
                let ended = match deliver::equivocation(&error) {
                    Some(_) => "was recorded as an equivocation",
                    None => "was refused",
                };
                let error = forgotten(deliver::refused(error), unsettled, id);
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
            forget_accepted(unsettled, id, output);
            Ok(submitted)
        }
        // An earlier attempt of this call may have reached a node of the registry. Only a refusal of such a
        // node that nothing can lift is final.
        Err(error @ (SubmitError::Refused(_) | SubmitError::Unknown(_))) if !error.is_settled() => {
            Err(kept(error, &path))
        }
        Err(error) => Err(forgotten(deliver::refused(error), unsettled, id)),
    }
}

/// Removes the files of an accepted statement. A file that stays does no harm: if its statement is sent again, the
/// answer is the first receipt.
fn forget_accepted(unsettled: &Unsettled, id: EvidenceId, output: Output) {
    if let Err(error) = unsettled.settle(id) {
        output.say(&format!("note: `{id}` is accepted; {}; remove that file", error.detail));
    }
}

/// Removes the files of a statement that will not be accepted, and returns the error of that outcome. If a file cannot
/// be removed, the error says so after the outcome.
fn forgotten(outcome: CliError, unsettled: &Unsettled, id: EvidenceId) -> CliError {
    match unsettled.settle(id) {
        Ok(()) => outcome,
        Err(error) => {
            let detail = format!("{}; note: {}; remove that file", outcome.detail, error.detail);
            CliError { detail, ..outcome }
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

/// Whether a service that is not a node of the statement's registry may have refused the statement in this way.
fn may_be_anothers(problem: &Problem) -> bool {
    let by_gateways = [Code::Malformed, Code::TooLarge, Code::EncodingUnsupported, Code::TargetUnknown];
    problem.code == Code::WrongRegistry || problem.history.is_none() && by_gateways.contains(&problem.code)
}

/// What to do about a statement that stays kept although it is refused.
///
/// If it was refused because its signers lack a right, these bytes help only if their own keys can get that right. A key
/// keeps its role, and a statement its signers, so otherwise another statement must be signed, and the file must go
/// first: a command that signs for the chain sends the kept statement before it signs another one.
fn refused_remedy(problem: &Problem) -> String {
    let again = "run the same command again, which sends exactly these bytes";
    let remove = "remove that file, and the one for the same id beside each other key that signed, and send no copy of it";
    let instead = format!("to sign another statement instead, {remove}, since both would be an equivocation");
    match problem.code {
        _ if may_be_anothers(problem) => {
            "a service other than a node of the statement's registry may have refused it: check the endpoint and the statement, and run \
             the same command again; remove that file only if no node of that registry can have accepted the statement"
                .to_owned()
        }
        Code::CallerNotPermitted => format!(
            "this caller may not submit it: give the credentials of a caller that may (role `submitter`, for the statement's domain), and \
             {again}"
        ),
        Code::AuthorityUnknown => format!(
            "these bytes may be accepted later: have the domain's governance grant the key its role (`assent statement new \
             authority-grant`), and {again}; {instead}"
        ),
        Code::AuthorityExpired => format!(
            "if the key's grant begins later, {again}; if the grant has ended, have the domain's governance grant a new key, {remove}, and \
             run the command again with the new key"
        ),
        Code::RoleNotPermitted => format!(
            "these bytes stay refused, since a key keeps its role (`assent authority list` shows it): {remove}, and run the command again \
             with a key whose role may sign this kind"
        ),
        Code::ThresholdNotMet => format!(
            "these bytes stay refused, since a statement keeps its signers: {remove}, and run the command again with the keys of as many \
             signers as the threshold demands"
        ),
        _ => format!("these bytes may be accepted later: remove the cause and {again}; {instead}"),
    }
}

/// The error of a statement that stays kept.
fn kept(error: SubmitError, path: &Path) -> CliError {
    let again = "run the same command again: it sends exactly these bytes, and signs nothing else for their slot before they have a \
                 definite answer";
    let remedy = match &error {
        SubmitError::Refused(problem) => refused_remedy(problem),
        // The same command would be refused again.
        SubmitError::NotTaken(error @ (ClientError::Tls(_) | ClientError::Config { .. })) => {
            format!("{}; then {again}", error.remedy())
        }
        SubmitError::NotTaken(_) | SubmitError::Unknown(_) => again.to_owned(),
    };
    let error = CliError::from(error);
    let detail = format!("{}; the signed statement is kept in `{}`", error.detail, path.display());
    CliError { detail, remedy, ..error }
}
