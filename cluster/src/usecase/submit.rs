//! submit: check here, propose on the leader, answer with the receipt.
//!
//! The receiving node verifies the signatures at once, so what is plainly wrong is never proposed. What waits is
//! proposed together as one log entry. An attempt whose outcome is unknown is tried again until the deadline:
//! that is safe because the same bytes are applied at most once and return their first receipt.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use assent_api::{BatchMode, Call, Problem, ReceiptBody, status_of};
use assent_proof::{Code, EvidenceKind, History, Refusal, Rules, RulesVersion};
use assent_registry::mutant::{self, Mutant};
use assent_registry::{Checked, Command, Group, Outcome, Outcomes};

use super::anchor::Unsure;
use super::shed::Shed;
use super::{Caller, Inner, Parts, Service, within};
use crate::config::LimitConfig;
use crate::env::blocking;
use crate::peer::{PeerError, Submit, SubmitError};
use crate::raft::types::Proposal;
use crate::raft::verifier::Verifier;
use crate::tasks::Why;

/// The pause before trying again while there is no leader.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// What became of one envelope, as the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the ledger; `fresh` if this submission put it there.
    Accepted {
        /// Where.
        receipt: ReceiptBody,
        /// Whether an earlier submission had put it there.
        fresh: bool,
    },
    /// It is not, or it is unknown whether it is, or it proves an equivocation.
    Problem(Box<Problem>),
}

/// Who hands an envelope in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Somebody outside.
    Client,
    /// This node itself.
    Node,
    /// Another node, which took it from a client or states it itself.
    Peer,
}

impl Sender {
    /// Permits come from the nodes alone, on their own path. Rules come from the leader alone, which proposes them itself, never
    /// by way of a queue or of another node. A recovery is for when there is no cluster that could take it.
    fn refuses(self, kind: EvidenceKind) -> Option<Refusal> {
        let detail = match (self, kind) {
            (Sender::Client, EvidenceKind::Permit) => "permits are recorded by `POST /v1/permits` only",
            (_, EvidenceKind::Rules) => {
                "the nodes raise the rules themselves, once every voter knows the next version"
            }
            (_, EvidenceKind::Recovery) => {
                "a recovery is applied offline, by `assent recover` on the node that is left"
            }
            _ => return None,
        };
        Some(Refusal::at(Code::CallerNotPermitted, "predicateType", detail))
    }
}

/// One submission on its way into the log.
pub(crate) struct Pending {
    group: Group,
    bytes: usize,
    until: Instant,
    reply: oneshot::Sender<Result<Judged, Failure>>,
    _room: OwnedSemaphorePermit,
}

/// What became of one submission, and in which history.
struct Judged {
    outcomes: Vec<Outcome>,
    history: Option<History>,
}

/// Why a submission has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// It was certainly not proposed.
    NoQuorum(String),
    /// It may have been committed, or may still be.
    Unknown(String),
    /// The leader, or this node while there is none, does not trust its clock.
    ClockUncertain(Option<Unsure>),
    /// Too much is waiting.
    Overloaded(String),
}

impl Failure {
    fn problem(&self) -> Problem {
        let refuse = |code, detail: &str| Problem::new(code, status_of(code, Call::Submission), detail);
        match self {
            Failure::NoQuorum(detail) => refuse(Code::NoQuorum, detail),
            Failure::Unknown(detail) => Problem::unknown_outcome(detail.clone()),
            Failure::ClockUncertain(None) => {
                refuse(Code::ClockUncertain, "the leader does not trust its clock")
            }
            Failure::ClockUncertain(Some(unsure)) => *unsure.problem(Call::Submission),
            Failure::Overloaded(detail) => refuse(Code::Overloaded, detail),
        }
    }
}

impl Service {
    /// Submits one envelope, byte for byte.
    pub async fn submit(&self, caller: &Caller, envelope: Bytes) -> Submitted {
        let mut results = self.submit_batch(caller, BatchMode::Each, vec![envelope]).await;
        results.pop().unwrap_or_else(lost)
    }

    /// Submits envelopes in order; `all` accepts all of them or none. One answer an envelope, in order.
    pub async fn submit_batch(
        &self,
        _caller: &Caller,
        mode: BatchMode,
        envelopes: Vec<Bytes>,
    ) -> Vec<Submitted> {
        self.submit_as(Sender::Client, mode, envelopes).await
    }

    /// Submits what this node itself states: permits.
    pub(super) async fn submit_nodes(&self, mode: BatchMode, envelopes: Vec<Bytes>) -> Vec<Submitted> {
        self.submit_as(Sender::Node, mode, envelopes).await
    }

    async fn submit_as(&self, sender: Sender, mode: BatchMode, envelopes: Vec<Bytes>) -> Vec<Submitted> {
        let started = Instant::now();
        let until = within(self.parts().config.deadlines.submit_ms);
        let refusals = self.check(sender, &envelopes, until).await;
        let results = match (mode, refusals.iter().flatten().next()) {
            (BatchMode::All, Some(_)) => all_refused(&refusals),
            _ => self.propose_checked(mode, envelopes, refusals, until).await,
        };
        for result in &results {
            self.parts().metrics.submitted(result);
        }
        self.parts().metrics.submit_took(started.elapsed());
        results
    }

    /// Verifies each envelope, off the async threads. What it finds stays with the verifier for `apply`.
    async fn check(&self, sender: Sender, envelopes: &[Bytes], until: Instant) -> Vec<Option<Refusal>> {
        // Signatures cost a core; the log's fsync and the decisions need the threads too.
        let Ok(Ok(_permit)) = timeout_at(until, self.inner.verifications.acquire()).await else {
            let busy = Shed::Overloaded("too many envelopes wait to be verified".to_owned());
            return vec![Some(busy.refusal()); envelopes.len()];
        };
        let (verifier, known) = (self.parts().verifier.clone(), RulesVersion(self.parts().rules_known()));
        let given = envelopes.to_vec();
        let checked = blocking(&*self.parts().env.blocking, move || {
            let verdict = |bytes: &Bytes| match admitted(&verifier, known, bytes) {
                Checked::Verified(envelope) => sender.refuses(envelope.statement().kind),
                Checked::Refused(refusal) => Some(refusal),
            };
            // Envelopes that take long to verify must not hold a core past the time when anyone waits for them.
            given
                .iter()
                .map(|bytes| if Instant::now() < until { verdict(bytes) } else { Some(late()) })
                .collect()
        });
        checked.await.unwrap_or_else(|lost| vec![Some(Shed::from(lost).refusal()); envelopes.len()])
    }

    /// Proposes those that verified, and puts the answers in the order given.
    async fn propose_checked(
        &self,
        mode: BatchMode,
        envelopes: Vec<Bytes>,
        refusals: Vec<Option<Refusal>>,
        until: Instant,
    ) -> Vec<Submitted> {
        let good: Vec<Bytes> = envelopes
            .into_iter()
            .zip(&refusals)
            .filter_map(|(bytes, refusal)| refusal.is_none().then_some(bytes))
            .collect();
        let count = good.len();
        let mut outcomes = match count {
            0 => Vec::new(),
            _ => match self.enqueue(mode, good, until).await {
                Ok(Judged { outcomes, history }) if outcomes.len() == count => {
                    outcomes.into_iter().map(|outcome| answer(outcome, history)).collect()
                }
                Ok(_) => vec![failed(&Failure::Unknown("the log entry did not decode".to_owned())); count],
                Err(failure) => vec![failed(&failure); count],
            },
        }
        .into_iter();
        refusals
            .iter()
            .map(|refusal| match refusal {
                Some(refusal) => refused(refusal),
                None => outcomes.next().unwrap_or_else(lost),
            })
            .collect()
    }

    async fn enqueue(
        &self,
        mode: BatchMode,
        envelopes: Vec<Bytes>,
        until: Instant,
    ) -> Result<Judged, Failure> {
        let parts = self.parts();
        let most = parts.config.limits.submit_queue;
        let overloaded = || Failure::Overloaded(format!("{most} envelopes are waiting to be proposed"));
        let permits = u32::try_from(envelopes.len()).unwrap_or(u32::MAX);
        let room =
            self.inner.submit_room.clone().try_acquire_many_owned(permits).map_err(|_| overloaded())?;
        let bytes = envelopes.iter().map(Bytes::len).sum();
        let (reply, outcome) = oneshot::channel();
        let group = Group { atomic: mode == BatchMode::All, envelopes };
        let pending = Pending { group, bytes, until, reply, _room: room };
        self.inner.submissions.try_send(pending).map_err(|_| overloaded())?;
        // The proposer answers by the deadline; this is only for one that was lost.
        match timeout_at(until + Duration::from_secs(1), outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::Unknown("the node is stopping".to_owned())),
            Err(_) => Err(Failure::Unknown("no answer within the deadline".to_owned())),
        }
    }
}

fn late() -> Refusal {
    Refusal::new(
        Code::DeadlineExceeded,
        "the signatures were not verified within the deadline; nothing was proposed",
    )
}

/// It may have been proposed, and no more is known.
fn lost() -> Submitted {
    failed(&Failure::Unknown("the answer was lost inside the node".to_owned()))
}

fn failed(failure: &Failure) -> Submitted {
    Submitted::Problem(Box::new(failure.problem()))
}

fn refused(refusal: &Refusal) -> Submitted {
    let status = status_of(refusal.code, Call::Submission);
    Submitted::Problem(Box::new(Problem::from_refusal(refusal, status)))
}

/// One bad envelope of an all-or-nothing batch: nothing is proposed.
fn all_refused(refusals: &[Option<Refusal>]) -> Vec<Submitted> {
    let first = refusals.iter().enumerate().find_map(|(place, refusal)| refusal.as_ref().map(|r| (place, r)));
    refusals
        .iter()
        .map(|refusal| match (refusal, first) {
            (Some(refusal), _) => refused(refusal),
            (None, Some((place, cause))) => refused(&Refusal::of_batch(place, cause)),
            (None, None) => failed(&Failure::NoQuorum("not proposed".to_owned())),
        })
        .collect()
}

/// Whether an outcome settles nothing: a node could not do it then.
fn is_open(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused { refusal, .. } => {
            matches!(status_of(refusal.code, Call::Submission), 429 | 503 | 504)
        }
        Outcome::Accepted { .. } | Outcome::Equivocation { .. } => false,
    }
}

fn answer(outcome: Outcome, history: Option<History>) -> Submitted {
    let body = |receipt: assent_registry::Receipt, history| ReceiptBody {
        evidence_id: receipt.evidence_id,
        ledger_index: receipt.ledger_index,
        revision: receipt.revision,
        accepted_at: receipt.accepted_at,
        history,
    };
    // A receipt says nothing without the history that it is of. What was applied has one.
    let of_none =
        || failed(&Failure::Unknown("the history of the receipt was lost inside the node".to_owned()));
    match outcome {
        Outcome::Accepted { receipt, fresh } => match history {
            Some(history) => Submitted::Accepted { receipt: body(receipt, history), fresh },
            None => of_none(),
        },
        Outcome::Equivocation { receipt, refusal } => {
            let Some(found) = history else { return of_none() };
            let status = status_of(refusal.code, Call::Submission);
            let problem = Problem::from_refusal(&refusal, status).with_receipt(body(receipt, found));
            Submitted::Problem(Box::new(problem.in_history(history)))
        }
        Outcome::Refused { refusal, head, next_sequence } => {
            let status = status_of(refusal.code, Call::Submission);
            let problem = Problem::from_refusal(&refusal, status).with_slot(head, next_sequence);
            Submitted::Problem(Box::new(problem.in_history(history)))
        }
    }
}

/// Takes what waits and proposes it as one entry. A bounded number of entries is under way; what arrives
/// meanwhile waits for the next, so the busier the node the larger its entries.
pub(crate) async fn propose_batches(
    service: Weak<Inner>,
    mut submitted: mpsc::Receiver<Pending>,
    limits: LimitConfig,
) -> Why {
    let proposals = Arc::new(Semaphore::new(limits.proposals));
    let mut held: Option<Pending> = None;
    loop {
        let first = match held.take() {
            Some(pending) => pending,
            None => match submitted.recv().await {
                Some(pending) => pending,
                None => return "nobody is left who could submit",
            },
        };
        let Ok(proposal) = proposals.clone().acquire_owned().await else {
            return "there is no room for proposals";
        };
        let (mut count, mut bytes) = (first.group.envelopes.len(), first.bytes);
        let mut batch = vec![first];
        while count < limits.submit_batch
            && let Ok(pending) = submitted.try_recv()
        {
            count = count.saturating_add(pending.group.envelopes.len());
            bytes = bytes.saturating_add(pending.bytes);
            if bytes > limits.submit_batch_bytes {
                held = Some(pending);
                break;
            }
            batch.push(pending);
        }
        let Some(inner) = service.upgrade() else { return "the node is gone" };
        let tasks = inner.parts.tasks.clone();
        tasks.passing("proposal", async move {
            let groups = batch.iter().map(|pending| pending.group.clone()).collect();
            let until = batch.iter().map(|pending| pending.until).max().unwrap_or_else(Instant::now);
            let result = inner.parts.route(groups, until).await;
            drop(proposal);
            spread(batch, result);
        });
    }
}

fn spread(batch: Vec<Pending>, result: Result<Outcomes, Failure>) {
    match result {
        Ok(Outcomes { groups, history }) => {
            let mut groups = groups.into_iter();
            for pending in batch {
                let outcomes = groups.next().unwrap_or_default();
                let _ = pending.reply.send(Ok(Judged { outcomes, history }));
            }
        }
        Err(failure) => {
            for pending in batch {
                let _ = pending.reply.send(Err(failure.clone()));
            }
        }
    }
}

impl Parts {
    /// Proposes here or on the leader, again and again until there is an outcome or the deadline passes.
    async fn route(&self, groups: Vec<Group>, until: Instant) -> Result<Outcomes, Failure> {
        let mut maybe_proposed = None;
        let mut last = "no leader is known".to_owned();
        let message = Submit { groups };
        loop {
            if Instant::now() >= until {
                return Err(match maybe_proposed {
                    Some(detail) => Failure::Unknown(detail),
                    None => Failure::NoQuorum(format!("not proposed in time: {last}")),
                });
            }
            let attempt = match self.believed_leader() {
                Some(leader) if leader == self.config.node_id => self.propose(&message.groups, until).await,
                Some(leader) => {
                    let left = until.saturating_duration_since(Instant::now());
                    match self.hub.call(leader, &message, left).await {
                        Ok(answer) => answer,
                        Err(PeerError::Overloaded | PeerError::Full | PeerError::TooLarge { .. }) => {
                            Err(SubmitError::Overloaded)
                        }
                        Err(error) if error.is_unsent() => {
                            last = error.to_string();
                            Err(SubmitError::NotLeader { leader: None })
                        }
                        Err(error) => Err(SubmitError::Unknown(format!("node {leader}: {error}"))),
                    }
                }
                None => Err(SubmitError::NotLeader { leader: None }),
            };
            match attempt {
                // The leader has not looked at some of it. An attempt before this one may be in the log all the same.
                Ok(outcomes) if maybe_proposed.is_some() && outcomes.groups.iter().flatten().any(is_open) => {
                }
                Ok(outcomes) => return Ok(outcomes),
                Err(SubmitError::Unknown(detail)) => maybe_proposed = Some(detail),
                Err(SubmitError::NotLeader { .. }) => {}
                Err(SubmitError::ClockUncertain) if maybe_proposed.is_none() => {
                    // If it is this node, or what is wrong with the leader's clock is wrong with this one's, this node says what.
                    return Err(Failure::ClockUncertain(self.judged().err()));
                }
                Err(SubmitError::Overloaded) if maybe_proposed.is_none() => {
                    return Err(Failure::Overloaded("the leader is overloaded".to_owned()));
                }
                Err(SubmitError::ClockUncertain | SubmitError::Overloaded) => {}
            }
            sleep(RETRY_AFTER).await;
        }
    }

    /// As leader: stamps the groups with this node's clock, if it may trust it, and proposes them as one entry.
    pub(crate) async fn propose(&self, groups: &[Group], until: Instant) -> Result<Outcomes, SubmitError> {
        let Some(proposed_at) = self.sure_now() else { return Err(SubmitError::ClockUncertain) };
        let command = Command { proposed_at, groups: groups.to_vec() };
        // In a version that every voter reads: by the rules that are in force each has said so.
        let mut rules = self.verifier.in_force();
        if mutant::is_active(Mutant::WriteNewestVersion) {
            rules = Rules::of(RulesVersion(self.rules_known())).unwrap_or(rules);
        }
        let bytes = Bytes::from(command.encode(rules));
        if mutant::is_active(Mutant::AckBeforeQuorum)
            && let Some(outcomes) = self.acknowledge_ahead(bytes.clone()).await
        {
            return Ok(outcomes);
        }
        let started = Instant::now();
        match timeout_at(until, self.raft.client_write(Proposal(bytes))).await {
            Ok(Ok(response)) => {
                self.metrics.commit_took(started.elapsed());
                Ok(response.data.0)
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(SubmitError::NotLeader { leader: forward.leader_id })
            }
            Ok(Err(error)) => Err(SubmitError::Unknown(error.to_string())),
            Err(_) => Err(SubmitError::Unknown("not committed within the deadline".to_owned())),
        }
    }

    /// As leader, and only then: proposes one statement of this node's own as an entry of its own.
    pub(super) async fn propose_own(
        &self,
        envelope: Bytes,
        until: Instant,
    ) -> Result<Submitted, SubmitError> {
        let group = Group { atomic: false, envelopes: vec![envelope] };
        let Outcomes { groups, history } = self.propose(&[group], until).await?;
        let lost = || failed(&Failure::Unknown("the log entry did not decode".to_owned()));
        let outcome = groups.into_iter().flatten().next();
        Ok(outcome.map_or_else(lost, |outcome| answer(outcome, history)))
    }
}

impl Service {
    /// A peer's submissions, if this node leads. It has checked them, or says that it has; what it must not hand in is refused
    /// here all the same, and a group that holds such an envelope is not proposed.
    pub(crate) async fn propose_for_peer(&self, groups: Vec<Group>) -> Result<Outcomes, SubmitError> {
        let parts = self.parts();
        let count: usize = groups.iter().map(|group| group.envelopes.len()).sum();
        if count > parts.config.limits.submit_queue {
            return Err(SubmitError::Overloaded);
        }
        if parts.believed_leader() != Some(parts.config.node_id) {
            return Err(SubmitError::NotLeader { leader: parts.believed_leader() });
        }
        let until = within(parts.config.deadlines.submit_ms);
        let envelopes: Vec<Bytes> = groups.iter().flat_map(|group| group.envelopes.iter().cloned()).collect();
        let refusals = self.check(Sender::Peer, &envelopes, until).await;
        let (good, refused) = sort_out(groups, refusals);
        let Outcomes { groups: proposed, history } = match good.is_empty() {
            true => Outcomes::default(),
            false => parts.propose(&good, until).await?,
        };
        let mut proposed = proposed.into_iter();
        let groups =
            refused.into_iter().map(|group| group.unwrap_or_else(|| proposed.next().unwrap_or_default()));
        Ok(Outcomes { groups: groups.collect(), history })
    }
}

/// The groups to propose, and for each group given what it is answered if it is not among them.
fn sort_out(groups: Vec<Group>, refusals: Vec<Option<Refusal>>) -> (Vec<Group>, Vec<Option<Vec<Outcome>>>) {
    let mut refusals = refusals.into_iter();
    let (mut good, mut answers) = (Vec::new(), Vec::with_capacity(groups.len()));
    for group in groups {
        let missing = || Some(Shed::Lost.refusal());
        let of_group: Vec<Option<Refusal>> =
            group.envelopes.iter().map(|_| refusals.next().unwrap_or_else(missing)).collect();
        let first = of_group.iter().enumerate().find_map(|(place, refusal)| Some((place, refusal.clone()?)));
        let Some((place, cause)) = first else {
            good.push(group);
            answers.push(None);
            continue;
        };
        let with_it = || Refusal::of_batch(place, &cause);
        let outcomes = of_group.into_iter().map(|refusal| Outcome::refused(refusal.unwrap_or_else(with_it)));
        answers.push(Some(outcomes.collect()));
    }
    (good, answers)
}

/// What this node makes of an envelope that a caller hands in. One that verifies under any rules that its build knows is let in,
/// and applying decides by those in force where it comes to stand: this node may be behind a raise, or the envelope may have been
/// accepted before one.
fn admitted(verifier: &Verifier, known: RulesVersion, envelope: &[u8]) -> Checked {
    let in_force = verifier.in_force();
    let now = verifier.check(envelope, in_force);
    let mut others = Rules::all().filter(|rules| *rules != in_force && rules.version() <= known);
    match now {
        Checked::Verified(_) => now,
        Checked::Refused(_) => others
            .find_map(|rules| match verifier.check(envelope, rules) {
                verified @ Checked::Verified(_) => Some(verified),
                Checked::Refused(_) => None,
            })
            .unwrap_or(now),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_proof::{Claims, Envelope, Sha256, SigningKey, Statement};

    use super::*;
    use crate::raft::verifier::VerifierLimits;

    /// An envelope of this payload type, whose signature has its key id or not.
    fn envelope(payload_type: &str, keyid: bool) -> Vec<u8> {
        let key = SigningKey::from_seed([1; 32]);
        let claims = Claims::RuntimeIntegrity { measured: "m".to_owned() };
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(b"program"),
            kind: claims.kind(),
            registry: "registry.test/1".to_owned(),
            domain: "prod.eu".parse().unwrap(),
            lineage: "exec-1".parse().unwrap(),
            issuers: vec![key.public()],
            sequence: Some(0),
            parent: None,
            references: Vec::new(),
            issued_at: assent_proof::Seconds(0),
            expires_at: None,
            claims: claims.to_json(),
        };
        let mut envelope = Envelope::unsigned(payload_type, statement.to_vec());
        envelope.sign_with(&key);
        if !keyid {
            envelope.signatures[0].keyid = None;
        }
        envelope.to_vec()
    }

    #[test]
    fn what_only_rules_before_or_to_come_verify_is_not_refused_for_good_by_a_node_that_may_be_behind() {
        let run: assent_store::RunBlocking = Arc::new(|work| {
            work();
            Box::pin(std::future::ready(()))
        });
        let verifier = Verifier::new("registry.test/1".to_owned(), run, VerifierLimits::default());
        let by = |known, bytes: &[u8]| match admitted(&verifier, known, bytes) {
            Checked::Verified(envelope) => Ok(envelope.rules()),
            Checked::Refused(refusal) => Err(refusal.code),
        };
        let (usual, to_come) = ("application/vnd.in-toto+json", "application/vnd.in-toto.test+json");
        let (old, new) = (RulesVersion::GENESIS, RulesVersion::TEST);
        // Before the raise: what the next rules take is let in by a build that knows them, and by no other.
        assert_eq!(by(new, &envelope(to_come, true)), Ok(Rules::TEST));
        assert_eq!(by(old, &envelope(to_come, true)), Err(Code::Malformed));
        assert_eq!(by(new, &envelope(usual, true)), Ok(Rules::GENESIS));
        assert_eq!(by(new, &envelope(to_come, false)), Err(Code::Malformed), "no rules take it");
        // After it: what the rules before took may have been accepted then.
        verifier.set_in_force(Rules::TEST);
        assert_eq!(by(new, &envelope(usual, false)), Ok(Rules::GENESIS));
        assert_eq!(by(new, &envelope(usual, true)), Ok(Rules::TEST));
    }

    #[test]
    fn clients_hand_in_no_permits_and_nobody_hands_in_rules_or_a_recovery() {
        for kind in EvidenceKind::ALL.iter().copied() {
            let refused = |sender: Sender| sender.refuses(kind).is_some();
            let never = matches!(kind, EvidenceKind::Rules | EvidenceKind::Recovery);
            assert_eq!(refused(Sender::Client), kind == EvidenceKind::Permit || never, "{kind}");
            assert_eq!(refused(Sender::Node), never, "{kind}");
            assert_eq!(refused(Sender::Peer), never, "{kind}");
        }
        let refusal = Sender::Client.refuses(EvidenceKind::Rules).map(|refusal| refusal.code);
        assert_eq!(refusal, Some(Code::CallerNotPermitted));
    }

    #[test]
    fn a_peers_group_with_a_refused_envelope_is_answered_and_not_proposed_and_the_others_are() {
        let group = |names: &[&'static str]| Group {
            atomic: false,
            envelopes: names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect(),
        };
        let refusal = Refusal::new(Code::CallerNotPermitted, "no");
        let groups = vec![group(&["a"]), group(&["b", "rules"]), group(&["c", "d"])];
        let refusals = vec![None, None, Some(refusal.clone()), None, None];
        let (good, answers) = sort_out(groups.clone(), refusals);
        assert_eq!(good, [groups[0].clone(), groups[2].clone()]);
        let [None, Some(refused), None] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(refused[1], Outcome::refused(refusal));
        assert!(
            matches!(&refused[0], Outcome::Refused { refusal, .. } if refusal.code == Code::CallerNotPermitted)
        );
        // An answer too few refuses, and not for good; nothing slips through unseen.
        let (good, answers) = sort_out(vec![group(&["a"])], Vec::new());
        assert!(good.is_empty());
        assert_eq!(answers, [Some(vec![Outcome::refused(Shed::Lost.refusal())])]);
    }
}
