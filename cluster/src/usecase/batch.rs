//! Bodies of batches, read where they do not hold up others.
//!
//! Reading a large body takes milliseconds, which an async thread does not have. It is done off these threads, in turn with what
//! else is as long. It decides nothing: the strict parsers of `assent_api` say what a body holds.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use assent_api::{BatchMode, parse_authorize_batch, parse_batch};
use assent_proof::{AuthorizeRequest, Refusal};

use super::authorize::Question;
use super::shed::Shed;
use super::urgency::Urgency;
use super::{Answered, Caller, Service, within};
use crate::env::blocking;

/// A body of up to so many bytes is read on the spot: that takes about as long as reading the largest single request.
const SMALL_BODY: usize = 16 * 1024;

/// A large body waits for its place for one part in so many of a call's time, so that there is time left once it has one.
const PATIENCE_SHARE: u64 = 4;

/// The requests of a batch, read from its body.
pub(crate) struct Batch {
    requests: Vec<AuthorizeRequest>,
    /// The answer is due then, counted from when the whole body was there.
    until: Instant,
    place: Option<OwnedSemaphorePermit>,
}

/// Why there is nothing to decide or to submit.
#[derive(Debug)]
pub(crate) enum NoBatch {
    /// The body is not what it should be.
    Refused(Refusal),
    /// It was not looked at.
    Shed(Shed),
}

impl Service {
    /// Reads a batch of authorize requests. A large one waits for its place first, and without one it is not looked at.
    ///
    /// # Errors
    /// The parser's refusal, or why it was not read.
    pub(crate) async fn read_batch(&self, body: Bytes) -> Result<Batch, NoBatch> {
        let (parts, lane) = (self.parts(), &self.inner.lane);
        let ms = parts.config.deadlines.authorize_ms;
        let until = within(ms);
        if body.len() <= SMALL_BODY {
            let requests = parse_authorize_batch(&body).map_err(NoBatch::Refused)?;
            return Ok(Batch { requests, until, place: None });
        }
        let patience = within(ms.checked_div(PATIENCE_SHARE).unwrap_or(ms));
        let Some(place) = lane.place(patience).await else {
            let detail = "as many batches are being decided as this node has places for".to_owned();
            return Err(NoBatch::Shed(Shed::Overloaded(detail)));
        };
        let Some(turn) = lane.turn(until).await else {
            let detail = "the deadline passed before the batch was read".to_owned();
            return Err(NoBatch::Shed(Shed::Late(detail)));
        };
        let work = move || {
            let _turn = turn;
            parse_authorize_batch(&body)
        };
        match blocking(&*parts.env.blocking, work).await {
            Ok(Ok(requests)) => Ok(Batch { requests, until, place: Some(place) }),
            Ok(Err(refusal)) => Err(NoBatch::Refused(refusal)),
            Err(lost) => Err(NoBatch::Shed(lost.into())),
        }
    }

    /// Decides the requests of a batch like [`Service::authorize`]. What is not evaluated at all is refused as a whole.
    ///
    /// # Errors
    /// Why none of the requests was evaluated.
    pub(crate) async fn authorize_batch(
        &self,
        _caller: &Caller,
        batch: Batch,
    ) -> Result<Vec<Answered>, Shed> {
        let Batch { requests, until, place } = batch;
        let answers = self.try_ask(Question::Read, &Arc::new(requests), until).await;
        // A caller that takes its answer slowly keeps memory, and no place.
        drop(place);
        answers
    }

    /// Reads a batch of envelopes, a large one in turn with the verifying of signatures.
    ///
    /// # Errors
    /// The parser's refusal; or why it was not read, as if the turn does not come within the deadline of submissions.
    pub(crate) async fn read_envelopes(&self, body: Bytes) -> Result<(BatchMode, Vec<Bytes>), NoBatch> {
        let small = body.len() <= SMALL_BODY;
        let read = move || -> Result<(BatchMode, Vec<Bytes>), Refusal> {
            let (mode, envelopes) = parse_batch(&body)?;
            Ok((mode, envelopes.into_iter().map(Bytes::from).collect()))
        };
        if small {
            return read().map_err(NoBatch::Refused);
        }
        let parts = self.parts();
        let until = within(parts.config.deadlines.submit_ms);
        let Some(turn) = self.inner.turns.turn(Urgency::Batch, until).await else {
            let detail = "too many envelopes wait to be verified".to_owned();
            return Err(NoBatch::Shed(Shed::Overloaded(detail)));
        };
        let work = move || {
            let _turn = turn;
            read()
        };
        match blocking(&*parts.env.blocking, work).await {
            Ok(read) => read.map_err(NoBatch::Refused),
            Err(lost) => Err(NoBatch::Shed(lost.into())),
        }
    }
}
