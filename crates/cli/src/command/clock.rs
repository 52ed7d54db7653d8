//! `clock`: how sure each node is of its clock, and an operator's confirmation that a clock is right.

use assent_api::{ClockBody, StatusBody};
use assent_client::ClientError;
use assent_proof::Seconds;
use clap::{Args as ClapArgs, Subcommand};
use tokio::task::JoinSet;

use crate::connect::{AdminEndpoints, Endpoints};
use crate::each_node::{self, NoneGave};
use crate::exit::{CliError, Exit};
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent clock --endpoint http://127.0.0.1:7400,http://127.0.0.1:7401
  assent clock confirm --time 2037-07-01T12:00:00Z \\
    --endpoint http://127.0.0.1:7400";

/// Show how sure each node is of its clock: whether the node uses it, and if not, what is wrong. Fails if no node
/// answers, or if the nodes that answer refuse the caller.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<ClockCommand>,
    #[command(flatten)]
    endpoints: Endpoints,
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    Confirm(Confirm),
}

/// Confirm that the nodes' clocks are right, although they are more than 31 days ahead of registry time, have leapt by
/// more than that, or were set back.
///
/// Do this only if you have read the time from a clock that you trust. After the confirmation, registry time follows
/// the nodes' clocks, and it never goes back. If the clocks are wrong and ahead, everything that is signed by right
/// clocks counts as stale. If the clocks are wrong and were set back, what had expired is allowed again.
///
/// The first node that can take the confirmation takes it, and the other nodes follow that node. No node follows
/// another one back: if the clocks were set back, name each node in turn as the only one, by its admin listener
/// (`--admin`) or, if it has none, by its endpoint. The confirmation holds until that node's clock leaps again or the
/// node stops.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Confirm {
    /// The present time by a clock that you trust; the node's clock must be within a minute of it
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
    time: Seconds,
    #[command(flatten)]
    admin: AdminEndpoints,
}

/// What one endpoint answered.
struct Row {
    endpoint: String,
    status: Result<StatusBody, ClientError>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    if let Some(ClockCommand::Confirm(confirm)) = args.command {
        let clock = confirm.admin.client()?.confirm_clock(confirm.time).await?;
        let text =
            || format!("confirmed: the clock that shows {} is trusted\n{}", confirm.time, told(&clock));
        let done = format!("the clock that shows {} is trusted", confirm.time);
        output.done(&clock, text, &done, "`assent clock` shows how sure each node is of its clock")?;
        return Ok(Exit::Ok);
    }
    let client = args.endpoints.client()?;
    let mut asked = JoinSet::new();
    for (place, endpoint) in args.endpoints.list().into_iter().enumerate() {
        let client = client.clone();
        asked.spawn(async move {
            let status = client.status_at(&endpoint).await;
            (place, Row { endpoint, status })
        });
    }
    let mut rows = asked.join_all().await;
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let json: Vec<serde_json::Value> = rows.iter().map(json).collect();
    let end = NoneGave::of(rows.iter().map(|row| &row.status));
    output.result(&serde_json::json!({ "nodes": json }), || {
        rows.iter().map(|row| lines(row, end.as_ref())).collect::<Vec<_>>().join("\n")
    })?;
    end.map_or(Ok(Exit::Ok), |end| Err(end.error))
}

fn json(row: &Row) -> serde_json::Value {
    match &row.status {
        Ok(status) => serde_json::json!({
            "endpoint": row.endpoint,
            "nodeId": status.node_id,
            "clock": status.clock,
        }),
        Err(error) => {
            serde_json::json!({ "endpoint": row.endpoint, "error": CliError::from(error.clone()).to_json() })
        }
    }
}

fn lines(row: &Row, end: Option<&NoneGave>) -> String {
    match &row.status {
        Ok(status) => format!("{} node {}\n{}", row.endpoint, status.node_id, told(&status.clock)),
        Err(error) => format!("{} {}", row.endpoint, each_node::row(error, end)),
    }
}

/// How sure a node is of its clock, one fact a line.
fn told(clock: &ClockBody) -> String {
    let standing =
        clock.standing.map_or(if clock.sure { "sure" } else { "doubt" }, |standing| standing.as_str());
    let mut lines = vec![format!("  clock          {standing}")];
    if let Some(detail) = &clock.detail {
        lines.push(format!("  what is wrong  {detail}"));
    }
    if let Some(remedy) = &clock.remedy {
        lines.push(format!("  what to do     {remedy}"));
    }
    if let Some(wall) = clock.wall {
        lines.push(format!("  its clock      {}", wall.to_seconds()));
    }
    if let (Some(time), Some(ahead_ms)) = (clock.registry_time, clock.registry_time_ahead_ms) {
        let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
        let by = ahead_ms.unsigned_abs();
        lines.push(format!("  registry time  {}, {by} ms {way} its clock", time.to_seconds()));
    }
    if let Some(confirmed) = &clock.confirmed {
        lines.push(format!(
            "  confirmed      when it showed {}, {} ms ahead of registry time",
            confirmed.wall.to_seconds(),
            confirmed.ahead_ms
        ));
    }
    lines.extend(clock.readings.iter().map(|reading| {
        format!("  node {:<9} {:+} ms, {} ms ago", reading.peer, reading.offset_ms, reading.age_ms)
    }));
    lines.join("\n")
}
