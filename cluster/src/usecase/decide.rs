//! decide: answers the calls that passed one barrier, in slices, short calls first.
//!
//! What passed a barrier is decided on the state behind it, one slice at a time. Each slice has one signature. A long
//! call is decided after the other calls of its round and apart from them, one slice in turn with other long calls.
//! So neither the requests that passed with it nor later ones wait for it. If a request's deadline is over, it is
//! denied without an evaluation. If the deadline passes during its evaluation, the evaluation is interrupted. A call
//! of which nothing is evaluated is shed (`shed.rs`), which costs no signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use assent_proof::{AuthorizeRequest, Code, Millis};
use assent_registry::{Decision, View, authorize, authorize_permitted};
use assent_store::RegistryView;

use super::anchor::Unsure;
use super::answer_budget::{ReservedMemory, SLICE};
use super::barrier::BarrierError;
use super::deadline_rows::DeadlineRows;
use super::joined::{Ask, Question, Reply};
use super::service::Inner;
use super::shed::Shed;
use super::{Answered, Parts};
use crate::access::Account;
use crate::env::blocking;

/// How many evaluations of the longest allowed duration fit into a call's deadline.
const SHARES: u64 = 4;

/// In this last fraction (one part in so many) of a long call's time, none of its requests is evaluated, so that what
/// was decided before is answered in time.
const CLOSING_SHARE: u64 = 8;

/// How long beyond its deadline a long call waits for a turn in which it is told why its barrier was not passed.
const DENIED_WITHIN: Duration = Duration::from_millis(100);

/// Why nothing is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) code: Code,
    /// What is wrong, one sentence.
    pub(super) detail: String,
    /// What to do about it, if that is not the code's own remedy.
    pub(super) remedy: Option<String>,
}

impl Denied {
    /// A reason with the code's own remedy.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), remedy: None }
    }

    /// The reason as a decision.
    pub(super) fn decision(&self, now: Millis) -> Decision {
        match self.remedy.clone() {
            None => Decision::deny(self.code, self.detail.as_str(), now),
            Some(remedy) => Decision::deny_with_remedy(self.code, self.detail.as_str(), remedy, now),
        }
    }
}

impl From<Unsure> for Denied {
    fn from(unsure: Unsure) -> Self {
        let remedy = Some(unsure.remedy().to_owned());
        Self { code: Code::ClockUncertain, detail: unsure.detail(), remedy }
    }
}

/// Why nothing is evaluated behind this barrier. The barrier's own reason comes first: it is the more definite, and
/// needs no clock. Behind a passed barrier nothing is evaluated by a clock that is in doubt.
///
/// Rule R6 (RFC-EG-033 §6, timestamp-bound proof continuity): A question is evaluated only by a clock that
/// the node is sure of, read after the barrier (`clock_uncertain`).
fn denied(passed: Result<(), BarrierError>, sure: Result<Millis, Unsure>) -> Option<Denied> {
    match (passed, sure) {
        (Err(error), Ok(_) | Err(_)) => Some(Denied::new(Code::NoQuorum, error.to_string())),
        (Ok(()), Err(unsure)) => Some(unsure.into()),
        (Ok(()), Ok(_)) => None,
    }
}

/// A request, the question about it, and the deadline.
type Asked<'a> = (Question, &'a AuthorizeRequest, Instant);

/// Answers the calls that passed this barrier, or that failed to. Long calls are answered later, by tasks of their
/// own.
pub(super) async fn answer_all(inner: Arc<Inner>, mut asks: Vec<Ask>, passed: Result<(), BarrierError>) {
    // A caller that gave up was answered already.
    asks.retain(|ask| !ask.reply.is_closed());
    if asks.is_empty() {
        return;
    }
    let parts = &inner.parts;
    // The clock is judged and read after the barrier, in one reading.
    let sure = parts.judged();
    let now = sure.unwrap_or_else(|_| parts.env.clock.now());
    let denied = denied(passed, sure);
    let (long, short): (Vec<Ask>, Vec<Ask>) = asks.into_iter().partition(Ask::is_long);
    if !short.is_empty() {
        let (short, worker, denied) = (in_turns(short), inner.clone(), denied.clone());
        // A failed evaluation drops the replies, and each caller is told that its decision was lost.
        let _ = blocking(&*parts.env.blocking, move || worker.answer_short(short, denied, now)).await;
    }
    for ask in long {
        parts.tasks.passing("long batch", answer_long(inner.clone(), ask, denied.clone(), now));
    }
}

/// Orders the calls in turns of their callers, and the calls of each caller in turns of their domains. So the calls of
/// one caller or of one domain, however many and however costly, delay those of another by no more than the other's own
/// number.
fn in_turns(asks: Vec<Ask>) -> Vec<Ask> {
    let by_domain = one_by_one(asks, |ask| ask.requests.first().map(|request| request.domain.clone()));
    one_by_one(by_domain, |ask| match ask.room.account() {
        // These are not told apart, and keep the order of their domains.
        Account::Common => None,
        account @ (Account::Named(_) | Account::Source(_)) => Some(account.clone()),
    })
}

/// Orders the calls so that the first call of each group comes first, then the second of each, and so on.
fn one_by_one<G: Ord>(asks: Vec<Ask>, group: impl Fn(&Ask) -> G) -> Vec<Ask> {
    let mut seen: BTreeMap<G, usize> = BTreeMap::new();
    let mut asks: Vec<(usize, Ask)> = asks
        .into_iter()
        .map(|ask| {
            let next = seen.entry(group(&ask)).or_default();
            let turn = *next;
            *next = turn.saturating_add(1);
            (turn, ask)
        })
        .collect();
    asks.sort_by_key(|(turn, _)| *turn);
    asks.into_iter().map(|(_, ask)| ask).collect()
}

/// Answers one long call, all of it on one state, one slice whenever its turn comes.
async fn answer_long(inner: Arc<Inner>, ask: Ask, denied: Option<Denied>, now: Millis) {
    let Ask { requests, question, until, reply, room } = ask;
    let closing = Duration::from_millis(inner.parts.config.deadlines.authorize_ms / CLOSING_SHARE);
    let until = match &denied {
        None => until.checked_sub(closing).unwrap_or(until),
        Some(_) => until.max(Instant::now()) + DENIED_WITHIN,
    };
    let mut answers: Vec<Answered> = Vec::with_capacity(requests.len());
    let mut opened = None;
    while answers.len() < requests.len() {
        if reply.is_closed() {
            return;
        }
        let turn = inner.lane.turn(room.account(), until).await.filter(|_| Instant::now() < until);
        let Some(turn) = turn else {
            let shed = Shed::Late("the deadline passed before this request was evaluated".to_owned());
            return answer_rest_unsigned(&inner, &requests, answers, shed, reply).await;
        };
        let (worker, given, from) = (inner.clone(), requests.clone(), answers.len());
        let (denied, kept, account) = (denied.clone(), opened.take(), room.account().clone());
        let work = move || {
            let _turn = turn;
            let rows = kept.unwrap_or_else(|| worker.parts.open(denied, now));
            let slice: Vec<Asked<'_>> =
                given.iter().skip(from).take(SLICE).map(|request| (question, request, until)).collect();
            let some = worker.with_evaluator(&rows, now, |evaluator| evaluator.answer(&account, &slice));
            (rows, some)
        };
        match blocking(&*inner.parts.env.blocking, work).await {
            Ok((rows, Ok(some))) if !some.is_empty() => {
                opened = Some(rows);
                answers.extend(some);
            }
            Ok((_, Err(shed))) => {
                return answer_rest_unsigned(&inner, &requests, answers, shed, reply).await;
            }
            Ok((_, Ok(_))) | Err(_) => return,
        }
    }
    // A caller that went away meanwhile needs no answer.
    let _ = reply.send(Ok(answers));
}

/// Answers a long call whose remaining requests are not evaluated. These are denied without a signature. If nothing
/// was evaluated, the call is shed as a whole.
async fn answer_rest_unsigned(
    inner: &Arc<Inner>,
    requests: &Arc<Vec<AuthorizeRequest>>,
    mut answers: Vec<Answered>,
    shed: Shed,
    reply: Reply,
) {
    // A caller that went away meanwhile needs no answer.
    if answers.is_empty() {
        let _ = reply.send(Err(shed));
        return;
    }
    let (worker, given, from) = (inner.clone(), requests.clone(), answers.len());
    let rest = blocking(&*inner.parts.env.blocking, move || {
        worker.parts.denied_unsigned(given.get(from..).unwrap_or_default(), &shed)
    });
    let Ok(rest) = rest.await else { return };
    answers.extend(rest);
    let _ = reply.send(Ok(answers));
}

impl Parts {
    /// The state to decide on, or why nothing is evaluated.
    ///
    /// Rule R7 (RFC-EG-033 §8, synchronization registries): A node whose own key is not granted and valid in
    /// `_root` denies every question with 503 (`no_quorum`).
    ///
    /// Rule R48 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A row that cannot be read denies, whatever
    /// else was found (`evidence_mutated`).
    fn open(&self, denied: Option<Denied>, now: Millis) -> Result<RegistryView, Denied> {
        if let Some(denied) = denied {
            return Err(denied);
        }
        let rows = self.storage.registry.view().map_err(|error| {
            Denied::new(Code::EvidenceMutated, format!("the store cannot be read: {error}"))
        })?;
        match self.silenced(&rows, now) {
            Ok(None) => Ok(rows),
            // This node cannot know, and another node can, so callers ask another node.
            Ok(Some(silenced)) => Err(Denied::new(Code::NoQuorum, silenced.detail)),
            Err(error) => Err(Denied::new(Code::EvidenceMutated, self.unread(&error))),
        }
    }
}

impl Inner {
    /// Decides calls in slices, and answers each as soon as its slice is signed.
    ///
    /// Rule R8 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A question whose deadline is over is not
    /// evaluated, and an evaluation is interrupted at the call's deadline or once it has taken a quarter of
    /// the time that a call has (`deadline_exceeded`).
    fn answer_short(&self, asks: Vec<Ask>, denied: Option<Denied>, now: Millis) {
        let rows = self.parts.open(denied, now);
        let mut asks = asks.into_iter().peekable();
        while asks.peek().is_some() {
            let (mut slice, mut requests) = (Vec::new(), 0usize);
            while let Some(ask) = asks.next_if(|ask| requests.saturating_add(ask.requests.len()) <= SLICE) {
                // Why a barrier was not passed is worth a signature, even for a caller whose deadline passed in the
                // meantime.
                if rows.is_ok() && Instant::now() >= ask.until {
                    let detail = "the deadline passed before this request was evaluated".to_owned();
                    let _ = ask.reply.send(Err(Shed::Late(detail)));
                    continue;
                }
                requests = requests.saturating_add(ask.requests.len());
                slice.push(ask);
            }
            if slice.is_empty() {
                continue;
            }
            let asked: Vec<Asked<'_>> = slice
                .iter()
                .flat_map(|ask| ask.requests.iter().map(move |request| (ask.question, request, ask.until)))
                .collect();
            let answered =
                self.with_evaluator(&rows, now, |evaluator| evaluator.answer(&Account::Common, &asked));
            // A caller that went away meanwhile needs no answer.
            match answered {
                Ok(answers) => {
                    let mut answers = answers.into_iter();
                    for ask in slice {
                        let own = answers.by_ref().take(ask.requests.len()).collect();
                        let _ = ask.reply.send(Ok(own));
                    }
                }
                Err(shed) => {
                    for ask in slice {
                        let _ = ask.reply.send(Err(shed.clone()));
                    }
                }
            }
        }
    }

    /// Runs `work` with what it takes to decide a slice on these rows. Rows that were read are cached for the slice,
    /// which bounds the memory. A row of a version that this build does not know denies, whatever is asked
    /// afterwards, and ends the node.
    fn with_evaluator<T>(
        &self,
        rows: &Result<RegistryView, Denied>,
        now: Millis,
        work: impl FnOnce(&Evaluator<'_>) -> T,
    ) -> T {
        match rows {
            Ok(rows) => {
                let deadline_rows = DeadlineRows::new(rows);
                let view = View::new(&deadline_rows);
                work(&Evaluator { inner: self, now, state: Ok((&deadline_rows, &view)) })
            }
            Err(denied) => work(&Evaluator { inner: self, now, state: Err(denied) }),
        }
    }
}

/// Decides and signs requests, all on one state.
struct Evaluator<'a> {
    inner: &'a Inner,
    now: Millis,
    state: Result<(&'a DeadlineRows<'a>, &'a View<'a>), &'a Denied>,
}

impl Evaluator<'_> {
    /// Decides a slice and signs it together, or sheds it if there is no room for its answers in the share of this
    /// account. Short calls of several callers are decided together, and share nothing: each is one answer.
    fn answer(&self, account: &Account, asked: &[Asked<'_>]) -> Result<Vec<Answered>, Shed> {
        let room = match &self.state {
            // Denies that were made without an evaluation are small, and the number of waiting requests bounds them.
            Err(_) => None,
            Ok(_) => Some(self.room(account, asked.len())?),
        };
        let mut decided: Vec<(AuthorizeRequest, Decision)> = asked
            .iter()
            .map(|(question, request, until)| ((*request).clone(), self.decide(*question, request, *until)))
            .collect();
        self.allow_nothing_if_stopping(&mut decided);
        Ok(self.inner.parts.sign(&decided, room))
    }

    /// Reserves room for this many answers.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    fn room(&self, account: &Account, answers: usize) -> Result<ReservedMemory, Shed> {
        self.inner.answer_budget.take(account, answers).map_err(|why| {
            let kib = self.inner.parts.config.limits.answer_kib;
            Shed::Overloaded(why.told(|| {
                format!("there is room for answers of {kib} KiB (`limits.answer_kib`), and no more fit")
            }))
        })
    }

    /// Turns every allow of a slice into a deny if this node has a reason to stop, such as a row or rules of a
    /// version that its build does not know. From then on it signs no allow, not even one that it decided before.
    ///
    /// Rule R12 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): Once a decision has met a row or rules of a
    /// version that the build does not know, no decision on that state allows, and the node signs no allow
    /// any more (`evidence_mutated`).
    ///
    /// Rule R52 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): After `conclude` a deny is never replaced by
    /// an allow, an allow is replaced only by a deny, and every allow is replaced once the node has a reason
    /// to stop: its store, Raft, its history or one of its lasting tasks has ended (`evidence_mutated`).
    fn allow_nothing_if_stopping(&self, decided: &mut [(AuthorizeRequest, Decision)]) {
        let parts = &self.inner.parts;
        if let Ok((_, view)) = &self.state
            && let Some(error) = view.takes_another_build()
        {
            parts.stop_if_unknown(&error);
        }
        let Some(cause) = parts.fatal() else { return };
        for (_, decision) in decided.iter_mut().filter(|(_, decision)| decision.is_allow()) {
            *decision = Decision::deny(Code::EvidenceMutated, format!("this node stops: {cause}"), self.now);
        }
    }

    /// Rule R8 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A question whose deadline is over is not
    /// evaluated, and an evaluation is interrupted at the call's deadline or once it has taken a quarter of
    /// the time that a call has (`deadline_exceeded`).
    fn decide(&self, question: Question, request: &AuthorizeRequest, until: Instant) -> Decision {
        let (deadline_rows, view) = match &self.state {
            Ok(state) => *state,
            Err(denied) => return denied.decision(self.now),
        };
        if Instant::now() >= until {
            let detail = "the deadline passed before this request was evaluated";
            return Decision::deny(Code::DeadlineExceeded, detail, self.now);
        }
        // One evaluation gets a share of the call's time, so that the other requests of its round have some left.
        let share = Duration::from_millis(self.inner.parts.config.deadlines.authorize_ms / SHARES);
        let now = Instant::now();
        deadline_rows.until(until.min(now.checked_add(share).unwrap_or(until)));
        match question {
            Question::Read => authorize(view, request, self.now),
            Question::Permitted => authorize_permitted(view, request, self.now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule R6.
    #[test]
    fn a_failed_barrier_gives_its_reason_and_a_clock_in_doubt_evaluates_nothing_after_a_barrier() {
        let unsure = Unsure::TooFarAhead { ahead_ms: i64::MAX };
        for clock in [Ok(Millis(1)), Err(unsure), Err(Unsure::NoQuorum { bound_ms: 500 })] {
            let said = denied(Err(BarrierError::NotVoter), clock).unwrap();
            assert_eq!(said, Denied::new(Code::NoQuorum, "this node is not a voter of the cluster"));
        }
        assert_eq!(denied(Ok(()), Err(unsure)).unwrap().code, Code::ClockUncertain);
        assert_eq!(denied(Ok(()), Ok(Millis(1))), None);
    }

    #[test]
    fn a_denial_for_a_clock_in_doubt_has_the_remedy_of_what_is_wrong_with_it() {
        let behind = Unsure::Behind { behind_ms: 7_000 };
        let decision = Denied::from(behind).decision(Millis(1));
        let [reason] = decision.reasons.as_slice() else { panic!("{decision:?}") };
        assert_eq!((reason.code, reason.detail.as_str()), (Code::ClockUncertain, behind.detail().as_str()));
        assert_eq!(reason.remedy.as_deref(), Some(behind.remedy()));
        assert!(!decision.is_allow());
        let usual = Denied::new(Code::NoQuorum, "why").decision(Millis(1));
        assert_eq!(usual.reasons.first().and_then(|reason| reason.remedy.clone()), None);
    }
}
