//! submit: checks envelopes here (`check.rs`), proposes them on the leader (`propose.rs`), and answers with the
//! receipts.
//!
//! The receiving node verifies the signatures at once, so what is plainly wrong is never proposed. A call takes its
//! places first (`urgency.rs`), and a large batch does so before it is read (`batch.rs`). A call without places is
//! shed before anything is done for it. A batch that is shed has one problem for all of its envelopes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use assent_api::{BatchMode, Call, Problem};
use assent_proof::{Code, Refusal};
use assent_registry::Group;

use super::check::{Looked, Sender, Unfit};
use super::growth::Charge;
use super::on_behalf::behalf_of;
use super::pending::{Failure, Pending, SubmissionOutcome};
use super::shed::Shed;
use super::submitted::{Submitted, answer, failed, refused};
use super::urgency::{HeldPlaces, Urgency, Weighed};
use super::{Caller, Service, within};
use crate::access::Account;
use crate::metrics::{EnvelopeOutcome, Metrics};
use crate::peer::Behalf;
use crate::shares::Share;

/// Who sent the envelopes of a call, and how.
pub(super) struct Sent<'a> {
    pub(super) sender: Sender,
    /// Whose places they take.
    pub(super) account: Account,
    /// For whom they are handed in. They are in domains in which this caller may act.
    pub(super) caller: &'a Caller,
    pub(super) mode: BatchMode,
}

/// The envelopes of a call, with what was found about each.
struct Checked {
    envelopes: Vec<Bytes>,
    /// Why each is not proposed, or none if it may be proposed.
    unfit: Vec<Option<Unfit>>,
    /// What the issuers were charged, by the place of the envelope.
    charges: BTreeMap<usize, Charge>,
}

impl Service {
    /// Submits one envelope, byte for byte.
    pub async fn submit(&self, caller: &Caller, envelope: Bytes) -> Submitted {
        self.submit_one(caller, Weighed::of(vec![envelope]), self.submissions_end()).await
    }

    /// Submits one envelope. The answer is due at `until`.
    pub(crate) async fn submit_one(&self, caller: &Caller, envelope: Weighed, until: Instant) -> Submitted {
        let sent = Sent { sender: Sender::Client, account: caller.account(), caller, mode: BatchMode::Each };
        only(self.submit_as(sent, envelope, None, until).await)
    }

    /// Submits envelopes in order. With `all`, either all of them are accepted or none. Returns one answer for each
    /// envelope, in order.
    ///
    /// # Errors
    /// The one problem of all of them, if nothing was proposed and none of them was judged.
    pub async fn submit_batch(
        &self,
        caller: &Caller,
        mode: BatchMode,
        envelopes: Vec<Bytes>,
    ) -> Result<Vec<Submitted>, Box<Problem>> {
        let sent = Sent { sender: Sender::Client, account: caller.account(), caller, mode };
        self.submit_as(sent, Weighed::of(envelopes), None, self.submissions_end()).await
    }

    /// Submits a statement of this node's own: a permit, which takes a place in the share of the account that asked for
    /// it.
    pub(super) async fn submit_nodes(&self, account: &Account, envelope: Bytes) -> Submitted {
        let until = self.submissions_end();
        let sent = Sent {
            sender: Sender::Node,
            account: account.clone(),
            caller: Caller::node(),
            mode: BatchMode::Each,
        };
        only(self.submit_as(sent, Weighed::of(vec![envelope]), None, until).await)
    }

    /// When the answer is due to a submission that has fully arrived now.
    pub(crate) fn submissions_end(&self) -> Instant {
        within(self.parts().config.deadlines.submit_ms)
    }

    /// This many envelopes, whose outcome is not counted yet.
    pub(super) fn uncounted(&self, envelopes: usize) -> Uncounted<'_> {
        Uncounted { metrics: &self.parts().metrics, envelopes }
    }

    /// Submits envelopes for a caller, if it may submit them. They may have taken places before they were read. The answer
    /// is due at `until`.
    pub(super) async fn submit_as(
        &self,
        sent: Sent<'_>,
        weighed: Weighed,
        held_places: Option<HeldPlaces<'_>>,
        until: Instant,
    ) -> Result<Vec<Submitted>, Box<Problem>> {
        let started = Instant::now();
        let Sent { sender, account, caller, mode } = sent;
        let Weighed { envelopes, urgency } = weighed;
        let count = envelopes.len();
        let uncounted = self.uncounted(count);
        let held_places = match held_places {
            Some(held_places) => held_places.turned_out(urgency, count),
            None => HeldPlaces::take(&self.inner.places, &account, urgency, count),
        };
        // Without a place, not even a narrowed caller's domains are looked for.
        let permitted = match held_places {
            Ok(held_places) => self.permitted_envelopes(caller, &envelopes).await.map(|()| held_places),
            Err(full) => Err(Shed::Overloaded(full).problem(Call::Submission)),
        };
        let results = match permitted {
            Ok(mut held_places) => {
                let behalf = behalf_of(caller);
                let Looked { unfit, charges } = self.check(sender, &mut held_places, &envelopes, until).await;
                let results = match (mode, unfit.iter().any(Option::is_some)) {
                    (BatchMode::All, true) => all_refused(&unfit),
                    _ => {
                        let checked = Checked { envelopes, unfit, charges };
                        let places = held_places.into_places();
                        self.propose_checked((mode, behalf), urgency, places, checked, until).await
                    }
                };
                unless_shed(results)
            }
            Err(problem) => Err(problem),
        };
        match &results {
            Ok(results) => uncounted.became_each(results),
            Err(problem) => uncounted.became_all(&Submitted::NotTaken(problem.clone())),
        }
        self.parts().metrics.submit_took(started.elapsed());
        results
    }

    /// Proposes the envelopes that passed the check, and puts the answers in the given order.
    async fn propose_checked(
        &self,
        on: (BatchMode, Behalf),
        urgency: Urgency,
        mut places: Share,
        Checked { envelopes, unfit, mut charges }: Checked,
        until: Instant,
    ) -> Vec<Submitted> {
        let mut good = Vec::new();
        for (place, (envelope, unfit)) in envelopes.into_iter().zip(&unfit).enumerate() {
            if unfit.is_none() {
                good.push((envelope, charges.remove(&place)));
            }
        }
        // What is not proposed costs its issuers nothing.
        drop(charges);
        let count = good.len();
        // Envelopes that are not proposed give their places back.
        places.keep(count);
        let mut outcomes = match count {
            0 => Vec::new(),
            _ => match self.enqueue(on, urgency, places, good, until).await {
                Ok(SubmissionOutcome { outcomes, history }) if outcomes.len() == count => {
                    let told = outcomes.into_iter().map(|outcome| match outcome {
                        Ok(outcome) => answer(outcome, history),
                        Err(failure) => failed(&failure),
                    });
                    told.collect()
                }
                Ok(_) => vec![failed(&Failure::Unknown("the log entry did not decode".to_owned())); count],
                Err(failure) => vec![failed(&failure); count],
            },
        }
        .into_iter();
        unfit
            .iter()
            .map(|unfit| match unfit {
                Some(unfit) => refused(&unfit.refusal, unfit.history),
                None => outcomes.next().unwrap_or_else(lost),
            })
            .collect()
    }

    async fn enqueue(
        &self,
        (mode, behalf): (BatchMode, Behalf),
        urgency: Urgency,
        places: Share,
        charged: Vec<(Bytes, Option<Charge>)>,
        until: Instant,
    ) -> Result<SubmissionOutcome, Failure> {
        let (envelopes, charges): (Vec<Bytes>, Vec<Option<Charge>>) = charged.into_iter().unzip();
        let bytes = envelopes.iter().map(Bytes::len).sum();
        let (reply, outcome) = oneshot::channel();
        let group = Group { atomic: mode == BatchMode::All, envelopes };
        // From here on the proposer settles the charges, whether the caller stays or not.
        let pending = Pending { group, behalf, bytes, until, reply, charges, _places: places };
        // Each envelope has a place, and the queue has as many entries as there are places, so it has room for each
        // of them.
        self.inner
            .submissions
            .of(urgency)
            .try_send(pending)
            .map_err(|_| Failure::Overloaded("too many envelopes wait to be proposed".to_owned()))?;
        // The proposer answers by the deadline. This timeout is only for a proposer that was lost.
        match timeout_at(until + Duration::from_secs(1), outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::Unknown("the node is stopping".to_owned())),
            Err(_) => Err(Failure::Unknown("no answer within the deadline".to_owned())),
        }
    }
}

/// Envelopes whose outcome is not counted yet. If the work on them panics, each counts as an internal error.
pub(super) struct Uncounted<'a> {
    metrics: &'a Metrics,
    envelopes: usize,
}

impl Uncounted<'_> {
    /// Sets the number of envelopes, once it is known.
    pub(super) fn are(&mut self, envelopes: usize) {
        self.envelopes = envelopes;
    }

    /// Counts the same outcome for all of them.
    pub(super) fn became_all(mut self, result: &Submitted) {
        self.metrics.submitted(&EnvelopeOutcome::from(result), std::mem::take(&mut self.envelopes));
    }

    /// Counts each envelope's own outcome.
    fn became_each(mut self, results: &[Submitted]) {
        self.envelopes = 0;
        for result in results {
            self.metrics.submitted(&EnvelopeOutcome::from(result), 1);
        }
    }
}

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        // A caller that left changes nothing in the count.
        if std::thread::panicking() {
            self.metrics.submitted(&EnvelopeOutcome::Refused(Code::InternalError), self.envelopes);
        }
    }
}

/// The answer to the only envelope of a call.
fn only(results: Result<Vec<Submitted>, Box<Problem>>) -> Submitted {
    match results {
        Ok(mut results) => results.pop().unwrap_or_else(lost),
        Err(problem) => Submitted::NotTaken(problem),
    }
}

/// The answers. If nothing was proposed and none of the envelopes was judged, all with the same code, it is the one
/// problem of all of them: that of the first, although the others may have another text. A thousand equal problems
/// would cost this node more than shedding the batch did.
fn unless_shed(results: Vec<Submitted>) -> Result<Vec<Submitted>, Box<Problem>> {
    let shed = match results.as_slice() {
        [Submitted::NotTaken(first), others @ ..] => {
            // In a batch that is all or nothing, an envelope that is refused because of another one was looked at.
            // Its problem names a field.
            let is_same = |other: &Submitted| match other {
                Submitted::NotTaken(problem) => problem.code == first.code && problem.field == first.field,
                Submitted::Accepted { .. } | Submitted::Refused(_) | Submitted::Unknown(_) => false,
            };
            others.iter().all(is_same).then(|| first.clone())
        }
        _ => None,
    };
    shed.map_or(Ok(results), Err)
}

/// It may have been proposed, and no more is known.
fn lost() -> Submitted {
    failed(&Failure::Unknown("the answer was lost inside the node".to_owned()))
}

/// One bad envelope in a batch that is all or nothing: nothing is proposed.
fn all_refused(unfit: &[Option<Unfit>]) -> Vec<Submitted> {
    let first = unfit.iter().enumerate().find_map(|(place, unfit)| unfit.as_ref().map(|why| (place, why)));
    unfit
        .iter()
        .map(|unfit| match (unfit, first) {
            (Some(unfit), _) => refused(&unfit.refusal, unfit.history),
            (None, Some((place, cause))) => refused(&Refusal::of_batch(place, &cause.refusal), cause.history),
            (None, None) => failed(&Failure::NoQuorum("not proposed".to_owned())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_answered_with_one_problem_only_if_all_envelopes_were_shed_with_one_code() {
        let judged = |code| refused(&Refusal::new(code, "as told"), None);
        let full = || judged(Code::Overloaded);
        let shed = unless_shed(vec![full(), full(), full()]).expect_err("it was shed");
        assert_eq!((shed.code, shed.status), (Code::Overloaded, 429));
        // In the words that the first of them is told.
        let elsewhere = Refusal::new(Code::Overloaded, "for another reason");
        let shed = unless_shed(vec![full(), refused(&elsewhere, None)]).expect_err("it was shed");
        assert_eq!((shed.code, shed.detail.as_str()), (Code::Overloaded, "as told"));
        for results in [
            vec![],
            // Final, so that each is told.
            vec![judged(Code::Malformed), judged(Code::Malformed)],
            vec![full(), judged(Code::Malformed)],
            vec![full(), judged(Code::DeadlineExceeded)],
            // It is all or nothing, and the second one was looked at.
            vec![full(), refused(&Refusal::of_batch(0, &elsewhere), None)],
            // Unknown, so that each may have been accepted.
            vec![lost(), lost()],
        ] {
            assert_eq!(unless_shed(results.clone()), Ok(results));
        }
    }
}
