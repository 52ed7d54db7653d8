//! What the answers of a run are worth.

use assent_api::{Call, Retry};

use crate::answer::retry_said;

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Under which name it is counted.
    pub label: &'static str,
    /// Whether it is what the run wants to see.
    pub expected: bool,
    /// Whether the outcome is open, so that the same bytes are to be sent again.
    pub resend: bool,
}

/// Judges an answer by status and body. Runs on the hot path.
pub type Judge = fn(u16, &[u8]) -> Judgement;

/// Judges answers of `POST /v1/authorize`: only 200 with a decision that says `allow` is expected.
///
/// The decision's receipt is not verified here: that costs more than the whole request.
pub fn judge_authorize(status: u16, body: &[u8]) -> Judgement {
    let (label, expected) = match status {
        200 if body.starts_with(br#"{"decision":"allow""#) => ("allow", true),
        200 => ("200 without allow", false),
        403 => ("deny", false),
        503 => ("cannot know", false),
        400 => ("malformed", false),
        _ => ("other status", false),
    };
    Judgement { label, expected, resend: false }
}

/// Judges answers of `POST /v1/envelopes`: 201 is expected; 200 (accepted before) is too, after a resend. What is not refused
/// for good is sent again.
pub fn judge_submit(status: u16, body: &[u8]) -> Judgement {
    let (label, expected) = match status {
        201 => ("accepted", true),
        200 => ("accepted before", true),
        429 => ("overloaded", false),
        503 => ("unavailable", false),
        504 => ("unknown outcome", false),
        409 => ("slot conflict", false),
        _ => ("refused", false),
    };
    let resend = retry_said(Call::Submission, status, body) != Retry::Final;
    Judgement { label, expected, resend }
}

/// Judges answers of which only 200 is expected, such as those of `/livez`.
pub fn judge_ok(status: u16, _body: &[u8]) -> Judgement {
    let expected = status == 200;
    Judgement { label: if expected { "ok" } else { "other status" }, expected, resend: false }
}
