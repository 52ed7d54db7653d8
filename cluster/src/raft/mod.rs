//! Everything that knows openraft: its types, its log storage, its state machine, its network.
//!
//! Architecture invariant: no other folder names an openraft type beyond the aliases re-exported here.

pub mod codec;
pub(crate) mod commands;
pub mod log;
pub mod machine;
pub mod network;
pub mod remembered;
pub mod runtime;
pub mod types;
pub mod verifier;
pub(crate) mod voters;
