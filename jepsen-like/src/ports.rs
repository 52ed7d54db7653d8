//! Free ports for a cluster: `base…` for clients, `base + 100…` for peers and `base + 200…` for operators.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::HarnessError;

/// The number of ports that a cluster may use, counted from its base.
const SPAN: u16 = 300;
/// The first base, below the range from which Linux takes ephemeral ports.
const FIRST: u16 = 11_000;
const RANGES: u16 = 70;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A base whose ports were free a moment ago. Tests of one process never get the same base. Tests of different
/// processes begin the search at different bases.
pub(crate) fn free_base(nodes: u16) -> Result<u16, HarnessError> {
    let start = u16::try_from(std::process::id() % u32::from(RANGES)).unwrap_or(0);
    for _ in 0..RANGES {
        let range = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % RANGES;
        let base = FIRST + range * SPAN;
        let ports = (0..nodes).flat_map(|n| [base + n, base + 100 + n, base + 200 + n]);
        let held: Vec<_> = ports.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).collect();
        if held.iter().all(Result::is_ok) {
            return Ok(base);
        }
    }
    Err(HarnessError::Unexpected(format!("no {nodes} free ports from {FIRST} on")))
}
