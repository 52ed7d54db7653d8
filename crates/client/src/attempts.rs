//! How the time of one call is shared among its endpoints.
//!
//! An attempt gets its share of the time that is left until the deadline. So an endpoint that accepts a connection and
//! never answers leaves time for the other endpoints. A call that leaves no trace (a single authorize, a read) is also
//! made at a second endpoint while the first one is silent. A call that uses something up (a permit), changes
//! something, or costs a node much (a batch) is made at one endpoint at a time. An endpoint that answers with
//! `Retry-After` is not asked during that time.
//!
//! If one of two endpoints that are asked at the same time allows, the client looks at what has come from the other
//! one. If a deny has begun there, the deny is the answer, even if the rest of it never comes.
//!
//! An answer that is not the API's counts as no answer, and so does an allow that cannot be relied on. The next
//! endpoint is then asked, and the client does not prefer this one.

use assent_api::Retry;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::answer::{NoAnswer, Unread};
use crate::client::Client;
use crate::error::ClientError;
use crate::tls_failure::Refusing;
use crate::transport::{Answer, Ask, Failure};

/// The shortest share of an attempt, however many endpoints there are, unless less time is left.
const SHARE_MIN: Duration = Duration::from_millis(250);

/// The most endpoints that one call waits for at the same time.
const UNDER_WAY_MAX: usize = 2;

/// The pause before a node is asked again, if it says to ask again and does not say when.
const PAUSE_HERE: Duration = Duration::from_millis(250);

impl Client {
    /// Asks the endpoints until one gives a final answer that `read` can read. Each endpoint is asked once, but one
    /// that says to ask it again ([`Retry::Here`]) is asked until the deadline. This is only for calls that may be
    /// made twice.
    pub(crate) async fn ask<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Answer) -> Result<T, Unread>,
    ) -> Result<T, ClientError> {
        let mut no_answer = NoAnswer::default();
        match self.ask_all(ask, &mut no_answer, read).await {
            Some(said) => said,
            None => Err(no_answer.into()),
        }
    }

    /// Asks the endpoints like [`ask`](Self::ask). It returns `None` if no endpoint gave an answer. Everything that
    /// came back and is not an answer is noted in `no_answer`, even if a later endpoint gave an answer.
    pub(crate) async fn ask_all<T>(
        &self,
        ask: &Ask,
        no_answer: &mut NoAnswer,
        read: impl Fn(&Answer) -> Result<T, Unread>,
    ) -> Option<Result<T, ClientError>> {
        let until = self.deadline();
        let mut places = self.endpoints().in_turn().into_iter();
        let mut under_way = FuturesUnordered::new();
        let (settle, settled) = watch::channel(());
        let mut ask_next = true;
        let mut hedge_at = until;
        loop {
            if ask_next {
                let share = self.share(until, places.len());
                if let Some(place) = places.next() {
                    under_way.push(self.attempt_at(place, ask, None, share, settled.clone()));
                    hedge_at = self.hedge_at(share, until);
                }
            }
            ask_next = false;
            let room = !places.as_slice().is_empty() && under_way.len() < UNDER_WAY_MAX;
            let may_hedge = ask.hedged && room && hedge_at < until;
            tokio::select! {
                biased;
                done = under_way.next() => {
                    let (place, result) = done?;
                    match result.map(|answer| (answer.retry(), answer)) {
                        Ok((Retry::Final, answer)) => {
                            let said = match read(&answer) {
                                Ok(said) => {
                                    settle.send_replace(());
                                    let denies = denies_of(&mut under_way).await;
                                    denies.iter().find_map(|deny| final_of(read(deny))).unwrap_or(Ok(said))
                                }
                                Err(unread) => match no_answer.unread(&answer.endpoint, unread) {
                                    Err(error) => Err(error),
                                    Ok(()) => {
                                        self.endpoints().turn_from(place);
                                        ask_next = true;
                                        continue;
                                    }
                                },
                            };
                            if matches!(said, Err(ClientError::Untrusted { .. })) {
                                // A batch with a deny ends the call like this. The next call may do better at another
                                // endpoint.
                                self.endpoints().turn_from(place);
                            } else {
                                self.endpoints().prefer(place);
                            }
                            return Some(said);
                        }
                        Ok((Retry::Here, answer)) => {
                            let again_at = later(answer.retry_after.unwrap_or(PAUSE_HERE));
                            if again_at >= until {
                                return Some(read(&answer).map_err(|unread| NoAnswer::only(&answer, unread)));
                            }
                            let left = until.saturating_duration_since(again_at);
                            let share = share_of(left, 1, self.config().attempt_timeout);
                            under_way.push(self.attempt_at(place, ask, Some(again_at), share, settled.clone()));
                            continue;
                        }
                        Ok((Retry::Elsewhere, answer)) => no_answer.answered(answer),
                        Err(failure) => no_answer.failed(self.endpoints().at(place), &failure),
                    }
                    self.endpoints().turn_from(place);
                    ask_next = true;
                }
                () = sleep_until(hedge_at), if may_hedge => ask_next = true,
            }
        }
    }

    /// One attempt at the endpoint at this place, now or from `begin` on, and for at most `within`. It ends at once
    /// when the call is settled by another endpoint's answer.
    async fn attempt_at(
        &self,
        place: usize,
        ask: &Ask,
        begin: Option<Instant>,
        within: Duration,
        mut settled: watch::Receiver<()>,
    ) -> (usize, Result<Answer, Failure>) {
        if let Some(begin) = begin {
            tokio::select! {
                () = sleep_until(begin) => {}
                _ = settled.changed() => {
                    return (place, Err(Failure::NotSent("another endpoint answered first".to_owned())));
                }
            }
        }
        let given_up = async {
            let _ = settled.changed().await;
        };
        (place, self.attempt_until(self.endpoints().at(place), ask, within, given_up).await)
    }

    /// When a call that starts now must be over.
    pub(crate) fn deadline(&self) -> Instant {
        later(self.config().deadline)
    }

    /// How long one attempt may take if `endpoints` endpoints, this one included, are still to be asked before
    /// `until`.
    pub(crate) fn share(&self, until: Instant, endpoints: usize) -> Duration {
        share_of(until.saturating_duration_since(Instant::now()), endpoints, self.config().attempt_timeout)
    }

    /// When a second endpoint is asked if the first one, which has `share` to answer, is silent.
    fn hedge_at(&self, share: Duration, until: Instant) -> Instant {
        let quarter = share.checked_div(4).unwrap_or(share);
        later(self.config().hedge_after.unwrap_or(quarter)).min(until)
    }
}

/// The final denies that the attempts under way have brought or begun. The attempts must have been given up, so that
/// each ends at once.
async fn denies_of(
    under_way: &mut FuturesUnordered<impl Future<Output = (usize, Result<Answer, Failure>)>>,
) -> Vec<Answer> {
    let mut denies = Vec::new();
    while let Some((_, result)) = under_way.next().await {
        denies.extend(
            result.ok().filter(|answer| answer.retry() == Retry::Final && answer.has_a_denys_shape()),
        );
    }
    denies
}

/// What an answer says if it ends a call.
fn final_of<T>(read: Result<T, Unread>) -> Option<Result<T, ClientError>> {
    match read {
        Ok(said) => Some(Ok(said)),
        Err(Unread::Said(error)) => Some(Err(error)),
        Err(Unread::Foreign(_) | Unread::Cannot(_) | Unread::Untrusted(_)) => None,
    }
}

/// The share of one endpoint in the time that is left for `endpoints` endpoints.
pub(crate) fn share_of(left: Duration, endpoints: usize, attempt_timeout: Duration) -> Duration {
    let endpoints = u32::try_from(endpoints).unwrap_or(u32::MAX);
    left.checked_div(endpoints).unwrap_or(left).max(SHARE_MIN).min(attempt_timeout).min(left)
}

/// The point in time that is `duration` from now.
pub(crate) fn later(duration: Duration) -> Instant {
    let now = Instant::now();
    // A duration that overflows is longer than any program runs.
    now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}

/// Until when each endpoint is not asked, and whether it is worth asking any of them again. It lasts for one call.
///
/// An endpoint that answered with `Retry-After` rests for that time. An endpoint with which there is no TLS, or that is
/// not a node, rests for good: neither side's certificates change within a call. If a node refuses the caller's
/// certificate, that may be the trouble of this node alone, such as an old list of revoked certificates. So every other
/// endpoint is asked once. If none of them takes the caller's connection either, the call ends.
#[derive(Debug)]
pub(crate) struct Rests {
    until: Vec<Instant>,
    /// Whether a node has refused the caller's certificate.
    is_caller_refused: bool,
    /// Whether a node has taken a request of the caller, or may have.
    is_caller_taken: bool,
}

impl Rests {
    /// All endpoints may be asked at once.
    pub(crate) fn new(endpoints: usize) -> Self {
        Rests { until: vec![Instant::now(); endpoints], is_caller_refused: false, is_caller_taken: false }
    }

    /// Notes that the node at this place has answered that it cannot do it, and its `Retry-After`.
    pub(crate) fn note(&mut self, place: usize, answer: &Answer) {
        self.is_caller_taken = true;
        if let (Some(rest), Some(said)) = (self.until.get_mut(place), answer.retry_after) {
            *rest = later(said);
        }
    }

    /// Notes why the endpoint at this place gave no answer.
    pub(crate) fn failed(&mut self, place: usize, failure: &Failure) {
        match failure {
            Failure::NotSent(_) => {}
            Failure::MaybeSent(_) => self.is_caller_taken = true,
            Failure::NotTheApi(_) => self.for_good(place),
            Failure::Tls(failure) => {
                self.is_caller_refused |= failure.refusing == Refusing::Node;
                self.for_good(place);
            }
        }
    }

    /// Excludes the endpoint at this place for the rest of the call.
    pub(crate) fn for_good(&mut self, place: usize) {
        if let Some(rest) = self.until.get_mut(place) {
            *rest = later(Duration::MAX);
        }
    }

    /// Whether the caller is refused, once every endpoint was asked: a node has refused its certificate, and no other
    /// node has taken a request of it.
    pub(crate) fn is_refused_by_all(&self) -> bool {
        self.is_caller_refused && !self.is_caller_taken
    }

    /// Whether the endpoint at this place may be asked now.
    pub(crate) fn is_over(&self, place: usize) -> bool {
        self.until.get(place).is_none_or(|rest| *rest <= Instant::now())
    }

    /// When the first endpoint may be asked.
    pub(crate) fn first_over(&self) -> Instant {
        self.until.iter().min().copied().unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempts_share_leaves_as_much_for_each_endpoint_after_it() {
        let (second, long) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(share_of(9 * second, 3, long), 3 * second);
        assert_eq!(share_of(9 * second, 1, long), 9 * second);
        assert_eq!(share_of(9 * second, 3, second), second, "no more than an attempt may take");
        assert_eq!(share_of(second, 64, long), SHARE_MIN, "enough for an answer");
        assert_eq!(share_of(SHARE_MIN / 2, 3, long), SHARE_MIN / 2, "no more than is left");
        assert_eq!(share_of(second, 0, long), second);
    }
}
