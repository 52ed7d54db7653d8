//! What is printed where: results on stdout, talk on stderr.
//!
//! A reader that went away (`| head`) is no failure: writing then stops quietly. Every command prints through [`Output`], which the
//! lints at the head of `main.rs` see to. What terminals obey instead of showing it is escaped here, whoever wrote it: a server's
//! words, a stranger's statement. Only [`Output::bytes`] prints what it is given, and not to a terminal.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use assent_proof::text;
use clap::ValueEnum;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::exit::CliError;
use crate::log;

/// How often a command that waits looks whether somebody still reads its results.
const READER_LOOK: Duration = Duration::from_millis(200);

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

impl Output {
    /// As it is written behind `--output`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Output::Text => "text",
            Output::Json => "json",
        }
    }

    /// Prints a result: the text for people, or `value` as one line of JSON.
    pub(crate) fn result<T: Serialize + ?Sized>(
        self,
        value: &T,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        self.try_result(value, for_people).map(|_| ())
    }

    /// The same for one result of many: whether somebody still reads them.
    pub(crate) fn try_result<T: Serialize + ?Sized>(
        self,
        value: &T,
        for_people: impl FnOnce() -> String,
    ) -> Result<bool, CliError> {
        match self {
            Output::Text => self.try_line(&text::lines(&for_people())),
            Output::Json => {
                let json = serde_json::to_string(value).map_err(|error| {
                    CliError::new("output_failed", error.to_string(), "report this as a bug")
                })?;
                self.try_line(&text::json_lines(&json))
            }
        }
    }

    /// Prints text on stdout whatever the form.
    pub(crate) fn line(self, line: &str) -> Result<(), CliError> {
        self.try_line(&text::lines(line)).map(|_| ())
    }

    /// Prints JSON on stdout whatever the form; for results that are JSON by themselves.
    pub(crate) fn json(self, json: &[u8]) -> Result<(), CliError> {
        self.try_line(&text::json_lines(&String::from_utf8_lossy(json))).map(|_| ())
    }

    /// Prints the bytes of JSON on stdout, exactly; on a terminal as [`json`](Self::json) does.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        if std::io::stdout().is_terminal() {
            return self.json(bytes);
        }
        self.try_bytes(bytes).map(|_| ())
    }

    /// Prints a line on stdout, and answers whether somebody still reads them.
    fn try_line(self, line: &str) -> Result<bool, CliError> {
        self.try_bytes(format!("{}\n", line.trim_end_matches('\n')).as_bytes())
    }

    /// Prints bytes on stdout, and answers whether somebody still reads them.
    fn try_bytes(self, bytes: &[u8]) -> Result<bool, CliError> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nobody can read stdout any more. A command that has nothing to print would not notice by itself.
    pub(crate) async fn reader_gone(self) {
        while !is_reader_gone() {
            tokio::time::sleep(READER_LOOK).await;
        }
    }

    /// Says something on stderr. A long-running command waits for nobody who reads it.
    pub(crate) fn say(self, talk: &str) {
        say(&text::lines(talk));
    }

    /// Prints an error on stderr.
    pub(crate) fn error(self, error: &CliError) {
        match self {
            Output::Text => self.say(&error.to_string()),
            Output::Json => say(&text::json_lines(&error.to_json().to_string())),
        }
    }
}

fn say(line: &str) {
    if !log::say(line) {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Whether stdout is a pipe, a socket or a terminal whose other end is closed.
fn is_reader_gone() -> bool {
    let stdout = std::io::stdout();
    // What is asked for is nothing: the system reports these two in any case.
    let mut looked_at = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    if poll(&mut looked_at, PollTimeout::ZERO).is_err() {
        return false;
    }
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    looked_at.iter().filter_map(PollFd::revents).any(|seen| seen.intersects(gone))
}
