//! The caller of a use case.

/// The caller of a use case. Every use case takes one, so that authentication can be added here later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An unauthenticated client on a trusted network.
    Anonymous,
}
