//! Blocking work that a test holds back, and releases piece by piece.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_cluster::config::Config;
use assent_cluster::env::{Blocking, ThreadPool};
use assent_cluster::node::Node;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task;

use super::{configs, environment, ready};

type Job = Box<dyn FnOnce() + Send>;

/// A job, the task that waits for it, and whom to tell that it has run.
type HeldJob = (Job, Option<task::Id>, oneshot::Sender<()>);

/// tokio's pool of blocking threads, until it is told to hold what it is given.
#[derive(Default)]
pub struct Held {
    holds: AtomicBool,
    /// In the order in which they came.
    jobs: Mutex<VecDeque<HeldJob>>,
}

impl Held {
    /// From now on nothing runs by itself.
    pub fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// How many jobs are held.
    pub fn count(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    /// Runs the job that came first; whether there was one.
    pub fn step(&self) -> bool {
        let next = self.jobs.lock().unwrap().pop_front();
        let Some((job, _, done)) = next else { return false };
        job();
        let _ = done.send(());
        true
    }

    /// How many jobs are held for which this task waits.
    pub fn count_of(&self, task: task::Id) -> usize {
        self.jobs.lock().unwrap().iter().filter(|(_, waiting, _)| *waiting == Some(task)).count()
    }

    /// Runs the first job for which another task than this waits; whether there was one.
    pub fn step_others(&self, than: task::Id) -> bool {
        let mut jobs = self.jobs.lock().unwrap();
        let place = jobs.iter().position(|(_, waiting, _)| *waiting != Some(than));
        let next = place.and_then(|place| jobs.remove(place));
        drop(jobs);
        let Some((job, _, done)) = next else { return false };
        job();
        let _ = done.send(());
        true
    }

    /// Runs job after job until `done` says so.
    pub async fn step_until(&self, what: &str, done: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if done() {
                return;
            }
            if !self.step() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        panic!("never: {what}");
    }

    /// What was held runs, and what comes from now on.
    pub fn let_go(&self) {
        self.holds.store(false, Ordering::SeqCst);
        for (job, _, done) in std::mem::take(&mut *self.jobs.lock().unwrap()) {
            // It runs whether or not anybody waits for it.
            drop(ThreadPool.run(Box::new(move || {
                job();
                let _ = done.send(());
            })));
        }
    }
}

impl Blocking for Held {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        let mut jobs = self.jobs.lock().unwrap();
        // Looked at under the lock, so that nothing is left behind by `let_go`.
        if !self.holds.load(Ordering::SeqCst) {
            return ThreadPool.run(job);
        }
        let (done, has_run) = oneshot::channel();
        jobs.push_back((job, task::try_id(), done));
        Box::pin(async move {
            let _ = has_run.await;
        })
    }
}

/// Three nodes, once each is ready, and what each of them hands to its blocking threads.
pub async fn start_held(folder: &Path, change: impl Fn(&mut Config)) -> (Vec<Node>, Vec<Arc<Held>>) {
    let (mut nodes, mut all) = (Vec::new(), Vec::new());
    for mut config in configs(folder) {
        config.limits.registry_flush_ms = 60_000;
        config.limits.disk_reserve_mib = 0;
        change(&mut config);
        let mut env = environment(&config).await;
        let held = Arc::new(Held::default());
        env.blocking = held.clone();
        env.long = held.clone();
        all.push(held);
        nodes.push(Node::start(config, env).await.unwrap());
    }
    for node in &nodes {
        ready(node).await;
    }
    (nodes, all)
}
