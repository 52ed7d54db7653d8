//! The results of a flood as a table for people.

use assent_client::load::LoadReport;
use std::fmt::Write;

use crate::flood::{Flood, FloodResults, Revocation};
use crate::inside::InNode;

/// The results as a table.
pub(crate) fn table(results: &FloodResults) -> String {
    let machine = &results.machine;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} nodes with TLS and the load on the same {} cores ({}, {} MiB, Linux {}), assent {}",
        results.nodes, machine.cores, machine.cpu, machine.memory_mib, machine.kernel, results.version
    );
    let _ = writeln!(
        out,
        "one scheduler on one connection, beside a flood from {} connections of another caller",
        results.connections
    );
    let _ = writeln!(out, "revocations while it is quiet: {}\n", revocations(&results.quiet_revocations));
    let _ = writeln!(
        out,
        "{:<18} {:>24} {:>24} {:>9}  revocation ms  peak MiB  limits: p99 × {:.0}, no deny, {:.0} ms",
        "flood of",
        "quiet p50/p99/max ms",
        "beside p50/p99/max ms",
        "p99 ratio",
        results.p99_ratio_most,
        results.revocation_ms_most
    );
    for flood in &results.floods {
        row(&mut out, flood);
    }
    out
}

fn row(out: &mut String, flood: &Flood) {
    let peaks = |mib: &[f64]| mib.iter().map(|mib| format!("{mib:.0}")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        out,
        "{:<18} {:>24} {:>24} {:>9.2}  {}  {}  {}",
        flood.kind,
        latencies(&flood.quiet),
        latencies(&flood.beside),
        flood.p99_ratio,
        revocations(&flood.revocations),
        peaks(&flood.peak_mib),
        if flood.met { "met" } else { "MISSED" }
    );
    let _ = writeln!(out, "    quiet: {}", inside(&flood.quiet, &flood.quiet_in_nodes));
    let _ = writeln!(out, "    beside: {}", inside(&flood.beside, &flood.beside_in_nodes));
    let _ = writeln!(out, "    denies: {}", counts(flood.denies.iter()));
    match &flood.flood {
        Some(load) => {
            let _ =
                writeln!(out, "    the flood: {:.0}/s, {}", load.per_second, counts(load.outcomes.iter()));
        }
        None => {
            let _ = writeln!(out, "    the flood got no answer");
        }
    }
    let before = peaks(&flood.resident_before_mib);
    let _ = writeln!(out, "    memory before, MiB: {before}; the ledger grew by {}", flood.ledger_growth);
    if !flood.is_ledger_right {
        let _ = writeln!(out, "    MORE ENTERED THE LEDGER THAN MAY");
    }
}

/// The scheduler's mean, and what the nodes measured themselves.
fn inside(load: &LoadReport, nodes: &[InNode]) -> String {
    format!(
        "the scheduler's mean {:.2} ms; in each node, ms: authorize mean {}, p99 at most {}; barrier mean {}",
        load.latency.mean_us / 1000.0,
        each(nodes, |node| node.authorize.mean_ms),
        each(nodes, |node| node.authorize.p99_at_most_ms),
        each(nodes, |node| node.barrier.mean_ms)
    )
}

/// One figure of each node. A node in which nothing of it happened has `-`.
fn each(nodes: &[InNode], of: fn(&InNode) -> Option<f64>) -> String {
    let one = |node: &InNode| of(node).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
    nodes.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn counts<'a>(counts: impl Iterator<Item = (&'a &'static str, &'a u64)>) -> String {
    let list: Vec<String> = counts.map(|(label, count)| format!("{label} {count}")).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn revocations(revocations: &[Revocation]) -> String {
    let one = |revocation: &Revocation| match &revocation.error {
        None => format!("{:.0}", revocation.ms),
        Some(error) => format!("NOT ACKNOWLEDGED after {:.0} ({error})", revocation.ms),
    };
    revocations.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "latencies are below 60 s")]
fn latencies(load: &LoadReport) -> String {
    let millis = |micros: u64| micros as f64 / 1000.0;
    let latency = &load.latency;
    format!("{:.2}/{:.2}/{:.2}", millis(latency.p50_us), millis(latency.p99_us), millis(latency.max_us))
}
