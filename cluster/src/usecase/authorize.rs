//! authorize: joins the next read barrier, waits for the decision, and answers in time.
//!
//! A request joins only a barrier that starts after the request arrived. `decide` does what follows the barrier. If
//! anything fails on the way, the answer is a deny that says what failed. An allow comes only from
//! `assent_registry::authorize`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use assent_proof::{AuthorizeRequest, Refusal};

use super::decide::Denied;
use super::joined::{Ask, Joined, Question};
use super::lane::SHORT;
use super::shed::Shed;
use super::{Answered, Caller, Parts, Service, within};
use crate::access::{Account, Denial};
use crate::env::blocking;
use crate::shares::Share;
use crate::tasks::Panicked;

/// How long a caller waits beyond its deadline for the barrier's own reason. After that it is told only that the
/// deadline passed.
const GRACE: Duration = Duration::from_millis(150);

impl Service {
    /// Decides the requests on one view that a quorum has confirmed after they arrived. Always answers, with one
    /// decision for each request, in order. A request in a domain in which the caller may not act is denied.
    pub async fn authorize(&self, caller: &Caller, requests: Vec<AuthorizeRequest>) -> Vec<Answered> {
        self.authorize_by(caller, requests, self.decisions_end(Duration::ZERO)).await
    }

    /// Like [`Service::authorize`], by `until`.
    pub(crate) async fn authorize_by(
        &self,
        caller: &Caller,
        requests: Vec<AuthorizeRequest>,
        until: Instant,
    ) -> Vec<Answered> {
        let requests = Arc::new(requests);
        match self.try_ask_as(caller, &requests, until).await {
            Ok(answers) => answers,
            Err(shed) => self.parts().denied_unsigned(&requests, &shed),
        }
    }

    /// When the decisions are due of a call that has fully arrived now, and that waited so long at the door before.
    pub(crate) fn decisions_end(&self, waited: Duration) -> Instant {
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        within(self.parts().config.deadlines.authorize_ms.saturating_sub(waited_ms))
    }

    /// Decides by `until` those of the requests that the caller may ask, and denies the others without an evaluation.
    ///
    /// # Errors
    /// Why none of those that it may ask was evaluated.
    pub(super) async fn try_ask_as(
        &self,
        caller: &Caller,
        requests: &Arc<Vec<AuthorizeRequest>>,
        until: Instant,
    ) -> Result<Vec<Answered>, Shed> {
        let denials: Vec<Option<Denial>> =
            requests.iter().map(|request| caller.permitted_in(&request.domain).err()).collect();
        if denials.iter().all(Option::is_none) {
            return self.try_ask(&caller.account(), Question::Read, requests, until).await;
        }
        let permitted = requests.iter().zip(&denials).filter(|(_, denial)| denial.is_none());
        let permitted: Vec<AuthorizeRequest> = permitted.map(|(request, _)| request.clone()).collect();
        let mut answers = match permitted.is_empty() {
            true => Vec::new(),
            false => self.try_ask(&caller.account(), Question::Read, &Arc::new(permitted), until).await?,
        }
        .into_iter();
        let parts = self.parts();
        let answered = requests.iter().zip(denials).map(|(request, denial)| match denial {
            Some(denial) => parts.not_permitted(request, &denial),
            None => answers.next().unwrap_or_else(|| parts.denied_one(request, &Shed::Lost)),
        });
        Ok(answered.collect())
    }

    /// Reserves room for the answer to a batch while it is written, including denies that were made without an
    /// evaluation.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    ///
    /// # Errors
    /// Answers that slow callers have not taken yet fill it, or the caller has its share of it.
    pub(crate) fn room_for_batch(&self, account: &Account, bytes: usize) -> Result<Share, Shed> {
        self.inner.batch_room.take(account, bytes.div_ceil(1024)).map_err(|why| {
            Shed::Overloaded(
                why.told(|| "answers to batches that were not taken yet fill `limits.answer_kib`".to_owned()),
            )
        })
    }

    /// Decides the requests. The question is the same for all of them. A request that was not evaluated is denied
    /// without a signature.
    pub(super) async fn ask(
        &self,
        account: &Account,
        question: Question,
        requests: Vec<AuthorizeRequest>,
    ) -> Vec<Answered> {
        let requests = Arc::new(requests);
        let until = within(self.parts().config.deadlines.authorize_ms);
        match self.try_ask(account, question, &requests, until).await {
            Ok(answers) => answers,
            Err(shed) => self.parts().denied_unsigned(&requests, &shed),
        }
    }

    /// Decides the requests by `until`, or says why none of them was evaluated.
    pub(super) async fn try_ask(
        &self,
        account: &Account,
        question: Question,
        requests: &Arc<Vec<AuthorizeRequest>>,
        until: Instant,
    ) -> Result<Vec<Answered>, Shed> {
        let started = Instant::now();
        let answers = match self.enter(account, question, requests, until) {
            Ok(answered) => self.answered(requests, until, answered).await,
            Err(shed) => Err(shed),
        };
        self.parts().metrics.authorize_took(started.elapsed());
        answers
    }

    /// Takes places for the requests and joins the next round, without waiting.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    fn enter(
        &self,
        account: &Account,
        question: Question,
        requests: &Arc<Vec<AuthorizeRequest>>,
        until: Instant,
    ) -> Result<oneshot::Receiver<Result<Vec<Answered>, Shed>>, Shed> {
        let limits = &self.parts().config.limits;
        // Long calls have places of their own, so that they take none from the others.
        let (room, most, of) = if requests.len() > SHORT {
            (self.inner.lane.room(), limits.long_queue(), "in long calls ")
        } else {
            (&self.inner.authorize_room, limits.short_queue(), "")
        };
        let room = room.take(account, requests.len()).map_err(|why| {
            let count = requests.len();
            Shed::Overloaded(why.told(|| {
                format!("there are places for {most} requests {of}(`limits.authorize_queue`), and {count} more do not fit")
            }))
        })?;
        let (reply, answered) = oneshot::channel();
        let ask = Ask { requests: requests.clone(), question, until, reply, room };
        self.join(Joined::Ask(ask)).map_err(Shed::Overloaded)?;
        Ok(answered)
    }

    /// Waits for the round's answer. After the deadline nothing is allowed.
    ///
    /// Rule R55 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): An allow that is not ready by the call's
    /// deadline is not sent (`deadline_exceeded`).
    ///
    /// Rule R56 (RFC-EG-033 §5, execution gateways): An answer is given once, to the call that asked, and a
    /// node stores no answer.
    async fn answered(
        &self,
        requests: &Arc<Vec<AuthorizeRequest>>,
        until: Instant,
        answered: oneshot::Receiver<Result<Vec<Answered>, Shed>>,
    ) -> Result<Vec<Answered>, Shed> {
        let ms = self.parts().config.deadlines.authorize_ms;
        let late = || Shed::Late(format!("no decision within {ms} ms"));
        match timeout_at(until + GRACE, answered).await {
            Ok(Ok(Ok(answers))) if answers.len() == requests.len() => {
                let allows = answers.iter().any(Answered::is_allow);
                if allows && Instant::now() > until {
                    return Err(late());
                }
                Ok(answers)
            }
            Ok(Ok(Err(shed))) => Err(shed),
            Ok(Ok(Ok(_)) | Err(_)) => Err(Shed::Lost),
            Err(_) => Err(late()),
        }
    }

    /// Answers with what `deciding` makes of the request. If `deciding` ends without a decision, even by a panic, the
    /// request is denied: a caller without an answer could assume anything.
    ///
    /// # Errors
    /// The refusal that `deciding` returns.
    pub(crate) async fn decided_or_denied(
        &self,
        request: &AuthorizeRequest,
        deciding: impl Future<Output = Result<Option<Answered>, Refusal>>,
    ) -> Result<Answered, Refusal> {
        match self.parts().tasks.caught("decision on a request", deciding).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(None)) | Err(Panicked) => Ok(self.parts().denied_one(request, &Shed::Lost)),
        }
    }

    /// Denies one request that was looked at. The deny is signed like an evaluated decision.
    pub(super) async fn deny(&self, request: AuthorizeRequest, denied: Denied) -> Option<Answered> {
        let inner = self.inner.clone();
        let denied = blocking(&*self.parts().env.blocking, move || inner.parts.deny(request, &denied));
        denied.await.ok().flatten()
    }
}

impl Parts {
    fn deny(&self, request: AuthorizeRequest, denied: &Denied) -> Option<Answered> {
        let decision = denied.decision(self.env.clock.now());
        self.sign(&[(request, decision)], None).pop()
    }
}
