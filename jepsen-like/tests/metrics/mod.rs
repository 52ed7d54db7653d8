//! What operators see of real nodes: the metrics page in both its formats, and the alerts, tried with Prometheus
//! itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod alerts;
mod keys;
mod page;
mod pages;
mod prometheus;
