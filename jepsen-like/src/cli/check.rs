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

/// The file is no history, or one that shows nothing.
const MALFORMED: u8 = 2;
/// The report could not be written.
const UNWRITTEN: u8 = 3;

/// Judge the history of a run.
///
/// It says of each invariant at how many things its check looked and what violates it, with the records that show it, one
/// line each. A history that gives a check nothing to look at shows nothing about that invariant. It ends with 0 if nothing is
/// violated, with 1 if something is, with 2 if the file is no history, has no record or gives no check anything to look at, and
/// with 3 if the report cannot be written.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  assent-jepsen check jepsen-like/fixtures/bad-S1-revoked.jsonl
  assent-jepsen --output json check history.jsonl > report.json")]
pub(super) struct CheckArgs {
    /// The history, one JSON record a line
    file: PathBuf,
    /// Where it was recorded, which decides by which checks it is judged
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
        // What was cut off before its first record would otherwise pass for a good run.
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
