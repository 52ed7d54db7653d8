//! The routes of the health listener, for probes without credentials: `/livez` and `/readyz`, each answered with one word,
//! and `/metrics` if the configuration says so. The reasons why a node is not ready are on the client port only.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::audited::NOWHERE;
use super::read;
use super::reply::{no_path, other_method, reply};
use super::unrouted::{Charged, refusing};
use crate::access::RefusedCaller;
use crate::usecase::Service;

/// How long the answer of one check of the readiness holds for further probes. So strangers cannot make a node do more
/// than ten such checks a second.
const READY_HOLDS: Duration = Duration::from_millis(100);

/// What the routes work with.
struct Health {
    service: Service,
    /// When the node was last checked, and whether it was ready. Probes that come during a check wait for its answer.
    checked: Mutex<Option<(Instant, bool)>>,
}

impl Health {
    async fn is_ready(&self) -> bool {
        let mut checked = self.checked.lock().await;
        if let Some((at, is_ready)) = *checked
            && at.elapsed() < READY_HOLDS
        {
            return is_ready;
        }
        let is_ready = self.service.ready().await.is_ok();
        *checked = Some((Instant::now(), is_ready));
        is_ready
    }
}

/// The router.
pub(super) fn router(service: Service) -> Router {
    let shows_metrics = service.config().health_metrics;
    let other_method = |path: &'static str| {
        refusing(service.clone(), Charged::No, (RefusedCaller::Method, path), other_method)
    };
    let mut router = Router::new()
        .route("/livez", get(livez).fallback(other_method("/livez")))
        .route("/readyz", get(readyz).fallback(other_method("/readyz")));
    if shows_metrics {
        router = router.route("/metrics", get(metrics).fallback(other_method("/metrics")));
    }
    router
        .fallback(refusing(service.clone(), Charged::No, (RefusedCaller::Path, NOWHERE), no_path))
        .with_state(Arc::new(Health { service, checked: Mutex::const_new(None) }))
}

fn word(is_well: bool) -> Response {
    let (status, word) = if is_well { (200, "ok\n") } else { (503, "unready\n") };
    reply(status, "text/plain; charset=utf-8", word)
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    word(health.service.alive().is_ok())
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    word(health.is_ready().await)
}

async fn metrics(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    read::metrics(State(health.service.clone()), headers).await
}
