//! `assent-jepsen check`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use assent_jepsen::check::{Setting, judge};
use assent_jepsen::history::{History, HistoryError};
use assent_jepsen::output::{print, say};

use super::Output;

/// Exit code: the file is not a history, or is a history that shows nothing.
const MALFORMED: u8 = 2;
/// Exit code: the report could not be written.
const UNWRITTEN: u8 = 3;

/// Judge the history of a run.
///
/// For each invariant the command prints how many things its check looked at and what violates it, with the records
/// that show it, one on each line. If a history gives a check nothing to look at, it shows nothing about that
/// invariant. The exit code is 0 if nothing is violated, and 1 if something is. It is 2 if the file is not a history,
/// has no record or gives no check anything to look at, and 3 if the report cannot be written.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  assent-jepsen check jepsen-like/fixtures/bad-S1-revoked.jsonl
  assent-jepsen --output json check history.jsonl > report.json")]
pub(super) struct CheckArgs {
    /// The history, one JSON record on each line
    file: PathBuf,
    /// Where the history was recorded, which decides the checks that judge it
    #[arg(long, value_enum, value_name = "SETTING", default_value_t = Setting::Simulation)]
    of: Setting,
}

impl CheckArgs {
    /// Judges the file.
    pub(super) fn run(&self, output: Output) -> ExitCode {
        let failed = |what: &str, code: u8| -> ExitCode {
            say(&format!("error: {}: {what}", self.file.display()));
            code.into()
        };
        let history = match self.read() {
            Ok(history) => history,
            Err(error) => return failed(&error.to_string(), MALFORMED),
        };
        let report = judge(&history, self.of);
        // A history that was cut off before its first record would otherwise count as a good run.
        if report.is_good() && report.findings.iter().all(|finding| finding.verdict.looked_at == 0) {
            let what = format!(
                "the history has {} records and gives no check anything to look at, so it shows nothing: take the \
                 history of a run that has ended",
                report.records
            );
            return failed(&what, MALFORMED);
        }
        let text = match output {
            Output::Text => report.to_text(&history),
            Output::Json => report.to_json(&history).to_string(),
        };
        match print(&text) {
            Ok(()) => u8::from(!report.is_good()).into(),
            Err(error) => failed(&error.to_string(), UNWRITTEN),
        }
    }

    fn read(&self) -> Result<History, HistoryError> {
        History::read(BufReader::new(File::open(&self.file)?))
    }
}
