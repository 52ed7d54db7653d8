//! Signals that a long-running command hears, and what a service manager hears of it.

use std::future::pending;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from when this was made on. Where they cannot be heard, the system's defaults hold.
pub(crate) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from now on: what comes before somebody waits is kept.
    pub(crate) fn listen() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    /// Waits until this process is told to stop, or told again.
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

/// Says on each SIGHUP, whose default would end the process, that nothing is reloaded.
pub(crate) fn survive_hangups() {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: nothing is reloaded; a changed configuration holds from the next start");
        }
    });
}

/// Tells the service manager that this node serves (`Type=notify`). Does nothing without `$NOTIFY_SOCKET`.
pub(crate) fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that this node is on its way out.
pub(crate) fn notify_stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager at $NOTIFY_SOCKET cannot be told");
    }
}
