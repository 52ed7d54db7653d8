//! The path from a decision to its answer: what is signed, what is sent, and to which call.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster_support::held::Held;
use crate::cluster_support::http::{ask, get, status};
use crate::cluster_support::*;
use assent_api::{DecisionBody, Verdict, authorize_batch_body};
use assent_cluster::config::Config;
use assent_cluster::env::{BoxStream, Entropy, Environment, Listener, Net, RealEntropy, RealNet};
use assent_cluster::node::Node;
use assent_cluster::usecase::{Answered, Caller, Service, Submitted};
use assent_proof::{AuthorizeRequest, Code, verify_decision};
use futures_util::future::{BoxFuture, join_all};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Time enough for a barrier, and for what the stores had left to do.
const SETTLED: Duration = Duration::from_millis(100);
const STORES_SETTLED: Duration = Duration::from_millis(1_500);
/// The longest deadline that a configuration can have.
const DEADLINE_MS: u64 = 1_000;
/// So long after its deadline a call is still waiting for its answer.
const LATE_MS: u64 = DEADLINE_MS + 50;

/// The configuration of a cluster of one, which makes nothing durable for a while.
fn one(folder: &Path) -> Config {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    config.deadlines.authorize_ms = DEADLINE_MS;
    config.limits.registry_flush_ms = 60_000;
    config.limits.disk_reserve_mib = 0;
    config
}

/// A node that allows [`request`].
async fn allowing(config: Config, env: Environment) -> Node {
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    let answer = node.service().submit(Caller::local(), authorization().into()).await;
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    sleep(STORES_SETTLED).await;
    node
}

/// A request that no authorization names.
fn unauthorized() -> AuthorizeRequest {
    AuthorizeRequest { action: "stop".to_owned(), ..request() }
}

async fn asked(service: Service, requests: Vec<AuthorizeRequest>) -> Vec<Answered> {
    service.authorize(Caller::local(), requests).await
}

fn decision(bytes: &[u8]) -> DecisionBody {
    serde_json::from_slice(bytes).unwrap()
}

fn codes(decision: &DecisionBody) -> Vec<Code> {
    decision.reasons.iter().map(|reason| reason.code).collect()
}

/// Whether node 1 has signed that it allows.
fn is_signed_allow(decision: &[u8]) -> bool {
    verify_decision(decision, &[key(11).public()]).unwrap().allow
}

fn is_unsigned(decision: &[u8]) -> bool {
    verify_decision(decision, &[key(11).public()]).is_err()
}

/// The real network, in which the acceptance of clients ends with a panic once it is told to.
struct Breaking {
    client_listen: String,
    breaks: Arc<AtomicBool>,
}

impl Net for Breaking {
    fn connect(&self, addr: String) -> BoxFuture<'static, io::Result<BoxStream>> {
        RealNet.connect(addr)
    }

    fn listen(&self, addr: String) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let breaks = (addr == self.client_listen).then(|| self.breaks.clone());
        Box::pin(async move {
            let inner = RealNet.listen(addr).await?;
            Ok(match breaks {
                Some(breaks) => Box::new(BreakingListener { inner, breaks }) as Box<dyn Listener>,
                None => inner,
            })
        })
    }
}

struct BreakingListener {
    inner: Box<dyn Listener>,
    breaks: Arc<AtomicBool>,
}

impl Listener for BreakingListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let accepted = self.inner.accept().await?;
            if self.breaks.load(Ordering::SeqCst) {
                panic!("a defect, as the test wants it");
            }
            Ok(accepted)
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// Rule R52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_reason_to_stop_turns_allows_into_denies_and_leaves_denies_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (config, breaks, held) = (one(folder.path()), Arc::<AtomicBool>::default(), Arc::<Held>::default());
    let net = Breaking { client_listen: config.client_listen.clone(), breaks: breaks.clone() };
    let env = Environment {
        net: Arc::new(net),
        blocking: held.clone(),
        long: held.clone(),
        ..environment(&config).await
    };
    let node = allowing(config, env).await;
    let service = node.service().clone();
    let questions = || vec![request(), unauthorized()];
    let before = asked(service.clone(), questions()).await;
    assert!(is_signed_allow(&before[0].body) && !is_signed_allow(&before[1].body), "{before:?}");
    // The barrier is passed, and the evaluation waits for a thread until the node has a reason to stop.
    held.hold();
    let waiting = tokio::spawn(asked(service.clone(), questions()));
    eventually("the questions are to be decided", || held.count() > 0).await;
    sleep(SETTLED).await;
    breaks.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(node.client_addr()).await.unwrap());
    eventually("there is a reason to stop", || service.live().is_err()).await;
    held.let_go();
    let answers = waiting.await.unwrap();
    assert!(answers.iter().all(|answer| answer.status != 200), "{answers:?}");
    assert!(!answers.iter().any(|answer| is_signed_allow(&answer.body)), "{answers:?}");
    let (stopping, denied) = (decision(&answers[0].body), decision(&answers[1].body));
    assert_eq!((stopping.decision, codes(&stopping)), (Verdict::Deny, vec![Code::EvidenceMutated]));
    let why = "this node stops: the task `accept clients` panicked: a defect, as the test wants it";
    assert_eq!(stopping.reasons[0].detail, why);
    assert_eq!((denied.decision, codes(&denied)), (Verdict::Deny, vec![Code::ActionNotPermitted]));
}

/// Rules R53, R54.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_allow_is_answered_with_200_and_every_evaluated_answer_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let config = one(folder.path());
    let env = environment(&config).await;
    let node = allowing(config, env).await;
    let address = node.client_addr();
    for (question, expected, verdict) in
        [(request(), 200, Verdict::Allow), (unauthorized(), 403, Verdict::Deny)]
    {
        let answer = ask(address, "POST /v1/authorize", &question.to_json().to_vec()).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!((status(&answer), decision(body.as_bytes()).decision), (expected, verdict), "{answer}");
        assert_eq!(is_signed_allow(body.as_bytes()), verdict == Verdict::Allow, "{answer}");
        // Of other words nothing is signed.
        let turned = match verdict {
            Verdict::Allow => body.replace(r#""decision":"allow""#, r#""decision":"deny""#),
            Verdict::Deny => body.replace(r#""decision":"deny""#, r#""decision":"allow""#),
        };
        assert!(turned != body && is_unsigned(turned.as_bytes()), "{turned}");
    }
    // In a batch each decision says for itself.
    let batch = authorize_batch_body(&[unauthorized(), request(), unauthorized()]);
    let answer = ask(address, "POST /v1/authorize:batch", &batch).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut answer: serde_json::Value = serde_json::from_str(body).unwrap();
    let decisions: Vec<DecisionBody> = serde_json::from_value(answer["decisions"].take()).unwrap();
    let verdicts: Vec<Verdict> = decisions.iter().map(|decision| decision.decision).collect();
    assert_eq!(verdicts, [Verdict::Deny, Verdict::Allow, Verdict::Deny]);
    for decision in &decisions {
        assert_eq!(is_signed_allow(&decision.to_vec()), decision.decision == Verdict::Allow, "{decision:?}");
    }
    node.shutdown().await;
}

/// Randomness that takes so many milliseconds, once. A node needs some for each signature over decisions.
#[derive(Clone, Default)]
struct Slow(Arc<AtomicU64>);

impl Entropy for Slow {
    fn fill(&self, buffer: &mut [u8]) {
        std::thread::sleep(Duration::from_millis(self.0.swap(0, Ordering::SeqCst)));
        RealEntropy.fill(buffer);
    }
}

/// Rules R54, R55.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allow_that_is_signed_only_after_the_deadline_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (config, slow) = (one(folder.path()), Slow::default());
    let env = Environment { entropy: Arc::new(slow.clone()), ..environment(&config).await };
    let node = allowing(config, env).await;
    let service = node.service().clone();
    let before = service.metrics().decision_signatures();
    assert_eq!(asked(service.clone(), vec![request()]).await[0].status, 200);
    // It is evaluated in time, and signed only when its time is over.
    slow.0.store(LATE_MS, Ordering::SeqCst);
    let late = asked(service.clone(), vec![request()]).await.remove(0);
    let denied = decision(&late.body);
    assert_eq!((late.status, denied.decision), (503, Verdict::Deny), "{late:?}");
    assert_eq!(codes(&denied), [Code::DeadlineExceeded]);
    assert!(is_unsigned(&late.body), "{late:?}");
    eventually("it is signed", || service.metrics().decision_signatures() == before + 2).await;
    let page = get(node.client_addr(), "/metrics").await.unwrap();
    assert!(page.contains("assent_decisions_total{code=\"allow\"} 2\n"), "{page}");
    assert_eq!(asked(service.clone(), vec![request()]).await[0].status, 200);
    node.shutdown().await;
}

/// Rule R56.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_gets_the_answer_to_its_own_question_and_the_same_question_is_decided_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = one(folder.path());
    let env = environment(&config).await;
    let node = allowing(config, env).await;
    let service = node.service().clone();
    // All at once, so that many pass one barrier and are signed together.
    let question = |number: usize| AuthorizeRequest {
        audience: Some(format!("caller-{number}")),
        ..if number.is_multiple_of(2) { request() } else { unauthorized() }
    };
    let calls = (0..40).map(|number| asked(service.clone(), vec![question(number)]));
    for (number, answers) in join_all(calls).await.into_iter().enumerate() {
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(decision(&answer.body).request, question(number).to_json());
        assert_eq!(answer.status, if number.is_multiple_of(2) { 200 } else { 403 }, "{answer:?}");
    }
    // No answer is kept: each is signed for itself, and by what the ledger holds when it is asked.
    let first = asked(service.clone(), vec![request()]).await.remove(0);
    let again = asked(service.clone(), vec![request()]).await.remove(0);
    assert_eq!((first.status, again.status), (200, 200));
    assert_ne!(first.body, again.body);
    let contained = service.submit(Caller::local(), quarantine("exec-1").into()).await;
    assert!(matches!(contained, Submitted::Accepted { .. }), "{contained:?}");
    let after = asked(service.clone(), vec![request()]).await.remove(0);
    assert_eq!((after.status, codes(&decision(&after.body))), (403, vec![Code::LineageQuarantined]));
    assert!(decision(&after.body).revision > decision(&again.body).revision);
    node.shutdown().await;
}
