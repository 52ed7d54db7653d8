//! What descends from this process, as Linux lists it in `/proc`. Other systems have no such list.
//!
//! A process that takes a session or a group of its own, or whose parent ends, still descends from the nearest ancestor that
//! adopts orphans ([`become_subreaper`]). So nothing that a command starts gets out of sight.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process. Its number alone could be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    /// Its number.
    number: i32,
    /// When it started, in the system's ticks since it booted.
    started: u64,
}

/// A process as the system lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Which one.
    pub(super) process: Process,
    /// The number of its process group.
    pub(super) group: i32,
    /// Whether it can do nothing any more: what remains is an exit status that its parent has not asked for.
    pub(super) ended: bool,
    parent: i32,
}

impl Process {
    /// Its number.
    pub(super) fn number(self) -> i32 {
        self.number
    }

    /// Sends it a signal. One that is gone needs none.
    pub(super) fn signal(self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.number), signal);
    }
}

impl Listed {
    /// Whether this is its parent.
    pub(super) fn is_child_of(&self, number: u32) -> bool {
        u32::try_from(self.parent) == Ok(number)
    }

    /// Reads `pid (name) state parent group …`; a name may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let number = stat.split(' ').next()?.parse().ok()?;
        let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
        let state = *fields.first()?;
        let parent = fields.get(1)?.parse().ok()?;
        let group = fields.get(2)?.parse().ok()?;
        let threads: u64 = fields.get(17)?.parse().ok()?;
        let started = fields.get(19)?.trim_end().parse().ok()?;
        // A process whose first thread has ended looks ended, while its other threads go on.
        let ended = matches!(state, "Z" | "X") && threads <= 1;
        Some(Self { process: Process { number, started }, group, ended, parent })
    }
}

/// From now on this process is the parent of every descendant that loses its own.
pub(super) fn become_subreaper() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// All that descends from this process, what has ended included, except `preexisting` and what descends from them.
///
/// # Errors
/// The system does not list its processes, or not all of them could be looked at: then what descends is unknown.
pub(super) fn descendants(preexisting: &BTreeSet<Process>) -> std::io::Result<Vec<Listed>> {
    let me = i32::try_from(std::process::id()).map_err(Error::other)?;
    below(me, &listed()?, preexisting)
}

/// Everything that the system lists.
fn listed() -> std::io::Result<Vec<Listed>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let is_process = entry.file_name().to_str().is_some_and(|name| name.parse::<i32>().is_ok());
        if !is_process {
            continue;
        }
        // Not as text: a process may have given itself a name that is none.
        match std::fs::read(entry.path().join("stat")) {
            Ok(stat) => {
                let stat = String::from_utf8_lossy(&stat);
                let process = Listed::parse(&stat)
                    .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("`{stat}` in `/proc`")))?;
                all.push(process);
            }
            // It is gone meanwhile, or hidden: what is hidden is another user's, who alone could end it.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
                    || error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// What of `all` descends from `me`, except `preexisting` and what descends from them.
fn below(me: i32, all: &[Listed], preexisting: &BTreeSet<Process>) -> std::io::Result<Vec<Listed>> {
    if !all.iter().any(|listed| listed.process.number == me) {
        let detail = "`/proc` does not list this process: it is of another process namespace";
        return Err(Error::new(ErrorKind::NotFound, detail));
    }
    let mut children: BTreeMap<i32, Vec<&Listed>> = BTreeMap::new();
    for listed in all {
        children.entry(listed.parent).or_default().push(listed);
    }
    let (mut found, mut parents, mut seen) = (Vec::new(), vec![me], BTreeSet::from([me]));
    while let Some(parent) = parents.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            // The list is not of one moment: a number may stand in it twice.
            if !preexisting.contains(&child.process) && seen.insert(child.process.number) {
                parents.push(child.process.number);
                found.push(**child);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(number: i32, name: &str, state: &str, parent: i32, threads: u32) -> Listed {
        let rest = "0 0 0 0 0 0 0 0 0 0 0 0 20 0";
        let line = format!("{number} ({name}) {state} {parent} {number} {rest} {threads} 0 77 1 2 3\n");
        Listed::parse(&line).unwrap()
    }

    #[test]
    fn a_line_of_the_systems_list_is_read_whatever_the_processs_name_is() {
        for name in ["sleep", "a b", ") Z 1 (", "(x) "] {
            let listed = stat(12, name, "S", 7, 1);
            assert_eq!((listed.process, listed.parent), (Process { number: 12, started: 77 }, 7), "{name}");
            assert!(!listed.ended, "{name}");
        }
        assert_eq!(Listed::parse("12 (sleep) S 7"), None);
    }

    #[test]
    fn a_process_whose_first_thread_ended_goes_on_with_the_others() {
        assert!(stat(12, "x", "Z", 7, 1).ended);
        assert!(!stat(12, "x", "Z", 7, 2).ended);
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_others_are_none() {
        let all = [
            stat(1, "init", "S", 0, 1),
            stat(5, "me", "S", 1, 1),
            stat(9, "grandchild", "S", 6, 1),
            stat(6, "child", "S", 5, 1),
            stat(7, "stranger", "S", 1, 1),
        ];
        let found = |preexisting: &BTreeSet<Process>| -> BTreeSet<i32> {
            below(5, &all, preexisting).unwrap().iter().map(|listed| listed.process.number()).collect()
        };
        assert_eq!(found(&BTreeSet::new()), BTreeSet::from([6, 9]));
        assert_eq!(found(&BTreeSet::from([all[2].process])), BTreeSet::from([6]));
        assert_eq!(
            found(&BTreeSet::from([all[3].process])),
            BTreeSet::new(),
            "what descends from a stranger"
        );
        assert!(below(4, &all, &BTreeSet::new()).is_err(), "a list without this process says nothing");
    }
}
