//! Measures durations from the history alone: the deny windows of each fault, the slowest deny, and the outcomes of
//! submissions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::fault::{At, Kind, Struck};
use crate::check::StatementContent;
use crate::history::{History, Op, Outcome, Record};

/// A deny must be answered within this time of the question.
pub const DENY_WITHIN: Duration = Duration::from_secs(1);

/// What a run measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// The deny windows, by the kind of fault and the part of the cluster that it struck.
    pub faults: BTreeMap<(Kind, Struck), Windows>,
    /// Authorizes that were allowed.
    pub allows: u64,
    /// Authorizes that were denied.
    pub denies: u64,
    /// Authorizes without a decision, as of a node that is down.
    pub unanswered: u64,
    /// The slowest deny of a node that no fault touched meanwhile.
    pub slowest_deny: Duration,
    /// Such denies that took longer than [`DENY_WITHIN`].
    pub late_denies: u64,
    /// The longest time in the whole run without an allow by any node.
    pub longest_silence: Duration,
    /// Restrictions that were acknowledged.
    pub restrictions: u64,
    /// The outcomes of submissions.
    pub submissions: Submissions,
}

/// The deny windows of one kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// From the fault to the first allow that any node answered to a question asked after it.
    pub first: Spread,
    /// The longest time around the fault without an allow by any node.
    pub anywhere: Spread,
    /// The same at the surviving node where it was longest.
    pub survivor: Spread,
}

/// Durations, ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    sorted: Vec<Duration>,
}

impl Spread {
    fn add(&mut self, took: Duration) {
        let place = self.sorted.partition_point(|other| *other <= took);
        self.sorted.insert(place, took);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest duration that so many percent do not exceed (nearest rank).
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent.min(100)).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// The outcomes of the load's submissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submissions {
    /// Submissions that have a receipt.
    pub acknowledged: u64,
    /// Of those, submissions whose earlier attempt had been accepted, while its answer was lost.
    pub retried: u64,
    /// Of those, submissions on which the client had given up, and whose receipt came to a later submission of the
    /// same bytes.
    pub resolved: u64,
    /// Submissions that have no receipt and were not refused.
    pub unresolved: u64,
    /// Submissions that were refused.
    pub refused: u64,
    /// The longest time from sending until the outcome was known.
    pub slowest: Duration,
}

/// Measures a history.
pub fn measure(history: &History) -> Measures {
    let mut measures = Measures::default();
    let strikes: Vec<Strike> = history.of(Op::Fault).filter_map(|(_, record)| Strike::of(record)).collect();
    answers(history, &strikes, &mut measures);
    submissions(history, &mut measures);
    let mut allows = Allows::default();
    for (_, allow) in history.of(Op::Authorize).filter(|(_, record)| record.is_allow()) {
        allows.add(allow);
    }
    allows.sort();
    let silences =
        allows.all.windows(2).filter_map(|pair| Some(pair.last()?.1.saturating_sub(pair.first()?.1)));
    measures.longest_silence = silences.max().unwrap_or_default();
    let nodes: BTreeSet<u64> = history.of(Op::Authorize).map(|(_, record)| record.node).collect();
    for strike in &strikes {
        let windows = measures.faults.entry((strike.kind, strike.struck)).or_default();
        windows.first.add(strike.first(&allows.all));
        windows.anywhere.add(strike.silence(&allows.all));
        let survivors = nodes.iter().filter(|node| !strike.victims.contains(node));
        let worst = survivors.map(|node| strike.silence(allows.of(*node))).max();
        windows.survivor.add(worst.unwrap_or_default());
    }
    measures
}

/// Counts the answers to questions.
fn answers(history: &History, strikes: &[Strike], measures: &mut Measures) {
    for (_, asked) in history.of(Op::Authorize) {
        let decided = asked.output.get("decision").is_some();
        match (asked.outcome, asked.return_ns) {
            (Outcome::Ok, _) => measures.allows += 1,
            (Outcome::Deny, Some(returned)) if decided => {
                measures.denies += 1;
                if !strikes.iter().any(|strike| strike.troubles(asked)) {
                    let took = time(returned.saturating_sub(asked.invoke_ns));
                    measures.slowest_deny = measures.slowest_deny.max(took);
                    measures.late_denies += u64::from(took > DENY_WITHIN);
                }
            }
            (Outcome::Deny | Outcome::Unknown, _) => measures.unanswered += 1,
        }
    }
}

/// A fault that was made on nodes, as the history has it.
struct Strike {
    kind: Kind,
    struck: Struck,
    victims: Vec<u64>,
    begun: At,
    over: At,
}

impl Strike {
    /// Reads a fault's record. A `cut` is not a strike: it only tells when no quorum was left.
    fn of(record: &Record) -> Option<Self> {
        let said = |field: &str| record.input.get(field).and_then(Value::as_str);
        let victims = record.input.get("nodes").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            kind: Kind::ALL.into_iter().find(|kind| said("kind") == Some(kind.name()))?,
            struck: Struck::ALL.into_iter().find(|struck| said("struck") == Some(struck.name()))?,
            victims: victims.filter_map(Value::as_u64).collect(),
            begun: time(record.invoke_ns),
            over: time(record.return_ns?),
        })
    }

    /// Whether the fault touched the node while the node had this question.
    fn troubles(&self, asked: &Record) -> bool {
        self.victims.contains(&asked.node)
            && time(asked.invoke_ns) <= self.over
            && asked.return_ns.is_none_or(|returned| time(returned) >= self.begun)
    }

    /// The time from the fault's beginning to the first allow that was asked for after it.
    fn first(&self, allows: &[(At, At)]) -> Duration {
        let first = allows.iter().find(|(invoked, _)| *invoked >= self.begun);
        first.map_or(Duration::MAX, |(_, returned)| returned.saturating_sub(self.begun))
    }

    /// The longest time without an allow, from the fault's beginning until the first allow after everything had
    /// healed. Only questions that were asked after the fault count.
    fn silence(&self, allows: &[(At, At)]) -> Duration {
        let from = allows.partition_point(|(_, returned)| *returned < self.begun);
        let mut last = self.begun;
        let mut longest = Duration::ZERO;
        for (invoked, returned) in allows.iter().skip(from) {
            if *invoked < self.begun {
                continue;
            }
            longest = longest.max(returned.saturating_sub(last));
            last = *returned;
            if *returned >= self.over {
                return longest;
            }
        }
        // The history ended before anything was allowed again.
        longest.max(self.over.saturating_sub(last))
    }
}

/// When each allow was asked for and answered, ordered by when it was answered.
#[derive(Default)]
struct Allows {
    all: Vec<(At, At)>,
    by_node: BTreeMap<u64, Vec<(At, At)>>,
}

impl Allows {
    fn add(&mut self, allow: &Record) {
        let Some(returned) = allow.return_ns else { return };
        let times = (time(allow.invoke_ns), time(returned));
        self.all.push(times);
        self.by_node.entry(allow.node).or_default().push(times);
    }

    fn sort(&mut self) {
        for times in std::iter::once(&mut self.all).chain(self.by_node.values_mut()) {
            times.sort_by_key(|(_, returned)| *returned);
        }
    }

    fn of(&self, node: u64) -> &[(At, At)] {
        self.by_node.get(&node).map_or(&[], Vec::as_slice)
    }
}

/// Counts the outcomes of the load's submissions, by the first definite answer to the same bytes.
fn submissions(history: &History, measures: &mut Measures) {
    let mut by_id: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    // Client 0 is the harness, which submits again what was accepted.
    for (_, submit) in history.of(Op::Submit).filter(|(_, submit)| submit.client != 0) {
        let id = submit.input.get("id").and_then(Value::as_str).unwrap_or_default();
        by_id.entry(id).or_default().push(submit);
    }
    let counted = &mut measures.submissions;
    for tries in by_id.values() {
        let (Some(first), Some(last)) = (tries.first(), tries.last()) else { continue };
        let known = tries.iter().find(|submit| submit.outcome != Outcome::Unknown);
        let ended = known.and_then(|known| known.return_ns).unwrap_or(last.invoke_ns);
        counted.slowest = counted.slowest.max(time(ended.saturating_sub(first.invoke_ns)));
        match known {
            Some(known) if known.outcome == Outcome::Ok => {
                counted.acknowledged += 1;
                counted.retried += u64::from(known.output.get("repeated") == Some(&Value::Bool(true)));
                counted.resolved += u64::from(first.outcome == Outcome::Unknown);
                measures.restrictions += u64::from(restricts(known));
            }
            Some(_) => counted.refused += 1,
            None => counted.unresolved += 1,
        }
    }
}

fn restricts(submit: &Record) -> bool {
    let said = submit.input.get("envelope").and_then(Value::as_str).and_then(StatementContent::of);
    said.is_some_and(|said| matches!(said.kind.as_str(), "revocation" | "containment"))
}

/// A record's time.
fn time(ns: u64) -> At {
    Duration::from_nanos(ns)
}
