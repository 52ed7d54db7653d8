//! Writes the nodes' logs, with simulated times, into a file. The same seed of the same build writes the same file.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The default filter. openraft's own events are many, and name real instants, which differ in every run;
/// `ASSENT_TRACE` replaces the filter.
const USUAL: &str = "warn,turmoil=info,assent_cluster=debug,assent_store=debug,openraft=off";

/// Begins to log into a file, for the whole process.
pub(super) fn begin(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    let filter = std::env::var("ASSENT_TRACE").unwrap_or_else(|_| USUAL.to_owned());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_timer(Simulated)
        .with_ansi(false)
        .with_writer(Mutex::new(file));
    subscriber.try_init().map_err(io::Error::other)
}

/// Milliseconds since the run began.
struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:>8}", super::clock::elapsed_ms())
    }
}
