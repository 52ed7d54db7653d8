//! `assent-jepsen`: breaks real clusters and says what they answered meanwhile, and judges the histories of simulated ones.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
