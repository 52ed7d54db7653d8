//! What must not change and whom nothing may delay while hostile input comes in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster_support::http::{ask, status};
use crate::cluster_support::{alone, authorization, request};

/// How long connecting, sending and reading may take beside the deadline, on a machine that other tests use too.
const SLACK: Duration = Duration::from_secs(1);

/// A node that allows [`request`], as `spoil` has configured it.
pub(crate) async fn allowing(folder: &Path, spoil: impl FnOnce(&mut Config)) -> Node {
    let node = alone(folder, spoil).await;
    let answer = ask(node.client_addr(), "POST /v1/envelopes", &authorization()).await.unwrap();
    assert_eq!(status(&answer), 201, "{answer}");
    node
}

/// The node's revision and term.
pub(crate) fn state(node: &Node) -> (u64, u64) {
    let status = node.service().status(Caller::local());
    (status.revision, status.term)
}

/// A caller that asks again and again whether what is authorized may run. Each answer must be an allow, which a node
/// gives within the deadline only.
pub(crate) struct Beside {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<usize>,
}

impl Beside {
    /// Asks at this address, on a connection of its own each time.
    pub(crate) fn at(address: SocketAddr, deadline: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let asking = tokio::spawn(async move {
            let body = request().to_json().to_vec();
            let mut asked = 0;
            while asked == 0 || !stopped.load(Ordering::Relaxed) {
                let from = Instant::now();
                let answer = ask(address, "POST /v1/authorize", &body).await.expect("it is answered");
                let took = from.elapsed();
                assert_eq!(status(&answer), 200, "{answer}");
                assert!(answer.contains("\"decision\":\"allow\""), "{answer}");
                assert!(took < deadline + SLACK, "{took:?}");
                asked += 1;
                sleep(Duration::from_millis(20)).await;
            }
            asked
        });
        Self { stop, asking }
    }

    /// Beside what is done to a node of [`allowing`].
    pub(crate) fn of(node: &Node) -> Self {
        let deadline = node.service().config().deadlines.authorize_ms;
        Self::at(node.client_addr(), Duration::from_millis(deadline))
    }

    /// Asks once more at the most, and fails if one answer was late or no allow.
    pub(crate) async fn was_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.asking.await.expect("every answer is an allow in time") > 0);
    }
}
