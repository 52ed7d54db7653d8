//! The signals that a long-running command handles, and its reports to a service manager.

use std::future::pending;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Handles SIGTERM and SIGINT from the moment at which it is made. If they cannot be handled, the system's defaults
/// hold.
pub(crate) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from now on. A signal that comes before [`told_to_stop`](Self::told_to_stop) is called is kept.
    pub(crate) fn listen() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    /// Waits until this process is told to stop, or is told to stop again.
    pub(crate) async fn told_to_stop(&mut self) {
        tokio::select! {
            () = heard(&mut self.terminate) => {}
            () = heard(&mut self.interrupt) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    let told = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !told {
        pending::<()>().await;
    }
}

/// Logs on each SIGHUP that nothing is reloaded. By default, SIGHUP would end the process.
pub(crate) fn survive_hangups() {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: nothing is reloaded; a changed configuration holds from the next start");
        }
    });
}

/// Tells the service manager that this node serves (`Type=notify`). Without `$NOTIFY_SOCKET` it does nothing.
pub(crate) fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that this node is stopping.
pub(crate) fn notify_stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "could not notify the service manager at $NOTIFY_SOCKET");
    }
}
