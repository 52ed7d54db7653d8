//! Runs parsers on inputs, seed by seed on several threads, and keeps what fails.
//!
//! An input that overflows the stack or uses up the memory ends the process, and so nothing is kept of it: the targets in
//! `fuzz/` find such an input by themselves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::mutate::input;
use super::parser::{Parser, Reading};

/// A parser that takes longer than this for one input is a finding. It is far more than a busy machine needs, and far less
/// than a quadratic parser takes for the longest input.
pub const TOO_SLOW: Duration = Duration::from_secs(10);

/// How many results may wait to be counted.
const RESULTS_MAX: usize = 4096;

/// What is run.
#[derive(Clone)]
pub struct Search {
    /// The parsers. They take turns, so each of them gets as many seeds.
    pub parsers: Vec<Parser>,
    /// The seeds. Each is one input for each parser.
    pub seeds: Range<u64>,
    /// No input is begun after this time.
    pub lasts: Duration,
    /// How many threads run at once.
    pub jobs: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParsersReport {
    /// How many inputs each parser got.
    pub inputs: BTreeMap<String, u64>,
    /// How many of them it accepted.
    pub accepted: BTreeMap<String, u64>,
    /// How much time it took, in milliseconds.
    pub wall_ms: u64,
    /// How many threads ran at once.
    pub jobs: usize,
    /// What failed: for each parser the first failing seed of this run.
    pub findings: Vec<Finding>,
}

/// An input that a parser fails on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The parser.
    pub parser: String,
    /// The seed of the input.
    pub seed: u64,
    /// On how many inputs of this run the parser fails.
    pub times: u64,
    /// The property that is violated, or the panic.
    pub problem: String,
    /// The input.
    #[serde(serialize_with = "as_hex")]
    pub input: Vec<u8>,
}

impl Finding {
    /// The input as hex digits.
    pub fn hex(&self) -> String {
        hex(&self.input)
    }
}

fn as_hex<S: serde::Serializer>(input: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex(input))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The result of one input.
struct One {
    parser: usize,
    seed: u64,
    result: Result<Reading, String>,
}

impl Search {
    /// Runs the parsers, and tells `progress` of the report after each input.
    pub fn run(&self, progress: &mut dyn FnMut(&ParsersReport)) -> ParsersReport {
        let begun = Instant::now();
        let samples: Vec<Vec<Vec<u8>>> = self.parsers.iter().map(|parser| (parser.samples)()).collect();
        let next = AtomicU64::new(0);
        let mut report = ParsersReport { jobs: self.jobs.max(1), ..ParsersReport::default() };
        thread::scope(|scope| {
            let (told, results) = mpsc::sync_channel(RESULTS_MAX);
            for _ in 0..report.jobs {
                let (told, next, samples) = (told.clone(), &next, &samples);
                scope.spawn(move || {
                    while begun.elapsed() < self.lasts {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        let Some(one) = self.turn(samples, turn) else { return };
                        if told.send(one).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(told);
            for one in results {
                self.add(&mut report, samples.as_slice(), one);
                report.wall_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                progress(&report);
            }
        });
        report
    }

    /// One input of one parser; none if all seeds are spent.
    fn turn(&self, samples: &[Vec<Vec<u8>>], turn: u64) -> Option<One> {
        let parsers = u64::try_from(self.parsers.len()).ok()?;
        let place = usize::try_from(turn.checked_rem(parsers)?).ok()?;
        let seed = self.seeds.start.checked_add(turn.checked_div(parsers)?)?;
        if seed >= self.seeds.end {
            return None;
        }
        let parser = self.parsers.get(place)?;
        let bytes = input(parser.name, samples.get(place)?, seed);
        Some(One { parser: place, seed, result: judged(parser, &bytes) })
    }

    fn add(&self, report: &mut ParsersReport, samples: &[Vec<Vec<u8>>], one: One) {
        let Some(parser) = self.parsers.get(one.parser) else { return };
        let name = parser.name.to_owned();
        count(&mut report.inputs, &name);
        let problem = match one.result {
            Ok(Reading::Accepted) => return count(&mut report.accepted, &name),
            Ok(Reading::Refused) => return,
            Err(problem) => problem,
        };
        let samples = samples.get(one.parser).map(Vec::as_slice).unwrap_or_default();
        let found = |times| Finding {
            input: input(parser.name, samples, one.seed),
            parser: name.clone(),
            seed: one.seed,
            times,
            problem: problem.clone(),
        };
        match report.findings.iter_mut().find(|found| found.parser == name) {
            None => report.findings.push(found(1)),
            Some(known) => {
                let times = known.times.saturating_add(1);
                known.times = times;
                // Whichever thread was first, the same seeds give the same finding.
                if one.seed < known.seed {
                    *known = found(times);
                }
            }
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count = count.saturating_add(1),
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

/// Checks the property of one input. A panic and a parser that is slow violate every property.
pub(super) fn judged(parser: &Parser, bytes: &[u8]) -> Result<Reading, String> {
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (parser.check)(bytes)));
    let took = begun.elapsed();
    let reading = match result {
        Ok(checked) => checked?,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            return Err(format!("it panics: {text}"));
        }
    };
    if took > TOO_SLOW {
        return Err(format!("it takes {} ms for {} bytes", took.as_millis(), bytes.len()));
    }
    Ok(reading)
}
