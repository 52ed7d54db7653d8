//! Runs a command only for as long as it may execute.
//!
//! The decision that starts the command holds for seconds. This process asks again before the decision runs out, and
//! whenever something enters the ledger that could change it. A deny that was judged ends the command at once. If no
//! node knows, the command ends when the last allow ends. So a lost feed delays a deny, but never lets a command run
//! beyond its last allow. The command's guard counts the end of the last allow too, in case this process is stopped or
//! hangs.

mod execution;
mod group;
mod guard;
mod killed;
mod ledger_listener;
mod processes;
mod run_lease;
mod signals;

use std::pin::Pin;
use std::time::Duration;

use assent_client::{Allowed, ClientError, Decision};
use assent_proof::{Cursor, Json, Millis};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use crate::command::authorize::explain;
use crate::exit::{CliError, Exit, unanswered};
use crate::output::Output;
pub(crate) use execution::Execution;
pub(crate) use guard::{become_child, guard};
use ledger_listener::Heard;
pub(crate) use ledger_listener::LedgerListener;
pub(crate) use run_lease::End;
use run_lease::Renewals;
pub(crate) use signals::Signals;

/// The shortest time between two questions, so that many events in a short time lead to one question.
const ASK_APART: Duration = Duration::from_millis(50);
/// The first pause after a question that no node could answer.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// The time between two checks of what is left of the allow: timers stop while the host sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A question under way.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Decision, ClientError>> + Send>>;

/// The grace periods of a watched command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GracePeriods {
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// The time beyond the last allow's end for which the command may go on while no node knows.
    pub(crate) unknown_grace: Duration,
}

/// The last allow, on which the command runs.
pub(crate) struct LastAllow {
    /// The place in the ledger at which it was decided.
    pub(crate) decided_at: Cursor,
    /// How long it holds.
    pub(crate) allowed: Allowed,
    /// What was asked.
    request: Json,
    /// When it was decided, by the node's clock.
    evaluated_at: Millis,
    /// How much was left of it when it came.
    at_first: Duration,
    /// How long the command may go on beyond the allow while no node knows.
    unknown_grace: Duration,
}

impl LastAllow {
    /// What a decision allows; `None` for a deny.
    pub(crate) fn of(decision: &Decision, grace_periods: GracePeriods) -> Option<Self> {
        let allowed = decision.allowed()?.clone();
        let (body, at_first) = (decision.body(), allowed.left());
        Some(Self {
            decided_at: Cursor { history: body.history, revision: body.revision },
            allowed,
            request: body.request.clone(),
            evaluated_at: body.evaluated_at,
            at_first,
            unknown_grace: grace_periods.unknown_grace,
        })
    }

    /// Whether this may be a replayed answer from before `last`: the question was the same, with the same nonce, and
    /// the decision is not later. Its time must not count again from the start.
    fn is_played_back(&self, last: &LastAllow) -> bool {
        self.request.same_as(&last.request) && self.evaluated_at <= last.evaluated_at
    }

    /// How much longer the command may run.
    pub(crate) fn left(&self) -> Duration {
        self.allowed.left().saturating_add(self.unknown_grace).saturating_sub(self.allowed.over_for())
    }

    /// How long to wait before asking again if nothing was heard: until half of the allow's time is left.
    fn to_half(&self) -> Duration {
        self.allowed.left().saturating_sub(self.at_first / 2)
    }
}

/// A command under watch.
pub(crate) struct Watch<F> {
    /// Asks the question.
    pub(crate) ask: F,
    pub(crate) ledger_listener: LedgerListener,
    pub(crate) signals: Signals,
    pub(crate) grace_periods: GracePeriods,
    pub(crate) output: Output,
}

/// Why a command is ended.
enum EndCause {
    /// This program was told to end, with this signal.
    Told(Signal),
    /// The command was denied, for these reasons.
    Denied(String),
    /// No node could still say that the command may go on, for this reason.
    Unknown(String),
}

impl<F: Fn() -> Asking> Watch<F> {
    /// Lets the command run for as long as it may. `last_allow` is the allow that started it.
    pub(crate) async fn run(
        mut self,
        last_allow: LastAllow,
        mut execution: Execution,
    ) -> Result<Exit, CliError> {
        let exit = self.watch(last_allow, &mut execution).await;
        // This also follows an error: nothing is then known of the command, and whatever is left of it is killed.
        execution.clear(self.output).await?;
        exit
    }

    async fn watch(&mut self, last_allow: LastAllow, execution: &mut Execution) -> Result<Exit, CliError> {
        let renewals = execution.renewals();
        let questions = Questions { ask: &self.ask, grace_periods: self.grace_periods, renewals: &renewals };
        let why = tokio::select! {
            status = execution.ended() => return Ok(Exit::of_command(status?)),
            why = until_it_may_not(questions, &mut self.ledger_listener, &mut self.signals, last_allow) => why,
        };
        let (signal, exit) = match why {
            EndCause::Told(signal) => (signal, None),
            EndCause::Denied(detail) => {
                self.stopping("execution_denied", format!("no longer allowed: {detail}"));
                (Signal::SIGTERM, Some(Exit::Stopped))
            }
            EndCause::Unknown(detail) => {
                let detail =
                    format!("the last allow is over, and nobody could say that it may go on: {detail}");
                self.stopping("execution_unconfirmed", detail);
                (Signal::SIGTERM, Some(Exit::StoppedUnknown))
            }
        };
        let status = execution.stop(signal, self.grace_periods.grace).await?;
        Ok(exit.unwrap_or_else(|| Exit::of_command(status)))
    }

    fn stopping(&self, code: &str, detail: String) {
        let remedy = "resolve the reasons, and start the command again once it is allowed";
        self.output.error(&CliError::new(code, format!("the command is stopped: {detail}"), remedy));
    }
}

/// The function that asks, and the guard that is told until when the command may run.
struct Questions<'a, F> {
    ask: &'a F,
    grace_periods: GracePeriods,
    renewals: &'a Renewals,
}

/// Asks and listens until the command may no longer run, and keeps telling the guard until when it may run.
async fn until_it_may_not<F: Fn() -> Asking>(
    Questions { ask, grace_periods, renewals }: Questions<'_, F>,
    ledger_listener: &mut LedgerListener,
    signals: &mut Signals,
    mut last_allow: LastAllow,
) -> EndCause {
    let mut asking: Option<Asking> = None;
    // What had been heard when the current question was asked, and when the question of `last_allow` was asked. The
    // listener began earlier, and may already have heard something.
    let mut asked_about = Heard::nothing_since(last_allow.decided_at);
    let mut asking_about = asked_about;
    let (mut asked_last, mut retry_at) = (Instant::now(), None);
    let (mut retry, mut problem) = (RETRY_MIN, "no answer came in time".to_owned());
    loop {
        let now = End::now();
        let left = last_allow.left();
        if left.is_zero() {
            return EndCause::Unknown(problem);
        }
        renewals.renew(now.plus(left));
        // Something that was heard after the last decision may have changed it.
        let heard = ledger_listener.heard().is_news(last_allow.decided_at, &asked_about);
        // Counted anew each time: after a sleep of the host less is left than the timers know.
        let next = retry_at.unwrap_or_else(|| Instant::now() + last_allow.to_half());
        let due = if heard { next.min(asked_last + ASK_APART) } else { next };
        let look = Instant::now() + left.min(LOOK_EVERY);
        tokio::select! {
            signal = signals.next() => return EndCause::Told(signal),
            () = sleep_until(look) => {}
            () = ledger_listener.changed(), if !heard && asking.is_none() => {}
            () = sleep_until(due), if asking.is_none() => {
                asked_last = Instant::now();
                asking_about = ledger_listener.heard();
                asking = Some(ask());
            }
            answer = answered(&mut asking) => {
                asking = None;
                match answer {
                    Ok(decision) => match LastAllow::of(&decision, grace_periods) {
                        Some(fresh) if fresh.is_played_back(&last_allow) => {
                            problem = "the answer to an earlier question came again".to_owned();
                        }
                        Some(fresh) => {
                            (last_allow, retry_at, retry) = (fresh, None, RETRY_MIN);
                            asked_about = asking_about;
                            continue;
                        }
                        None if !decision.is_cannot_know() => return EndCause::Denied(explain(&decision)),
                        None => problem = explain(&decision),
                    },
                    Err(error) => {
                        let error = unanswered(error);
                        // A deny that this build cannot read in full is a deny.
                        if error.exit == Exit::Deny {
                            return EndCause::Denied(error.detail);
                        }
                        problem = error.detail;
                    }
                }
                // No node knows. The question about what was heard is still open, but it is not asked faster than
                // this.
                asked_last = Instant::now() + retry;
                retry_at = Some(asked_last);
                retry = retry.saturating_mul(2).min(RETRY_MAX);
            }
        }
    }
}

async fn answered(asking: &mut Option<Asking>) -> Result<Decision, ClientError> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, FakeClock};

    const SECOND: Duration = Duration::from_secs(1);

    async fn last_allow(clock: &std::sync::Arc<FakeClock>, unknown_grace: Duration) -> LastAllow {
        let grace_periods = GracePeriods { grace: Duration::ZERO, unknown_grace };
        LastAllow::of(&fake::allow(clock).await, grace_periods).unwrap()
    }

    #[tokio::test]
    async fn a_watched_command_runs_no_longer_than_its_allow_though_the_wall_clock_is_slow() {
        let clock = FakeClock::an_hour_slow();
        let last_allow = last_allow(&clock, Duration::ZERO).await;
        assert_eq!((last_allow.left(), last_allow.to_half()), (fake::LASTS, fake::LASTS / 2));
        clock.pass(fake::LASTS - SECOND);
        assert_eq!((last_allow.left(), last_allow.to_half()), (SECOND, Duration::ZERO));
        clock.pass(SECOND);
        assert_eq!(last_allow.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_watched_command_may_not_go_on_after_its_host_slept_through_the_allow() {
        let clock = FakeClock::an_hour_slow();
        let last_allow = last_allow(&clock, Duration::ZERO).await;
        clock.suspend(60 * SECOND);
        assert_eq!(last_allow.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_allow_that_is_played_back_is_none_to_go_on_with() {
        let clock = FakeClock::an_hour_slow();
        let first = last_allow(&clock, Duration::ZERO).await;
        let mut second = last_allow(&clock, Duration::ZERO).await;
        assert!(second.is_played_back(&first));
        second.evaluated_at = second.evaluated_at.saturating_add(1);
        assert!(!second.is_played_back(&first) && first.is_played_back(&second));
        second.request = Json::object([("nonce", Json::Text("another".to_owned()))]);
        assert!(!first.is_played_back(&second));
    }

    #[tokio::test]
    async fn the_grace_for_the_unknown_counts_from_the_end_of_the_allow() {
        let clock = FakeClock::an_hour_slow();
        let last_allow = last_allow(&clock, 5 * SECOND).await;
        assert_eq!(last_allow.left(), fake::LASTS + 5 * SECOND);
        clock.suspend(fake::LASTS + 3 * SECOND);
        assert_eq!(last_allow.left(), 2 * SECOND);
        clock.pass(2 * SECOND);
        assert_eq!(last_allow.left(), Duration::ZERO);
    }
}
