//! What is printed where: results on stdout, talk on stderr.
//!
//! A reader of a listing that went away (`| head`) is no failure: writing then stops quietly. What a command makes, such as a key or a
//! signed envelope, is lost if nobody gets it: [`product`](Output::product) and its like fail then. Every command prints through
//! [`Output`], which the lints at the head of `main.rs` see to. What terminals obey instead of showing it is escaped here, whoever wrote it: a server's
//! words, a stranger's statement. Only [`Output::product_bytes`] prints what it is given, and not to a
//! terminal.

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

/// How often a command that waits looks whether somebody still reads its results.
const READER_LOOK: Duration = Duration::from_millis(200);

/// What to do where stdout takes nothing.
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

    /// The same for what the command has made, which is lost if nobody gets it.
    ///
    /// # Errors
    /// `io_failed` if nobody reads stdout.
    pub(crate) fn product<T: Serialize + ?Sized>(
        self,
        value: &T,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_result(value, for_people)?)
    }

    /// Prints text on stdout whatever the form.
    pub(crate) fn line(self, line: &str) -> Result<(), CliError> {
        self.try_line(&text::lines(line)).map(|_| ())
    }

    /// Prints JSON on stdout whatever the form; for results that are JSON by themselves.
    pub(crate) fn json(self, json: &[u8]) -> Result<(), CliError> {
        self.try_line(&text::json_lines(&String::from_utf8_lossy(json))).map(|_| ())
    }

    /// The same for JSON that the command has made, which is lost if nobody gets it.
    ///
    /// # Errors
    /// `io_failed` if nobody reads stdout.
    pub(crate) fn product_json(self, json: &[u8]) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_line(&text::json_lines(&String::from_utf8_lossy(json)))?)
    }

    /// The same for text, whatever the form.
    ///
    /// # Errors
    /// `io_failed` if nobody reads stdout.
    pub(crate) fn product_line(self, line: &str) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(self.try_line(&text::lines(line))?)
    }

    /// Prints the bytes of something that the command has made on stdout, exactly; on a terminal as
    /// [`product_json`](Self::product_json) does.
    ///
    /// # Errors
    /// `io_failed` if nobody reads stdout.
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

    /// Refuses to go on where nobody can ever read stdout, since it was closed when this program was started.
    ///
    /// # Errors
    /// `io_failed`.
    pub(crate) fn must_be_open(self) -> Result<(), CliError> {
        if !is_closed() {
            return Ok(());
        }
        let detail = "stdout is closed, or is the null device for reading and writing: nobody can read it";
        Err(CliError::new("io_failed", detail, NEEDS_A_READER))
    }

    /// Refuses to make what nobody would get: stdout was closed when this program was started, or has no reader any more.
    ///
    /// # Errors
    /// `io_failed`.
    pub(crate) fn must_have_a_reader(self) -> Result<(), CliError> {
        self.must_be_open()?;
        taken(!is_reader_gone())
    }

    /// Prints a line on stdout, and answers whether somebody still reads them.
    fn try_line(self, line: &str) -> Result<bool, CliError> {
        self.try_bytes(format!("{}\n", line.trim_end_matches('\n')).as_bytes())
    }

    /// Prints bytes on stdout, and answers whether somebody still reads them.
    fn try_bytes(self, bytes: &[u8]) -> Result<bool, CliError> {
        let mut stdout = std::io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
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

/// Whether somebody still reads stdout, by how writing to it went.
fn written(went: io::Result<()>) -> Result<bool, CliError> {
    match went {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritten(&error)),
    }
}

/// An error, unless somebody still reads stdout.
fn taken(somebody_reads: bool) -> Result<(), CliError> {
    if somebody_reads { Ok(()) } else { Err(unwritten(&ErrorKind::BrokenPipe.into())) }
}

/// The error of a result that stdout has not taken.
fn unwritten(error: &io::Error) -> CliError {
    CliError::new("io_failed", format!("stdout could not be written: {error}"), NEEDS_A_READER)
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

/// Whether stdout was closed when this program was started. The standard library opens the null device in its place then, for reading
/// and writing. A shell's `>/dev/null` opens it for writing alone; some programs that start others open it for both, and are not told
/// apart.
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
