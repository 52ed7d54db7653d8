//! At the end: what each node holds, read over HTTP like everything else.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::http::{Boots, Http};
use super::recorder::Recorder;
use super::workload::page;
use crate::history::{Op, Outcome};

/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How often a read is tried.
const TRIES: u32 = 5;
/// Events of one page.
const PAGE: usize = 1000;

/// Reads a node's ledger, bytes and digest, and then takes one from `left`.
pub(super) async fn read_ledger(
    node: u64,
    recorder: Recorder,
    left: Rc<Cell<usize>>,
    boots: Boots,
) -> turmoil::Result {
    let begun = recorder.begin(Op::Ledger, 0, node, "", Value::Null);
    match ledger(&mut Http::new(boots), node).await {
        Some(ledger) => begun.end(Outcome::Ok, ledger),
        None => begun.unknown(Value::Null),
    }
    left.set(left.get().saturating_sub(1));
    Ok(())
}

async fn ledger(http: &mut Http, node: u64) -> Option<Value> {
    let digest = get(http, node, "/v1/cluster/digest").await?;
    let digest: Value = serde_json::from_str(&digest).ok()?;
    let mut leaves = Vec::new();
    let mut history = String::new();
    loop {
        // The first page says in which history the others go on.
        let after = match leaves.len() {
            0 => String::new(),
            seen => format!("&history={history}&after={seen}"),
        };
        let text = get(http, node, &format!("/v1/events?limit={PAGE}&waitMs=0{after}")).await?;
        let page = page(&text)?;
        history = page.get("history")?.as_str()?.to_owned();
        let events = page.get("events")?.as_array()?.clone();
        if events.is_empty() {
            break;
        }
        for mut event in events {
            let id = event.get("evidenceId")?.as_str()?.to_owned();
            let envelope = get(http, node, &format!("/v1/envelopes/{id}")).await?;
            event.as_object_mut()?.insert("envelope".to_owned(), Value::String(envelope));
            leaves.push(event);
        }
    }
    Some(json!({
        "revision": digest.get("revision")?,
        "applied": digest.pointer("/applied/index")?,
        "digest": digest.get("digest")?,
        "leaves": leaves,
    }))
}

async fn get(http: &mut Http, node: u64, path: &str) -> Option<String> {
    for _ in 0..TRIES {
        match http.ask(node, Method::GET, path, Vec::new(), WITHIN).await {
            Ok(answer) if answer.status == 200 => return Some(answer.text),
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
    None
}
