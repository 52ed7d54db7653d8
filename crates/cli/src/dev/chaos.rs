//! Injects faults on purpose, for people who test their client: one node after the other is killed, paused or
//! restarted, never more than a minority at once.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::Nodes;
use crate::edge;
use crate::exit::CliError;
use crate::output::Output;

/// How long a killed node stays down, and a paused one stopped.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(3);
/// A node that stopped as it was told to is started again after this.
const BACK_AFTER: Duration = Duration::from_millis(500);
/// A node that was told to stop and does not is left alone after this.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// What is done to a node. The kinds take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// kill -9.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// SIGTERM.
    Restart,
}

const KINDS: [Kind; 3] = [Kind::Kill, Kind::Pause, Kind::Restart];

/// A fault that is not over.
struct Fault {
    id: u64,
    kind: Kind,
    /// Whether the process has still to end by itself.
    ending: bool,
    over: Instant,
}

/// Injects a fault from time to time.
pub(crate) struct Chaos {
    every: Duration,
    next: Instant,
    fault: Option<Fault>,
    count: usize,
}

impl Chaos {
    /// A fault so long after the last one was over.
    pub(crate) fn every(every: Duration) -> Self {
        Self { every, next: Instant::now() + every, fault: None, count: 0 }
    }

    /// Whether a node that ended was told to by this.
    pub(crate) fn expected(&mut self, id: u64) -> bool {
        match &mut self.fault {
            Some(fault) if fault.id == id && fault.ending => {
                fault.ending = false;
                fault.over = Instant::now() + BACK_AFTER;
                true
            }
            _ => false,
        }
    }

    /// Ends the fault that is over, or begins the one that is due.
    pub(crate) async fn look(&mut self, nodes: &mut Nodes, output: Output) -> Result<(), CliError> {
        let now = Instant::now();
        match &self.fault {
            Some(fault) if now >= fault.over => {
                match fault.kind {
                    Kind::Pause => nodes.signal(fault.id, Signal::SIGCONT),
                    Kind::Restart if fault.ending => {}
                    Kind::Kill | Kind::Restart => nodes.restart(fault.id)?,
                }
                let again =
                    if fault.kind == Kind::Pause || fault.ending { "goes on" } else { "is started again" };
                output.say(&format!("chaos {}: node {} {again}", self.count, fault.id));
                self.fault = None;
                self.next = now + self.every;
            }
            None if now >= self.next => self.begin(nodes, output).await?,
            _ => {}
        }
        Ok(())
    }

    /// Begins the next fault, unless a minority is already disturbed. In that case it is tried again at the next look.
    async fn begin(&mut self, nodes: &mut Nodes, output: Output) -> Result<(), CliError> {
        let total = nodes.layout().dev.nodes.len();
        let ready = nodes.ready_now().await?;
        if total.saturating_sub(ready.len()) >= total.saturating_sub(1) / 2 {
            return Ok(());
        }
        let random = u64::from_be_bytes(edge::random()?);
        let victims = u64::try_from(ready.len()).unwrap_or(1).max(1);
        let place = usize::try_from(random.checked_rem(victims).unwrap_or(0)).unwrap_or(0);
        let Some(id) = ready.get(place).copied() else { return Ok(()) };
        let Some(kind) = KINDS.get(self.count % KINDS.len()).copied() else { return Ok(()) };
        let spread = u64::try_from(LONGEST.saturating_sub(SHORTEST).as_millis()).unwrap_or(1).max(1);
        let long = SHORTEST + Duration::from_millis((random >> 16).checked_rem(spread).unwrap_or(0));
        self.count = self.count.saturating_add(1);
        let count = self.count;
        let ms = long.as_millis();
        let (said, over) = match kind {
            Kind::Kill => {
                nodes.kill(id).await?;
                (format!("is killed (kill -9) and stays down for {ms} ms"), long)
            }
            Kind::Pause => {
                nodes.signal(id, Signal::SIGSTOP);
                (format!("is paused (SIGSTOP) for {ms} ms"), long)
            }
            Kind::Restart => {
                nodes.signal(id, Signal::SIGTERM);
                ("is told to stop (SIGTERM) and then started again".to_owned(), STOPS_WITHIN)
            }
        };
        output.say(&format!("chaos {count}: node {id} {said}"));
        let ending = kind == Kind::Restart;
        self.fault = Some(Fault { id, kind, ending, over: Instant::now() + over });
        Ok(())
    }
}
