//! `lineage show`: a lineage's state, chains and entries.

use assent_api::LineageBody;
use assent_proof::{History, LineageName};
use clap::{Args as ClapArgs, Subcommand};

use crate::args::DomainArg;
use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent lineage show job-1 --domain prod.eu
  assent lineage show _governance --output json";

/// Read lineages.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: LineageCommand,
}

#[derive(Debug, Subcommand)]
enum LineageCommand {
    Show(Show),
}

/// Show a lineage: its status and subject, each issuer's chain, and one page of its entries.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Show {
    /// The lineage to show; `_governance` is the lineage of the domain's governance
    name: LineageName,
    #[command(flatten)]
    domain: DomainArg,
    /// Show the entries after this ledger index; needs --history
    #[arg(long, value_name = "LEDGER-INDEX", requires = "history")]
    after: Option<u64>,
    /// The history of the page from which the ledger index was read
    #[arg(long, value_name = "HISTORY", requires = "after")]
    history: Option<History>,
    /// The most entries to show
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let LineageCommand::Show(args) = args.command;
    let (client, domain) = (args.endpoints.client()?, args.domain.required()?);
    let after = args.history.zip(args.after);
    let Some(page) = client.lineage(&domain, &args.name, after, Some(args.limit.into())).await? else {
        let detail = format!("domain `{domain}` has no lineage `{}`", args.name);
        return Err(CliError::new("lineage_unknown", detail, "check the names of domain and lineage"));
    };
    output.result(&page, || text(&page))?;
    Ok(Exit::Ok)
}

fn text(page: &LineageBody) -> String {
    let status = format!("{:?}", page.status).to_lowercase();
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let mut lines = vec![
        format!("lineage: {} in {}, {status}", page.lineage, page.domain),
        format!("subject: {}", or_none(page.subject.map(|subject| format!("sha256:{subject}")))),
        format!("head:    {}", or_none(page.head.map(|head| head.to_string()))),
    ];
    lines.extend(page.quarantined_by.iter().map(|id| format!("quarantined by {id}")));
    lines.extend(page.conflicts.iter().map(|conflict| {
        let outcome = match &conflict.canonical {
            Some(canonical) => format!("{canonical} is canonical"),
            None => "quarantined until it is reconciled".to_owned(),
        };
        format!("slot {} signed twice by {}: {outcome}", conflict.sequence, conflict.issuer)
    }));
    lines.extend(
        page.issuers
            .iter()
            .map(|chain| format!("issuer:  {} at slot {}, {}", chain.issuer, chain.sequence, chain.head)),
    );
    for entry in &page.entries {
        let slot = entry.sequence.map_or_else(|| "no slot".to_owned(), |slot| format!("slot {slot}"));
        let void = if entry.void { ", void" } else { "" };
        let second = if entry.equivocation { ", equivocation" } else { "" };
        lines.push(format!(
            "{:>8}  {}  {}  {}  {slot}{void}{second}",
            entry.ledger_index,
            entry.accepted_at.to_seconds(),
            entry.evidence_id,
            entry.kind
        ));
    }
    lines.extend(page.next.map(|next| format!("more: --history {} --after {next}", page.history)));
    lines.join("\n")
}
