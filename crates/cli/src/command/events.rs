//! `events`: the statements that have entered the ledger, and with `--follow` those that enter it from now on.

use assent_api::EventBody;
use assent_client::{ClientError, EventFollower, EventsFilter, EventsPage};
use assent_proof::{Cursor, DomainName, EvidenceKind, LineageName};
use clap::Args as ClapArgs;

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// Show every statement that entered the ledger, one line each. Without `--follow`, the command ends with what was
/// acknowledged before it was called, which takes a quorum. With `--follow`, it continues on whichever node answers,
/// without a gap or a repetition.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent events --after blake3:…/e1:120
  assent events --follow --kind revocation --kind containment \\
    --domain prod.eu --output json

It ends with exit code 0 when nobody reads its stdout any more, with 1 when stdout cannot be
written (with `--follow` also at once, if it is closed), and with 11 when no node has answered
for `--timeout`, and says where to go on. A cursor names the history that it is of. It ends
with exit code 14 when another history is in force, as after a recovery, or when the ledger is
shorter than the cursor says; for another history it says whether all that was read is part of
it, and after which cursor to read on.")]
pub(crate) struct Args {
    /// Show what came after this cursor, `<history>:<revision>` as this command prints it; by default show everything
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Continue with what enters the ledger from now on
    #[arg(long)]
    follow: bool,
    /// Show only this kind (repeatable)
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<EvidenceKind>,
    /// Show only this domain (repeatable)
    #[arg(long = "domain")]
    domains: Vec<DomainName>,
    /// Show only this lineage (repeatable)
    #[arg(long = "lineage")]
    lineages: Vec<LineageName>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let filter = EventsFilter {
        kinds: args.kinds,
        domains: args.domains,
        lineages: args.lineages,
        equivocations: false,
    };
    if args.follow {
        // Without a reader the command would run for ever in vain.
        output.must_be_open()?;
    }
    let mut follower = args.endpoints.client()?.follow_events(filter, args.after);
    let mut size = None;
    loop {
        let page = tokio::select! {
            page = next(&mut follower, args.follow) => page?,
            // With `--follow` there may be nothing to print for a long time. Without this, the end of the reader would
            // go unnoticed.
            () = output.reader_gone() => return Ok(Exit::Ok),
        };
        for event in &page.events {
            if !output.try_result(event, || text(event))? {
                return Ok(Exit::Ok);
            }
        }
        // What enters the ledger while the pages are shown is left to the next call.
        let size = *size.get_or_insert(page.ledger_revision);
        if !args.follow && page.cursor.revision >= size {
            output.say(&format!("that is all up to now; go on with `--after {}`", page.cursor));
            return Ok(Exit::Ok);
        }
    }
}

async fn next(follower: &mut EventFollower, follow: bool) -> Result<EventsPage, CliError> {
    let page = if follow { follower.next().await } else { follower.next_confirmed().await };
    page.map_err(|error| {
        let from = match &error {
            ClientError::HistoryChanged(change) if change.shared_revision.is_some() => {
                Some(change.resume_at())
            }
            ClientError::HistoryChanged(_) | ClientError::BeyondLedger { .. } => None,
            ClientError::Config { .. }
            | ClientError::Unavailable { .. }
            | ClientError::Tls(_)
            | ClientError::Refused(_)
            | ClientError::RefusalNotUnderstood(_)
            | ClientError::DenyNotUnderstood(_)
            | ClientError::OutcomeUnknown { .. }
            | ClientError::Answer { .. }
            | ClientError::Untrusted { .. } => follower.cursor(),
        };
        let error = CliError::from(error);
        match from {
            Some(cursor) => {
                CliError { remedy: format!("{}; go on with `--after {cursor}`", error.remedy), ..error }
            }
            None => error,
        }
    })
}

fn text(event: &EventBody) -> String {
    let slot = event.sequence.map_or_else(|| "no slot".to_owned(), |slot| format!("slot {slot}"));
    let restricts = event.restricts.as_ref();
    let restricts = restricts.map(|restricts| format!("  {} {}", restricts.action, restricts.target));
    format!(
        "{:>8}  {}  {:<25}  {}  {:<8}  {}/{}{}{}",
        event.revision,
        event.accepted_at.to_seconds(),
        event.kind.as_str(),
        event.evidence_id,
        slot,
        event.domain,
        event.lineage,
        restricts.unwrap_or_default(),
        if event.equivocation { "  equivocation" } else { "" },
    )
}
