//! One case: the question, the number of endpoints, and what each endpoint does to a node's answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_client::{Clock, SystemClock};
use assent_proof::Millis;

use super::content::{Answer, Content};
use super::draw::Draw;
use super::wire::{Message, Wire};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Authorize,
    Batch,
    Permit,
    /// Several questions by one client, one after the other, each with a nonce of its own: as a process asks that watches an execution.
    Watch,
}

/// What the nodes say of the lineage that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// They allow.
    Open,
    /// They allowed, and deny since then.
    Turned,
    /// They deny: there is no such lineage.
    Nowhere,
}

/// The caller's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    Right,
    /// The wall clock is an hour ahead, so every decision is over.
    Ahead,
    /// The host sleeps for an hour while the question is under way.
    Slept,
    /// There is no clock that goes on while the host sleeps.
    NoClock,
}

/// What an endpoint makes of one answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Instead of a fresh answer it gives the one from before the nodes came to deny.
    pub earlier: bool,
    /// It sends a permit to the node as an authorize.
    pub as_authorize: bool,
    contents: Vec<Content>,
    pub wire: Wire,
}

impl Plan {
    fn draw(draw: &mut Draw, kind: Kind) -> Self {
        let earlier = draw.chance(45);
        let count = draw.one_of(&[0, 0, 0, 0, 1, 1, 1, 1, 1, 2]);
        let content = |draw: &mut Draw| match kind {
            Kind::Batch => Content::of_batch(draw),
            Kind::Authorize | Kind::Permit | Kind::Watch => Content::of_decision(draw),
        };
        let contents = (0..count).map(|_| content(draw)).collect();
        let wire = if draw.chance(50) { Wire::draw(draw) } else { Wire::unspoilt() };
        let plan = Plan { earlier, as_authorize: false, contents, wire };
        if kind != Kind::Permit || draw.chance(50) {
            return plan;
        }
        // Half of these are the node's own words, whole: nothing but the lack of a receipt speaks against such an allow.
        if draw.chance(50) {
            return Plan { as_authorize: true, contents: Vec::new(), wire: Wire::unspoilt(), ..plan };
        }
        Plan { as_authorize: true, ..plan }
    }

    /// The spoilt answer. `other` is a node's allow for another request.
    pub fn spoil(&self, mut answer: Answer, other: &[u8]) -> Message {
        for content in &self.contents {
            content.spoil(&mut answer, other);
        }
        self.wire.message(&answer)
    }
}

#[derive(Debug)]
pub struct Case {
    pub seed: u64,
    pub kind: Kind,
    /// What is asked about: all at once in a batch, and otherwise one after the other.
    pub about: Vec<Lineage>,
    pub time: Time,
    /// Whether a second endpoint is asked while the first one is silent.
    pub hedged: bool,
    /// What each endpoint makes of its first answer, of its second one, and so on.
    pub endpoints: Vec<Vec<Plan>>,
}

/// Most questions of one case.
const QUESTIONS_MAX: usize = 4;

impl Case {
    pub fn draw(seed: u64) -> Self {
        let draw = &mut Draw::new(seed);
        let kind = draw.one_of(&[
            Kind::Authorize,
            Kind::Authorize,
            Kind::Authorize,
            Kind::Batch,
            Kind::Batch,
            Kind::Permit,
            Kind::Watch,
        ]);
        let questions = match kind {
            Kind::Authorize | Kind::Permit => 1,
            Kind::Batch => 1 + draw.below(QUESTIONS_MAX),
            Kind::Watch => 3,
        };
        // Most of all what some endpoints allow and others deny.
        let lineages = [
            Lineage::Turned,
            Lineage::Turned,
            Lineage::Turned,
            Lineage::Turned,
            Lineage::Open,
            Lineage::Open,
            Lineage::Nowhere,
        ];
        let about = (0..questions).map(|_| draw.one_of(&lineages)).collect();
        let time = match draw.below(20) {
            0 => Time::Ahead,
            1 if kind != Kind::Watch => Time::Slept,
            2 => Time::NoClock,
            _ => Time::Right,
        };
        let hedged = draw.chance(40);
        let endpoints = 2 + draw.below(2);
        let plans =
            |draw: &mut Draw| -> Vec<Plan> { (0..QUESTIONS_MAX).map(|_| Plan::draw(draw, kind)).collect() };
        let endpoints = (0..endpoints).map(|_| plans(draw)).collect();
        Case { seed, kind, about, time, hedged, endpoints }
    }

    /// The nonce of the question at this place.
    pub fn nonce(&self, place: usize) -> String {
        format!("spoilt-{}-{place}", self.seed)
    }
}

/// The caller's clocks, as drawn.
#[derive(Debug)]
pub struct DrawnClock {
    time: Time,
    looked: AtomicBool,
}

impl DrawnClock {
    pub fn new(time: Time) -> Self {
        DrawnClock { time, looked: AtomicBool::new(false) }
    }
}

impl Clock for DrawnClock {
    fn wall(&self) -> Millis {
        let ahead = if self.time == Time::Ahead { HOUR } else { Duration::ZERO };
        SystemClock.wall().saturating_add(i64::try_from(ahead.as_millis()).unwrap())
    }

    fn boot(&self) -> Option<Duration> {
        let boot = SystemClock.boot()?;
        match self.time {
            Time::Right | Time::Ahead => Some(boot),
            Time::Slept if self.looked.swap(true, Ordering::SeqCst) => Some(boot + HOUR),
            Time::Slept => Some(boot),
            Time::NoClock => None,
        }
    }
}
