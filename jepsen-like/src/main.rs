//! `assent-jepsen`: breaks real clusters and simulated ones, and says what they answered meanwhile.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
