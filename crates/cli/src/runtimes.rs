//! The threads of a node beside those of its main runtime: for the connections of clients, and for long work.
//!
//! What the nodes tell each other runs on the main runtime. So however much clients ask, votes, log entries and read barriers
//! do not wait behind it.

use std::sync::Arc;

use assent_cluster::env::{Blocking, Environment, Pool};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::exit::CliError;

/// How much later than others the threads of long work come, where the machine is short of processors (`nice`).
#[cfg(target_os = "linux")]
const LONG_NICE: i32 = 5;
/// So many pieces of long work can run beside those that verify.
const LONG_BESIDE: usize = 2;

/// The runtimes, which end when this is dropped.
pub(crate) struct Runtimes {
    clients: Background,
    long: Background,
}

/// A runtime that can be dropped anywhere: what still runs on it is not waited for.
struct Background(Option<Runtime>);

impl Runtimes {
    /// Starts them, for so many pieces of verification at a time.
    ///
    /// # Errors
    /// The machine gives no more threads.
    pub(crate) fn start(verifications: usize) -> Result<Self, CliError> {
        let clients = Builder::new_multi_thread().enable_all().thread_name("clients").build()?;
        let mut long = Builder::new_current_thread();
        long.thread_name("long-work").max_blocking_threads(verifications.saturating_add(LONG_BESIDE));
        // Only on Linux does it concern one thread and not the whole process.
        #[cfg(target_os = "linux")]
        long.on_thread_start(|| {
            // A thread that keeps its priority works as well.
            let _ = rustix::process::nice(LONG_NICE);
        });
        Ok(Self { clients: Background(Some(clients)), long: Background(Some(long.build()?)) })
    }

    /// The environment, with its work on these runtimes, and all other work on the runtime of the one that calls this.
    pub(crate) fn serve(&self, env: Environment) -> Environment {
        let blocking: Arc<dyn Blocking> = Arc::new(Pool::on(Handle::current()));
        let long = self.long.handle().map(|on| Arc::new(Pool::on(on)) as Arc<dyn Blocking>);
        let long = long.unwrap_or_else(|| blocking.clone());
        Environment { clients: self.clients.handle(), blocking, long, ..env }
    }
}

impl Background {
    fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use assent_cluster::env::blocking;

    use super::*;

    /// It fails if long work has the priority of all other work, or if a runtime cannot be dropped within another one.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn long_work_has_a_lower_priority_and_the_runtimes_can_be_dropped_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::start(4).unwrap();
        let env = runtimes.serve(Environment::real(folder.path()).unwrap());
        let nice = || rustix::process::nice(0).unwrap();
        let (long, other) =
            (blocking(&*env.long, nice).await.unwrap(), blocking(&*env.blocking, nice).await.unwrap());
        assert_eq!(long, (other + LONG_NICE).min(19));
        drop(runtimes);
        assert_eq!(blocking(&*env.blocking, || 7).await, Ok(7));
    }
}
