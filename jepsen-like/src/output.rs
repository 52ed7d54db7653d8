//! What the commands print: results on stdout, talk on stderr.
//!
//! A reader that has gone away (`| head`) is no failure: writing then stops quietly, and the exit code is left. Every command prints
//! through here. The standard library's macros panic instead, so the lints at the head of `lib.rs` and `main.rs` deny them.

use std::io::{self, ErrorKind, Write};

/// Why a result is not printed.
#[derive(Debug, thiserror::Error)]
#[error("the report could not be written: {0}")]
pub struct OutputError(#[from] io::Error);

/// Prints a result on stdout, in whole lines.
///
/// # Errors
/// Stdout takes no more, for another reason than that its reader has gone away.
pub fn print(text: &str) -> Result<(), OutputError> {
    written(text, io::stdout().lock())
}

fn written(text: &str, mut to: impl Write) -> Result<(), OutputError> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let all = [text, end].concat();
    match to.write_all(all.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(OutputError(error)),
        // A reader that has seen enough is no failure.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says a line on stderr.
pub fn say(line: &str) {
    // With stderr gone too, only the exit code is left.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says something on stderr that is no whole line, as progress on a terminal is.
pub(crate) fn say_on(text: &str) {
    let _ = write!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, for that reason.
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
