//! Work on a call that fails inside the node decides nothing: the answer tells the caller to ask again or elsewhere.
//! It never says that the submission is wrong, and it is never missing.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::cluster_support::http::{ask, get, status};
use crate::cluster_support::raw::problem;
use crate::cluster_support::*;
use assent_api::{BatchMode, DecisionBody, Verdict, batch_body};
use assent_cluster::env::{Blocking, BoxStream, Environment, Listener, Net, RealNet, ThreadPool};
use assent_cluster::node::Node;
use assent_proof::{AuthorizeRequest, Code, Role, Seconds};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What goes wrong with the blocking work of clients' calls; that of the node itself is left alone.
#[derive(Clone, Default)]
struct Losing {
    /// The tasks that have read from a client.
    clients: Arc<Mutex<HashSet<tokio::task::Id>>>,
    panics: Arc<AtomicBool>,
    vanishes: Arc<AtomicBool>,
    /// Whether it panics on the task that begins it, as a defect of the code that answers a call would.
    breaks: Arc<AtomicBool>,
}

impl Losing {
    fn is_a_clients(&self) -> bool {
        tokio::task::try_id().is_some_and(|task| self.clients.lock().unwrap().contains(&task))
    }
}

fn goes_wrong(job: Box<dyn FnOnce() + Send>) -> ! {
    drop(job);
    panic!("a defect, as the test wants it");
}

impl Blocking for Losing {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        if self.is_a_clients() && self.breaks.load(Ordering::SeqCst) {
            goes_wrong(job);
        }
        if self.is_a_clients() && self.panics.load(Ordering::SeqCst) {
            return ThreadPool.run(Box::new(move || goes_wrong(job)));
        }
        if self.is_a_clients() && self.vanishes.load(Ordering::SeqCst) {
            // As when the runtime ends.
            drop(job);
            return Box::pin(std::future::ready(()));
        }
        ThreadPool.run(job)
    }
}

/// The real network, which notes the tasks of clients' connections.
struct NotedNet {
    client_listen: String,
    losing: Losing,
}

impl Net for NotedNet {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        RealNet.connect(addr)
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let noted = (addr == self.client_listen).then(|| self.losing.clone());
        Box::pin(async move {
            let inner = RealNet.listen(addr).await?;
            Ok(match noted {
                Some(losing) => Box::new(NotedListener { inner, losing }) as Box<dyn Listener>,
                None => inner,
            })
        })
    }
}

struct NotedListener {
    inner: Box<dyn Listener>,
    losing: Losing,
}

impl Listener for NotedListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (inner, remote) = self.inner.accept().await?;
            let stream = NotedStream { inner, losing: self.losing.clone() };
            Ok((Box::new(stream) as BoxStream, remote))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

struct NotedStream {
    inner: BoxStream,
    losing: Losing,
}

impl AsyncRead for NotedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.losing.clients.lock().unwrap().extend(tokio::task::try_id());
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for NotedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A revocation of an authority, in a batch that is read apart because it is large.
fn revocations() -> (Vec<u8>, Vec<u8>) {
    let revocation = in_prod().draft(&claims::revocation(key(4).public(), None)).sign(&[&key(3)]);
    let mut envelopes = vec![revocation.clone()];
    envelopes.extend((0..40).map(|n| authorization_for(&format!("exec-{n}"))));
    let body = batch_body(BatchMode::Each, &envelopes).unwrap();
    assert!(body.len() > 16 * 1024, "{}", body.len());
    (revocation, body)
}

/// A cluster of one, the work on whose calls goes wrong when it is told to.
async fn losing_node(folder: &Path) -> (Node, Losing) {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    let losing = Losing::default();
    let net = NotedNet { client_listen: config.client_listen.clone(), losing: losing.clone() };
    let env = Environment {
        net: Arc::new(net),
        blocking: Arc::new(losing.clone()),
        long: Arc::new(losing.clone()),
        ..environment(&config).await
    };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    (node, losing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_which_the_node_panics_gets_500_with_a_code_and_the_next_call_works() {
    let folder = tempfile::tempdir().unwrap();
    let (node, losing) = losing_node(folder.path()).await;
    let address = node.client_addr();
    let (_, batch) = revocations();
    let envelope = authorization();
    losing.breaks.store(true, Ordering::SeqCst);
    for (what, body) in [
        ("POST /v1/envelopes", &envelope[..]),
        ("POST /v1/envelopes:batch", &batch[..]),
        ("GET /v1/policies/prod.eu", &[][..]),
        ("GET /v1/cluster/digest", &[][..]),
    ] {
        let answer = ask(address, what, body).await.expect("it is answered");
        let (head, problem) = problem(&answer);
        assert_eq!((problem.status, problem.code), (500, Code::InternalError), "{what}: {head}");
        assert!(head.contains("connection: close"), "{what}: {head}");
        // It may have been done.
        assert!(problem.is_outcome_unknown(), "{what}: {problem:?}");
    }
    losing.breaks.store(false, Ordering::SeqCst);
    let page = get(address, "/metrics").await.unwrap();
    assert!(page.contains("assent_task_panics_total 4\n"), "{page}");
    // The single envelope, and one for each KiB of the batch, which nobody had looked into.
    let failed = 1 + batch.len().div_ceil(1024);
    let counted = format!("assent_submissions_total{{code=\"internal_error\"}} {failed}\n");
    assert!(page.contains(&counted), "{page}");
    let answer = ask(address, "POST /v1/envelopes", &envelope).await.unwrap();
    assert_eq!(status(&answer), 201, "{answer}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_on_which_the_node_fails_is_denied_and_never_answered_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (node, losing) = losing_node(folder.path()).await;
    let address = node.client_addr();
    let counted = authorization_until("counted", Seconds(now().0 + 600), Some(3));
    let answer = ask(address, "POST /v1/envelopes", &counted).await.unwrap();
    assert_eq!(status(&answer), 201, "{answer}");
    let asked = AuthorizeRequest {
        lineage: Some("counted".parse().unwrap()),
        nonce: Some("once".to_owned()),
        ..request()
    };
    let asked = asked.to_json().to_vec();
    for lost in [&losing.breaks, &losing.panics, &losing.vanishes] {
        lost.store(true, Ordering::SeqCst);
        let answer = ask(address, "POST /v1/permits", &asked).await.expect("it is answered");
        lost.store(false, Ordering::SeqCst);
        assert_eq!(status(&answer), 503, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let decision: DecisionBody = serde_json::from_str(body).expect("it is a decision");
        assert_eq!(decision.decision, Verdict::Deny, "{answer}");
        assert_eq!(decision.reasons[0].code, Code::NoQuorum, "{answer}");
    }
    let answer = ask(address, "POST /v1/permits", &asked).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_work_is_lost_inside_the_node_is_never_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let (node, losing) = losing_node(folder.path()).await;
    let address = node.client_addr();
    let policy = get(address, "/v1/policies/prod.eu").await.unwrap();
    let (_, policy) = policy.split_once("\r\n\r\n").unwrap();
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let policy = policy["evidenceId"].as_str().unwrap().parse().unwrap();
    let granted = grant(key(4).public(), Role::Attestation).slot(1, Some(policy)).sign(&[&key(3), &key(4)]);
    let granted = ask(address, "POST /v1/envelopes", &granted).await.unwrap();
    assert_eq!(status(&granted), 201, "{granted}");

    let (revocation, batch) = revocations();
    for lost in [&losing.panics, &losing.vanishes] {
        lost.store(true, Ordering::SeqCst);
        for (what, body) in [
            ("POST /v1/envelopes", &revocation[..]),
            ("POST /v1/envelopes:batch", &batch[..]),
            ("GET /v1/policies/prod.eu", &[][..]),
            ("GET /v1/events?confirmed=true", &[][..]),
            ("GET /v1/cluster/digest", &[][..]),
        ] {
            let answer = ask(address, what, body).await.unwrap();
            assert_eq!(status(&answer), 503, "{what}: {answer}");
            assert!(answer.contains(r#""code":"no_quorum""#), "{what}: {answer}");
            // Nothing was proposed, and nothing is said of that.
            assert!(!answer.contains(r#""outcome":"#), "{what}: {answer}");
        }
        // A small batch is read on the spot; what is lost is the look at its signatures, and all of it is shed with one problem.
        let small = batch_body(BatchMode::All, &[&revocation]).unwrap();
        let answer = ask(address, "POST /v1/envelopes:batch", &small).await.unwrap();
        let (head, shed) = problem(&answer);
        assert_eq!((shed.status, shed.code), (503, Code::NoQuorum), "{head}");
        assert!(!shed.is_outcome_unknown(), "nothing was proposed: {shed:?}");
        lost.store(false, Ordering::SeqCst);
    }
    // The same bytes, asked again.
    let answer = ask(address, "POST /v1/envelopes:batch", &batch).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains(r#"{"results":[{"status":201,"#), "{answer}");
    node.shutdown().await;
}
