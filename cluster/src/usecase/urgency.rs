//! How urgent a submission is, and the places that there are for each urgency.
//!
//! Restrictions, single envelopes and batches have places, turns at verifying and log entries of their own, on the node that a client
//! calls and on the leader, so that none of them waits behind another kind. A call takes its places before anything is done for it.
//! Without a place it is shed, and costs neither a look at the registry nor a signature.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use assent_proof::{Envelope, Statement};
use assent_registry::Group;

use crate::config::LimitConfig;

/// A call with up to so many bytes of envelopes is looked at where it stands for how urgent it is: that takes about as long as reading
/// the largest single request.
const READ_AT_ONCE: usize = 16 * 1024;

/// An envelope for which more signatures than this may have to be computed (its signatures times its issuers) is no more urgent than a
/// batch: a few of them cost as much as one.
const SIGNATURES_MAX: usize = 32;

/// How urgent a call's envelopes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// They only restrict: revocations and containments.
    Restriction,
    /// One envelope.
    Single,
    /// Everything else.
    Batch,
}

impl Urgency {
    /// The most urgent first.
    pub(super) const ALL: [Urgency; 3] = [Urgency::Restriction, Urgency::Single, Urgency::Batch];

    /// Its name on the page of metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Urgency::Restriction => "restriction",
            Urgency::Single => "single",
            Urgency::Batch => "batch",
        }
    }

    /// That of the envelopes of one call.
    pub(super) fn of(envelopes: &[Bytes]) -> Self {
        match envelopes {
            [one] => match read(one) {
                Some(Read { costly: true, .. }) => Urgency::Batch,
                Some(Read { restricts: true, .. }) => Urgency::Restriction,
                // What cannot be read is refused at once.
                Some(Read { .. }) | None => Urgency::Single,
            },
            several if only_restrict(several) => Urgency::Restriction,
            _ => Urgency::Batch,
        }
    }

    /// That of what a peer forwards, which puts calls of one urgency together.
    pub(super) fn of_groups(groups: &[Group]) -> Self {
        if only_restrict(groups.iter().flat_map(|group| &group.envelopes)) {
            Urgency::Restriction
        } else if groups.iter().all(|group| group.envelopes.len() <= 1) {
            Urgency::Single
        } else {
            Urgency::Batch
        }
    }
}

/// What of an envelope says how urgent it is.
struct Read {
    /// Whether it only restricts.
    restricts: bool,
    /// Whether its signatures may cost as much as a batch.
    costly: bool,
}

/// Reads an envelope that is small enough; nobody has signed anything of it yet.
fn read(envelope: &[u8]) -> Option<Read> {
    if envelope.len() > READ_AT_ONCE {
        return None;
    }
    let envelope = Envelope::parse(envelope).ok()?;
    let statement = Statement::parse(&envelope.payload).ok()?;
    let signatures = statement.issuers.len().saturating_mul(envelope.signatures.len());
    Some(Read { restricts: statement.kind.is_restriction(), costly: signatures > SIGNATURES_MAX })
}

/// Whether these envelopes, of which there is at least one, do nothing but restrict, as far as that can be told in a moment.
fn only_restrict<'a>(envelopes: impl IntoIterator<Item = &'a Bytes>) -> bool {
    let (mut bytes, mut found) = (0usize, false);
    for envelope in envelopes {
        bytes = bytes.saturating_add(envelope.len());
        if bytes > READ_AT_ONCE || !read(envelope).is_some_and(|read| read.restricts && !read.costly) {
            return false;
        }
        found = true;
    }
    found
}

/// Something for each urgency.
pub(super) struct PerUrgency<T> {
    restriction: T,
    single: T,
    batch: T,
}

impl<T> PerUrgency<T> {
    /// Made for each urgency in turn, the most urgent first.
    pub(super) fn new(mut make: impl FnMut(Urgency) -> T) -> Self {
        Self {
            restriction: make(Urgency::Restriction),
            single: make(Urgency::Single),
            batch: make(Urgency::Batch),
        }
    }

    /// That of one urgency.
    pub(super) fn of(&self, urgency: Urgency) -> &T {
        match urgency {
            Urgency::Restriction => &self.restriction,
            Urgency::Single => &self.single,
            Urgency::Batch => &self.batch,
        }
    }
}

/// Places for envelopes, as the page of metrics shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenPlaces {
    /// How urgent the envelopes are.
    pub(crate) urgency: &'static str,
    /// Whose they are: `clients`, or `peers` that forward them.
    pub(crate) of: &'static str,
    /// How many places are taken.
    pub(crate) taken: usize,
    /// How many there are.
    pub(crate) most: usize,
}

/// One place an envelope, from the arrival of its call to its answer.
pub(super) struct Places {
    free: PerUrgency<Arc<Semaphore>>,
    most: PerUrgency<usize>,
}

impl Places {
    /// Those for the calls of clients: half are for batches, an eighth for restrictions, the rest for single envelopes.
    pub(super) fn for_clients(limits: &LimitConfig) -> Self {
        let (batches, restrictions) = (limits.submit_queue / 2, limits.submit_queue / 8);
        Self::new(|urgency| match urgency {
            Urgency::Restriction => restrictions,
            Urgency::Single => limits.submit_queue.saturating_sub(batches).saturating_sub(restrictions),
            Urgency::Batch => batches,
        })
    }

    /// Those for what peers forward. All together may forward as many of each urgency as one of them may have waiting.
    pub(super) fn for_peers(limits: &LimitConfig) -> Self {
        Self::new(|_| limits.submit_queue)
    }

    fn new(most: impl Fn(Urgency) -> usize) -> Self {
        Self {
            free: PerUrgency::new(|urgency| Arc::new(Semaphore::new(most(urgency)))),
            most: PerUrgency::new(&most),
        }
    }

    /// Places for so many envelopes.
    ///
    /// # Errors
    /// Why there are none, one sentence.
    pub(super) fn take(&self, urgency: Urgency, envelopes: usize) -> Result<OwnedSemaphorePermit, String> {
        let permits = u32::try_from(envelopes).unwrap_or(u32::MAX);
        self.free.of(urgency).clone().try_acquire_many_owned(permits).map_err(|_| {
            let of = match urgency {
                Urgency::Restriction => "envelopes that only restrict",
                Urgency::Single => "single envelopes",
                Urgency::Batch => "envelopes of batches",
            };
            format!("there are places for {} {of}, and {envelopes} more do not fit", self.most.of(urgency))
        })
    }

    /// How many places of one urgency are taken, and how many there are, for the page of metrics.
    pub(super) fn shown(&self, urgency: Urgency, of: &'static str) -> TakenPlaces {
        TakenPlaces { urgency: urgency.name(), of, taken: self.taken(urgency), most: *self.most.of(urgency) }
    }

    /// How many places of one urgency are taken.
    pub(super) fn taken(&self, urgency: Urgency) -> usize {
        self.most.of(urgency).saturating_sub(self.free.of(urgency).available_permits())
    }
}

#[cfg(test)]
mod tests {
    use assent_api::MAX_BATCH;
    use assent_proof::{Claims, Containment, LineageName, Sha256, SigningKey, sign_statement};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    /// An envelope of these claims, signed by each of these keys.
    fn envelope(claims: &Claims, seeds: &[u8]) -> Bytes {
        let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(b"program"),
            kind: claims.kind(),
            registry: "registry.test/1".to_owned(),
            domain: "prod.eu".parse().unwrap(),
            lineage: LineageName::governance(),
            issuers: keys.iter().map(SigningKey::public).collect(),
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: assent_proof::Seconds(0),
            expires_at: None,
            claims: claims.to_json(),
        };
        sign_statement(&statement, &keys.iter().collect::<Vec<_>>()).into()
    }

    fn quarantine() -> Bytes {
        envelope(&Claims::Containment(Containment::Quarantine("exec-1".parse().unwrap())), &[1])
    }

    fn evidence() -> Bytes {
        envelope(&Claims::RuntimeIntegrity { measured: "m".to_owned() }, &[1])
    }

    fn revocation(signers: &[u8]) -> Bytes {
        let reason = assent_proof::RevocationReason::KeyCompromise;
        envelope(&Claims::Revocation { authority: key(9).public(), reason, invalid_since: None }, signers)
    }

    #[test]
    fn what_only_restricts_is_most_urgent_then_a_single_envelope_then_all_else() {
        assert_eq!(Urgency::of(&[quarantine()]), Urgency::Restriction);
        assert_eq!(Urgency::of(&[quarantine(), revocation(&[1, 2, 3])]), Urgency::Restriction);
        assert_eq!(Urgency::of(&[evidence()]), Urgency::Single);
        assert_eq!(Urgency::of(&[Bytes::from_static(b"no envelope")]), Urgency::Single);
        assert_eq!(Urgency::of(&[quarantine(), evidence()]), Urgency::Batch);
        assert_eq!(Urgency::of(&vec![quarantine(); 1_000]), Urgency::Batch, "too much to read in a moment");
        assert_eq!(Urgency::of(&[]), Urgency::Batch);
    }

    #[test]
    fn an_envelope_whose_signatures_cost_as_much_as_a_batch_is_no_more_urgent_than_one() {
        assert_eq!(Urgency::of(&[revocation(&[1, 2, 3, 4, 5])]), Urgency::Restriction);
        assert_eq!(Urgency::of(&[revocation(&[1, 2, 3, 4, 5, 6])]), Urgency::Batch);
    }

    #[test]
    fn what_a_peer_puts_together_is_as_urgent_as_its_calls_were() {
        let group = |envelopes: &[Bytes]| Group { atomic: false, envelopes: envelopes.to_vec() };
        let of = |groups: &[Group]| Urgency::of_groups(groups);
        assert_eq!(of(&[group(&[quarantine()]), group(&[quarantine()])]), Urgency::Restriction);
        assert_eq!(of(&[group(&[evidence()]), group(&[evidence()])]), Urgency::Single);
        assert_eq!(of(&[group(&[evidence()]), group(&[evidence(), quarantine()])]), Urgency::Batch);
    }

    #[test]
    fn batches_take_no_places_from_what_is_more_urgent_and_a_full_batch_fits_into_the_smallest_queue() {
        let limits = LimitConfig { submit_queue: 2 * MAX_BATCH, ..LimitConfig::default() };
        let places = Places::for_clients(&limits);
        let held = places.take(Urgency::Batch, MAX_BATCH).unwrap();
        assert!(places.take(Urgency::Batch, 1).is_err());
        assert!(places.take(Urgency::Single, 1).is_ok() && places.take(Urgency::Restriction, 1).is_ok());
        assert_eq!(places.taken(Urgency::Batch), MAX_BATCH);
        drop(held);
        assert_eq!(places.taken(Urgency::Batch), 0);
        let all: usize = Urgency::ALL.iter().map(|urgency| *places.most.of(*urgency)).sum();
        assert_eq!(all, 2 * MAX_BATCH);
    }
}
