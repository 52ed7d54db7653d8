//! Panics of blocking work, counted with those of calls.
//!
//! Whoever asked for the work is told that it has no result, and decides what that means; here it is only counted.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::{OfNode, Tasks};
use crate::env::Blocking;

/// Where blocking work goes, and whose it is.
struct Counted {
    inner: Arc<dyn Blocking>,
    node: Arc<OfNode>,
}

impl Blocking for Counted {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let node = self.node.clone();
        self.inner.run(Box::new(move || {
            // What the job held is not used again: it goes on panicking.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                node.panics.fetch_add(1, Ordering::Relaxed);
                resume_unwind(panic)
            }
        }))
    }
}

impl Tasks {
    /// The same blocking work, as this node's: its panics are counted.
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
