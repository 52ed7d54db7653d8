//! `domain list`: the domains and who governs them.

use assent_api::{DomainBody, DomainsBody, MAX_PAGE};
use clap::{Args as ClapArgs, Subcommand};

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent domain list
  assent domain list --output json";

/// Most pages that are read: a hundred thousand domains.
const PAGES_MAX: usize = 100;

/// Read domains.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: DomainCommand,
}

#[derive(Debug, Subcommand)]
enum DomainCommand {
    List(List),
}

/// List the domains: their governance keys, thresholds, and what isolates them.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct List {
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let DomainCommand::List(args) = args.command;
    let client = args.endpoints.client()?;
    let mut all = DomainsBody { domains: Vec::new(), next: None };
    for _ in 0..PAGES_MAX {
        let page = client.domains(all.next.as_ref(), Some(MAX_PAGE)).await?;
        all.domains.extend(page.domains);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    output.result(&all, || text(&all))?;
    Ok(Exit::Ok)
}

fn text(all: &DomainsBody) -> String {
    let mut lines: Vec<String> = all.domains.iter().map(block).collect();
    lines.extend(all.next.as_ref().map(|next| format!("more after {next}")));
    lines.join("\n")
}

fn block(domain: &DomainBody) -> String {
    let DomainBody { domain: name, governance, threshold, isolated_by, .. } = domain;
    let isolated = if isolated_by.is_empty() { "" } else { ", isolated" };
    let mut lines = vec![format!("{name}: {threshold} of {} governance keys{isolated}", governance.len())];
    lines.extend(governance.iter().map(|key| format!("  {key}")));
    lines.extend(isolated_by.iter().map(|id| format!("  isolated by {id}")));
    lines.join("\n")
}
