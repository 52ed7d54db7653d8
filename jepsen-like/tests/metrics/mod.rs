//! What operators see of real nodes: the metrics page in both its formats, and the alerts, tried with Prometheus
//! itself.

mod alerts;
mod keys;
mod page;
mod pages;
mod prometheus;
