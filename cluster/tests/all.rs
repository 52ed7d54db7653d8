//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-cluster --test all fairness::`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod admin;
mod alive;
mod answer_path;
mod answers;
mod audit;
mod batches;
mod callers;
mod checkpoint_failures;
mod client_retries;
mod client_rotation;
mod client_tls;
mod clocks;
mod cluster;
mod cluster_support;
mod counted_refusals;
mod door;
mod events;
mod failing_disk;
mod fairness;
mod flood;
mod growth;
mod half_recovered;
mod histories;
mod hostile;
mod http_clients;
mod jwt_signatures;
mod lanes;
mod late;
mod leapt_clocks;
mod leavers;
mod lost_work;
mod machine;
mod member_words;
mod mixed_builds;
mod mixed_rules;
mod moving;
mod old_data;
mod peer_calls;
mod peer_claims;
mod peer_hostile;
mod peer_raft;
mod peer_support;
mod peer_tls;
mod propose_lanes;
mod removed;
mod rules;
mod spoilt;
mod spoilt_answers;
mod stop;
mod storage_suite;
mod strangers;
mod submit_lanes;
#[path = "../../crates/registry/tests/support/mod.rs"]
mod support;
mod tls_cluster;
mod versions;
mod withdrawn_callers;
