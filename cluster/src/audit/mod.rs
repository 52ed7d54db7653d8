//! The audit trail: for each call, one line that says who made it, from where, and what became of it.
//!
//! `Trail` takes entries from every request and never makes one wait, except that a change of the cluster waits until
//! its entry is on the disk. `Sink` owns the file: its permissions, its rotation and its end. An entry never has a
//! token, a key, a header or a body: it is made of values that were parsed, and of words of this program.

mod class;
mod entry;
mod line;
mod setting;
mod sink;
mod trail;

pub use class::AuditClass;
pub(crate) use entry::{Entry, Facts, Party};
pub use setting::AuditConfig;
pub(crate) use sink::Sink;
pub(crate) use trail::{Open, Trail, keep_trail};
