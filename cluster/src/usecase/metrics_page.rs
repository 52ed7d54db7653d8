//! The page of metrics. Local: no barrier, and no decision rests on it. It is there while nothing else is.

use super::{Caller, Service};
use crate::metrics::{Format, Now};

impl Service {
    /// The page in one of its forms, as everything is right now.
    pub(crate) async fn metrics_page(&self, format: Format) -> String {
        let key_ends = self.key_ends().await;
        let parts = self.parts();
        let now = Now {
            status: &self.status(&Caller::Anonymous),
            config: &parts.config,
            healthy: self.live().is_ok(),
            late: parts.tasks.late().is_some(),
            panics: parts.tasks.panics(),
            waiting: self.waiting(),
            key_ends: &key_ends,
        };
        parts.metrics.page(&now, format)
    }
}
