//! `member`: who is in the cluster, and changing that.

use std::time::Duration;

use assent_api::{
    AddressError, MemberAddress, MemberAddresses, MemberBody, MemberRole, MembersBody, NewMember,
    parse_node_id,
};
use assent_client::Client;
use clap::{Args as ClapArgs, Subcommand};
use tokio::time::{Instant, sleep};

use super::replace;
use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent member list
  assent member add --node http://10.0.0.14:7400 --promote
  assent member promote 4
  assent member remove 2
  assent member update --id 2 --peer-addr 10.0.0.22:7500
  assent member replace 2 --node http://10.0.0.14:7400 --root-key root.pem --node-key node-4.pem";

/// How often a learner is asked after while it catches up.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// List, add, promote, move, remove and replace members of the cluster.
///
/// A node id is used once, for one disk: whoever comes back with an empty or an older disk comes as a new member.
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
    Promote(One),
    Remove(One),
    Update(Update),
    Replace(replace::Args),
}

/// List the members, as the leader sees them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member list --output json")]
struct List {
    #[command(flatten)]
    endpoints: Endpoints,
}

/// Add a node that waits to be added, as a learner: it receives the log and neither votes nor answers until it is promoted.
/// Its key must stand granted in `_root`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member add --node http://10.0.0.14:7400 --promote")]
struct Add {
    /// The new node's client address; it says itself who it is
    #[arg(long, value_name = "URL")]
    node: String,
    /// Wait until it has caught up, and make it a voter
    #[arg(long)]
    promote: bool,
    /// How long to wait for that, in seconds
    #[arg(long, value_name = "S", default_value_t = 3600)]
    within: u64,
    #[command(flatten)]
    endpoints: Endpoints,
}

/// Name a member by its number.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent member promote 4\n  assent member remove 2")]
struct One {
    /// The member's number
    #[arg(value_parser = parse_node_id)]
    id: u64,
    #[command(flatten)]
    endpoints: Endpoints,
}

/// Say where a member is now. Its number, disk and key stay what they are.
///
/// A node that reaches any other member says by itself where it is, as its configuration has it; this is for one that reaches none.
/// Write the addresses into its configuration too (`peer_advertise`, `client_advertise`): when it is started again it says what
/// stands there.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  assent member update --id 2 --peer-addr 10.0.0.22:7500 --client-addr 10.0.0.22:7400"
)]
struct Update {
    /// The member's number
    #[arg(long, value_name = "ID", value_parser = parse_node_id)]
    id: u64,
    /// Where peers reach it from now on
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "client_addr")]
    peer_addr: Option<String>,
    /// Where clients reach it from now on
    #[arg(long, value_name = "HOST:PORT")]
    client_addr: Option<String>,
    #[command(flatten)]
    endpoints: Endpoints,
}

/// Reads where a member is.
fn address(option: &str, text: &str) -> Result<MemberAddress, CliError> {
    text.parse().map_err(|error: AddressError| {
        let remedy = "give the address at which the other nodes reach the member, `HOST:PORT`";
        CliError { exit: Exit::Usage, ..CliError::new("malformed", format!("`{option}`: {error}"), remedy) }
    })
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let members = match args.command {
        MemberCommand::List(args) => args.endpoints.client()?.members().await?,
        MemberCommand::Add(args) => {
            let client = args.endpoints.client_for_changes()?;
            let new = introduce(&args.endpoints, &args.node).await?;
            let members = add(&client, &new, output).await?;
            match args.promote {
                true => promote(&client, new.id, Duration::from_secs(args.within), output).await?,
                false => members,
            }
        }
        MemberCommand::Promote(args) => args.endpoints.client_for_changes()?.promote_member(args.id).await?,
        MemberCommand::Remove(args) => args.endpoints.client_for_changes()?.remove_member(args.id).await?,
        MemberCommand::Update(args) => {
            let to = MemberAddresses {
                peer: args.peer_addr.map(|text| address("--peer-addr", &text)).transpose()?,
                client: args.client_addr.map(|text| address("--client-addr", &text)).transpose()?,
            };
            args.endpoints.client_for_changes()?.update_member(args.id, &to).await?
        }
        MemberCommand::Replace(args) => return replace::run(args, output).await,
    };
    output.result(&members, || table(&members))?;
    Ok(Exit::Ok)
}

/// Asks the new node who it is.
pub(crate) async fn introduce(endpoints: &Endpoints, node: &str) -> Result<NewMember, CliError> {
    // To read takes no longer than any read.
    let client = endpoints.client()?;
    let status = client.status_at(node).await?;
    let cluster = client.status().await?;
    if status.cluster_id != cluster.cluster_id {
        let detail = format!(
            "`{node}` belongs to cluster `{}`, and this is `{}`",
            status.cluster_id, cluster.cluster_id
        );
        return Err(CliError::new(
            "other_cluster",
            detail,
            "start the node with this cluster's genesis file",
        ));
    }
    let who = status.node.clone();
    let place = |said: &str| {
        said.parse::<MemberAddress>().map_err(|error| {
            let detail = format!("`{node}` says that it is where no member can be: {error}");
            let remedy =
                "correct `peer_advertise` and `client_advertise` in that node's configuration, and start it again";
            CliError::new("malformed", detail, remedy)
        })
    };
    Ok(NewMember {
        id: status.node_id,
        peer: place(&who.peer)?,
        client: place(&who.client)?,
        store_id: who.store_id,
        key: who.key,
    })
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

/// Waits until the learner has caught up, says how far it is, and promotes it.
pub(crate) async fn promote(
    client: &Client,
    id: u64,
    within: Duration,
    output: Output,
) -> Result<MembersBody, CliError> {
    let until = Instant::now() + within;
    let mut told = None;
    loop {
        match client.promote_member(id).await {
            Ok(members) => {
                output.say(&format!("node {id} is a voter"));
                return Ok(members);
            }
            Err(error) if error.code() == "member_behind" && Instant::now() < until => {
                let members = client.members().await?;
                let line = members.member(id).map(progress);
                if line != told {
                    line.iter().for_each(|line| output.say(line));
                    told = line;
                }
                sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn progress(member: &MemberBody) -> String {
    match (member.connected, member.behind) {
        (false, _) => format!("node {} is not connected yet", member.id),
        (true, Some(behind)) => format!("node {} lacks {behind} log entries", member.id),
        (true, None) => format!("node {} is catching up", member.id),
    }
}

/// The members, for people.
pub(crate) fn table(members: &MembersBody) -> String {
    let mut lines = vec![format!(
        "{:>4} {:<7} {:<6} {:<9} {:>10} {:>7} {:<8} {:<22} {}",
        "node", "role", "leads", "connected", "matched", "behind", "key", "peer", "client"
    )];
    lines.extend(members.members.iter().map(|member| line(member, members.leader)));
    if members.changing {
        lines.push("a change of the membership is under way".to_owned());
    }
    let whose = match members.leader {
        Some(_) => "",
        None => ", no leader is known",
    };
    lines
        .push(format!("as node {} sees it{whose}; the next free id is {}", members.node_id, members.next_id));
    lines.join("\n")
}

fn line(member: &MemberBody, leader: Option<u64>) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    format!(
        "{:>4} {:<7} {:<6} {:<9} {:>10} {:>7} {:<8} {:<22} {}",
        member.id,
        match member.role {
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
        },
        yes(leader == Some(member.id)),
        yes(member.connected),
        number(member.matched),
        number(member.behind),
        if member.key_granted { "granted" } else { "missing" },
        member.peer,
        member.client,
    )
}
