//! The page of metrics. Local: no barrier, and no decision depends on it. It is served even if nothing else is.

use super::urgency::Urgency;
use super::{Caller, Service};
use crate::metrics::{Format, Now, Waiting};
use crate::tls_files::TlsFile;

impl Service {
    /// The page in one of its forms, with the present values.
    pub(crate) async fn metrics_page(&self, format: Format) -> String {
        let parts = self.parts();
        let key_ends = self.inner.key_ends.known(parts).await;
        let now = Now {
            status: &self.status(Caller::node()),
            config: &parts.config,
            healthy: self.live().is_ok(),
            late: parts.tasks.late().is_some(),
            panics: parts.tasks.panics(),
            waiting: self.waiting(),
            key_ends: &key_ends,
            domain_year: self.inner.growth.domains.shown(),
            refused_peers: parts.hub.refusals(),
            unusable_files: self.unusable_files(),
        };
        parts.metrics.page(&now, format)
    }

    /// The files of TLS that cannot be used as they are.
    fn unusable_files(&self) -> Vec<(&'static str, TlsFile)> {
        let parts = self.parts();
        let peers = parts.hub.tls().map(|tls| ("peers", tls.problems()));
        let clients = parts.client_tls.as_ref().map(|tls| ("clients", tls.problems()));
        let tables = [peers, clients].into_iter().flatten();
        tables
            .flat_map(|(of, problems)| {
                let bad = TlsFile::ALL.into_iter().filter(move |file| problems.has(*file));
                bad.map(move |file| (of, file))
            })
            .collect()
    }

    /// How much is waiting.
    fn waiting(&self) -> Waiting {
        Waiting {
            single: self.inner.authorize_room.taken(),
            long: self.inner.lane.waiting(),
            submit: [(&self.inner.places, "clients"), (&self.inner.peers_places, "peers")]
                .into_iter()
                .flat_map(|(places, of)| Urgency::ALL.map(|urgency| places.shown(urgency, of)))
                .collect(),
        }
    }
}
