//! The errors of calls between two nodes.

/// Why a call to a peer brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The peer address is taken or unusable.
    #[error("cannot listen for peers on `{addr}`: {problem}")]
    Listen {
        /// The address asked for.
        addr: String,
        /// What the system says.
        problem: String,
    },
    /// There is no connection now; nothing was sent.
    #[error("there is no connection to node `{0}`")]
    Unreachable(u64),
    /// This node has not dialed the peer at its known address and found its known store there. Nothing was sent.
    #[error("this node has no connection of its own dialing to node `{0}` at its address and with its store")]
    NotDialed(u64),
    /// The connection ended while the answer was awaited; the request may have been carried out.
    #[error("the connection ended before the answer: {0}")]
    Lost(String),
    /// The deadline passed; the request may have been carried out.
    #[error("no answer within the deadline")]
    Deadline,
    /// Too much is waiting on this side already; nothing was sent.
    #[error("too much is waiting to be sent to the peer")]
    Full,
    /// The peer has too many requests under way already; it did nothing.
    #[error("the peer is overloaded")]
    Overloaded,
    /// The request is larger than a frame; nothing was sent.
    #[error("a request of `{bytes}` bytes exceeds the frame bound of `{max}`")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The request could not be encoded; nothing was sent.
    #[error("the request cannot be encoded: {0}")]
    Encoding(String),
    /// The peer could not carry the request out, and says why.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The peer's answer was malformed, and the connection was dropped. The request may have been carried out.
    #[error("the peer's answer is malformed: {0}")]
    Malformed(String),
}

impl PeerError {
    /// Whether it is certain that the peer did nothing with the request. Otherwise its outcome is unknown.
    pub fn is_unsent(&self) -> bool {
        match self {
            PeerError::Listen { .. }
            | PeerError::Unreachable(_)
            | PeerError::NotDialed(_)
            | PeerError::Full
            | PeerError::Overloaded
            | PeerError::TooLarge { .. }
            | PeerError::Encoding(_) => true,
            PeerError::Lost(_) | PeerError::Deadline | PeerError::Refused(_) | PeerError::Malformed(_) => {
                false
            }
        }
    }
}
