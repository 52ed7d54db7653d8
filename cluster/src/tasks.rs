//! The tasks of a node, and what happens when one of them ends.
//!
//! Each task is spawned here, as one of three kinds. A *lasting* task runs as long as the node: if it returns or
//! panics, the node ends with that as the cause. A *finite* task ends once its work is done: only a panic ends the
//! node. A *passing* task serves one connection or one call: if it panics, the panic is logged and counted. openraft
//! spawns its own tasks through `owned`, so that a panic in one of them ends the node too.
//!
//! This module owns the cause for which a node ends, and the heartbeats of the tasks that tick. It never starts a
//! task again. What a task held when it panicked is in doubt, and a new process begins with what is on disk.

mod counted;

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::locked::lock;

tokio::task_local! {
    /// The node whose openraft runs here.
    static OWNER: Option<Tasks>;
}

/// Why a lasting task returned.
pub type Why = &'static str;

/// The tasks of one part of a node. Clones share them.
#[derive(Clone, Default)]
pub struct Tasks {
    node: Arc<OfNode>,
    tracker: TaskTracker,
    /// Where they run, if not on the runtime of the one that spawns them.
    runtime: Option<Handle>,
}

/// What all parts of a node share.
#[derive(Default)]
struct OfNode {
    /// The cause for which the node ends, once it does.
    ends: Arc<OnceLock<String>>,
    /// The lasting task that returned first. It may have returned because something else had ended, which is then the
    /// better cause.
    returned: OnceLock<String>,
    stopping: AtomicBool,
    panics: AtomicU64,
    heartbeats: Mutex<Vec<TaskHeartbeat>>,
}

/// The error of work on a call that panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// The heartbeat of a task that ticks.
#[derive(Clone)]
pub struct TaskHeartbeat {
    task: &'static str,
    within: Duration,
    last: Arc<Mutex<Instant>>,
}

impl TaskHeartbeat {
    /// Notes that the task has started its next round.
    pub fn beat(&self) {
        *lock(&self.last) = Instant::now();
    }

    fn late(&self) -> Option<String> {
        let silent = lock(&self.last).elapsed();
        (silent > self.within).then(|| {
            let (task, silent, within) = (self.task, silent.as_secs(), self.within.as_secs());
            format!(
                "the task `{task}` has sent no heartbeat for {silent} s, and must send one within {within} s"
            )
        })
    }
}

impl Tasks {
    /// The tasks of a new node. There are none yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another part of the same node. The node waits for its tasks separately.
    pub fn part(&self) -> Self {
        Self { node: self.node.clone(), tracker: TaskTracker::new(), runtime: self.runtime.clone() }
    }

    /// The same part of the node, with its tasks on this runtime, or on that of the one that spawns them.
    pub(crate) fn on(&self, runtime: Option<Handle>) -> Self {
        Self { runtime, ..self.clone() }
    }

    /// Spawns a task that runs as long as the node. The task returns the reason why it ended. Unless the node is
    /// stopping, that ends the node.
    pub fn lasting<F>(&self, task: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future<Output = Why> + Send + 'static,
    {
        let node = self.node.clone();
        self.spawn(async move {
            let mut cut = DropReport { node: node.clone(), task, armed: true };
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            cut.armed = false;
            match ended {
                Ok(why) => node.returned(task, why),
                Err(panic) => {
                    node.panicked(task, &*panic);
                    resume_unwind(panic)
                }
            }
        })
    }

    /// Spawns a lasting task that ticks. If it does not beat its heartbeat within this time, again and again, it
    /// counts as stopped.
    pub fn ticking<F>(
        &self,
        task: &'static str,
        within: Duration,
        work: impl FnOnce(TaskHeartbeat) -> F,
    ) -> JoinHandle<()>
    where
        F: Future<Output = Why> + Send + 'static,
    {
        let heartbeat = TaskHeartbeat { task, within, last: Arc::new(Mutex::new(Instant::now())) };
        lock(&self.node.heartbeats).push(heartbeat.clone());
        self.lasting(task, work(heartbeat))
    }

    /// Spawns a task that ends once its work is done. If it panics, the node ends.
    pub fn finite<F>(&self, task: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let node = self.node.clone();
        self.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                node.panicked(task, &*panic);
                resume_unwind(panic)
            }
        })
    }

    /// Spawns a task for one connection or one call. If it panics, the panic is logged and counted.
    pub fn passing<F>(&self, task: &'static str, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let node = self.node.clone();
        self.spawn(async move {
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(done) => done,
                Err(panic) => {
                    node.counted(task, &*panic);
                    resume_unwind(panic)
                }
            }
        })
    }

    /// Does work on one call, within the task of its connection. If the work panics, the panic is logged and counted
    /// like that of a passing task, and the call can still be answered.
    pub(crate) async fn caught<F: Future>(&self, call: &'static str, work: F) -> Result<F::Output, Panicked> {
        AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
            self.node.counted(call, &*panic);
            Panicked
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that spawns: each caller has chosen the kind of its task"
    )]
    fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => self.tracker.spawn_on(work, runtime),
            None => self.tracker.spawn(work),
        }
    }

    /// Runs `work`, in which openraft starts: a panic in one of openraft's tasks ends this node.
    pub(crate) async fn owning<F: Future>(&self, work: F) -> F::Output {
        OWNER.scope(Some(self.clone()), work).await
    }

    /// The cause for which the node ends. The first one is kept.
    pub(crate) fn ends(&self) -> Arc<OnceLock<String>> {
        self.node.ends.clone()
    }

    /// The cause for which the node ends, if it does.
    pub fn cause(&self) -> Option<&str> {
        self.node.ends.get().map(String::as_str).or_else(|| self.returned())
    }

    /// The lasting task that has returned, if one has. It is the cause for which the node ends, unless there is a
    /// better one.
    pub(crate) fn returned(&self) -> Option<&str> {
        self.node.returned.get().map(String::as_str)
    }

    /// Describes a ticking task whose heartbeat is late, if there is one.
    pub fn late(&self) -> Option<String> {
        if self.node.is_stopping() {
            return None;
        }
        lock(&self.node.heartbeats).iter().find_map(TaskHeartbeat::late)
    }

    /// How many tasks of one connection or one call, and pieces of blocking work, have panicked.
    pub fn panics(&self) -> u64 {
        self.node.panics.load(Ordering::Relaxed)
    }

    /// Notes that the node is stopping. From now on a lasting task may return.
    pub(crate) fn begin_stop(&self) {
        self.node.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until all tasks of this part have ended.
    pub(crate) async fn all_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl OfNode {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn returned(&self, task: &str, why: Why) {
        if !self.is_stopping() {
            let cause = format!("the task `{task}`, which runs as long as the node, has ended: {why}");
            tracing::error!(cause, "this node cannot go on");
            // Only the first cause is kept.
            let _ = self.returned.set(cause);
        }
    }

    fn counted(&self, task: &str, panic: &(dyn Any + Send)) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let text = text(panic);
        tracing::error!(task, panic = text, "a task of one connection or call panicked");
    }

    fn panicked(&self, task: &str, panic: &(dyn Any + Send)) {
        self.end(format!("the task `{task}` panicked: {}", text(panic)));
    }

    fn end(&self, cause: String) {
        tracing::error!(cause, "this node cannot go on");
        // Only the first cause is kept.
        let _ = self.ends.set(cause);
    }
}

/// Reports that a lasting task was dropped in the middle of its work.
struct DropReport {
    node: Arc<OfNode>,
    task: &'static str,
    armed: bool,
}

impl Drop for DropReport {
    fn drop(&mut self) {
        if self.armed && !self.node.is_stopping() {
            // Not logged: this happens whenever a runtime is dropped, with all tasks that run on it.
            let _ = self.node.ends.set(format!("the task `{}` was cut off", self.task));
        }
    }
}

/// The message of a panic.
fn text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("it has no message", String::as_str)
}

/// Wraps a task of openraft before it is spawned. If the task panics, the node that owns this openraft ends.
pub(crate) fn owned<T>(future: T) -> impl Future<Output = T::Output> + Send + 'static
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    // A task inherits its owner: what it spawns is openraft's too. Tests use openraft without a node.
    let owner = OWNER.try_with(Option::clone).ok().flatten();
    let node = owner.as_ref().map(|tasks| tasks.node.clone());
    OWNER.scope(owner, AssertUnwindSafe(future).catch_unwind()).map(move |ended| match ended {
        Ok(output) => output,
        Err(panic) => {
            if let Some(node) = node {
                node.panicked("raft", &*panic);
            }
            resume_unwind(panic)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use openraft::AsyncRuntime;

    use super::*;
    use crate::raft::runtime::Tokio;

    const LATE_AFTER: Duration = Duration::from_secs(30);
    /// Longer than that.
    const TOO_LONG: Duration = Duration::from_secs(31);

    async fn panics<T>() -> T {
        panic!("on purpose {}", 2)
    }

    #[tokio::test]
    async fn a_lasting_task_that_returns_or_panics_ends_the_node_with_its_name_and_a_panic_says_more() {
        let tasks = Tasks::new();
        tasks.lasting("one", async { "it had nothing more to do" }).await.unwrap();
        tasks.lasting("two", async { "one has ended" }).await.unwrap();
        let returned = "the task `one`, which runs as long as the node, has ended: it had nothing more to do";
        assert_eq!((tasks.cause(), tasks.returned()), (Some(returned), Some(returned)));
        for name in ["three", "four"] {
            assert!(tasks.part().lasting(name, panics()).await.is_err());
            assert_eq!(tasks.cause(), Some("the task `three` panicked: on purpose 2"));
        }

        let tasks = Tasks::new();
        // Another part of it is the same node.
        assert!(tasks.part().lasting("two", panics()).await.is_err());
        assert_eq!(tasks.cause(), Some("the task `two` panicked: on purpose 2"));
    }

    #[tokio::test]
    async fn a_lasting_task_that_is_cut_off_ends_the_node_unless_it_is_stopping() {
        for stopping in [false, true] {
            let tasks = Tasks::new();
            let task = tasks.lasting("one", async {
                pending::<()>().await;
                "never"
            });
            tokio::task::yield_now().await;
            if stopping {
                tasks.begin_stop();
            }
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(tasks.cause(), (!stopping).then_some("the task `one` was cut off"));
        }
    }

    #[tokio::test]
    async fn while_the_node_stops_a_lasting_task_may_return_and_a_panic_is_a_cause_all_the_same() {
        let tasks = Tasks::new();
        tasks.begin_stop();
        tasks.lasting("one", ready("the node stops")).await.unwrap();
        assert_eq!(tasks.cause(), None);
        assert!(tasks.lasting("two", panics()).await.is_err());
        assert_eq!(tasks.cause(), Some("the task `two` panicked: on purpose 2"));
    }

    #[tokio::test]
    async fn a_finite_task_may_return_and_may_not_panic() {
        let tasks = Tasks::new();
        tasks.finite("one", ready(())).await.unwrap();
        assert_eq!(tasks.cause(), None);
        assert!(tasks.finite("two", panics()).await.is_err());
        assert_eq!(tasks.cause(), Some("the task `two` panicked: on purpose 2"));
    }

    #[tokio::test]
    async fn work_on_a_call_that_panics_is_counted_and_its_caller_goes_on() {
        let tasks = Tasks::new();
        assert_eq!(tasks.caught("one", ready(7)).await, Ok(7));
        assert!(tasks.caught("two", panics::<()>()).await.is_err());
        assert_eq!((tasks.panics(), tasks.cause()), (1, None));
    }

    #[tokio::test]
    async fn a_passing_task_that_panics_is_counted_and_ends_nothing() {
        let tasks = Tasks::new();
        assert_eq!(tasks.passing("one", ready(7)).await.unwrap(), 7);
        assert!(tasks.part().passing("two", panics::<()>()).await.is_err());
        assert_eq!((tasks.panics(), tasks.cause()), (1, None));
        tasks.all_ended().await;
    }

    #[tokio::test]
    async fn a_panic_in_a_task_of_openraft_or_in_one_that_it_spawned_ends_the_node_that_it_runs_in() {
        let (tasks, other) = (Tasks::new(), Tasks::new());
        let inner = async { Tokio::spawn(async { Tokio::spawn(panics::<()>()).await.is_err() }).await };
        assert!(tasks.owning(inner).await.unwrap());
        assert_eq!(tasks.cause(), Some("the task `raft` panicked: on purpose 2"));
        // A panic in an openraft without a node, or of another node, does not reach `other`.
        assert!(Tokio::spawn(panics::<()>()).await.is_err());
        assert_eq!(other.cause(), None);
        assert_eq!(other.owning(async { Tokio::spawn(ready(7)).await }).await.unwrap(), 7);
        assert_eq!(other.cause(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticking_task_is_late_after_a_missed_heartbeat_and_not_late_after_the_next_one() {
        let tasks = Tasks::new();
        let (go_on, mut told) = tokio::sync::mpsc::channel::<()>(1);
        tasks.ticking("clock", LATE_AFTER, |heartbeat| async move {
            while told.recv().await.is_some() {
                heartbeat.beat();
            }
            "it is told nothing more"
        });
        assert_eq!(tasks.late(), None);
        tokio::time::advance(TOO_LONG).await;
        let late = "the task `clock` has sent no heartbeat for 31 s, and must send one within 30 s";
        assert_eq!(tasks.late().as_deref(), Some(late));
        go_on.send(()).await.unwrap();
        while tasks.late().is_some() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(TOO_LONG).await;
        assert!(tasks.late().is_some());
        // On its way out a node has tasks that tick no more.
        tasks.begin_stop();
        assert_eq!(tasks.late(), None);
    }
}
