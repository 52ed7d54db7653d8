//! What is printed where: results on stdout, talk on stderr.
//!
//! A reader that went away (`| head`) is no failure: writing then stops quietly.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::CliError;
use crate::log;

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
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        self.try_result(value, text).map(|_| ())
    }

    /// The same for one result of many: whether somebody still reads them.
    pub(crate) fn try_result<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<bool, CliError> {
        let line = match self {
            Output::Text => text(),
            Output::Json => serde_json::to_string(value)
                .map_err(|error| CliError::new("output_failed", error.to_string(), "report this as a bug"))?,
        };
        self.try_bytes(format!("{}\n", line.trim_end_matches('\n')).as_bytes())
    }

    /// Prints one line on stdout whatever the form; for results that are JSON or PEM by themselves.
    pub(crate) fn line(self, text: &str) -> Result<(), CliError> {
        self.bytes(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
    }

    /// Prints bytes on stdout, exactly.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        self.try_bytes(bytes).map(|_| ())
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

    /// Says something on stderr. A long-running command waits for nobody who reads it.
    pub(crate) fn say(self, text: &str) {
        if !log::say(text) {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Prints an error on stderr.
    pub(crate) fn error(self, error: &CliError) {
        match self {
            Output::Text => self.say(&error.to_string()),
            Output::Json => self.say(&error.to_json().to_string()),
        }
    }
}
