//! How a run goes: by how many clients, where, and for how long.

use std::time::Duration;

use crate::client_tls::ClientTls;

/// Most clients of one run.
pub const CLIENTS_MAX: usize = 4096;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After that much time, the warm-up excluded.
    After(Duration),
    /// After that many answers, the warm-up excluded.
    Operations(u64),
}

/// One run.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The nodes' client addresses, such as `https://node-1:7400` or `http://127.0.0.1:7400`.
    pub endpoints: Vec<String>,
    /// What the clients show to the nodes, and how they know them. None: plain HTTP. With it, plain HTTP goes only to a
    /// loopback address. The files and the token are read again when a client connects, if they have changed.
    pub tls: Option<ClientTls>,
    /// How many clients, 1 to [`CLIENTS_MAX`].
    pub clients: usize,
    /// Answers during this time are not counted.
    pub warm_up: Duration,
    /// When it is over.
    pub stop: Stop,
    /// How long an attempt may take; then its connection is dropped.
    pub attempt_timeout: Duration,
    /// How often a request whose outcome is open is sent again, 20 ms apart.
    pub resend_max: u32,
    /// What the progress on stderr calls this run; none: no progress.
    pub label: Option<String>,
}

impl LoadConfig {
    /// Ten seconds after one of warm-up, attempts of at most 5 s, 100 resends, no progress.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>, clients: usize) -> Self {
        LoadConfig {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            clients,
            warm_up: Duration::from_secs(1),
            stop: Stop::After(Duration::from_secs(10)),
            attempt_timeout: Duration::from_secs(5),
            resend_max: 100,
            label: None,
        }
    }
}
