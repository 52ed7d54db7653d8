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

    /// Sends a signal to everything in it. A group that is gone needs none.
    pub(super) fn signal(self, signal: Signal) {
        let _ = killpg(self.0, signal);
    }

    /// Whether nothing is left of it that could still do something: orphans that ended stay in the books for as long as the
    /// system's first process does not ask after them, and in a container that may be never.
    pub(super) fn is_gone(self) -> bool {
        killpg(self.0, None) == Err(Errno::ESRCH) || self.only_ended()
    }

    /// Whether the system lists nothing of it but what has ended. Where it has no such list, that is in doubt: no.
    fn only_ended(self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        let mut listed = false;
        for process in processes.flatten() {
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            // `pid (name) state parent group …`; a name may hold anything.
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            let (state, group) = (fields.next(), fields.nth(1).and_then(|group| group.parse().ok()));
            if group == Some(self.0.as_raw()) {
                listed = true;
                if !matches!(state, Some("Z" | "X")) {
                    return false;
                }
            }
        }
        // A process that cannot be seen may be there.
        listed
    }
}
