//! Runs many ledgers, one for each seed, on as many threads as there are cores, and adds up their results.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;

use super::both::{Both, Finding, LedgerError};
use super::events::EVENTS;
use super::founding::FoundedRegistries;
use super::ledger::{Ledger, caught};
use super::profile::Profile;
use super::shrink::shrink;

/// If at least this many ledgers of all profiles ran, every event must have occurred.
const REACH: u64 = 2_000;
/// The largest number of kinds of findings that are shrunk and reported.
const KINDS_MAX: usize = 20;

/// The results of many ledgers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgersReport {
    /// How many ledgers ran to their end.
    pub ledgers: u64,
    /// How many steps they took: statements and requests.
    pub steps: u64,
    /// How much time it took, in milliseconds.
    pub wall_ms: u64,
    /// How many threads ran at once.
    pub jobs: usize,
    /// How often each answer was given.
    pub tally: BTreeMap<String, u64>,
    /// How often each event occurred.
    pub events: BTreeMap<String, u64>,
    /// The events that had to occur and did not.
    pub missing: Vec<String>,
    /// The differences between the rules and the model, one for each kind, in the order of the seeds.
    pub findings: Vec<Found>,
}

/// One kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// What differs.
    pub kind: String,
    /// In how many ledgers it shows.
    pub times: u64,
    /// The first seed in which it does.
    pub seed: u64,
    /// The profile of that ledger.
    pub profile: Profile,
    /// The particulars.
    pub detail: String,
    /// The steps that are left once every step is left out that the difference does not need.
    pub steps: Vec<String>,
}

impl LedgersReport {
    /// Whether the rules and the model agree, and every event occurred that must occur.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.missing.is_empty()
    }

    /// Requires that every event has occurred, however few the ledgers are.
    pub fn check_events(&mut self) {
        let missing = EVENTS.iter().filter(|event| !self.events.contains_key(**event));
        self.missing = missing.map(|event| (*event).to_owned()).collect();
    }

    fn add(&mut self, one: One) {
        self.ledgers = self.ledgers.saturating_add(1);
        self.steps = self.steps.saturating_add(one.steps);
        for (what, count) in one.tally {
            let sum = self.tally.entry(what).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        for (event, count) in one.events {
            let sum = self.events.entry(event.to_owned()).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        let Some(Finding { kind, detail }) = one.finding else { return };
        let (seed, profile) = (one.seed, one.profile);
        match self.findings.iter_mut().find(|found| found.kind == kind) {
            None => {
                let steps = Vec::new();
                self.findings.push(Found { kind, times: 1, seed, profile, detail, steps });
            }
            Some(found) => {
                found.times = found.times.saturating_add(1);
                // Whichever ledger ended first, the same seeds give the same report.
                if seed < found.seed {
                    (found.seed, found.profile, found.detail) = (seed, profile, detail);
                }
            }
        }
    }
}

/// The result of one ledger.
struct One {
    seed: u64,
    profile: Profile,
    steps: u64,
    tally: BTreeMap<String, u64>,
    events: BTreeMap<&'static str, u64>,
    finding: Option<Finding>,
}

/// Runs the ledgers of all seeds, each of the given profile or of the profile that its seed draws, and tells
/// `progress` of each as it ends.
///
/// # Errors
/// A registry to begin with cannot be founded.
pub fn run_ledgers(
    seeds: &Range<u64>,
    profile: Option<Profile>,
    jobs: usize,
    progress: &mut dyn FnMut(&LedgersReport),
) -> Result<LedgersReport, LedgerError> {
    let begun = tokio::time::Instant::now();
    let next = AtomicU64::new(seeds.start);
    let mut all = LedgersReport { jobs: jobs.max(1), ..LedgersReport::default() };
    thread::scope(|scope| {
        let (told, ended) = mpsc::channel();
        for _ in 0..all.jobs {
            let (told, next) = (told.clone(), &next);
            scope.spawn(move || {
                let mut founded = FoundedRegistries::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || told.send(one(&mut founded, seed, profile)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        for one in ended {
            all.add(one?);
            all.wall_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            progress(&all);
        }
        Ok::<(), LedgerError>(())
    })?;
    all.findings.sort_by_key(|found| found.seed);
    for found in all.findings.iter_mut().take(KINDS_MAX) {
        found.steps = shrunk(found)?;
    }
    if profile.is_none() && all.ledgers >= REACH {
        all.check_events();
    }
    Ok(all)
}

fn one(founded: &mut FoundedRegistries, seed: u64, profile: Option<Profile>) -> Result<One, LedgerError> {
    let profile = profile.unwrap_or_else(|| Profile::of(seed));
    let both = grown(founded.of(profile)?, seed, profile);
    Ok(One {
        seed,
        profile,
        steps: u64::try_from(both.steps.len()).unwrap_or(u64::MAX),
        tally: both.tally,
        events: both.events,
        finding: both.finding,
    })
}

/// A ledger in its final state.
fn grown(registry: Both, seed: u64, profile: Profile) -> Both {
    let mut ledger = Ledger::new(registry, seed, profile);
    let broke_off = caught(|| ledger.run());
    let mut both = ledger.into_both();
    if let Some(finding) = broke_off {
        both.finding = Some(finding);
    }
    both
}

/// What is left of a ledger in which a finding shows.
fn shrunk(found: &Found) -> Result<Vec<String>, LedgerError> {
    let registry = FoundedRegistries::default().of(found.profile)?;
    let both = grown(registry.clone(), found.seed, found.profile);
    // If a finding does not show again when the same steps are taken, it is shown with all of them.
    let same = |both: &Both| both.finding().is_some_and(|finding| finding.kind == found.kind);
    Ok(match shrink(&registry, &both.steps, same) {
        Some(smaller) => smaller.shown(),
        None => both.shown(),
    })
}
