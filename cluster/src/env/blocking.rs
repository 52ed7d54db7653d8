//! The runner of work that blocks a thread: fsync, large reads, batches of signatures.
//!
//! This module owns no threads. A simulation runs the work inline, so that its order is the order of the program.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs jobs that block.
pub trait Blocking: Send + Sync + 'static {
    /// Starts `job` now, and completes once it has run. A job that panics counts as run.
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// The job ended without a result: it panicked, or the runtime is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("blocking work ended without a result")]
pub struct BlockingError;

/// Runs `work` on `runner` and returns what it returned.
pub async fn blocking<T, F>(runner: &dyn Blocking, work: F) -> Result<T, BlockingError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (give, take) = oneshot::channel();
    runner
        .run(Box::new(move || {
            // The caller does not wait any more, so the result is dropped.
            let _ = give.send(work());
        }))
        .await;
    take.await.map_err(|_| BlockingError)
}

/// tokio's pool of blocking threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadPool;

impl Blocking for ThreadPool {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        ran(tokio::task::spawn_blocking(job))
    }
}

/// The pool of blocking threads of another runtime than the caller's.
#[derive(Debug, Clone)]
pub struct Pool(Handle);

impl Pool {
    /// The pool of this runtime. Once the runtime has ended, jobs end without a result.
    pub fn on(runtime: Handle) -> Self {
        Self(runtime)
    }
}

impl Blocking for Pool {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        ran(self.0.spawn_blocking(job))
    }
}

fn ran(running: JoinHandle<()>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if let Err(error) = running.await {
            tracing::error!(%error, "blocking work failed");
        }
    })
}

/// Runs the job at once, on the caller's thread. For simulations and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        job();
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_runners_return_what_the_work_returned() {
        assert_eq!(blocking(&ThreadPool, || 7).await, Ok(7));
        assert_eq!(blocking(&Inline, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_not_a_hang() {
        let got: Result<(), BlockingError> = blocking(&ThreadPool, || panic!("on purpose")).await;
        assert_eq!(got, Err(BlockingError));
    }
}
