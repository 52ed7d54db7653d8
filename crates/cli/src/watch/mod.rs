//! A command that runs only as long as it may.
//!
//! The decision that started it holds for seconds. It is asked anew before it runs out, and whenever something enters the
//! ledger that could change it. A deny that is a judgement ends the command at once; where nobody knows, the last allow's
//! own end does. So a lost feed costs promptness, never safety.

mod execution;
mod group;
mod hearing;

use std::pin::Pin;
use std::time::Duration;

use assent_client::{ClientError, Decision};
use assent_proof::Millis;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use crate::command::authorize::{explain, unanswered};
use crate::edge;
use crate::exit::{CliError, Exit};
use crate::output::Output;
pub(crate) use execution::{Execution, Signals, become_child, guard};
pub(crate) use hearing::Hearing;

/// Events that come thick and fast are asked about together, once in so long.
const ASK_APART: Duration = Duration::from_millis(50);
/// Pauses between questions that nobody could answer.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How often the wall clock is looked at: timers stand still while a machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A question under way.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Decision, ClientError>> + Send>>;

/// How long to be patient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// Beyond the last allow's end, while nobody knows.
    pub(crate) unknown_grace: Duration,
}

/// Until when the last allow holds, by both clocks; whichever comes first counts.
struct Standing {
    revision: u64,
    until: Instant,
    until_wall: Millis,
}

impl Standing {
    fn of(decision: &Decision, patience: Patience) -> Self {
        let now = edge::now();
        let valid_until = decision.body().valid_until;
        let left = u64::try_from(valid_until.0.saturating_sub(now.0)).unwrap_or(0);
        let more = patience.unknown_grace;
        let more_ms = i64::try_from(more.as_millis()).unwrap_or(i64::MAX);
        Self {
            revision: decision.body().revision,
            until: Instant::now() + Duration::from_millis(left) + more,
            until_wall: valid_until.saturating_add(more_ms),
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until || edge::now() >= self.until_wall
    }
}

/// A command under watch.
pub(crate) struct Watch<F> {
    /// Asks the question.
    pub(crate) ask: F,
    pub(crate) hearing: Hearing,
    pub(crate) signals: Signals,
    pub(crate) patience: Patience,
    pub(crate) output: Output,
}

/// Why a command is ended.
enum Why {
    /// Somebody told this program to end.
    Told(Signal),
    /// Judged.
    Denied(Box<Decision>),
    /// Nobody could say any more that it may go on.
    Unknown(String),
}

impl<F: Fn() -> Asking> Watch<F> {
    /// Lets the command run as long as it may, `allowed` being the decision that started it.
    pub(crate) async fn run(
        mut self,
        allowed: &Decision,
        mut execution: Execution,
    ) -> Result<Exit, CliError> {
        let exit = self.watch(allowed, &mut execution).await?;
        // After an error it is not told, and kills what may be left.
        execution.dismiss().await;
        Ok(exit)
    }

    async fn watch(&mut self, allowed: &Decision, execution: &mut Execution) -> Result<Exit, CliError> {
        let why = tokio::select! {
            status = execution.ended() => {
                let status = status?;
                if execution.is_left_behind() {
                    self.output.say("the command has ended; what it left behind is stopped, since nobody watches it");
                    execution.stop(Signal::SIGTERM, self.patience.grace).await?;
                }
                return Ok(Exit::of_command(status));
            }
            why = until_it_may_not(&self.ask, &mut self.hearing, &mut self.signals, self.patience, allowed) => why,
        };
        let (signal, exit) = match why {
            Why::Told(signal) => (signal, None),
            Why::Denied(decision) => {
                self.stopping("execution_denied", format!("no longer allowed: {}", explain(&decision)));
                (Signal::SIGTERM, Some(Exit::Stopped))
            }
            Why::Unknown(detail) => {
                let detail =
                    format!("the last allow is over, and nobody could say that it may go on: {detail}");
                self.stopping("execution_unconfirmed", detail);
                (Signal::SIGTERM, Some(Exit::StoppedUnknown))
            }
        };
        let status = execution.stop(signal, self.patience.grace).await?;
        Ok(exit.unwrap_or_else(|| Exit::of_command(status)))
    }

    fn stopping(&self, code: &str, detail: String) {
        let remedy = "mend what denies it, and start it anew once it is allowed";
        self.output.error(&CliError::new(code, format!("the command is stopped: {detail}"), remedy));
    }
}

/// Asks and hears until the command may go on no longer.
async fn until_it_may_not<F: Fn() -> Asking>(
    ask: &F,
    hearing: &mut Hearing,
    signals: &mut Signals,
    patience: Patience,
    allowed: &Decision,
) -> Why {
    let mut standing = Standing::of(allowed, patience);
    let mut asking: Option<Asking> = None;
    let mut next = halfway(&standing, patience);
    let mut asked_last = Instant::now();
    let (mut retry, mut problem) = (RETRY_MIN, "no answer came in time".to_owned());
    loop {
        if standing.is_over() {
            return Why::Unknown(problem);
        }
        // What was heard of after the last decision may have changed it.
        let heard = hearing.revision() > standing.revision;
        let due = if heard { next.min(asked_last + ASK_APART) } else { next };
        let look = standing.until.min(Instant::now() + LOOK_EVERY);
        tokio::select! {
            signal = signals.next() => return Why::Told(signal),
            () = sleep_until(look) => {}
            () = hearing.changed(), if !heard && asking.is_none() => {}
            () = sleep_until(due), if asking.is_none() => {
                asked_last = Instant::now();
                asking = Some(ask());
            }
            answer = answered(&mut asking) => {
                asking = None;
                match answer {
                    Ok(decision) if decision.is_allow() => {
                        standing = Standing::of(&decision, patience);
                        next = halfway(&standing, patience);
                        retry = RETRY_MIN;
                        continue;
                    }
                    Ok(decision) if !decision.is_cannot_know() => return Why::Denied(Box::new(decision)),
                    Ok(decision) => problem = explain(&decision),
                    Err(error) => problem = unanswered(error).detail,
                }
                // Nobody knows: what was heard is still to be asked about, but not faster than this.
                asked_last = Instant::now() + retry;
                next = asked_last;
                retry = retry.saturating_mul(2).min(RETRY_MAX);
            }
        }
    }
}

/// When to ask again though nothing was heard: with half of the time left.
fn halfway(standing: &Standing, patience: Patience) -> Instant {
    let left =
        standing.until.saturating_duration_since(Instant::now()).saturating_sub(patience.unknown_grace);
    Instant::now() + left / 2
}

async fn answered(asking: &mut Option<Asking>) -> Result<Decision, ClientError> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}
