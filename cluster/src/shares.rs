//! How callers share what a node has only so much of.
//!
//! A [`Pool`] has places that a call takes at once or not at all. A [`Gate`] lets a few pieces of work through at a time,
//! and the others wait in a [`Line`], in which the accounts take turns. A [`Door`] lets in a few calls of each caller while
//! several callers are at work. `docs/overload.md` explains the rules. This module knows no call and no use case.

mod door;
mod gate;
mod line;
mod pool;

pub(crate) use door::{Door, DoorLane, Inside};
pub(crate) use gate::{Gate, Pass};
pub(crate) use line::Line;
pub(crate) use pool::{Count, NoShare, Pool, Share};
