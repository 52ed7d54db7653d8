//! `domain list`: the domains, the keys that govern them, and what their policies do not check.

use assent_api::{DomainBody, DomainsBody, MAX_PAGE};
use clap::{Args as ClapArgs, Subcommand};

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent domain list
  assent domain list --output json";

/// The most pages that one call reads: a hundred thousand domains.
const PAGES_MAX: usize = 100;

/// Read the domains of the registry.
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

/// List the domains: their governance keys, thresholds, what isolates them, and what their policies do not check.
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
    let DomainBody { domain: name, governance, threshold, isolated_by, policy, .. } = domain;
    let isolated = if isolated_by.is_empty() { "" } else { ", isolated" };
    let mut lines = vec![format!("{name}: {threshold} of {} governance keys{isolated}", governance.len())];
    lines.extend(governance.iter().map(|key| format!("  {key}")));
    lines.extend(isolated_by.iter().map(|id| format!("  isolated by {id}")));
    match policy {
        None => lines.push("  no policy: nothing is allowed".to_owned()),
        Some(policy) => {
            lines.push(format!("  policy {}", policy.evidence_id));
            lines.extend(policy.unchecked.iter().map(|what| format!("  not checked: {what}")));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_api::JudgedByBody;
    use assent_proof::{EvidenceId, Unchecked};

    #[test]
    fn a_domain_is_listed_with_what_its_policy_does_not_check() {
        let policy = JudgedByBody::new(EvidenceId([4; 32]), &[Unchecked::Measurements]);
        let mut domain = DomainBody {
            domain: "prod.eu".parse().unwrap(),
            governance: Vec::new(),
            threshold: 1,
            isolated: false,
            isolated_by: Vec::new(),
            policy: Some(policy),
        };
        let first = "prod.eu: 1 of 0 governance keys";
        let id = "04".repeat(32);
        assert_eq!(
            block(&domain),
            format!("{first}\n  policy blake3:{id}\n  not checked: any measurement is accepted")
        );
        domain.policy = None;
        assert_eq!(block(&domain), format!("{first}\n  no policy: nothing is allowed"));
    }
}
