//! `status`: the cluster as each node sees it.

use assent_api::{DigestBody, SnapshotDirection, StatusBody};
use assent_client::{Client, ClientError};
use assent_proof::History;
use clap::Args as ClapArgs;
use tokio::task::JoinSet;

use crate::connect::Endpoints;
use crate::each_node::{self, NoneGave};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::table::{self, Column};

/// Show the cluster as each node sees it. Exit codes: 0 at least one node gave its status, 1 the nodes that answered
/// refused the caller, 11 no node answered, or the nodes refused the caller's certificate.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent status --endpoint http://127.0.0.1:7400,http://127.0.0.1:7401
  assent status --digest
  assent status --endpoint https://node-1:7400 --ca ca.pem --cert ops.pem \\
    --cert-key ops.key")]
pub(crate) struct Args {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Also have each node compute a digest of everything that it has applied, which reads every row. Nodes that have
    /// applied the same entries have the same digest
    #[arg(long)]
    digest: bool,
}

const ENDPOINT: Column = Column::left("endpoint", 28);

/// The table of the nodes.
const COLUMNS: [Column; 9] = [
    ENDPOINT,
    Column::right("node", 4),
    Column::left("role", 9),
    Column::right("leader", 6),
    Column::right("term", 5),
    Column::right("revision", 9),
    Column::right("applied", 9),
    Column::left("clock", 5),
    Column::left("ready", 6),
];

/// What one endpoint answered.
struct Row {
    endpoint: String,
    ready: bool,
    status: Result<StatusBody, ClientError>,
    digest: Option<Result<DigestBody, ClientError>>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let client = args.endpoints.client()?;
    let mut asked = JoinSet::new();
    for (place, endpoint) in args.endpoints.list().into_iter().enumerate() {
        let client = client.clone();
        asked.spawn(async move { (place, ask(&client, endpoint, args.digest).await) });
    }
    let mut rows = asked.join_all().await;
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let json: Vec<serde_json::Value> = rows.iter().map(json).collect();
    let end = NoneGave::of(rows.iter().map(|row| &row.status));
    output.result(&serde_json::json!({ "nodes": json }), || text(&rows, end.as_ref()))?;
    end.map_or(Ok(Exit::Ok), |end| Err(end.error))
}

async fn ask(client: &Client, endpoint: String, digest: bool) -> Row {
    let digested = async { if digest { Some(client.digest_at(&endpoint).await) } else { None } };
    let (status, ready, digest) =
        tokio::join!(client.status_at(&endpoint), client.ready_at(&endpoint), digested);
    Row { endpoint, ready, status, digest }
}

fn json(row: &Row) -> serde_json::Value {
    let problem = |error: &ClientError| CliError::from(error.clone()).to_json();
    let mut json = match &row.status {
        Ok(status) => serde_json::json!({ "endpoint": row.endpoint, "ready": row.ready, "status": status }),
        Err(error) => {
            serde_json::json!({ "endpoint": row.endpoint, "ready": false, "error": problem(error) })
        }
    };
    let digest = row.digest.as_ref().map(|digest| match digest {
        Ok(digest) => serde_json::json!(digest),
        Err(error) => serde_json::json!({ "error": problem(error) }),
    });
    if let (Some(digest), Some(fields)) = (digest, json.as_object_mut()) {
        fields.insert("digest".to_owned(), digest);
    }
    json
}

fn text(rows: &[Row], end: Option<&NoneGave>) -> String {
    let mut lines = vec![table::heads(&COLUMNS)];
    lines.extend(rows.iter().map(|row| line(row, end)));
    lines.extend(rows.iter().filter_map(|row| row.status.as_ref().ok()).flat_map(notes));
    lines.extend(rows.iter().filter_map(|row| Some((row, row.digest.as_ref()?))).map(digest_line));
    let answered: Vec<&StatusBody> = rows.iter().filter_map(|row| row.status.as_ref().ok()).collect();
    // This is one line, unless the nodes differ in their history.
    let mut told: Vec<(&History, &str)> = Vec::new();
    for status in answered {
        let here = (&status.history, status.origin.as_str());
        if !told.contains(&here) {
            told.push(here);
            let (history, origin, id) = (&status.history, &status.origin, status.node_id);
            let whose = if told.len() > 1 { format!("node {id} differs: ") } else { String::new() };
            lines.push(format!("{whose}history {history}, origin {origin}"));
        }
    }
    lines.join("\n")
}

fn digest_line((row, digest): (&Row, &Result<DigestBody, ClientError>)) -> String {
    match digest {
        Ok(DigestBody { node_id, applied, rows, digest, .. }) => {
            let at = applied
                .map_or_else(|| "nothing".to_owned(), |at| format!("entry {} of term {}", at.index, at.term));
            format!("node {node_id} has applied up to {at}: {rows} rows, {digest}")
        }
        Err(error) => format!("{} gives no digest: {error}", row.endpoint),
    }
}

/// A certificate that ends within this time is worth a note: 14 days, in milliseconds.
const CERTIFICATE_SOON_MS: i64 = 14 * 86_400_000;
/// A list of revoked certificates that ends within this time is worth a note: 7 days, in milliseconds.
const LIST_SOON_MS: i64 = 7 * 86_400_000;

/// Notes about a node: it is not or no longer a member, its key is not granted, it is not sure of its clock, its
/// certificates or the lists of revoked ones end soon, it has refused callers, it has no connection to a peer, or it sends or receives a snapshot.
fn notes(status: &StatusBody) -> Vec<String> {
    let id = status.node_id;
    let mut notes = Vec::new();
    match &status.removed {
        Some(removed) => notes.push(format!("node {id}: {}; {}", removed.detail, removed.remedy)),
        None if !status.member => {
            notes.push(format!("node {id} is not a member of the cluster: it waits to be added"));
        }
        None => {}
    }
    if let Some(silenced) = &status.silenced {
        notes.push(format!("node {id}: {}; {}", silenced.detail, silenced.remedy));
    }
    if let Some(detail) = &status.clock.detail {
        let remedy = status.clock.remedy.as_deref().unwrap_or("see `assent clock`");
        notes.push(format!("node {id} is not sure of its clock: {detail}: {remedy}"));
    }
    let node = &status.node;
    for (end, of, soon_ms, remedy) in [
        (
            node.peer_certificate_end,
            "the certificate that it shows to its peers",
            CERTIFICATE_SOON_MS,
            "renew it",
        ),
        (
            node.client_certificate_end,
            "the certificate that it shows to its clients",
            CERTIFICATE_SOON_MS,
            "renew it",
        ),
        (
            node.peer_revocation_list_end,
            "the list by which it checks its peers' certificates",
            LIST_SOON_MS,
            "give it a new list",
        ),
        (
            node.client_revocation_list_end,
            "the list by which it checks its callers' certificates",
            LIST_SOON_MS,
            "give it a new list",
        ),
    ] {
        if let (Some(end), Some(now)) = (end, status.clock.wall)
            && end.since(now) < soon_ms
        {
            notes.push(format!("node {id}: {of} ends {}: {remedy}", end.to_seconds()));
        }
    }
    if !status.refused_callers.is_empty() {
        let counts = status.refused_callers.iter();
        let reasons: Vec<String> =
            counts.map(|(reason, count)| format!("{count} {} (`{reason}`)", refused_since(reason))).collect();
        notes.push(format!("node {id} has refused callers since its start: {}", reasons.join(", ")));
    }
    notes.extend(status.peers.iter().filter_map(|peer| {
        let problem = peer.problem.as_ref()?;
        Some(format!("node {id} has no connection to node {}: {problem}", peer.id))
    }));
    notes.extend(status.snapshots.iter().map(|snapshot| {
        let percent = snapshot.rows.saturating_mul(100).checked_div(snapshot.rows_total).unwrap_or(0);
        let way = match snapshot.direction {
            SnapshotDirection::Sending => "sends a snapshot to",
            SnapshotDirection::Receiving => "receives a snapshot from",
        };
        let (peer, rows, total) = (snapshot.peer, snapshot.rows, snapshot.rows_total);
        format!("node {id} {way} node {peer}: {percent} %, {rows} of {total} rows")
    }));
    notes
}

/// Why callers were refused, in words, for a reason by which a node counts them. A node counts no roles: its audit trail
/// has the caller and the call of each refusal.
fn refused_since(reason: &str) -> &'static str {
    match reason {
        "nothing_shown" => "without a certificate and a token",
        "certificate_not_listed" => "with a certificate that the node does not list",
        "token_not_listed" => "with a token that the node does not list",
        "bearer_malformed" => "with a malformed bearer token",
        "handshake" => "without a TLS connection",
        "role" => "without a role that may make the call",
        "domain" => "in a domain in which the caller may not act",
        "kind" => "with a kind of statement that no caller may submit",
        "path" => "for a path that does not exist",
        "method" => "with a method that the path does not take",
        "listener" => "on a listener that does not serve the call",
        "caller_requests" => "with too many requests at a time",
        "caller_rate" => "with too many requests a second",
        "caller_work" => "with too many calls in work while the node was short of processors",
        "connections_per_address" => "with too many connections from their address",
        "jwt_unverified" => {
            "with a JSON web token that was not verified, as their address had used up its verifications"
        }
        jwt if jwt.starts_with("jwt_") => "with a JSON web token that the node does not accept",
        _ => "for a reason that this build does not know",
    }
}

fn line(row: &Row, end: Option<&NoneGave>) -> String {
    let status = match &row.status {
        Ok(status) => status,
        Err(error) => return format!("{} {}", ENDPOINT.cell(&row.endpoint), each_node::row(error, end)),
    };
    let or_none = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    let ready = match (row.ready, &status.removed) {
        (true, _) => "yes",
        (false, Some(_)) => "removed",
        (false, None) => "no",
    };
    let cells = [
        row.endpoint.clone(),
        status.node_id.to_string(),
        format!("{:?}", status.role).to_lowercase(),
        or_none(status.leader),
        status.term.to_string(),
        status.revision.to_string(),
        or_none(status.applied),
        if status.clock.sure { "sure" } else { "doubt" }.to_owned(),
        ready.to_owned(),
    ];
    table::row(&COLUMNS, cells)
}

#[cfg(test)]
mod tests {
    use assent_cluster::access::RefusedCaller;

    use super::*;

    #[test]
    fn every_reason_by_which_a_node_counts_refused_callers_is_known() {
        for reason in RefusedCaller::all().map(RefusedCaller::as_str) {
            assert!(!refused_since(reason).contains("this build does not know"), "{reason}");
        }
        assert!(refused_since("jwt_unverified").contains("not verified"));
    }

    #[test]
    fn a_reason_for_which_callers_were_refused_is_told_in_words() {
        assert_eq!(refused_since("role"), "without a role that may make the call");
        assert!(refused_since("jwt_expired").contains("JSON web token"));
        assert!(refused_since("moon_wrong").contains("this build does not know"));
    }
}
