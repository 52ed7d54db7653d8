//! `member`: list and change the members of the cluster.

use std::time::Duration;

use assent_api::{AddressError, MemberAddress, MemberAddresses, MemberRole, MembersBody, NewMember};
use assent_client::Client;
use clap::{Args as ClapArgs, Subcommand};

use super::replace;
use crate::args::MemberIdArg;
use crate::connect::AdminEndpoints;
use crate::exit::{CliError, Exit};
use crate::members::{SHOWN_BY_LIST, introduce, promote, table};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent member list
  assent member add --node http://10.0.0.14:7400 --promote
  assent member promote 4
  assent member remove 2
  assent member update 2 --peer-addr 10.0.0.22:7500
  assent member replace 2 --node http://10.0.0.14:7400 \\
    --root-key root.pem --node-key node-4.pem";

/// List, add, promote, move, remove and replace members of the cluster.
///
/// A node id is used once, for one disk. A node that comes back with an empty or an older disk must join as a new
/// member.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    List(List),
    Add(Add),
    /// Make a learner a voter, named by its node id.
    Promote(One),
    /// Remove a member, named by its node id, from the cluster. Its id is never used again.
    Remove(One),
    Update(Update),
    Replace(replace::Args),
}

/// List the members, as the leader knows them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member list --output json")]
struct List {
    #[command(flatten)]
    admin: AdminEndpoints,
}

/// Add a waiting node as a learner. A learner receives the log, and neither votes nor answers until it is promoted.
/// The node's key must be granted in `_root`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member add --node http://10.0.0.14:7400 --promote")]
struct Add {
    /// The new node's client address, at which it reports its id, store and key
    #[arg(long, value_name = "URL")]
    node: String,
    /// Wait until the node has caught up, and make it a voter
    #[arg(long)]
    promote: bool,
    /// With --promote: how long to wait until the node has caught up, in seconds
    #[arg(long, value_name = "S", default_value_t = 3600)]
    within: u64,
    #[command(flatten)]
    admin: AdminEndpoints,
}

// What the help says of it stands at the variants of `MemberCommand`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member promote 4\n  assent member remove 2")]
struct One {
    #[command(flatten)]
    id: MemberIdArg,
    #[command(flatten)]
    admin: AdminEndpoints,
}

/// Change the addresses of a member. Its node id, disk and key stay as they are.
///
/// A node that reaches any other member reports the addresses of its configuration by itself. This command is for a
/// node that reaches none. Write the addresses into the node's configuration too (`peer_advertise`,
/// `client_advertise`): when the node is started again, it reports the addresses of its configuration.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  assent member update 2 --peer-addr 10.0.0.22:7500 \\\n    --client-addr 10.0.0.22:7400"
)]
struct Update {
    #[command(flatten)]
    id: MemberIdArg,
    /// The address at which peers reach the member from now on
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "client_addr")]
    peer_addr: Option<String>,
    /// The address at which clients reach the member from now on
    #[arg(long, value_name = "HOST:PORT")]
    client_addr: Option<String>,
    #[command(flatten)]
    admin: AdminEndpoints,
}

/// Reads a member's address from the command line.
fn address(option: &str, text: &str) -> Result<MemberAddress, CliError> {
    text.parse().map_err(|error: AddressError| {
        let remedy = "give the address at which the other nodes reach the member, `HOST:PORT`";
        CliError { exit: Exit::Usage, ..CliError::new("malformed", format!("`{option}`: {error}"), remedy) }
    })
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let members = match args.command {
        MemberCommand::List(args) => {
            let members = args.admin.client()?.members().await?;
            output.result(&members, || table(&members))?;
            return Ok(Exit::Ok);
        }
        MemberCommand::Add(args) => {
            let client = args.admin.client_for_changes()?;
            let new = introduce(&args.admin, &args.node).await?;
            let members = add(&client, &new, output).await?;
            match args.promote {
                true => promote(&client, new.id, Duration::from_secs(args.within), output).await?,
                false => members,
            }
        }
        MemberCommand::Promote(args) => {
            args.admin.client_for_changes()?.promote_member(args.id.required()?).await?
        }
        MemberCommand::Remove(args) => {
            args.admin.client_for_changes()?.remove_member(args.id.required()?).await?
        }
        MemberCommand::Update(args) => {
            let to = MemberAddresses {
                peer: args.peer_addr.map(|text| address("--peer-addr", &text)).transpose()?,
                client: args.client_addr.map(|text| address("--client-addr", &text)).transpose()?,
            };
            args.admin.client_for_changes()?.update_member(args.id.required()?, &to).await?
        }
        MemberCommand::Replace(args) => return replace::run(args, output).await,
    };
    output.done(&members, || table(&members), "the members are changed as asked", SHOWN_BY_LIST)?;
    Ok(Exit::Ok)
}

/// Adds the node as a learner.
async fn add(client: &Client, new: &NewMember, output: Output) -> Result<MembersBody, CliError> {
    let members = client.add_member(new).await?;
    let what = match members.member(new.id).map(|member| member.role) {
        Some(MemberRole::Voter) => "is a voter already",
        _ => "is a learner",
    };
    output.say(&format!("node {} at {} {what}", new.id, new.peer));
    Ok(members)
}
