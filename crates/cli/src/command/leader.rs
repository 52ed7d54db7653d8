//! `leader transfer`: who leads.

use assent_api::parse_node_id;
use clap::{Args as ClapArgs, Subcommand};

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::members::table;
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent leader transfer --to 2
  assent leader transfer";

/// Move leadership to another voter, as before maintenance of the leader's machine.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: LeaderCommand,
}

#[derive(Debug, Subcommand)]
enum LeaderCommand {
    Transfer(Transfer),
}

/// Hand leadership over, and wait until it is.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Transfer {
    /// The voter that is to lead; without it, the one that is furthest
    #[arg(long, value_name = "ID", value_parser = parse_node_id)]
    to: Option<u64>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let LeaderCommand::Transfer(args) = args.command;
    let members = args.endpoints.client_for_changes()?.transfer_leader(args.to).await?;
    output.result(&members, || table(&members))?;
    Ok(Exit::Ok)
}
