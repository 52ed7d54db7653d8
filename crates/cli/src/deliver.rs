//! Sends signed envelopes, so that their bytes are never lost and every refusal says what to do.

use std::path::Path;

use assent_api::ReceiptBody;
use assent_client::{Client, ClientError, FlushReport, FlushStopped, Outbox, SubmitError, Submitted};
use assent_proof::{Code, EvidenceId, History};

use crate::exit::CliError;
use crate::output::Output;

/// Submits a restriction that was just signed. If there is an outbox, the restriction is kept there first.
///
/// # Errors
/// If there is no outbox and the outcome is unknown, or this build does not understand the refusal, the envelope is
/// printed on stdout. If no reader takes it there, the error says so.
pub(crate) async fn restriction(
    client: &Client,
    envelope: &[u8],
    outbox: Option<&Path>,
    output: Output,
) -> Result<(), CliError> {
    if let Some(dir) = outbox {
        return through_outbox(client, &[envelope.to_vec()], dir, None, output).await;
    }
    match client.submit(envelope.to_vec()).await {
        Ok(submitted) => receipt(&submitted, output),
        Err(error) => {
            if matches!(error, SubmitError::Unknown(_)) {
                if let Err(unwritten) = output.product_json(envelope) {
                    return Err(lost(refused(error), &unwritten));
                }
                output.say(
                    "the signed envelope is on stdout: submit exactly these bytes again with `assent submit`",
                );
            }
            Err(refused(error))
        }
    }
}

/// The error of a restriction whose outcome is unknown and whose bytes are lost.
fn lost(error: CliError, unwritten: &CliError) -> CliError {
    let detail = format!("{}; the signed envelope is lost: {}", error.detail, unwritten.detail);
    let remedy = "run the same command again: a restriction takes no slot, so another one for the same target does no harm";
    CliError { detail, remedy: remedy.to_owned(), ..error }
}

/// Submits envelopes in order. Each is durable in the outbox before it is sent. What was pending there is sent first,
/// and with `resend_in` also what was delivered in another history than that one.
pub(crate) async fn through_outbox(
    client: &Client,
    envelopes: &[Vec<u8>],
    dir: &Path,
    resend_in: Option<History>,
    output: Output,
) -> Result<(), CliError> {
    let mut outbox = Outbox::open(dir)?;
    if let Some(history) = resend_in {
        outbox.resend_in(history, client).await.map_err(|stopped| why_stopped(stopped, dir))?;
    }
    for envelope in envelopes {
        outbox.put(envelope)?;
    }
    reported(outbox.flush(client).await, dir, output)
}

/// Prints what became of the envelopes of an outbox. Whatever ended the flush, what it settled before is reported
/// first.
///
/// # Errors
/// The cause, if an envelope stays pending. `refused` if an envelope was refused; the refusal itself is printed
/// before.
pub(crate) fn reported(report: FlushReport, dir: &Path, output: Output) -> Result<(), CliError> {
    let mut unprinted = None;
    for (_, submitted) in &report.accepted {
        if let Err(error) = receipt(submitted, output) {
            // The caller prints the last one.
            if let Some(earlier) = unprinted.replace(error) {
                output.error(&earlier);
            }
        }
    }
    for (id, problem) in &report.refused {
        let error = refused(SubmitError::Refused(Box::new(problem.clone())));
        output.error(&CliError { detail: format!("`{id}`: {}", error.detail), ..error });
    }
    if let Some(stopped) = report.stopped {
        unprinted.iter().for_each(|error| output.error(error));
        return Err(why_stopped(stopped, dir));
    }
    if report.refused.is_empty() {
        return unprinted.map_or(Ok(()), Err);
    }
    unprinted.iter().for_each(|error| output.error(error));
    let detail = format!("`{}` envelopes were not accepted", report.refused.len());
    Err(CliError::new(
        "refused",
        detail,
        format!("see `{}` for the envelopes and problems", dir.join("refused").display()),
    ))
}

/// The error of a flush that stopped before its end.
fn why_stopped(stopped: FlushStopped, dir: &Path) -> CliError {
    match stopped {
        FlushStopped::NoAnswer(error) => {
            let remedy = match &error {
                ClientError::Refused(_) => {
                    "run the same command again with an endpoint of the registry that the statement names"
                        .to_owned()
                }
                // The same command would be refused again.
                ClientError::Tls(failure) => format!("{}; then run the same command again", failure.remedy),
                ClientError::Config { .. }
                | ClientError::Unavailable { .. }
                | ClientError::RefusalNotUnderstood(_)
                | ClientError::DenyNotUnderstood(_)
                | ClientError::OutcomeUnknown { .. }
                | ClientError::Answer { .. }
                | ClientError::HistoryChanged(_)
                | ClientError::BeyondLedger { .. }
                | ClientError::Untrusted { .. } => "run the same command again".to_owned(),
            };
            let error = CliError::from(error);
            let detail = format!("{}; what is pending stays in `{}`", error.detail, dir.display());
            CliError { detail, remedy, ..error }
        }
        FlushStopped::Outbox(error) => error.into(),
    }
}

/// Submits an envelope. It succeeds if the envelope is accepted now or was accepted before.
pub(crate) async fn accepted(client: &Client, envelope: &[u8]) -> Result<(), CliError> {
    client.submit(envelope.to_vec()).await.map(|_| ()).map_err(refused)
}

/// Prints a receipt.
///
/// # Errors
/// `io_failed` if stdout cannot be written. The error says what was accepted.
pub(crate) fn receipt(submitted: &Submitted, output: Output) -> Result<(), CliError> {
    let ReceiptBody { evidence_id, ledger_index, revision, history, .. } = &submitted.receipt;
    let accepted = match submitted {
        Submitted { in_force_already: true, .. } => "in force already, by",
        Submitted { fresh: true, .. } => "accepted",
        _ => "accepted before:",
    };
    let text = || {
        format!(
            "{accepted} {evidence_id}\nledger index {ledger_index}, revision {revision} of history {history}"
        )
    };
    let done = format!("{accepted} `{evidence_id}`, revision {revision} of history {history}");
    let then = format!(
        "a command that signs would make another statement; `assent envelope get {evidence_id}` prints this one"
    );
    output.done(&submitted.receipt, text, &done, &then)
}

/// The receipt of an equivocation: the node did not accept the statement, and recorded it as a proof against its issuer.
pub(crate) fn equivocation(error: &SubmitError) -> Option<&ReceiptBody> {
    error.problem().and_then(|problem| problem.receipt.as_ref())
}

/// The error of a submission. If another statement took the slot, the remedy names the next free slot. If the statement
/// was recorded as an equivocation, the error says so.
pub(crate) fn refused(error: SubmitError) -> CliError {
    if let Some(receipt) = equivocation(&error).copied() {
        return recorded(error.into(), &receipt);
    }
    let slot = match &error {
        SubmitError::Refused(problem) => match problem.code {
            Code::HeadMoved | Code::LineageFragmented => Some((problem.head, problem.next_sequence)),
            _ => None,
        },
        SubmitError::NotTaken(_) | SubmitError::Unknown(_) => None,
    };
    let error = CliError::from(error);
    match slot {
        Some((head, next)) => CliError { remedy: slot_remedy(head, next), ..error },
        None => error,
    }
}

/// The error of a statement that was recorded as an equivocation.
fn recorded(error: CliError, receipt: &ReceiptBody) -> CliError {
    let ReceiptBody { evidence_id, revision, history, .. } = receipt;
    let detail = format!(
        "{}; the statement is recorded as an equivocation, `{evidence_id}` in revision {revision} of history {history}, and the \
         lineage is quarantined",
        error.detail
    );
    let remedy = "sign nothing more for that slot; have the domain's governance choose one of the two statements with `assent \
                  reconcile --canonical ID --rejected ID` (`assent lineage show` has both ids): until then, every decision in the \
                  lineage is a deny";
    CliError { detail, remedy: remedy.to_owned(), ..error }
}

fn slot_remedy(head: Option<EvidenceId>, next: Option<u64>) -> String {
    let again =
        "nothing was stored: check the chain, then make and sign the statement again for the free slot";
    match (next, head) {
        (Some(next), Some(head)) => {
            format!("{again} (`--sequence {next} --parent {head}`, or let it be looked up)")
        }
        (Some(next), None) => format!("{again} (`--sequence {next}`, or let it be looked up)"),
        _ => again.to_owned(),
    }
}
