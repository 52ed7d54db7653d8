//! What the commands about members share: reading a new node's identity, promoting it, and printing the members.

use std::time::Duration;

use assent_api::{MemberAddress, MemberBody, MemberRole, MembersBody, NewMember};
use assent_client::Client;
use tokio::time::{Instant, sleep};

use crate::connect::AdminEndpoints;
use crate::exit::CliError;
use crate::output::Output;
use crate::table::{Column, heads, row};

/// The time between two looks at a learner while it catches up.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How to go on if the members after a change of them could not be printed.
pub(crate) const SHOWN_BY_LIST: &str = "`assent member list` shows the members";

/// The table of the members.
const COLUMNS: [Column; 9] = [
    Column::right("node", 4),
    Column::left("role", 7),
    Column::left("leads", 6),
    Column::left("connected", 9),
    Column::right("matched", 10),
    Column::right("behind", 7),
    Column::left("key", 8),
    Column::left("peer", 22),
    Column::left("client", 0),
];

/// Asks the new node for its id, addresses, store and key.
pub(crate) async fn introduce(admin: &AdminEndpoints, node: &str) -> Result<NewMember, CliError> {
    // This only reads, so it needs no more time than any other read.
    let client = admin.client()?;
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
            let detail = format!("`{node}` reports an address that no member can have: {error}");
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

/// Waits until the learner has caught up, prints its progress, and promotes it.
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

/// The members as a table for people.
pub(crate) fn table(members: &MembersBody) -> String {
    let mut lines = vec![heads(&COLUMNS)];
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
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let role = match member.role {
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
    };
    let cells = [
        member.id.to_string(),
        role.to_owned(),
        yes(leader == Some(member.id)),
        yes(member.connected),
        number(member.matched),
        number(member.behind),
        if member.key_granted { "granted" } else { "missing" }.to_owned(),
        member.peer.clone(),
        member.client.clone(),
    ];
    row(&COLUMNS, cells)
}
