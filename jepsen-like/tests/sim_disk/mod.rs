//! The simulated disk: under files, under redb, and under a node's real store.

mod database;
mod decay;
mod files;
mod poison;
mod repeat;
mod store;
mod support;
