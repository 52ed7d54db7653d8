//! What this process takes of its machine: processor time, memory and open files. For people: no decision depends on
//! it.
//!
//! Memory and the time of the start are read from `/proc`, as Linux has it. If a system does not tell a value, it is
//! left out and never shown as 0.

use std::sync::OnceLock;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

use super::files::OpenFiles;

/// The memory of this process, one `Name: value kB` on each line.
const STATUS: &str = "/proc/self/status";
/// The state of this process in one line. The 22nd field is its start, in clock ticks since the machine's start.
const STAT: &str = "/proc/self/stat";
/// The state of the machine. `btime` is its start, in seconds since the Unix epoch.
const MACHINE: &str = "/proc/stat";
/// The place of the start among the fields after the name of the command, which is the second field.
const START_AFTER_NAME: usize = 19;

/// What this process takes, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// Processor time of all its threads, in user mode and in the kernel, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Its open files and how many there may be.
    pub files: Option<OpenFiles>,
    /// Memory that it has in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space that it has mapped, in bytes.
    pub virtual_bytes: Option<u64>,
    /// When it was started, in seconds since the Unix epoch, by the machine's wall clock at the time when this was
    /// first read.
    pub start_seconds: Option<f64>,
}

impl ProcessUsage {
    /// The present values.
    pub fn now() -> Self {
        let status = std::fs::read_to_string(STATUS).unwrap_or_default();
        Self {
            cpu_seconds: cpu_seconds(),
            files: OpenFiles::now(),
            resident_bytes: bytes(&status, "VmRSS:"),
            virtual_bytes: bytes(&status, "VmSize:"),
            start_seconds: start_seconds(),
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The value of a line of `/proc/self/status` that is in kB.
fn bytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?.trim();
    value.strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// Read once: the machine's own start, from which this is counted, moves when its clock is set.
fn start_seconds() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let ticks_a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|ticks| *ticks > 0)?;
        let machine = std::fs::read_to_string(MACHINE).ok()?;
        let process = std::fs::read_to_string(STAT).ok()?;
        Some(machine_start(&machine)? as f64 + ticks_to_start(&process)? as f64 / ticks_a_second as f64)
    })
}

fn machine_start(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The name of the command may hold spaces and brackets; it ends at the last bracket.
fn ticks_to_start(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(START_AFTER_NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Clock, RealClock};

    #[test]
    fn memory_and_start_are_read_from_what_linux_writes() {
        let status = "Name:\tassent\nVmSize:\t  123456 kB\nVmRSS:\t    7890 kB\nThreads:\t9\n";
        assert_eq!(bytes(status, "VmSize:"), Some(123_456 * 1024));
        assert_eq!(bytes(status, "VmRSS:"), Some(7_890 * 1024));
        assert_eq!(bytes(status, "Threads:"), None);
        assert_eq!(bytes("", "VmRSS:"), None);
        assert_eq!(machine_start("cpu  1 2 3\nbtime 1700000000\nprocesses 9\n"), Some(1_700_000_000));
        let stat = "17 (a) name) (x) S 1 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 4711 99 98 97";
        assert_eq!(ticks_to_start(stat), Some(4711));
        assert_eq!(ticks_to_start("17"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_with_its_memory_its_time_and_its_start() {
        let usage = ProcessUsage::now();
        assert!(usage.cpu_seconds.unwrap() > 0.0, "{usage:?}");
        assert!(usage.resident_bytes.unwrap() > 100_000, "{usage:?}");
        assert!(usage.virtual_bytes.unwrap() >= usage.resident_bytes.unwrap(), "{usage:?}");
        assert!(usage.files.unwrap().used.unwrap() > 2, "{usage:?}");
        let age = RealClock.now().0 as f64 / 1000.0 - usage.start_seconds.unwrap();
        // The kernel rounds the machine's start to seconds; tests do not run for a day.
        assert!(age > -2.0 && age < 86_400.0, "{age} s old: {usage:?}");
        assert_eq!(ProcessUsage::now().start_seconds, usage.start_seconds);
    }
}
