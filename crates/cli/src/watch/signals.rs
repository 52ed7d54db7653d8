//! The signals that end `watch`, its guard and the command, and a request for a permit.

use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// The signals that end this program, and the command with it.
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Option<Stream>,
}

impl Signals {
    /// From now on they are caught.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: Some(signal(SignalKind::hangup())?),
        })
    }

    /// From now on they are caught, except SIGHUP, which `nohup` has a command ignore.
    pub(crate) fn catch_except_hang_up() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: None,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::SIGINT,
            Some(()) = self.terminate.recv() => Signal::SIGTERM,
            Some(()) = received(&mut self.hang_up) => Signal::SIGHUP,
            else => std::future::pending().await,
        }
    }
}

async fn received(stream: &mut Option<Stream>) -> Option<()> {
    match stream {
        Some(stream) => stream.recv().await,
        None => None,
    }
}
