//! Who follows events, and whether it still may. A feed outlives the judgement of the request that opened it, so what
//! that request showed is judged again while the feed is open.

use std::fmt;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::access::{Caller, Denial, Who};

/// The longest time between two judgements of a feed's caller, however rare the heartbeats are.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The caller of a feed, and who shows now what it showed.
pub struct Follower {
    caller: Caller,
    again: Box<dyn Fn() -> Caller + Send + Sync>,
}

impl Follower {
    /// A caller. `again` judges anew what it showed when it opened the feed.
    pub fn new(caller: Caller, again: impl Fn() -> Caller + Send + Sync + 'static) -> Self {
        Self { caller, again: Box::new(again) }
    }

    /// The caller as it opened the feed.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether what it showed is still that of the same caller, with the same rights.
    fn judge(&self) -> Result<(), Denial> {
        let now = (self.again)();
        if now.is_still(&self.caller) {
            return Ok(());
        }
        Err(match now.who() {
            Who::Unknown(why) => Denial { unknown: true, detail: why.to_string() },
            Who::Local | Who::Named { .. } | Who::Node => Denial {
                unknown: false,
                detail: format!("the rights of {} have changed since this feed began", self.caller),
            },
        })
    }
}

/// It never shows a credential.
impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// When a feed's caller is judged again.
pub(super) struct Watch {
    follower: Follower,
    every: Duration,
    /// None if the caller shows nothing that could become void: a program on this machine, or the node itself.
    due: Option<Instant>,
}

impl Watch {
    /// Judges the caller at each heartbeat, and at least every 5 s.
    pub(super) fn new(follower: Follower, heartbeat: Duration) -> Self {
        let every = heartbeat.min(LOOK_EVERY);
        let due = match follower.caller.who() {
            Who::Local | Who::Node => None,
            Who::Named { .. } | Who::Unknown(_) => Some(Instant::now() + every),
        };
        Self { follower, every, due }
    }

    /// Judges the caller, if that is due.
    ///
    /// # Errors
    /// Why the feed must end.
    pub(super) fn look(&mut self) -> Result<(), Denial> {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return Ok(());
        }
        self.follower.judge()?;
        self.due = Some(Instant::now() + self.every);
        Ok(())
    }

    /// Waits until the caller must be judged.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }
}
