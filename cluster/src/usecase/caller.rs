//! The caller of a use case. `access` says who callers are and what they may do.

pub use crate::access::Caller;
