//! Reads the bodies of batches, off the async threads.
//!
//! Reading a large body takes milliseconds, which would hold up an async thread. So it runs on other threads, in turn
//! with other long work. This module decides nothing: the strict parsers of `assent_api` define what a body holds.
//!
//! A large body of envelopes takes the places of a batch before it is read, as many as it is likely to need. While
//! there are none, the node does not even accept its bytes. So the cost of batches without a place does not grow with
//! their content.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use assent_api::{BatchMode, Call, MAX_BATCH, MAX_RESULT_BYTES, Problem, parse_authorize_batch, parse_batch};
use assent_proof::{AuthorizeRequest, Refusal};

use super::check::Sender;
use super::shed::Shed;
use super::submit::{Sent, Uncounted};
use super::submitted::Submitted;
use super::urgency::{HeldPlaces, Urgency, Weighed};
use super::{Answered, Caller, Service, within};
use crate::access::Account;
use crate::env::{BlockingError, blocking};
use crate::shares::{DoorLane, Pass, Share};

/// A body of up to this many bytes is read at once on the async thread. That takes about as long as reading the
/// largest single request.
pub(crate) const SMALL_BODY: usize = 16 * 1024;

/// A large body waits for its place for this fraction (one part in so many) of a call's time, so that there is time
/// left once it has a place.
const PATIENCE_SHARE: u64 = 4;

/// A large body is expected to have one envelope for each this many bytes, and at most a full batch. The smallest
/// signed envelope has about this size. If the body has more envelopes, it takes the missing places once it is read.
const ENVELOPE_BYTES: usize = 1024;

/// The requests of a batch, read from its body.
pub(crate) struct Batch {
    requests: Vec<AuthorizeRequest>,
    /// When the answer is due.
    until: Instant,
    place: Option<Pass>,
}

/// The envelopes of a batch, read from its body.
pub(crate) struct EnvelopeBatch<'a> {
    mode: BatchMode,
    envelopes: Weighed,
    /// When the answer is due, counted from when the whole body had arrived.
    until: Instant,
    /// The places that a large body took before it was read.
    room: Option<HeldPlaces<'a>>,
    /// Room for the answer, until it is written.
    answer: Share,
}

impl Batch {
    /// The number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }
}

impl EnvelopeBatch<'_> {
    /// The number of envelopes.
    pub(crate) fn envelopes(&self) -> usize {
        self.envelopes.len()
    }

    /// How the envelopes pass the door, if they do.
    pub(crate) fn lane(&self) -> Option<DoorLane> {
        self.envelopes.lane()
    }
}

/// What became of the envelopes of a batch, and the room for the answer.
pub(crate) struct BatchResults {
    pub(crate) results: Vec<Submitted>,
    pub(crate) room: Share,
}

/// Why there is nothing to decide or to submit.
#[derive(Debug)]
pub(crate) enum NoBatch {
    /// The body is malformed.
    Refused(Refusal),
    /// The node did not look at it.
    Shed(Shed),
}

impl Service {
    /// Reads a batch of authorize requests. A large batch waits for its place first. Without a place it is not read.
    ///
    /// Its answer is due at `until`.
    ///
    /// # Errors
    /// The parser's refusal, or why it was not read.
    pub(crate) async fn read_batch(
        &self,
        caller: &Caller,
        body: Bytes,
        until: Instant,
    ) -> Result<Batch, NoBatch> {
        let (parts, lane, account) = (self.parts(), &self.inner.lane, caller.account());
        let ms = parts.config.deadlines.authorize_ms;
        if body.len() <= SMALL_BODY {
            let requests = parse_authorize_batch(&body).map_err(NoBatch::Refused)?;
            return Ok(Batch { requests, until, place: None });
        }
        let patience = within(ms.checked_div(PATIENCE_SHARE).unwrap_or(ms)).min(until);
        let Some(place) = lane.place(&account, patience).await else {
            let detail =
                "as many batches are being decided as this node has places for, or as this caller may have"
                    .to_owned();
            return Err(NoBatch::Shed(Shed::Overloaded(detail)));
        };
        let Some(turn) = lane.turn(&account, until).await else {
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

    /// Decides the requests of a batch like [`Service::authorize`]. If none of them is evaluated, the batch is
    /// refused as a whole.
    ///
    /// # Errors
    /// Why none of the requests was evaluated.
    pub(crate) async fn authorize_batch(&self, caller: &Caller, batch: Batch) -> Result<Vec<Answered>, Shed> {
        let Batch { requests, until, place } = batch;
        let answers = self.try_ask_as(caller, &Arc::new(requests), until).await;
        // A caller that takes its answer slowly holds memory, but no place.
        drop(place);
        answers
    }

    /// Whether the node should accept a body of this size with a batch of envelopes. If there are no places, the
    /// batch is shed before its body arrives. No place is held in the meantime, because a client may take its time to
    /// send the body.
    ///
    /// # Errors
    /// Why it is shed.
    pub(crate) fn expects_envelopes(&self, caller: &Caller, bytes: usize) -> Result<(), Shed> {
        if bytes <= SMALL_BODY {
            return Ok(());
        }
        let look = self.inner.places.look(&caller.account(), Urgency::Batch, expected(bytes));
        look.map_err(|full| {
            let shed = without_places(&full);
            self.uncounted(expected(bytes)).became_all(&shed_of(&shed));
            shed
        })
    }

    /// Counts the envelopes that a body of this size is expected to have as shed, because there was no room for the
    /// body, or because the caller has used up a quota.
    pub(crate) fn envelopes_unread(&self, bytes: usize, why: &Shed) {
        self.uncounted(expected(bytes)).became_all(&shed_of(why));
    }

    /// Reads a batch of envelopes. A large batch is read once it has places, and in turn with the verification of
    /// signatures.
    ///
    /// # Errors
    /// The parser's refusal, or why the batch was not read. That is so if it finds no places, or if its turn does not
    /// come within the deadline of submissions.
    pub(crate) async fn read_envelopes(
        &self,
        caller: &Caller,
        body: Bytes,
    ) -> Result<EnvelopeBatch<'_>, NoBatch> {
        let mut uncounted = self.uncounted(expected(body.len()));
        let batch = self.read_uncounted(&caller.account(), body, &mut uncounted).await;
        if let Err(NoBatch::Shed(why)) = &batch {
            uncounted.became_all(&shed_of(why));
        }
        batch
    }

    async fn read_uncounted(
        &self,
        account: &Account,
        body: Bytes,
        uncounted: &mut Uncounted<'_>,
    ) -> Result<EnvelopeBatch<'_>, NoBatch> {
        let until = self.submissions_end();
        let (room, bytes) = (self.room_for_envelopes(account, body.len())?, body.len());
        let read = move || -> Result<(BatchMode, Vec<Bytes>), Refusal> {
            let (mode, envelopes) = parse_batch(&body)?;
            Ok((mode, envelopes.into_iter().map(Bytes::from).collect()))
        };
        let read = match bytes {
            0..=SMALL_BODY => read(),
            _ => self.in_turn(account, until, read).await.map_err(NoBatch::Shed)?,
        };
        let (mode, envelopes) = read.map_err(NoBatch::Refused)?;
        uncounted.are(envelopes.len());
        let bytes = envelopes.len().saturating_mul(MAX_RESULT_BYTES);
        let answer = self.room_for_batch(account, bytes).map_err(NoBatch::Shed)?;
        Ok(EnvelopeBatch { mode, envelopes: Weighed::of(envelopes), until, room, answer })
    }

    fn room_for_envelopes(&self, account: &Account, bytes: usize) -> Result<Option<HeldPlaces<'_>>, NoBatch> {
        if bytes <= SMALL_BODY {
            // The batch may only restrict, and then it has places of its own.
            return Ok(None);
        }
        let room = HeldPlaces::take(&self.inner.places, account, Urgency::Batch, expected(bytes));
        room.map(Some).map_err(|full| NoBatch::Shed(without_places(&full)))
    }

    /// Submits the envelopes of a batch like [`Service::submit_batch`].
    ///
    /// # Errors
    /// The one problem of all of them.
    pub(crate) async fn submit_read(
        &self,
        caller: &Caller,
        batch: EnvelopeBatch<'_>,
    ) -> Result<BatchResults, Box<Problem>> {
        let EnvelopeBatch { mode, envelopes, until, room, answer } = batch;
        let sent = Sent { sender: Sender::Client, account: caller.account(), caller, mode };
        let results = self.submit_as(sent, envelopes, room, until).await?;
        Ok(BatchResults { results, room: answer })
    }

    /// Does long work for the answer to a batch of envelopes, off the async threads. It waits for no turn, because
    /// the outcome is settled by then. The room for answers bounds how much of this work runs at a time.
    ///
    /// # Errors
    /// It ended without a result.
    pub(crate) async fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        blocking(&*self.parts().env.blocking, work).await
    }

    /// Does long work on a batch of envelopes, off the async threads, in turn with the verification of signatures.
    ///
    /// # Errors
    /// Why it was not done.
    async fn in_turn<T: Send + 'static>(
        &self,
        account: &Account,
        until: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Shed> {
        let parts = self.parts();
        let Some(turn) = self.inner.turns.turn(account, Urgency::Batch, until).await else {
            return Err(Shed::Overloaded("too many envelopes wait to be verified".to_owned()));
        };
        let work = move || {
            let _turn = turn;
            work()
        };
        blocking(&*parts.env.long, work).await.map_err(Shed::from)
    }
}

/// How many envelopes a body of this size is expected to have.
fn expected(bytes: usize) -> usize {
    bytes.div_ceil(ENVELOPE_BYTES).clamp(1, MAX_BATCH)
}

/// Why a large body of envelopes found no places.
fn without_places(full: &str) -> Shed {
    Shed::Overloaded(format!(
        "{full}; a body of more than {SMALL_BODY} bytes takes one for each {ENVELOPE_BYTES}, up to {MAX_BATCH}"
    ))
}

/// What became of envelopes that were shed.
fn shed_of(why: &Shed) -> Submitted {
    Submitted::NotTaken(why.problem(Call::Submission))
}
