//! Prints results on stdout, and notes and errors on stderr.
//!
//! If the reader of a listing leaves early (`| head`), writing stops without an error. What a command makes, such as a
//! key or a signed envelope, is lost if no reader gets it: [`product`](Output::product) and the methods like it then
//! fail. Every command prints through [`Output`]; the lints at the head of `main.rs` enforce this. Control characters
//! are escaped here, whether a server or a stranger's statement contains them. Only [`Output::product_bytes`] prints
//! bytes as they are, and never to a terminal.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

use assent_proof::text;
use clap::ValueEnum;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::exit::CliError;
use crate::log;

/// The time between two checks of a waiting command whether its results still have a reader.
const READER_LOOK: Duration = Duration::from_millis(200);

/// The remedy if stdout cannot be written.
const NEEDS_A_READER: &str =
    "run it again with stdout on a terminal, a file with room, or a pipe whose other end is read";

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
    /// The name of the form, as it is written after `--output`.
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

    /// Prints the result of something that the command has done and that must not be done twice. `done` says what was
    /// done, and `then` how to go on without the result.
    ///
    /// # Errors
    /// `io_failed` if stdout cannot be written. The error says that it is done nevertheless.
    pub(crate) fn done<T: Serialize + ?Sized>(
        self,
        value: &T,
        for_people: impl FnOnce() -> String,
        done: &str,
        then: &str,
    ) -> Result<(), CliError> {
        self.result(value, for_people).map_err(|unprinted| done_unprinted(unprinted, done, then))
    }

    /// Prints one result of many, like [`result`](Self::result). Returns whether stdout still has a reader.
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

    /// Prints something that the command has made, and that is lost if no reader gets it.
    ///
    /// # Errors
    /// `io_failed` if stdout has no reader.
    pub(crate) fn product<T: Serialize + ?Sized>(
        self,
        value: &T,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_result(value, for_people)?)
    }

    /// Prints text on stdout, whatever the form is.
    pub(crate) fn line(self, line: &str) -> Result<(), CliError> {
        self.try_line(&text::lines(line)).map(|_| ())
    }

    /// Prints JSON on stdout, whatever the form is. It is for results that are already JSON.
    pub(crate) fn json(self, json: &[u8]) -> Result<(), CliError> {
        self.try_line(&text::json_lines(&String::from_utf8_lossy(json))).map(|_| ())
    }

    /// Prints JSON that the command has made, and that is lost if no reader gets it.
    ///
    /// # Errors
    /// `io_failed` if stdout has no reader.
    pub(crate) fn product_json(self, json: &[u8]) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_line(&text::json_lines(&String::from_utf8_lossy(json)))?)
    }

    /// Prints text that the command has made, and that is lost if no reader gets it, whatever the form is.
    ///
    /// # Errors
    /// `io_failed` if stdout has no reader.
    pub(crate) fn product_line(self, line: &str) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_line(&text::lines(line))?)
    }

    /// Prints the exact bytes of something that the command has made. On a terminal it prints them as
    /// [`product_json`](Self::product_json) does.
    ///
    /// # Errors
    /// `io_failed` if stdout has no reader.
    pub(crate) fn product_bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        if std::io::stdout().is_terminal() {
            return self.product_json(bytes);
        }
        self.must_be_open()?;
        taken(self.try_bytes(bytes)?)
    }

    /// Prints clap's help or version.
    pub(crate) fn help(self, help: &clap::Error) -> Result<(), CliError> {
        written(help.print().and_then(|()| io::stdout().flush())).map(|_| ())
    }

    /// Fails if stdout was closed when this program was started, so that nothing can ever read it.
    ///
    /// # Errors
    /// `io_failed`.
    pub(crate) fn must_be_open(self) -> Result<(), CliError> {
        if !is_closed() {
            return Ok(());
        }
        let detail = "stdout is closed, or is the null device for reading and writing: nothing can read it";
        Err(CliError::new("io_failed", detail, NEEDS_A_READER))
    }

    /// Fails if stdout was closed when this program was started, or has no reader any more. It is called before
    /// something is made that would then be lost.
    ///
    /// # Errors
    /// `io_failed`.
    pub(crate) fn must_have_a_reader(self) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(!is_reader_gone())
    }

    /// Prints a line on stdout, and returns whether stdout still has a reader.
    fn try_line(self, line: &str) -> Result<bool, CliError> {
        self.try_bytes(format!("{}\n", line.trim_end_matches('\n')).as_bytes())
    }

    /// Prints bytes on stdout, and returns whether stdout still has a reader.
    fn try_bytes(self, bytes: &[u8]) -> Result<bool, CliError> {
        let mut stdout = std::io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// Waits until stdout has no reader any more. A command that prints nothing would not notice this otherwise.
    pub(crate) async fn reader_gone(self) {
        while !is_reader_gone() {
            tokio::time::sleep(READER_LOOK).await;
        }
    }

    /// Prints a note on stderr. A long-running command does not wait for the reader of stderr.
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

/// Whether stdout still has a reader, by the result of writing to it.
fn written(went: io::Result<()>) -> Result<bool, CliError> {
    match went {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritten(&error)),
    }
}

/// Fails unless stdout still has a reader.
fn taken(somebody_reads: bool) -> Result<(), CliError> {
    if somebody_reads { Ok(()) } else { Err(unwritten(&ErrorKind::BrokenPipe.into())) }
}

/// The error of a result that could not be written to stdout.
fn unwritten(error: &io::Error) -> CliError {
    CliError::new("io_failed", format!("stdout could not be written: {error}"), NEEDS_A_READER)
}

/// The error of a result that could not be printed, of something that is done.
fn done_unprinted(unprinted: CliError, done: &str, then: &str) -> CliError {
    let detail = format!("{}; but it is done: {done}", unprinted.detail);
    CliError { detail, remedy: format!("do not run the command again: {then}"), ..unprinted }
}

fn say(line: &str) {
    if !log::say(line) {
        // If stderr is gone, the error cannot be reported.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Whether stdout is a pipe, a socket or a terminal whose other end is closed.
fn is_reader_gone() -> bool {
    let stdout = std::io::stdout();
    // No event is requested: the system reports the two that matter in any case.
    let mut looked_at = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    if poll(&mut looked_at, PollTimeout::ZERO).is_err() {
        return false;
    }
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    looked_at.iter().filter_map(PollFd::revents).any(|seen| seen.intersects(gone))
}

/// Whether stdout was closed when this program was started. The standard library then opens the null device in its
/// place, for reading and writing. A shell's `>/dev/null` opens the null device only for writing. Some programs that
/// start others open it for both, which looks the same as a closed stdout.
fn is_closed() -> bool {
    let stdout = io::stdout();
    let Ok(flags) = fcntl(stdout.as_fd(), FcntlArg::F_GETFL) else { return true };
    let way = OFlag::from_bits_truncate(flags).intersection(OFlag::O_ACCMODE);
    let device = |found: Metadata| found.file_type().is_char_device().then(|| found.rdev());
    let opened = stdout.as_fd().try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    let opened = opened.ok().and_then(device);
    let null = std::fs::metadata("/dev/null").ok().and_then(device);
    way == OFlag::O_RDWR && opened.is_some() && opened == null
}
