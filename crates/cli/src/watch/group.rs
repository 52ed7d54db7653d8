//! A process group: everything that a command starts, unless it takes pains to leave.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A process group by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    /// The group with this number; none for numbers that mean something else to the system.
    pub(super) fn new(number: i32) -> Option<Self> {
        (number > 1).then(|| Self(Pid::from_raw(number)))
    }

    /// Its number.
    pub(super) fn number(self) -> i32 {
        self.0.as_raw()
    }

    /// Sends a signal to everything in it. A group that is gone needs none.
    pub(super) fn signal(self, signal: Signal) {
        let _ = killpg(self.0, signal);
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(self) -> bool {
        killpg(self.0, None) == Err(Errno::ESRCH)
    }
}
