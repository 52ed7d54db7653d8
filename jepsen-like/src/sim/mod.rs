//! Simulates whole clusters in one process and one thread: the node's own code on a simulated network, disk and clock.

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulation has to seed tokio, which takes `--cfg tokio_unstable`: it stands in `.cargo/config.toml`, and \
     RUSTFLAGS in the environment replaces that file's: add it there, or unset RUSTFLAGS"
);

pub mod clock;
pub mod cluster;
pub mod command;
pub mod dice;
pub mod disk;
pub mod host;
pub mod http;
pub mod hunt;
mod lies;
pub mod nemesis;
pub mod net;
pub mod operator;
pub mod rare;
mod reading;
pub mod recorder;
pub mod run;
pub mod seed;
pub mod seeds;
pub mod setup;
mod shrink;
mod table;
pub mod tally;
mod trace;
mod tuning;
pub mod wire;
pub mod workload;
pub mod world;
