//! A client that asks a node and submits envelopes without a pause, and remembers every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Service};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{authorization_for, request};

const PAUSE: Duration = Duration::from_millis(5);

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When the call began.
    pub began: Instant,
    /// Whether it was an allow, or the envelope was accepted.
    pub yes: bool,
    /// The status, or why not.
    pub said: String,
}

/// All that one node answered.
#[derive(Debug, Default)]
pub struct Said {
    pub asked: Vec<Answer>,
    pub submitted: Vec<Answer>,
}

impl Said {
    /// How many calls that began after `at` were allowed.
    pub fn allowed_after(&self, at: Instant) -> usize {
        yes_after(&self.asked, at)
    }

    /// How many envelopes were accepted of those that were handed in after `at`.
    pub fn accepted_after(&self, at: Instant) -> usize {
        yes_after(&self.submitted, at)
    }

    /// How many calls were allowed.
    pub fn allowed(&self) -> usize {
        self.asked.iter().filter(|answer| answer.yes).count()
    }
}

fn yes_after(answers: &[Answer], at: Instant) -> usize {
    answers.iter().filter(|answer| answer.yes && answer.began > at).count()
}

/// Load on one node, until it is ended. It keeps the node's store open.
pub struct Load {
    ended: Arc<AtomicBool>,
    asking: Option<JoinHandle<Vec<Answer>>>,
    submitting: Option<JoinHandle<Vec<Answer>>>,
}

impl Load {
    /// Asks whether `exec-1` may run, and authorizes lineages whose names begin with `name`.
    pub fn on(node: &Node, name: &str) -> Self {
        let mut load = Self::submits(node, name);
        load.asking = Some(tokio::spawn(ask(node.service().clone(), load.ended.clone())));
        load
    }

    /// Only asks.
    pub fn asks(node: &Node) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let asking = Some(tokio::spawn(ask(node.service().clone(), ended.clone())));
        Self { ended, asking, submitting: None }
    }

    /// Only hands envelopes in.
    pub fn submits(node: &Node, name: &str) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let submitting = Some(tokio::spawn(submit(node.service().clone(), name.to_owned(), ended.clone())));
        Self { ended, asking: None, submitting }
    }

    /// Ends it, and lets go of the node.
    pub async fn end(self) -> Said {
        self.ended.store(true, Ordering::SeqCst);
        let mut said = Said::default();
        if let Some(asking) = self.asking {
            said.asked = asking.await.unwrap();
        }
        if let Some(submitting) = self.submitting {
            said.submitted = submitting.await.unwrap();
        }
        said
    }
}

async fn ask(service: Service, ended: Arc<AtomicBool>) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let began = Instant::now();
        let answer = service.authorize(Caller::local(), vec![request()]).await.remove(0);
        answers.push(Answer { began, yes: answer.status == 200, said: answer.status.to_string() });
        sleep(PAUSE).await;
    }
    answers
}

async fn submit(service: Service, name: String, ended: Arc<AtomicBool>) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let envelope = authorization_for(&format!("{name}-{}", answers.len()));
        let began = Instant::now();
        let submitted = service.submit(Caller::local(), envelope.into()).await;
        let (yes, said) = match submitted.problem() {
            None => (true, "accepted".to_owned()),
            Some(problem) => (false, format!("{}: {}", problem.code, problem.detail)),
        };
        answers.push(Answer { began, yes, said });
        sleep(PAUSE).await;
    }
    answers
}
