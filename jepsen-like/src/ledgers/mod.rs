//! Random ledgers: what the rules and the model answer to the same statements and requests, compared step by step.
//!
//! A ledger begins with a small founded registry ([`FoundedRegistries`]). A [`Profile`] says which statements are drawn from then on;
//! the seed says the rest. Each step goes to `assent_registry` and to [`crate::model`], and the first thing in which they
//! differ is a [`Finding`]. It owns the drawing of statements, the comparison, the leaving out of steps without which a
//! finding still shows, and the count of what happened. It never judges who is right, and it never waits or does IO, except
//! for the command, which prints.

mod ask;
mod both;
pub mod command;
mod draft;
pub(crate) mod draw;
mod events;
mod founding;
mod hand;
mod keys;
mod ledger;
mod many;
pub(crate) mod peer;
mod profile;
mod record;
mod show;
mod shrink;
mod submit;

pub use both::{Both, Finding, LedgerError};
pub use events::EVENTS;
pub use founding::FoundedRegistries;
pub use ledger::Ledger;
pub use many::{Found, LedgersReport, run_ledgers};
pub use profile::Profile;
