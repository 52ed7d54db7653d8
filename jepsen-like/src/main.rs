//! `assent-jepsen`: breaks real clusters and simulated ones, and says what they answered meanwhile.
#![deny(clippy::print_stdout, clippy::print_stderr)] // They panic when the reader is gone; `output` does not.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
