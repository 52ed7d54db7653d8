//! Reads, at the end of a run, what each node holds.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::http::{Boots, Http};
use super::recorder::Recorder;
use crate::history::{Op, Outcome};
use crate::reading::{Reads, ledger};

/// The deadline of one answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How often a read is tried.
const TRIES: u32 = 5;

/// Reads a node's ledger, with bytes and digest, and then decrements `left`.
pub(super) async fn read_ledger(
    node: u64,
    recorder: Recorder,
    left: Rc<Cell<usize>>,
    boots: Boots,
) -> turmoil::Result {
    let begun = recorder.begin(Op::Ledger, 0, node, "", Value::Null);
    match ledger(&mut Reader { http: Http::new(boots), node }).await {
        Some(ledger) => begun.end(Outcome::Ok, ledger),
        None => begun.unknown(Value::Null),
    }
    left.set(left.get().saturating_sub(1));
    Ok(())
}

/// Reads from one node.
struct Reader {
    http: Http,
    node: u64,
}

impl Reads for Reader {
    async fn read(&mut self, path: &str) -> Option<String> {
        for _ in 0..TRIES {
            match self.http.ask(self.node, Method::GET, path, Vec::new(), WITHIN).await {
                Ok(answer) if answer.status == 200 => return Some(answer.text),
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        None
    }
}
