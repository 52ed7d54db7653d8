//! The page of metrics. Local: no barrier, and no decision depends on it. It is served even if nothing else is.

use super::urgency::Urgency;
use super::{Caller, Service};
use crate::metrics::{Format, Now, Waiting};

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
        };
        parts.metrics.page(&now, format)
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
