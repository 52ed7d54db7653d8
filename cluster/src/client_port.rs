//! How a node knows the callers of its client port: TLS, and the table of callers.
//!
//! [`ClientPort`] is made before anything is bound, and its files are read again while the node runs. It decides who a
//! caller is. It never decides what a caller may do, and it opens no socket.

mod live;
mod tls;

use std::sync::Arc;

use assent_proof::Millis;

use crate::access::{Access, Caller, Shown};
use crate::config::Config;
use crate::env::Clock;

pub(crate) use tls::{Accepted, ClientTls};

/// How a node knows its callers. Clones share the files.
#[derive(Clone)]
pub(crate) struct ClientPort {
    access: Arc<Access>,
    tls: Option<Arc<ClientTls>>,
}

impl ClientPort {
    /// Reads the files that the configuration names. This blocks the thread.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub(crate) fn read(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let access = Access::read(&config.access()).map_err(|error| error.to_string())?;
        let tls = match &config.client_tls {
            Some(paths) => Some(Arc::new(ClientTls::read(paths.clone(), clock)?)),
            None => None,
        };
        Ok(Self { access: Arc::new(access), tls })
    }

    /// TLS of the port. `None` for plain HTTP.
    pub(crate) fn tls(&self) -> Option<&Arc<ClientTls>> {
        self.tls.as_ref()
    }

    /// The caller who has shown this. `sure_now` tells the time if the node is sure of its clock.
    pub(crate) fn identify(&self, shown: Shown<'_>, sure_now: impl FnOnce() -> Option<Millis>) -> Caller {
        // Only a JSON web token has times, and to be sure of the clock costs a look at the peers' readings.
        let has_times = shown.bearer.is_some_and(|bearer| bearer.contains('.'));
        self.access.identify(shown, if has_times { sure_now() } else { None })
    }

    /// Reads the files again. One that cannot be used leaves what was read before in force, and that is logged once.
    /// This blocks the thread.
    pub(crate) fn reload(&self) {
        self.access.reload();
        if let Some(tls) = &self.tls {
            tls.reload();
        }
    }

    /// Ends the connections that callers have made under a certificate that does not hold any more. This blocks the
    /// thread.
    pub(crate) fn end_withdrawn(&self) {
        if let Some(tls) = &self.tls {
            tls.end_withdrawn();
        }
    }
}
