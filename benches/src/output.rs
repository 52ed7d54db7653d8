//! The results as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::scenario::{Results, RunResult};

/// The results as a table.
pub(crate) fn table(results: &Results) -> String {
    let machine = &results.machine;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} nodes and the load on the same {} cores ({}, {} MiB, Linux {}), assent {}\n",
        results.nodes, machine.cores, machine.cpu, machine.memory_mib, machine.kernel, results.version
    );
    let _ = writeln!(
        out,
        "{:<10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  outcomes",
        "scenario", "clients", "ops/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "of livez", "load cpu"
    );
    for run in &results.runs {
        let _ = writeln!(out, "{}", row(run));
    }
    out
}

fn row(run: &RunResult) -> String {
    let load = &run.load;
    let all = run.load_cpu_seconds + run.nodes_cpu_seconds;
    let share = if all > 0.0 { 100.0 * run.load_cpu_seconds / all } else { 0.0 };
    let of_livez = run.of_livez.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    format!(
        "{:<10} {:>7} {:>9.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9} {:>8.0}%  {}",
        run.scenario,
        load.clients,
        load.per_second,
        millis(load.latency.p50_us),
        millis(load.latency.p99_us),
        millis(load.latency.p999_us),
        millis(load.latency.max_us),
        of_livez,
        share,
        outcomes(run)
    )
}

fn outcomes(run: &RunResult) -> String {
    let list = |counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(|(label, count)| format!("{label} {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut text = list(&run.load.outcomes);
    if !run.load.retries.is_empty() {
        let _ = write!(text, "; retried: {}", list(&run.load.retries));
    }
    if run.load.unexpected > 0 {
        let _ = write!(text, "; {} NOT AS EXPECTED", run.load.unexpected);
    }
    if run.load.exhausted {
        let _ = write!(text, "; ended after {:.1} s, all envelopes used", run.load.seconds);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "latencies are below 60 s")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
