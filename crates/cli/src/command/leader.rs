//! `leader transfer`: move leadership to another voter.

use assent_api::parse_node_id;
use clap::{Args as ClapArgs, Subcommand};

use crate::connect::AdminEndpoints;
use crate::exit::{CliError, Exit};
use crate::members::{SHOWN_BY_LIST, table};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent leader transfer 2
  assent leader transfer";

/// Move leadership to another voter, for example before maintenance of the leader's machine.
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

/// Hand leadership over, and wait until another voter leads.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Transfer {
    /// The node id of the voter that is to lead; by default the voter whose log is furthest ahead
    #[arg(value_name = "ID", value_parser = parse_node_id)]
    id: Option<u64>,
    /// The same as `ID`, as an option
    #[arg(long, visible_alias = "id", value_name = "ID", value_parser = parse_node_id, conflicts_with = "id")]
    to: Option<u64>,
    #[command(flatten)]
    admin: AdminEndpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let LeaderCommand::Transfer(args) = args.command;
    let members = args.admin.client_for_changes()?.transfer_leader(args.id.or(args.to)).await?;
    output.done(&members, || table(&members), "the leader is changed as asked", SHOWN_BY_LIST)?;
    Ok(Exit::Ok)
}
