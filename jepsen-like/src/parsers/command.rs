//! `assent-jepsen parsers`: runs the parsers on arbitrary bytes for a given time, and writes each failing input to a file.

use std::fmt::Write;
use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::parser::Parser;
use super::search::{Finding, ParsersReport, Search, judged};
use super::table::{PARSERS, parser};
use crate::output::{print, say};

/// The largest file that is run again.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How far apart the seeds of two values of `--seed` begin, so that two nights have no input in common.
const SEEDS_EACH: u64 = 1 << 32;
/// How much time passes between two lines of progress, in milliseconds.
const PROGRESS_MS: u64 = 10_000;

/// Run every parser that meets bytes from outside on arbitrary bytes.
///
/// The inputs are good ones that are damaged, and random bytes. Whatever a parser accepts must be written so that it is
/// read as the same value, in bounded length, and the text of a refusal must be short and fit to show. A violation, a
/// panic or a slow parser is a finding. The input of each parser's first finding is written to a file, the report says
/// how to run it again, and the exit code is 1.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  assent-jepsen parsers --minutes 1
  assent-jepsen parsers --minutes 480 --seed $(date +%s)
  assent-jepsen parsers --only envelope --minutes 5
  assent-jepsen parsers --only envelope --input envelope-17.bin")]
pub struct ParsersArgs {
    /// How long to run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Only this parser
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    only: Option<String>,
    /// Where the inputs begin; another number gives other inputs
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..SEEDS_EACH))]
    seed: u64,
    /// Number of threads [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: Option<u64>,
    /// The directory that failing inputs are written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    findings: PathBuf,
    /// Run only this file, as one input
    #[arg(long, value_name = "FILE", requires = "only")]
    input: Option<PathBuf>,
    /// Only write each parser's good inputs to DIR/NAME/, from where libFuzzer begins
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    write_samples: Option<PathBuf>,
}

fn parse_name(text: &str) -> Result<String, String> {
    match parser(text) {
        Some(parser) => Ok(parser.name.to_owned()),
        None => {
            let names: Vec<&str> = PARSERS.iter().map(|parser| parser.name).collect();
            Err(format!("there is no such parser: there are {}", names.join(", ")))
        }
    }
}

/// Runs the command. Returns whether nothing was found.
///
/// # Errors
/// A file cannot be read or written, or the report cannot be written.
pub fn parsers(args: &ParsersArgs, json: bool) -> Result<bool, String> {
    let parsers: Vec<Parser> = PARSERS
        .iter()
        .filter(|one| args.only.as_deref().is_none_or(|name| name == one.name))
        .copied()
        .collect();
    if let Some(folder) = &args.write_samples {
        write_samples(&parsers, folder)?;
        return Ok(true);
    }
    if let Some(file) = &args.input {
        return again(&parsers, file);
    }
    let cores = thread_count(args.jobs);
    let from = args.seed.saturating_mul(SEEDS_EACH);
    let lasts = Duration::from_secs(args.minutes.saturating_mul(60));
    let search = Search { parsers, seeds: from..from.saturating_add(SEEDS_EACH), lasts, jobs: cores };
    let mut told_ms = 0;
    let mut known = 0;
    // Each finding is told once, and not each time that a parser panics.
    panic::set_hook(Box::new(|_| ()));
    let report = search.run(&mut |report| {
        for finding in report.findings.iter().skip(known) {
            say(&format!("{}: {}", finding.parser, first_line(&finding.problem)));
        }
        known = report.findings.len();
        if report.wall_ms >= told_ms {
            told_ms = report.wall_ms.saturating_add(PROGRESS_MS);
            say(&progress(report, lasts));
        }
    });
    drop(panic::take_hook());
    let files = report.findings.iter().map(|finding| write_finding(finding, &args.findings));
    let files = files.collect::<Result<Vec<PathBuf>, String>>()?;
    let told = if json {
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?
    } else {
        text(&report, &files)
    };
    print(&told).map_err(|error| error.to_string())?;
    Ok(report.findings.is_empty())
}

fn thread_count(jobs: Option<u64>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(cores)
}

fn progress(report: &ParsersReport, lasts: Duration) -> String {
    let inputs: u64 = report.inputs.values().sum();
    let (done, all) = (report.wall_ms / 1000, lasts.as_secs());
    format!("{done}/{all} s, {inputs} inputs, {} findings", report.findings.len())
}

/// The whole report for people.
fn text(report: &ParsersReport, files: &[PathBuf]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:>12} {:>12} parser", "inputs", "accepted");
    for (name, inputs) in &report.inputs {
        let accepted = report.accepted.get(name).copied().unwrap_or(0);
        let _ = writeln!(out, "{inputs:>12} {accepted:>12} {name}");
    }
    for (finding, file) in report.findings.iter().zip(files) {
        let name = &finding.parser;
        let _ = writeln!(
            out,
            "\n{name}, seed {} ({} inputs fail): {}",
            finding.seed, finding.times, finding.problem
        );
        let _ = writeln!(
            out,
            "REPRODUCE WITH: cargo run -p assent-jepsen --profile sim -- parsers --only {name} --input {}",
            file.display()
        );
    }
    out
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn write_finding(finding: &Finding, folder: &Path) -> Result<PathBuf, String> {
    let file = folder.join(format!("{}-{}.bin", finding.parser, finding.seed));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, &finding.input));
    written.map_err(|error| {
        format!("`{}` cannot be written ({error}); the input is {}", file.display(), finding.hex())
    })?;
    Ok(file)
}

fn write_samples(parsers: &[Parser], folder: &Path) -> Result<(), String> {
    for parser in parsers {
        let folder = folder.join(parser.name);
        let unwritten = |error: io::Error| format!("`{}` cannot be written: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(unwritten)?;
        for (place, sample) in (parser.samples)().iter().enumerate() {
            fs::write(folder.join(format!("sample-{place}")), sample).map_err(unwritten)?;
        }
    }
    Ok(())
}

/// Runs one file again.
fn again(parsers: &[Parser], file: &Path) -> Result<bool, String> {
    let unread = |error: io::Error| format!("`{}` cannot be read: {error}", file.display());
    let length = fs::metadata(file).map_err(unread)?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!(
            "`{}` has {length} bytes, and an input has at most {FILE_BYTES_MAX}",
            file.display()
        ));
    }
    let bytes = fs::read(file).map_err(unread)?;
    let mut good = true;
    for parser in parsers {
        let told = match judged(parser, &bytes) {
            Ok(reading) => format!("{}: {reading:?}, and the property holds", parser.name),
            Err(problem) => {
                good = false;
                format!("{}: {problem}", parser.name)
            }
        };
        print(&told).map_err(|error| error.to_string())?;
    }
    Ok(good)
}
