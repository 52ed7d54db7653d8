//! `assent-jepsen check`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use assent_jepsen::check::judge;
use assent_jepsen::history::{History, HistoryError};

use super::Output;

/// The file is no history.
const MALFORMED: u8 = 2;

/// Judge the history of a simulated run.
///
/// It says of each invariant at how many things its check looked and what violates it, with the records that show it, one
/// line each. A history that gives a check nothing to look at shows nothing about that invariant. It ends with 0 if nothing is
/// violated, with 1 if something is, and with 2 if the file is no history.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  assent-jepsen check jepsen-like/fixtures/bad-S1-revoked.jsonl
  assent-jepsen --output json check history.jsonl > report.json")]
pub(super) struct CheckArgs {
    /// The history, one JSON record a line
    file: PathBuf,
}

impl CheckArgs {
    /// Judges the file.
    pub(super) fn run(&self, output: Output) -> ExitCode {
        let history = match self.read() {
            Ok(history) => history,
            Err(error) => {
                eprintln!("error: {}: {error}", self.file.display());
                return MALFORMED.into();
            }
        };
        let report = judge(&history);
        match output {
            Output::Text => print!("{}", report.to_text(&history)),
            Output::Json => println!("{}", report.to_json(&history)),
        }
        u8::from(!report.is_good()).into()
    }

    fn read(&self) -> Result<History, HistoryError> {
        History::read(BufReader::new(File::open(&self.file)?))
    }
}
