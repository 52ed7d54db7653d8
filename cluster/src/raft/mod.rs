//! The adapters to openraft: its types, its log storage, its state machine, its network and its runtime.
//!
//! This folder owns everything that openraft calls, and the encodings in which openraft's values are stored. The
//! handler, the use cases, the watches, the recovery and the peers' messages use openraft's types too. HTTP, the
//! metrics and the environment use none of them. This folder never decides whether an action may execute.

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
