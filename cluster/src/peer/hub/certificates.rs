//! Keeps the certificates up to date: reads the files again, dials anew with a new certificate, and ends connections
//! whose peer would not be accepted any more.

use std::sync::Arc;

use tokio::time::sleep;

use crate::env::{Blocking, blocking};
use crate::locked::lock;
use crate::peer::connection::Connection;
use crate::peer::tls::{PeerTls, Reread};
use crate::tasks::Why;

use super::Inner;

impl Inner {
    /// Looks again and again until the hub stops.
    pub(super) async fn keep_certificates(self: Arc<Self>, tls: PeerTls, pool: Arc<dyn Blocking>) -> Why {
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return "the node stops",
                () = sleep(self.limits.certificates_every) => {}
            }
            let reading = tls.clone();
            let read = match blocking(&*pool, move || reading.reread()).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(%error, "the files for TLS between nodes were not read again");
                    continue;
                }
            };
            if read == Reread::Changed {
                tracing::info!("the files for TLS between nodes were read again, and have changed");
            }
            self.check_certificates(&tls);
        }
    }

    /// Checks every connection against what the files say now.
    fn check_certificates(&self, tls: &PeerTls) {
        let peers: Vec<_> = lock(&self.peers).values().cloned().collect();
        for peer in peers {
            let (dialed, accepted) = {
                let slots = lock(&peer.slots);
                (slots.dialed.clone(), slots.accepted.clone())
            };
            for connection in [&dialed, &accepted].into_iter().flatten() {
                close_if_withdrawn(tls, connection);
            }
            let proven = dialed.as_ref().and_then(|connection| connection.proven());
            if proven.is_some_and(|proven| tls.has_renewed_since(proven)) {
                peer.redial.notify_one();
            }
        }
    }
}

fn close_if_withdrawn(tls: &PeerTls, connection: &Connection) {
    let Some(proven) = connection.proven() else { return };
    if let Err(why) = tls.check(proven) {
        connection.close(&format!("the peer's certificate counts no longer: {why}"));
    }
}
