//! Endpoints that spoil the answers of real nodes, by a seed, and a judge of what a client concluded.
#![allow(unreachable_pub, missing_docs, reason = "one test uses it")]
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for or end")]

pub mod case;
pub mod content;
pub mod draw;
pub mod endpoint;
pub mod judge;
pub mod round;
pub mod wire;
