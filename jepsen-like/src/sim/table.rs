//! The results of seeds as text for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::nemesis::Kind;
use super::rare::SOMETIMES;
use super::seeds::SeedsReport;
use crate::check::{INVARIANTS, Setting};
use crate::table::{Side, Table};

/// The number of columns in a list of counts.
const ACROSS: usize = 4;

/// The whole report. `arguments` are the arguments that all seeds have in common.
pub(super) fn text(report: &SeedsReport, faults: &[Kind], arguments: &[String]) -> String {
    let mut out = String::new();
    let simulated = report.simulated_ms / 1000;
    let _ = writeln!(
        out,
        "{} seeds, {simulated} simulated seconds in {}.{} s with {} processes: {:.1} simulated seconds a second and core",
        report.seeds,
        report.wall_ms / 1000,
        report.wall_ms % 1000 / 100,
        report.jobs,
        report.speed()
    );
    let _ = writeln!(
        out,
        "operations {}, succeeded {}, allows {}, outcome unknown {}",
        report.ops, report.ok, report.allows, report.unknown
    );
    list(&mut out, "denies and refusals by first code", &report.denies);
    let mut fired = report.faults.clone();
    for kind in faults {
        fired.entry(kind.name().to_owned()).or_insert(0);
    }
    list(&mut out, "faults fired", &fired);
    let mut sometimes = report.sometimes.clone();
    for (what, _) in SOMETIMES {
        sometimes.entry((*what).to_owned()).or_insert(0);
    }
    list(&mut out, "sometimes", &sometimes);
    checks(&mut out, report);
    for (seed, found) in &report.violations {
        let _ = writeln!(out, "\nseed {seed}: {} violated: {}", found.invariant, found.what);
        for line in &found.window {
            let _ = writeln!(out, "  {line}");
        }
        let _ = writeln!(out, "{}", reproduce(*seed, arguments));
    }
    for found in &report.together {
        let _ = writeln!(out, "\nall seeds together: {} violated: {}", found.invariant, found.what);
    }
    out
}

/// The command that runs a seed again.
pub(super) fn reproduce(seed: u64, arguments: &[String]) -> String {
    format!(
        "REPRODUCE WITH: cargo run -p assent-jepsen --release -- sim --seed {seed} {}",
        arguments.join(" ")
    )
}

fn checks(out: &mut String, report: &SeedsReport) {
    let columns = [
        ("checks", Side::Left),
        ("", Side::Left),
        ("looked at", Side::Right),
        ("what must hold", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for invariant in INVARIANTS.iter().filter(|invariant| invariant.is_judged_in(Setting::Simulation)) {
        let found = report.violations.iter().map(|(_, found)| found).chain(&report.together);
        let violated = found.filter(|found| found.invariant == invariant.id).count();
        let looked_at = report.looked_at.get(invariant.id).copied().unwrap_or(0);
        let verdict = match (violated, looked_at) {
            (0, 0) => "nothing to look at".to_owned(),
            (0, _) => "holds".to_owned(),
            (count, _) => format!("VIOLATED {count} times"),
        };
        table.row([invariant.id.to_owned(), verdict, looked_at.to_string(), invariant.says.to_owned()]);
    }
    out.push_str(&table.to_text(""));
}

fn list(out: &mut String, title: &str, counts: &BTreeMap<String, u64>) {
    let _ = writeln!(out, "{title}");
    let cells: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    let width = cells.iter().map(String::len).max().unwrap_or(0);
    for row in cells.chunks(ACROSS) {
        let row: Vec<String> = row.iter().map(|cell| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "  {}", row.join("  ").trim_end());
    }
}
