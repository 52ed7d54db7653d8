//! How sure a node is of its clock, and an operator's confirmation that the clock is right.

use assent_proof::{Fields, Millis, Refusal, Seconds, json};
use serde::{Deserialize, Serialize};

/// The longest body of a confirmation, in bytes.
pub const MAX_CLOCK_BYTES: usize = 256;

/// How sure a node is of its clock, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockStanding {
    /// The node uses its clock.
    Sure,
    /// No quorum of voters agrees with the node's clock.
    NoQuorum,
    /// The node started, or its clock leapt against boot time, and since then a quorum has not agreed with it for long
    /// enough.
    Settling,
    /// The node started, or its clock leapt against boot time, and its clock is so far ahead of registry time, or has
    /// leapt so far in total, that an operator must confirm it.
    TooFarAhead,
    /// The node's clock is behind registry time, or behind the latest time that the node has trusted since it was
    /// started.
    Behind,
}

impl ClockStanding {
    /// The word as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ClockStanding::Sure => "sure",
            ClockStanding::NoQuorum => "noQuorum",
            ClockStanding::Settling => "settling",
            ClockStanding::TooFarAhead => "tooFarAhead",
            ClockStanding::Behind => "behind",
        }
    }
}

/// An operator's confirmation. It holds until the clock leaps again or the node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockConfirmed {
    /// The node's clock at the confirmation, in milliseconds.
    pub wall: Millis,
    /// How far the node's clock was ahead of registry time then, in milliseconds.
    pub ahead_ms: i64,
}

/// The body of `POST /v1/clock/confirm`: an operator confirms that the node's clock is right. The answer is a
/// [`ClockBody`](crate::ClockBody).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmClock {
    /// The time by the operator's own clock, as `YYYY-MM-DDTHH:MM:SSZ`. The node's clock must be within a minute of
    /// it.
    pub time: Seconds,
}

impl ConfirmClock {
    /// Reads `{time}`.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let body = json::parse(bytes)?;
        let mut fields = Fields::of(&body, "")?;
        let time = fields.parsed("time")?;
        fields.finish()?;
        Ok(Self { time })
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::Code;

    use super::*;

    #[test]
    fn a_confirmation_names_one_time_and_nothing_else() {
        let body = ConfirmClock { time: "2037-07-01T12:00:00Z".parse().unwrap() };
        assert_eq!(body.to_vec(), br#"{"time":"2037-07-01T12:00:00Z"}"#);
        assert_eq!(ConfirmClock::parse(&body.to_vec()), Ok(body));
        let bodies: [&[u8]; 5] = [
            b"",
            b"{}",
            br#"{"time":"today"}"#,
            br#"{"time":1}"#,
            br#"{"time":"2037-07-01T12:00:00Z","force":true}"#,
        ];
        for wrong in bodies {
            assert_eq!(ConfirmClock::parse(wrong).unwrap_err().code, Code::Malformed);
        }
    }

    #[test]
    fn each_standing_is_written_as_its_word() {
        use ClockStanding::*;
        for standing in [Sure, NoQuorum, Settling, TooFarAhead, Behind] {
            assert_eq!(serde_json::to_value(standing).unwrap(), standing.as_str());
        }
    }
}
