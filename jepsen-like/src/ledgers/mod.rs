//! Random ledgers: what the rules and the model answer to the same statements and requests, compared step by step.
//!
//! A ledger begins with a small founded registry ([`FoundedRegistries`]). A [`Profile`] decides which statements are
//! drawn from then on, and the seed decides the rest. Each step goes to `assent_registry` and to [`crate::model`], and
//! the first difference between their answers is a [`Finding`]. The module owns the drawing of statements, the
//! comparison, the search for the fewest steps that show a finding, and the count of what happened. It never judges
//! which of the two is right. It never waits, and it does no IO, except the command, which prints.

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
