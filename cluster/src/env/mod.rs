//! Everything that a node takes from the outside world, behind traits: network, disk, clock, entropy and blocking
//! work.
//!
//! This folder owns the traits and their real implementations. It decides nothing: no protocol, no format, no policy.
//! The same node code runs on these and on simulated ones. Nothing else in `cluster` may touch a socket, a file, the
//! wall clock, boot time or the system's randomness. (Elapsed time is `tokio::time::Instant`, which a simulation
//! controls.)

mod blocking;
mod clock;
mod disk;
mod entropy;
mod files;
mod net;
mod process;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use assent_store::{Disk, RunBlocking};
use tokio::runtime::Handle;

pub use self::blocking::{Blocking, BlockingError, Inline, Pool, ThreadPool, blocking};
pub use self::clock::{Clock, Moment, RealClock};
pub use self::disk::FileDisk;
pub use self::entropy::{Entropy, RealEntropy};
pub use self::files::{FileBudget, FilesError, OpenFiles, PROBE_CONNECTIONS, reserve_open_files};
pub use self::net::{BoxStream, Duplex, Listener, Net, RealNet};
pub use self::process::ProcessUsage;

/// One node's whole outside world.
#[derive(Clone)]
pub struct Environment {
    /// Connections to peers and from clients.
    pub net: Arc<dyn Net>,
    /// The node's data directory.
    pub disk: Arc<dyn Disk>,
    /// The wall clock and boot time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The runner of work that blocks a thread.
    pub blocking: Arc<dyn Blocking>,
    /// The runner of what takes many milliseconds of a processor and can wait, such as verifying batches. Its threads may be
    /// slower than others.
    pub long: Arc<dyn Blocking>,
    /// The runtime of the connections of clients, if it is not that of the node itself. On one of their own, however much
    /// clients ask, it does not delay what the nodes tell each other.
    pub clients: Option<Handle>,
}

impl Environment {
    /// The real environment. Its disk is `data_dir`, which is made if it is missing and which only its owner can
    /// read.
    pub fn real(data_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            net: Arc::new(RealNet),
            disk: Arc::new(FileDisk::open(data_dir)?),
            clock: Arc::new(RealClock),
            entropy: Arc::new(RealEntropy),
            blocking: Arc::new(ThreadPool),
            long: Arc::new(ThreadPool),
            clients: None,
        })
    }

    /// The blocking runner in the form that `assent_store` takes.
    pub fn run_blocking(&self) -> RunBlocking {
        let blocking = self.blocking.clone();
        Arc::new(move |job| blocking.run(job))
    }
}
