//! `authority list`: the authorities of a domain.

use assent_api::{AuthoritiesBody, AuthorityBody, MAX_PAGE};
use clap::{Args as ClapArgs, Subcommand};

use crate::args::DomainArg;
use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent authority list --domain prod.eu
  assent authority list --domain _root --output json";

/// The most pages that one call reads: a hundred thousand authorities.
const PAGES_MAX: usize = 100;

/// Read the authorities of a domain.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: AuthorityCommand,
}

#[derive(Debug, Subcommand)]
enum AuthorityCommand {
    List(List),
}

/// List a domain's authorities. The domain `_root` has the root keys and the nodes' keys.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct List {
    #[command(flatten)]
    domain: DomainArg,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let AuthorityCommand::List(args) = args.command;
    let (client, domain) = (args.endpoints.client()?, args.domain.required()?);
    let mut all = AuthoritiesBody { authorities: Vec::new(), next: None };
    for _ in 0..PAGES_MAX {
        let page = client.authorities(&domain, all.next.as_ref(), Some(MAX_PAGE)).await?;
        all.authorities.extend(page.authorities);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    output.result(&all, || text(&all))?;
    Ok(Exit::Ok)
}

fn text(all: &AuthoritiesBody) -> String {
    if all.authorities.is_empty() {
        return "no authorities".to_owned();
    }
    let mut lines: Vec<String> = all.authorities.iter().map(line).collect();
    lines.extend(all.next.map(|next| format!("more after {next}")));
    lines.join("\n")
}

fn line(authority: &AuthorityBody) -> String {
    let until = authority.not_after.map_or_else(|| "no end".to_owned(), |until| until.to_string());
    let status = format!("{:?}", authority.status).to_lowercase();
    let AuthorityBody { id, name, role, not_before, .. } = authority;
    format!("{id}  {status:<8}  {role:<13}  {name}  {not_before} to {until}", role = role.as_str())
}
