//! `assent-jepsen`: breaks real clusters and simulated ones, and says what they answered meanwhile.
#![deny(clippy::print_stdout, clippy::print_stderr)] // They panic when the reader is gone; `output` does not.

mod cli;

use std::process::ExitCode;

/// The rules and their model allocate much in small pieces: random ledgers run 1.6 times as fast with it. A seed's run stays the same, since
/// nothing depends on where something lies in memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
