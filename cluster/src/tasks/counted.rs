//! Counts panics of blocking work together with those of calls.
//!
//! The caller that asked for the work is told that there is no result, and decides what to do. This module only
//! counts.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::{OfNode, Tasks};
use crate::env::Blocking;

/// The runner of blocking work, and the node that it belongs to.
struct Counted {
    inner: Arc<dyn Blocking>,
    node: Arc<OfNode>,
}

impl Blocking for Counted {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let node = self.node.clone();
        self.inner.run(Box::new(move || {
            // What the job held is not used again: the panic goes on.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                node.panics.fetch_add(1, Ordering::Relaxed);
                resume_unwind(panic)
            }
        }))
    }
}

impl Tasks {
    /// Wraps a runner of blocking work, so that this node counts the panics in it.
    pub(crate) fn counted(&self, inner: Arc<dyn Blocking>) -> Arc<dyn Blocking> {
        Arc::new(Counted { inner, node: self.node.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{BlockingError, ThreadPool, blocking};

    #[tokio::test]
    async fn blocking_work_that_panics_has_no_result_and_is_counted_and_ends_nothing() {
        let tasks = Tasks::new();
        let runner = tasks.part().counted(Arc::new(ThreadPool));
        assert_eq!(blocking(&*runner, || 7).await, Ok(7));
        assert_eq!(tasks.panics(), 0);
        let got: Result<(), BlockingError> = blocking(&*runner, || panic!("on purpose")).await;
        assert_eq!(got, Err(BlockingError));
        assert_eq!((tasks.panics(), tasks.cause()), (1, None));
    }
}
