//! A registry in memory with real keys and signatures, and short ways to state what a test submits.
//!
//! `assent_fixtures::usual` makes what a test submits. Three files serve the registry itself: they found it, submit to
//! it, and ask it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    reason = "each test file uses its own part of the support"
)]

mod asking;
mod submitting;
mod world;

pub use asking::*;
pub use assent_fixtures::usual::*;
pub use assent_fixtures::{Draft, Keys, claims, id_of, key, signed_note};
pub use submitting::*;
pub use world::*;
