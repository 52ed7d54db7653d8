//! Reading what the registry holds, as of a state that a quorum has just confirmed.

use assent_api::{Call, Problem, status_of};
use assent_proof::{Code, Millis};
use assent_registry::{RowError, Rows};

use super::barrier::BarrierError;
use super::removed::Belonging;
use super::{Caller, Service, Shed, within};
use crate::env::blocking;
use crate::locked::lock;

fn problem(code: Code, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code, status_of(code, Call::Read), detail))
}

fn unconfirmed(error: &BarrierError) -> Box<Problem> {
    let code = match error {
        BarrierError::Overloaded(_) => Code::Overloaded,
        BarrierError::NoQuorum(_) | BarrierError::NotVoter | BarrierError::Fatal(_) => Code::NoQuorum,
    };
    problem(code, error.to_string())
}

impl Service {
    /// Reads behind a barrier that starts after the call: the answer holds everything acknowledged before the call.
    pub async fn read<T: Send + 'static>(
        &self,
        _caller: &Caller,
        read: impl FnOnce(&dyn Rows, Millis) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, Box<Problem>> {
        self.confirmed().await?;
        let parts = self.parts();
        let (registry, now) = (parts.storage.registry.clone(), parts.env.clock.now());
        let found = blocking(&*parts.env.blocking, move || -> Result<T, RowError> {
            let view = registry.view()?;
            read(&view, now)
        });
        match found.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(problem(Code::EvidenceMutated, parts.unread(&error))),
            Err(lost) => Err(Shed::from(lost).problem(Call::Read)),
        }
    }

    /// Passes a barrier that starts after the call, within the deadline of reads.
    pub(super) async fn confirmed(&self) -> Result<(), Box<Problem>> {
        let until = within(self.config().deadlines.read_ms);
        self.pass(until).await.map_err(|error| unconfirmed(&error))
    }

    /// Whether a quorum read succeeds within the authorize deadline, and this node is here to stay.
    pub async fn ready(&self) -> Result<(), Box<Problem>> {
        let parts = self.parts();
        if parts.is_stopping() {
            return Err(problem(Code::NoQuorum, "this node is stopping: ask another one"));
        }
        let passed = self.pass(within(parts.config.deadlines.authorize_ms)).await;
        passed.map_err(|error| self.why_not_ready(&error))?;
        let now = parts.judged().map_err(|unsure| unsure.problem(Call::Read))?;
        let view = parts
            .storage
            .registry
            .view()
            .map_err(|error| problem(Code::EvidenceMutated, error.to_string()))?;
        match parts.silenced(&view, now) {
            Ok(None) => Ok(()),
            Ok(Some(silenced)) => Err(silenced.problem()),
            Err(error) => Err(problem(Code::EvidenceMutated, parts.unread(&error))),
        }
    }

    /// Why no barrier was passed: what this node is to the cluster comes first, since nothing else helps until that changes.
    fn why_not_ready(&self, error: &BarrierError) -> Box<Problem> {
        let parts = self.parts();
        let not_founded = lock(&parts.lifecycle.not_founded).clone();
        if let Some(refusal) = not_founded {
            return Box::new(Problem::from_refusal(&refusal, 503));
        }
        let belonging = parts.belonging();
        let waits = belonging == Belonging::Waiting && !parts.config.is_founder();
        match belonging.removed() {
            Some(removed) => problem(Code::MemberRemoved, removed.detail),
            None if waits => {
                problem(Code::NoQuorum, "this node is not a voter of the cluster: it waits to be added")
            }
            None => unconfirmed(error),
        }
    }

    /// Whether the node can go on at all.
    pub fn live(&self) -> Result<(), Box<Problem>> {
        match self.parts().fatal() {
            None => Ok(()),
            Some(cause) => Err(Box::new(Problem::new(Code::NoQuorum, 503, cause))),
        }
    }

    /// Whether the node can go on, and each of its tasks that ticks has done so lately. Neither a leader nor a sure clock is needed.
    pub fn alive(&self) -> Result<(), Box<Problem>> {
        self.live()?;
        match self.parts().tasks.late() {
            None => Ok(()),
            Some(late) => Err(Box::new(Problem::new(Code::NoQuorum, 503, late))),
        }
    }
}
