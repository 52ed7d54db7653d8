//! What the commands print: results on stdout, messages on stderr.
//!
//! If the reader has gone away (`| head`), that is not an error: writing stops silently, and the exit code stays the
//! same. Every command prints through this module. The standard library's macros panic instead, so the lints at the
//! head of `lib.rs` and `main.rs` deny them.

use std::io::{self, ErrorKind, IsTerminal, Write};

/// Why a result is not printed.
#[derive(Debug, thiserror::Error)]
#[error("the report could not be written: {0}")]
pub struct OutputError(#[from] io::Error);

/// Prints a result on stdout, in whole lines.
///
/// # Errors
/// Stdout accepts no more, for another reason than that its reader has gone away.
pub fn print(text: &str) -> Result<(), OutputError> {
    written(text, io::stdout().lock())
}

fn written(text: &str, mut to: impl Write) -> Result<(), OutputError> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let all = [text, end].concat();
    match to.write_all(all.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(OutputError(error)),
        // If the reader has gone away, that is not an error.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a line on stderr.
pub fn say(line: &str) {
    // If stderr is gone too, only the exit code is left.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Reports on stderr the progress of a command that handles many things: on a terminal as one line that the next
/// report replaces, elsewhere as a line now and then.
#[derive(Debug)]
pub(crate) struct Progress {
    all: u64,
    each: u64,
    terminal: bool,
}

impl Progress {
    /// Progress over this many things. It reports each time that so many are done, on a terminal or elsewhere, and
    /// when all are done.
    pub(crate) fn of(all: u64, each_on_terminal: u64, each_elsewhere: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { all, each: if terminal { each_on_terminal } else { each_elsewhere }, terminal }
    }

    /// Reports that so many are done. `what` adds details.
    pub(crate) fn tell(&self, done: u64, what: impl FnOnce() -> String) {
        let last = done == self.all;
        if !last && !done.is_multiple_of(self.each) {
            return;
        }
        let line = format!("{done}/{} {}", self.all, what());
        if !self.terminal {
            say(&line);
            return;
        }
        let end = if last { "\n" } else { "" };
        let _ = write!(io::stderr().lock(), "\r{line}{end}");
    }

    /// Prints a separate line, which stays.
    pub(crate) fn interrupt(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        say(&format!("{clear}{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that accepts nothing, for that reason.
    struct Full(ErrorKind);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
        written("text", Full(ErrorKind::BrokenPipe)).unwrap();
        let error = written("text", Full(ErrorKind::StorageFull)).unwrap_err();
        assert!(error.to_string().starts_with("the report could not be written: "), "{error}");
    }

    #[test]
    fn a_result_ends_with_one_end_of_line() {
        for (text, expected) in [("a", "a\n"), ("a\nb\n", "a\nb\n"), ("", "")] {
            let mut all = Vec::new();
            written(text, &mut all).unwrap();
            assert_eq!(all, expected.as_bytes());
        }
    }
}
