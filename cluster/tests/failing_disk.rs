//! A node whose disk fails acknowledges nothing, votes for no node, allows nothing, and ends; the other nodes
//! continue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::*;
use assent_cluster::env::{Disk, Environment};
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use bytes::Bytes;
use redb::StorageBackend;

/// A real disk whose every write and fsync fails once it is told to.
#[derive(Clone)]
struct FailingDisk {
    real: Arc<dyn Disk>,
    failing: Arc<AtomicBool>,
}

impl Disk for FailingDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(FailingFile { real: self.real.open(name)?, failing: self.failing.clone() }))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.real.exists(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.real.list()
    }
}

#[derive(Debug)]
struct FailingFile {
    real: Box<dyn StorageBackend>,
    failing: Arc<AtomicBool>,
}

impl FailingFile {
    fn check(&self) -> io::Result<()> {
        if self.failing.load(Ordering::Relaxed) {
            Err(io::Error::other("EIO, as the test wants it"))
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.real.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.real.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.real.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.real.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.real.close()
    }
}

/// Rule R52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_fails_never_allows_again_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut switches = Vec::new();
    let mut nodes = Vec::new();
    for config in &configs {
        let mut env = Environment::real(&config.data_dir).unwrap();
        let disk = FailingDisk { real: env.disk.clone(), failing: Arc::default() };
        switches.push(disk.failing.clone());
        env.disk = Arc::new(disk);
        nodes.push(Node::start(config.clone(), env).await.unwrap());
    }
    for node in &nodes {
        ready(node).await;
    }
    let caller = Caller::local();
    let first = nodes[0].service().submit(caller, Bytes::from(authorization())).await;
    assert!(matches!(first, Submitted::Accepted { .. }), "{first:?}");
    let leader = nodes[0].service().status(caller).leader.unwrap();
    let bad = usize::try_from(leader - 1).unwrap();
    assert_eq!(nodes[bad].service().authorize(caller, vec![request()]).await[0].status, 200);

    switches[bad].store(true, Ordering::Relaxed);
    // Anything that has to be written finds out.
    let lost = nodes[bad].service().submit(caller, Bytes::from(authorization_for("exec-2"))).await;
    // The others may have accepted it; this node's own word is not worth anything any more.
    assert!(
        !matches!(&lost, Submitted::Accepted { fresh: true, .. }) || nodes[bad].service().live().is_err()
    );
    let cause = tokio::time::timeout(Duration::from_secs(20), nodes[bad].failed()).await.unwrap();
    assert!(cause.contains("EIO") || cause.contains("raft"), "{cause}");
    for _ in 0..20 {
        let answer = nodes[bad].service().authorize(caller, vec![request()]).await;
        assert_eq!(answer[0].status, 503, "{}", String::from_utf8_lossy(&answer[0].body));
    }
    assert!(nodes[bad].service().ready().await.is_err());
    for (place, node) in nodes.iter().enumerate() {
        if place != bad {
            ready(node).await;
            assert_eq!(node.service().authorize(caller, vec![request()]).await[0].status, 200);
        }
    }
}
