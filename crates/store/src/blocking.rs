//! How this crate runs blocking work from async code: through a closure that its caller provides, so that a
//! simulation can run the work in place.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::StoreError;

/// Runs a closure that may block and resolves when it has run.
pub type RunBlocking = Arc<dyn Fn(Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Runs `work` through `run` and answers what it returned. If the work is dropped or panics, that is an
/// error.
pub async fn blocking<T: Send + 'static>(
    run: &RunBlocking,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (done, result) = oneshot::channel();
    run(Box::new(move || {
        // The receiver is gone only if the caller was dropped, and then nothing waits for the result.
        let _ = done.send(work());
    }))
    .await;
    result.await.map_err(|_| StoreError::Unusable("blocking work did not finish".to_owned()))
}
