//! Who calls a use case.

/// Who calls. Every use case takes one, so that authentication has a place when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on a network that is trusted.
    Anonymous,
}
