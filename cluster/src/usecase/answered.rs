//! How a question is answered.

use bytes::Bytes;

/// A decision on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status: 200 allow, 403 deny, 503 deny because the registry cannot know.
    pub status: u16,
    /// The DecisionBody, JSON. It has its receipt unless it is a deny that was made without an evaluation.
    pub body: Bytes,
}
