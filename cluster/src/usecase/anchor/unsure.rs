//! Why a node is not sure of its clock, as text: what is wrong, and what to do.

use assent_api::ClockStanding;
use assent_proof::Code;

const BEHIND: &str =
    "set the nodes' clocks right; if they are right, the registry waits until they reach its time";
const SET_BACK: &str = "set the nodes' clocks right; if they are right, wait until they reach that time, or confirm them on each node \
                        with `assent clock confirm`";
const SETTLING: &str = "wait until the clocks have settled; if they are wrong, set them right before that";
const CONFIRM: &str =
    "set the nodes' clocks right; if they are right, confirm them with `assent clock confirm`";
/// The remedies that differ from the code's own. Other builds recognize them by their text. If a text changes, such a
/// build shows it with the detail, until all nodes run one build.
const OWN_REMEDIES: [&str; 4] = [BEHIND, SET_BACK, SETTLING, CONFIRM];

/// Why a node is not sure of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsure {
    /// No quorum agrees.
    NoQuorum {
        /// How close a clock has to be, in milliseconds.
        bound_ms: u64,
    },
    /// The wall clock is behind registry time by more than the bound.
    Behind {
        /// By how much, in milliseconds.
        behind_ms: u64,
    },
    /// The wall clock is behind the latest time that this process trusted by more than the bound.
    SetBack {
        /// By how much, in milliseconds.
        behind_ms: u64,
    },
    /// The node was started, or its wall clock leapt against boot time, and the clock must settle.
    Settling {
        /// How far it is ahead of registry time, in milliseconds.
        ahead_ms: i64,
        /// How long a quorum still has to agree, in milliseconds.
        left_ms: u64,
    },
    /// As `Settling`, and the wall clock is so far ahead of registry time that an operator must confirm it.
    TooFarAhead {
        /// How far, in milliseconds.
        ahead_ms: i64,
    },
    /// The wall clock has leapt so far in all, since this process was anchored first, that an operator must confirm
    /// it.
    LeaptTooFar {
        /// How far, in milliseconds.
        leapt_ms: i64,
    },
}

impl Unsure {
    /// The reason, in one word.
    pub(crate) fn standing(self) -> ClockStanding {
        match self {
            Unsure::NoQuorum { .. } => ClockStanding::NoQuorum,
            Unsure::Behind { .. } | Unsure::SetBack { .. } => ClockStanding::Behind,
            Unsure::Settling { .. } => ClockStanding::Settling,
            Unsure::TooFarAhead { .. } | Unsure::LeaptTooFar { .. } => ClockStanding::TooFarAhead,
        }
    }

    /// What is wrong, one sentence.
    pub(crate) fn detail(self) -> String {
        match self {
            Unsure::NoQuorum { bound_ms } => {
                format!("this node's clock is not within {bound_ms} ms of a quorum's")
            }
            Unsure::Behind { behind_ms } => {
                format!("this node's clock is {} behind registry time", span(behind_ms))
            }
            Unsure::SetBack { behind_ms } => format!(
                "this node's clock was set back and is {} behind the latest time that this node trusted",
                span(behind_ms)
            ),
            Unsure::Settling { ahead_ms, left_ms } => format!(
                "since this node's start, or since its clock leapt against boot time, nothing vouches for its clock, which is {} {} \
                 registry time; a quorum has to agree for {} s more",
                span(ahead_ms.unsigned_abs()),
                if ahead_ms < 0 { "behind" } else { "ahead of" },
                left_ms.div_ceil(1_000)
            ),
            Unsure::TooFarAhead { ahead_ms } => format!(
                "this node's clock is {} ahead of registry time, and beyond 31 days an operator must confirm it",
                span(ahead_ms.unsigned_abs())
            ),
            Unsure::LeaptTooFar { leapt_ms } => format!(
                "this node's clock has leapt {} ahead of boot time since this node was started or its clock was confirmed, and \
                 beyond 31 days in all an operator must confirm it",
                span(leapt_ms.unsigned_abs())
            ),
        }
    }

    /// What to do about it: the code's remedy, or one of [`OWN_REMEDIES`].
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Unsure::NoQuorum { .. } => Code::ClockUncertain.remedy(),
            Unsure::Behind { .. } => BEHIND,
            Unsure::SetBack { .. } => SET_BACK,
            Unsure::Settling { .. } => SETTLING,
            Unsure::TooFarAhead { .. } | Unsure::LeaptTooFar { .. } => CONFIRM,
        }
    }

    /// What is wrong and what to do, for places that have one text for both.
    pub(crate) fn told(self) -> String {
        match self {
            // The remedy is the code's own.
            Unsure::NoQuorum { .. } => self.detail(),
            Unsure::Behind { .. }
            | Unsure::SetBack { .. }
            | Unsure::Settling { .. }
            | Unsure::TooFarAhead { .. }
            | Unsure::LeaptTooFar { .. } => format!("{}: {}", self.detail(), self.remedy()),
        }
    }

    /// Splits a text that ends with what [`told`](Self::told) returns into what is wrong and what to do. A leader's
    /// refusal reaches other nodes as one text. None if the remedy is the code's own.
    pub(crate) fn split_text(text: &str) -> Option<(&str, &'static str)> {
        OWN_REMEDIES.into_iter().find_map(|remedy| {
            let detail = text.strip_suffix(remedy)?.strip_suffix(": ")?;
            Some((detail, remedy))
        })
    }
}

/// A length of time, in the largest unit of which there are two.
pub(super) fn span(ms: u64) -> String {
    let units = [(86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "s")];
    let fits = units.iter().find(|(unit, _)| ms / unit >= 2);
    fits.map_or_else(|| format!("{ms} ms"), |(unit, name)| format!("{} {name}", ms / unit))
}
