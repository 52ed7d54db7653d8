//! What the figures were measured on, and what the processes used.

use assent_proof::Millis;
use serde::Serialize;
use std::fs;

/// Clock ticks a second in `/proc/<pid>/stat`; 100 on every Linux that we have seen.
const TICKS_PER_SECOND: f64 = 100.0;

/// The machine. Figures mean nothing without it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// Processors that this program may use; the nodes share them.
    pub(crate) cores: usize,
    /// What the processor calls itself.
    pub(crate) cpu: String,
    /// The kernel.
    pub(crate) kernel: String,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
}

impl Machine {
    /// The machine that this program runs on.
    pub(crate) fn here() -> Machine {
        let line = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let found = text.lines().find(|line| line.starts_with(name));
            found.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = line("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib: u64 = memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            kernel: kernel.trim().to_owned(),
            memory_mib: kib / 1024,
        }
    }
}

/// Processor time that some processes have used so far, in seconds. A process that has ended counts as 0.
pub(crate) fn cpu_seconds(pids: &[i32]) -> f64 {
    pids.iter().filter_map(|pid| ticks(*pid)).sum::<f64>() / TICKS_PER_SECOND
}

/// User and system time of one process.
fn ticks(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold spaces and parentheses, so the fields are counted from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some(user + system)
}

/// The memory of a process, in KiB. A process that has ended has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What it has in memory now.
    pub(crate) resident_kib: u64,
    /// The most that it had since [`forget_peak`], or since its start if the system forgets no peak.
    pub(crate) peak_kib: u64,
}

/// The memory of a process.
pub(crate) fn memory(pid: i32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Memory { resident_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") }
}

/// Makes the present memory of these processes their peak, if the system can do that.
pub(crate) fn forget_peak(pids: &[i32]) {
    for pid in pids {
        // By proc(5): `5` resets the peak resident set size to the present size.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// The present time.
#[expect(clippy::disallowed_methods, reason = "a program against a real cluster lives in real time")]
pub(crate) fn wall_clock() -> Millis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// The process id of this program.
pub(crate) fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read_and_a_process_that_is_not_there_has_none() {
        let own = memory(own_pid());
        assert!(own.resident_kib > 0 && own.peak_kib >= own.resident_kib, "{own:?}");
        assert_eq!(memory(-1), Memory::default());
    }

    #[test]
    fn the_machine_and_processor_time_can_be_read() {
        assert!(Machine::here().cores >= 1);
        let before = cpu_seconds(&[own_pid()]);
        let mut x = 0u64;
        while cpu_seconds(&[own_pid()]) < before + 0.02 {
            x = std::hint::black_box(x.wrapping_mul(3).wrapping_add(1));
        }
        assert!(cpu_seconds(&[-1]) == 0.0);
    }
}
