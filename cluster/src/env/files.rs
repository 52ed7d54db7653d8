//! Open files: how many this process may have, how many it has, and how many are left for clients.
//!
//! A connection is an open file too. Clients must not take the files that the node needs to go on. So a part is
//! reserved for the peers, the log, the registry and snapshots, and the number of client connections is limited to
//! the rest.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Reserved for peers: two connections with each of up to 32 peers (`PeerLimits::peers_max`), and 64 connections that
/// shake hands.
const PEERS: u64 = 128;
/// The number of client connections beyond the limit, on which supervisors can ask for the node's state
/// (`cluster/src/http/server.rs`).
pub const PROBE_CONNECTIONS: usize = 16;
/// Reserved for these connections.
const PROBES: u64 = PROBE_CONNECTIONS as u64;
/// Reserved for the log, its mark, two registries while a snapshot is installed, the listeners, the runtime, and
/// files that are open for a moment: directories that are synced, names that are resolved, the genesis file.
const OWN: u64 = 48;
/// With fewer client connections than this, a node does not start, unless its configuration asks for fewer.
const CLIENTS_MIN: u64 = 16;
/// Assumed for the files that this process has open at its start, if the system does not tell.
const AT_START: u64 = 16;
/// Where Linux lists this process's open files.
const LISTED_IN: &str = "/proc/self/fd";

/// The open files of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// How many there may be: the soft limit, `RLIMIT_NOFILE`.
    pub limit: u64,
    /// How many there are, if the system tells.
    pub used: Option<u64>,
}

impl OpenFiles {
    /// The present numbers. None if the system does not tell the limit.
    pub fn now() -> Option<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(Self { limit, used: used() })
    }
}

/// How many files this process has open. The listing is one of them, and is not counted.
fn used() -> Option<u64> {
    let listed = std::fs::read_dir(LISTED_IN).ok()?.count();
    u64::try_from(listed).ok()?.checked_sub(1)
}

/// What the limit of open files leaves to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileBudget {
    /// The number of client connections: as many as wanted, or as many as fit.
    pub connections: usize,
    /// The soft limit that is in force now.
    pub limit: u64,
    /// The limit that all wanted client connections would need.
    pub needed: u64,
}

/// Why a node cannot have the open files that it needs.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system does not tell the limit.
    #[error("the limit of open files (RLIMIT_NOFILE) cannot be read: {0}")]
    Unreadable(io::Error),
    /// Not even the smallest number of clients fits.
    #[error(
        "this process may have {limit} files open, and needs at least {least}: {taken} that it has open, {kept} for peers, log, \
         registry, snapshots, probes and operators, and {clients} for clients"
    )]
    TooFew {
        /// What the hard limit allows.
        limit: u64,
        /// The least that is needed.
        least: u64,
        /// What was open at the start.
        taken: u64,
        /// What is reserved.
        kept: u64,
        /// The smallest number of clients with which a node starts.
        clients: u64,
    },
}

/// Raises this process's soft limit of open files to what `connections` client connections and the node itself need,
/// as far as the hard limit allows. `others` is the number of connections that its other listeners beside the peer port
/// may have. Returns how many client connections fit. Call it once, before the node opens anything.
///
/// # Errors
/// If not even the smallest number of clients fits beside what the node needs for itself.
pub fn reserve_open_files(connections: usize, others: usize) -> Result<FileBudget, FilesError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| FilesError::Unreadable(io::Error::from(error)))?;
    let taken = used().unwrap_or(AT_START);
    let (wanted, kept) = (number(connections), kept(number(others)));
    let needed = needed(wanted, taken, kept);
    let mut limit = soft;
    // A system that refuses to raise the limit leaves it as it is.
    if soft < needed && setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).is_ok() {
        limit = needed.min(hard);
    }
    let fit = fit(wanted, taken, kept, limit)?;
    Ok(FileBudget { connections: usize::try_from(fit).unwrap_or(connections), limit, needed })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn needed(clients: u64, taken: u64, kept: u64) -> u64 {
    clients.saturating_add(taken).saturating_add(kept)
}

/// Reserved for everything except the clients within the limit.
fn kept(others: u64) -> u64 {
    PEERS.saturating_add(OWN).saturating_add(PROBES).saturating_add(others)
}

/// How many of the wanted client connections fit under the limit.
fn fit(wanted: u64, taken: u64, kept: u64, limit: u64) -> Result<u64, FilesError> {
    let clients = wanted.min(CLIENTS_MIN);
    let least = needed(clients, taken, kept);
    if limit < least {
        return Err(FilesError::TooFew { limit, least, taken, kept, clients });
    }
    Ok(wanted.min(limit.saturating_sub(needed(0, taken, kept))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_wanted_fit_under_a_high_limit_and_under_a_lower_one_what_the_node_leaves() {
        assert_eq!((kept(0), kept(80)), (192, 272));
        assert_eq!(needed(4096, 10, 192), 4298);
        assert_eq!(fit(4096, 10, 192, 4298).unwrap(), 4096);
        assert_eq!(fit(4096, 10, 192, u64::MAX).unwrap(), 4096);
        assert_eq!(fit(4096, 10, 192, 256).unwrap(), 54);
        assert_eq!(fit(4096, 10, 192, 218).unwrap(), 16);
        // An admin listener and a health listener take their part from the clients.
        assert_eq!(fit(4096, 10, 272, 298).unwrap(), 16);
    }

    #[test]
    fn where_not_even_a_few_fit_the_error_has_the_numbers() {
        let error = fit(4096, 10, 192, 217).unwrap_err().to_string();
        assert_eq!(
            error,
            "this process may have 217 files open, and needs at least 218: 10 that it has open, 192 for peers, log, registry, \
             snapshots, probes and operators, and 16 for clients"
        );
        // A node that is to have few clients needs room for no more.
        assert_eq!(fit(4, 10, 192, 206).unwrap(), 4);
        assert!(fit(4, 10, 192, 205).is_err());
    }

    #[test]
    fn what_this_process_has_open_is_counted() {
        let before = OpenFiles::now().unwrap();
        let open: Vec<_> = (0..64).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let now = OpenFiles::now().unwrap();
        // Other tests of this process open and close files too.
        assert!(now.used >= before.used.map(|used| used + 32), "{before:?}, then {now:?}");
        assert!(now.limit >= now.used.unwrap());
        drop(open);
    }
}
