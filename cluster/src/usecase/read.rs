//! Reads of the registry, as of a state that a quorum has just confirmed.

use assent_api::{Call, Problem};
use assent_proof::{Code, Millis};
use assent_registry::{RowError, Rows};

use super::barrier::BarrierError;
use super::problem::{ReadError, not_ready, problem};
use super::removed::MembershipStatus;
use super::{Caller, Service, Shed, within};
use crate::env::blocking;
use crate::locked::lock;

impl Service {
    /// Reads behind a barrier that starts after the call, so the answer holds everything that was acknowledged before
    /// the call.
    ///
    /// # Errors
    /// `no_quorum` or `overloaded` if no barrier is passed; `evidence_mutated` if the registry cannot be read.
    pub async fn read<T: Send + 'static>(
        &self,
        _caller: &Caller,
        read: impl FnOnce(&dyn Rows, Millis) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, Box<Problem>> {
        Ok(self.read_confirmed(read).await?)
    }

    /// Like [`read`](Self::read), for use cases, which are told why nothing was read.
    pub(super) async fn read_confirmed<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Rows, Millis) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.confirmed().await?;
        let parts = self.parts();
        let (registry, now) = (parts.storage.registry.clone(), parts.env.clock.now());
        let found = blocking(&*parts.env.blocking, move || -> Result<T, RowError> {
            let view = registry.view()?;
            read(&view, now)
        });
        match found.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(ReadError::Unreadable(parts.unread(&error))),
            Err(lost) => Err(ReadError::Shed(Shed::from(lost))),
        }
    }

    /// Passes a barrier that starts after the call, within the deadline of reads.
    pub(super) async fn confirmed(&self) -> Result<(), ReadError> {
        let until = within(self.config().deadlines.read_ms);
        self.pass(until).await.map_err(ReadError::Unconfirmed)
    }

    /// Whether a quorum read succeeds within the authorize deadline, and the node is not stopping.
    pub async fn ready(&self) -> Result<(), Box<Problem>> {
        let parts = self.parts();
        if parts.is_stopping() {
            return Err(problem(Code::NoQuorum, Call::Read, "this node is stopping: ask another one"));
        }
        let passed = self.pass(within(parts.config.deadlines.authorize_ms)).await;
        passed.map_err(|error| self.why_not_ready(error))?;
        let now = parts.judged().map_err(|unsure| unsure.problem(Call::Read))?;
        let view = parts.storage.registry.view().map_err(|error| ReadError::Unreadable(error.to_string()))?;
        match parts.silenced(&view, now) {
            Ok(None) => Ok(()),
            Ok(Some(silenced)) => Err(silenced.problem()),
            Err(error) => Err(ReadError::Unreadable(parts.unread(&error)).into()),
        }
    }

    /// Why no barrier was passed. If the node is not a voter, that comes first, since nothing else helps until it is
    /// one.
    fn why_not_ready(&self, error: BarrierError) -> Box<Problem> {
        let parts = self.parts();
        let not_founded = lock(&parts.lifecycle.not_founded).clone();
        if let Some(refusal) = not_founded {
            return not_ready(&refusal);
        }
        let membership_status = parts.membership_status();
        let waits = membership_status == MembershipStatus::Waiting && !parts.config.is_founder();
        match membership_status.removed() {
            Some(removed) => problem(Code::MemberRemoved, Call::Read, removed.detail),
            None if waits => {
                let detail = "this node is not a voter of the cluster: it waits to be added";
                problem(Code::NoQuorum, Call::Read, detail)
            }
            None => ReadError::Unconfirmed(error).into(),
        }
    }

    /// Whether the node can go on at all.
    pub fn live(&self) -> Result<(), Box<Problem>> {
        Ok(self.goes_on()?)
    }

    /// Like [`live`](Self::live), for use cases.
    pub(super) fn goes_on(&self) -> Result<(), ReadError> {
        self.parts().fatal().map_or(Ok(()), |cause| Err(ReadError::Ended(cause)))
    }

    /// Whether the node can go on, and the heartbeats of its ticking tasks are in time. Neither a leader nor a sure
    /// clock is needed.
    pub fn alive(&self) -> Result<(), Box<Problem>> {
        self.live()?;
        match self.parts().tasks.late() {
            None => Ok(()),
            Some(late) => Err(problem(Code::NoQuorum, Call::Read, late)),
        }
    }
}
