//! `/livez` watches the tasks: it names a task that stands still, while everything else continues.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::http::{ask, get, is_200, status};
use crate::cluster_support::*;
use assent_cluster::env::{Blocking, Disk, Environment, ThreadPool};
use assent_cluster::node::Node;
use futures_util::future::BoxFuture;
use redb::StorageBackend;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest wait for anything.
const SURELY: Duration = Duration::from_secs(30);

thread_local! {
    /// Whether the work that runs on this thread has made the registry durable.
    static MADE_DURABLE: Cell<bool> = const { Cell::new(false) };
}

/// A disk that notes on which thread the registry is made durable.
struct NotedDisk(Arc<dyn Disk>);

impl Disk for NotedDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let inner = self.0.open(name)?;
        Ok(if name.starts_with("registry-") { Box::new(Noted(inner)) } else { inner })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.0.exists(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
}

#[derive(Debug)]
struct Noted(Box<dyn StorageBackend>);

impl StorageBackend for Noted {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        MADE_DURABLE.set(true);
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// Blocking work of which nobody hears for a while that the registry was made durable: so waits a task whose wake-up is lost.
#[derive(Clone)]
struct Forgetful(Arc<watch::Sender<bool>>);

impl Blocking for Forgetful {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let made = Arc::new(AtomicBool::new(false));
        let tells = made.clone();
        let running = ThreadPool.run(Box::new(move || {
            MADE_DURABLE.set(false);
            job();
            tells.store(MADE_DURABLE.get(), Ordering::SeqCst);
        }));
        let mut forgets = self.0.subscribe();
        Box::pin(async move {
            running.await;
            if made.load(Ordering::SeqCst) {
                let _ = forgets.wait_for(|forgets| !forgets).await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn livez_names_a_task_that_has_stopped_and_recovers_when_the_task_continues() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    // One node is a cluster, so that no election needs what stands still.
    config.voters.truncate(1);
    config.deadlines.task_late_ms = 3_000;
    config.limits.registry_flush_ms = 1_000;
    let forgets = Forgetful(Arc::new(watch::Sender::new(false)));
    let env = environment(&config).await;
    let env = Environment {
        disk: Arc::new(NotedDisk(env.disk.clone())),
        blocking: Arc::new(forgets.clone()),
        long: Arc::new(forgets.clone()),
        ..env
    };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    let address = node.client_addr();
    let accepted = ask(address, "POST /v1/envelopes", &authorization()).await.unwrap();
    assert_eq!(status(&accepted), 201, "{accepted}");
    let question = request().to_json().to_vec();
    let is_allowed = async || {
        let answer = ask(address, "POST /v1/authorize", &question).await.unwrap();
        assert!(status(&answer) == 200 && answer.contains(r#""decision":"allow""#), "{answer}");
    };
    is_allowed().await;
    assert!(is_200(address, "/livez").await);
    // Something to make durable, and the task never hears that it is. What is applied from then on might be held up too.
    let accepted = ask(address, "POST /v1/envelopes", &validation()).await.unwrap();
    assert_eq!(status(&accepted), 201, "{accepted}");
    forgets.0.send_replace(true);
    let until = Instant::now() + SURELY;
    let answer = loop {
        let answer = get(address, "/livez").await.unwrap();
        if status(&answer) != 200 {
            break answer;
        }
        assert!(Instant::now() < until, "{answer}");
        is_allowed().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("the task `flush the registry` has sent no heartbeat for"), "{answer}");
    let metrics = get(address, "/metrics").await.unwrap();
    for line in ["assent_tasks_late 1\n", "assent_healthy 1\n"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    is_allowed().await;
    forgets.0.send_replace(false);
    let until = Instant::now() + SURELY;
    while !is_200(address, "/livez").await {
        assert!(Instant::now() < until, "it goes on and is not live");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(address, "/metrics").await.unwrap().contains("assent_tasks_late 0\n"));
    node.shutdown().await;
}
