//! How long the guard lets the command run by itself: until the last end that the process that watches has told it.
//!
//! At least once a second, the process that watches writes into a pipe when the command must end unless it is told
//! otherwise. If that process is stopped (SIGSTOP) or hangs, it writes nothing, and the guard ends the command at the
//! last end. An end is a moment on the clock that continues while the host sleeps. Both processes read that clock, so
//! an end that is read late does not run longer.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use assent_client::{Clock, SystemClock};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::close;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Where the system shows a process its own open files.
const OWN_FILES: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// When the command has to end: milliseconds on the clock that goes on while the host sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End(u64);

impl End {
    /// This moment. Without such a clock every end is over at once.
    pub(crate) fn now() -> Self {
        Self(SystemClock.boot().map_or(0, milliseconds))
    }

    /// So much later. To be reckoned from a moment before it was asked what is left: a stop of this process in between then prolongs
    /// nothing.
    pub(crate) fn plus(self, left: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(left)))
    }

    /// The end that this number stands for.
    pub(crate) fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// How much longer the command may run.
    pub(super) fn left(self) -> Duration {
        let end = Duration::from_millis(self.0);
        SystemClock.boot().map_or(Duration::ZERO, |boot| end.saturating_sub(boot))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The end of the pipe that the process that watches writes into. Once all clones are gone, the guard takes it for dead.
#[derive(Clone, Debug)]
pub(super) struct Renewals(Arc<PipeWriter>);

impl Renewals {
    /// A pipe whose other end the next process inherits that is started while it is open.
    pub(super) fn open() -> io::Result<(Self, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        // A guard that reads nothing must not hold up the process that watches.
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok((Self(Arc::new(writer)), reader))
    }

    /// Tells the guard until when the command may run. If it does not take that, its last end holds.
    pub(super) fn renew(&self, end: End) {
        let mut pipe: &PipeWriter = &self.0;
        // So few bytes are written as a whole or not at all.
        let _ = pipe.write_all(&end.number().to_le_bytes());
    }
}

/// The guard's end of the pipe, and the last end that came through it.
pub(super) struct RunLease {
    pipe: Receiver,
    end: End,
}

impl RunLease {
    /// Takes over the end of the pipe that this process has inherited under this number, with the end that holds until another one
    /// comes.
    pub(super) fn inherited(number: RawFd, end: End) -> io::Result<Self> {
        // Opened anew, it is this process's alone: the command does not inherit it.
        let pipe = File::open(format!("{OWN_FILES}/{number}"))?;
        close(number)?;
        Ok(Self { pipe: Receiver::from_file(pipe)?, end })
    }

    /// Waits for the next end. Answers whether one came: if not, the process that watches is gone. Dropping the wait loses nothing.
    pub(super) async fn renewed(&mut self) -> bool {
        let mut number = [0; size_of::<u64>()];
        match self.pipe.read(&mut number).await {
            Ok(read) if read == number.len() => {
                self.end = End(u64::from_le_bytes(number));
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// How much longer the command may run.
    pub(super) fn left(&self) -> Duration {
        self.end.left()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Both ends in this one process.
    fn both(end: End) -> (Renewals, RunLease) {
        let (renewals, reader) = Renewals::open().unwrap();
        let pipe = File::open(format!("{OWN_FILES}/{}", reader.as_raw_fd())).unwrap();
        (renewals, RunLease { pipe: Receiver::from_file(pipe).unwrap(), end })
    }

    #[tokio::test]
    async fn the_last_end_that_was_told_holds_whether_later_or_earlier() {
        let (renewals, mut lease) = both(End::now());
        assert_eq!(lease.left(), Duration::ZERO);
        for left in [MINUTE, 2 * MINUTE, MINUTE / 2] {
            renewals.renew(End::now().plus(left));
            assert!(lease.renewed().await);
            let told = lease.left();
            assert!(told <= left && told > left.saturating_sub(MINUTE / 4), "{told:?}");
        }
        drop(renewals);
        assert!(!lease.renewed().await, "it is gone");
    }

    #[tokio::test]
    async fn a_guard_that_reads_nothing_does_not_hold_up_the_process_that_watches() {
        let (renewals, mut lease) = both(End::now().plus(MINUTE));
        // More than a pipe holds.
        (0..100_000).for_each(|_| renewals.renew(End::now().plus(MINUTE)));
        assert!(lease.renewed().await);
    }
}
