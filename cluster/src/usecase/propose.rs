//! propose: turns checked envelopes into log entries, here or on the leader.
//!
//! Waiting envelopes of the same urgency are proposed together as one entry. If the outcome of an attempt is unknown,
//! the node tries again until the deadline, with the groups that no leader has settled since (`attempts.rs`). That is
//! safe, because the same bytes are applied at most once and return their first receipt.

mod attempts;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

use assent_registry::{Command, Group, Outcomes};

use super::Parts;
use super::on_behalf::{SUBMIT, SentTo};
use super::pending::{Failure, Pending, SubmissionOutcome};
use super::service::Inner;
use super::submitted::{Submitted, answer, failed};
use super::urgency::Urgency;
use crate::audit::AuditClass;
use crate::config::LimitConfig;
use crate::peer::{BEHALF_SINCE, PeerError, Submit, SubmitError, SubmitFor, SubmitReply};
use crate::raft::types::{NodeId, Proposal};
use crate::tasks::Why;
use attempts::Attempts;

/// The pause before the node tries again while there is no leader.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Takes the waiting submissions of this urgency, and proposes them as one entry. A bounded number of entries is
/// under way. What arrives in the meantime waits for the next entry, so the entries of a busier node are larger.
pub(super) async fn propose_batches(
    service: Weak<Inner>,
    urgency: Urgency,
    mut submitted: mpsc::Receiver<Pending>,
    limits: LimitConfig,
) -> Why {
    let bytes_max = urgency.entry_bytes_max(&limits);
    let proposals = Arc::new(Semaphore::new(limits.proposals));
    let mut held: Option<Pending> = None;
    loop {
        let first = match held.take() {
            Some(pending) => pending,
            None => match submitted.recv().await {
                Some(pending) => pending,
                None => return "no caller is left that could submit",
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
            if bytes > bytes_max {
                held = Some(pending);
                break;
            }
            batch.push(pending);
        }
        let Some(inner) = service.upgrade() else { return "the node is gone" };
        let tasks = inner.parts.tasks.clone();
        tasks.passing("proposal", async move {
            let groups = batch.iter().map(|pending| (pending.group.clone(), pending.behalf.clone()));
            let attempts = Attempts::new(groups);
            let until = batch.iter().map(|pending| pending.until).max().unwrap_or_else(Instant::now);
            let results = inner.parts.route(attempts, until).await;
            drop(proposal);
            spread(batch, results);
        });
    }
}

fn spread(batch: Vec<Pending>, results: Vec<Result<SubmissionOutcome, Failure>>) {
    let mut results = results.into_iter();
    for pending in batch {
        let lost = || Err(Failure::Unknown("the outcome was lost inside the node".to_owned()));
        pending.end(results.next().unwrap_or_else(lost));
    }
}

impl Parts {
    /// Proposes here or on the leader, repeatedly, until there is an outcome of each group or the deadline passes.
    async fn route(&self, mut attempts: Attempts, until: Instant) -> Vec<Result<SubmissionOutcome, Failure>> {
        let mut last = "no leader is known".to_owned();
        let mut message = attempts.open();
        let mut sent = SentTo::default();
        loop {
            if Instant::now() >= until {
                return attempts.results(&last);
            }
            let attempt = match self.believed_leader() {
                Some(leader) if leader == self.config.node_id => self.propose(&message.groups, until).await,
                Some(leader) => {
                    let left = until.saturating_duration_since(Instant::now());
                    match self.hand_to(leader, &message, left, &mut sent).await {
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
                Ok(outcomes) => {
                    if attempts.judged(outcomes) {
                        return attempts.results(&last);
                    }
                    // What the leader has not judged may be in the log all the same, from an earlier attempt.
                    message = attempts.open();
                }
                Err(SubmitError::Unknown(detail)) => attempts.became_unknown(detail),
                Err(SubmitError::NotLeader { .. }) => {}
                Err(SubmitError::ClockUncertain) if attempts.is_unproposed() => {
                    // If this node is the leader, or has the same problem with its clock, it knows the reason and
                    // names it.
                    return attempts.failed(&Failure::ClockUncertain(self.judged().err()));
                }
                Err(SubmitError::Overloaded) if attempts.is_unproposed() => {
                    return attempts.failed(&Failure::Overloaded("the leader is overloaded".to_owned()));
                }
                Err(SubmitError::ClockUncertain | SubmitError::Overloaded) => {}
            }
            sleep(RETRY_AFTER).await;
        }
    }

    /// Asks the leader to propose these groups, in the form that it knows. The audit trail says to which nodes they
    /// went.
    async fn hand_to(
        &self,
        leader: NodeId,
        message: &SubmitFor,
        within: Duration,
        sent: &mut SentTo,
    ) -> Result<SubmitReply, PeerError> {
        let Some(version) = self.hub.version(leader) else { return Err(PeerError::Unreachable(leader)) };
        let sending = self.sending(leader, AuditClass::Submission, SUBMIT, &message.behalf, sent);
        let answer = if version < BEHALF_SINCE {
            let message = Submit { groups: message.groups.clone() };
            self.hub.call(leader, &message, within).await
        } else {
            self.hub.call(leader, message, within).await
        };
        sending.ended(sent, &answer);
        answer
    }

    /// As leader: stamps the groups with this node's clock, if it may trust it, and proposes them as one entry.
    ///
    /// Rule R142 (RFC-EG-033 §6, timestamp-bound proof continuity): The leader stamps an entry with its clock
    /// and proposes it only if it is sure of its clock (`clock_uncertain`).
    pub(crate) async fn propose(&self, groups: &[Group], until: Instant) -> Result<Outcomes, SubmitError> {
        let Some(proposed_at) = self.sure_now() else { return Err(SubmitError::ClockUncertain) };
        let command = Command { proposed_at, groups: groups.to_vec() };
        // In a version that every voter reads. By the rules in force, each voter has signed that it does.
        let rules = self.verifier.in_force();
        let bytes = Bytes::from(command.encode(rules));
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

    /// As leader only: proposes one statement of this node's own as an entry of its own.
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
