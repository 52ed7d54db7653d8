//! Reads a node's whole ledger as a history has it: its digest, and every leaf with its bytes, over HTTP like
//! everything else.

use serde_json::{Value, json};

/// How many events a page has.
const PAGE: usize = 1000;

/// A node to read from.
pub(crate) trait Reads {
    /// The body of an answer with status 200; `None` if there is no such answer.
    async fn read(&mut self, path: &str) -> Option<String>;

    /// The bodies of several answers, in the order of the paths; `None` if one is missing.
    async fn read_all(&mut self, paths: &[String]) -> Option<Vec<String>> {
        let mut bodies = Vec::new();
        for path in paths {
            bodies.push(self.read(path).await?);
        }
        Some(bodies)
    }
}

/// What a node holds; `None` if it cannot be read.
pub(crate) async fn ledger(from: &mut impl Reads) -> Option<Value> {
    let digest: Value = serde_json::from_str(&from.read("/v1/cluster/digest").await?).ok()?;
    let mut leaves = Vec::new();
    let mut history = String::new();
    loop {
        // The first page names the history in which the other pages continue.
        let after = match leaves.len() {
            0 => String::new(),
            seen => format!("&history={history}&after={seen}"),
        };
        let page = page(&from.read(&format!("/v1/events?limit={PAGE}&waitMs=0{after}")).await?)?;
        history = page.get("history")?.as_str()?.to_owned();
        let events = page.get("events")?.as_array()?;
        if events.is_empty() {
            break;
        }
        let path = |event: &Value| Some(format!("/v1/envelopes/{}", event.get("evidenceId")?.as_str()?));
        let paths: Vec<String> = events.iter().map(path).collect::<Option<_>>()?;
        for (event, envelope) in events.iter().zip(from.read_all(&paths).await?) {
            let mut leaf = event.clone();
            leaf.as_object_mut()?.insert("envelope".to_owned(), Value::String(envelope));
            leaves.push(leaf);
        }
    }
    Some(json!({
        "revision": digest.get("revision")?,
        "applied": digest.pointer("/applied/index")?,
        "digest": digest.get("digest")?,
        "leaves": leaves,
    }))
}

/// A page of JSON lines as the history has it; `None` if it broke off.
pub(crate) fn page(text: &str) -> Option<Value> {
    let mut events = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).ok()?;
        if let Some(heartbeat) = line.get("heartbeat") {
            let (history, revision) = (heartbeat.get("history")?, heartbeat.get("revision")?);
            return Some(json!({"events": events, "history": history, "revision": revision}));
        }
        events.push(json!({"index": line.get("ledgerIndex")?, "evidenceId": line.get("evidenceId")?,
            "acceptedAt": line.get("acceptedAt")?}));
    }
    None
}
