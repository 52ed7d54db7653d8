//! How urgent a submission is, and the places for each urgency.
//!
//! Restrictions, governance statements, single envelopes and batches have places, turns of verification and log
//! entries of their own, both on the node that a client calls and on the leader. So none of them waits behind another
//! kind. A call takes its places before anything is done for it. A call without places is shed, and costs neither a
//! look at the registry nor a signature.

use bytes::Bytes;

use assent_proof::{Envelope, EvidenceKind, Statement};
use assent_registry::Group;

use crate::access::Account;
use crate::config::LimitConfig;
use crate::metrics::TakenPlaces;
use crate::shares::{Count, DoorLane, NoShare, Pool, Share};

/// Envelopes of up to this many bytes in sum are read at once, on the async thread, to find how urgent they are. That
/// takes about as long as reading the largest single request. A call with more is a batch.
pub(super) const READ_AT_ONCE: usize = 16 * 1024;

/// If more signatures than this may have to be computed for an envelope (its signatures times its issuers), it is
/// only as urgent as a batch. A few such envelopes cost as much as one batch.
const SIGNATURES_MAX: usize = 32;

/// How urgent a call's envelopes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// They only restrict: revocations and containments.
    Restriction,
    /// They only restrict or govern, and at least one of them governs: it changes root, domains, grants, policies,
    /// reconciliations or releases.
    Governance,
    /// One other envelope of at most [`READ_AT_ONCE`] bytes.
    Single,
    /// All other calls.
    Batch,
}

impl Urgency {
    /// All urgencies, the most urgent first.
    pub(super) const ALL: [Urgency; 4] =
        [Urgency::Restriction, Urgency::Governance, Urgency::Single, Urgency::Batch];

    /// The name of the urgency on the page of metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Urgency::Restriction => "restriction",
            Urgency::Governance => "governance",
            Urgency::Single => "single",
            Urgency::Batch => "batch",
        }
    }

    /// What the urgency stands for, in words.
    fn of_what(self) -> &'static str {
        match self {
            Urgency::Restriction => "envelopes that only restrict",
            Urgency::Governance => "envelopes that govern",
            Urgency::Single => "single envelopes",
            Urgency::Batch => "envelopes of batches",
        }
    }

    /// The urgency of the envelopes of one call.
    pub(super) fn of(envelopes: &[Bytes]) -> Self {
        match envelopes {
            // The cost of its signatures cannot be told in a moment.
            [one] if one.len() > READ_AT_ONCE => Urgency::Batch,
            [one] => match read(one) {
                Some(Read { costly: true, .. }) => Urgency::Batch,
                Some(Read { does: Does::Restricts, .. }) => Urgency::Restriction,
                Some(Read { does: Does::Governs, .. }) => Urgency::Governance,
                // Bytes that are not an envelope are refused at once.
                Some(Read { does: Does::Other, .. }) | None => Urgency::Single,
            },
            several => only_restrict_or_govern(several).unwrap_or(Urgency::Batch),
        }
    }

    /// The urgency of what a peer forwards. A peer puts calls of one urgency together, so it is that of the least
    /// urgent call. It reads no more of a call than the peer did, but as many calls as the peer put together. Beyond
    /// [`READ_AT_ONCE`] it must not run on an async thread.
    pub(super) fn of_groups(groups: &[Group]) -> Self {
        let mut least_urgent: Option<Self> = None;
        for group in groups {
            least_urgent = least_urgent.max(Some(Self::of(&group.envelopes)));
            if least_urgent == Some(Urgency::Batch) {
                break;
            }
        }
        least_urgent.unwrap_or(Urgency::Batch)
    }

    /// The largest size of the envelopes in one log entry, in bytes. It is small for restrictions and governance
    /// statements, so that the leader can read them at once: it must read what is forwarded to it before it knows how
    /// urgent it is.
    pub(super) fn entry_bytes_max(self, limits: &LimitConfig) -> usize {
        match self {
            Urgency::Restriction | Urgency::Governance => limits.submit_batch_bytes.min(READ_AT_ONCE),
            Urgency::Single | Urgency::Batch => limits.submit_batch_bytes,
        }
    }
}

/// The envelopes of one call, with their urgency.
pub(crate) struct Weighed {
    pub(super) envelopes: Vec<Bytes>,
    pub(super) urgency: Urgency,
}

impl Weighed {
    /// Reads as much of the envelopes as their urgency needs.
    pub(crate) fn of(envelopes: Vec<Bytes>) -> Self {
        let urgency = Urgency::of(&envelopes);
        Self { envelopes, urgency }
    }

    /// The number of envelopes.
    pub(super) fn len(&self) -> usize {
        self.envelopes.len()
    }

    /// How they pass the door. Restrictions do not wait there.
    pub(crate) fn lane(&self) -> Option<DoorLane> {
        match self.urgency {
            Urgency::Restriction => None,
            Urgency::Governance => Some(DoorLane::Governance),
            Urgency::Single => Some(DoorLane::Write),
            Urgency::Batch => Some(DoorLane::Batch),
        }
    }
}

/// What of an envelope determines how urgent it is.
struct Read {
    /// What its statement does.
    does: Does,
    /// Whether its signatures may cost as much as a batch.
    costly: bool,
}

/// What a statement does, as far as its urgency depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It only restricts.
    Restricts,
    /// It governs.
    Governs,
    /// Anything else.
    Other,
}

impl Does {
    fn of(kind: EvidenceKind) -> Self {
        if kind.is_restriction() {
            Does::Restricts
        } else if kind.is_governance() {
            Does::Governs
        } else {
            Does::Other
        }
    }
}

/// Reads an envelope, which has at most [`READ_AT_ONCE`] bytes. It does not check signatures.
fn read(envelope: &[u8]) -> Option<Read> {
    let envelope = Envelope::parse(envelope).ok()?;
    let statement = Statement::parse(&envelope.payload).ok()?;
    let signatures = statement.issuers.len().saturating_mul(envelope.signatures.len());
    Some(Read { does: Does::of(statement.kind), costly: signatures > SIGNATURES_MAX })
}

/// How urgent these envelopes are if all of them restrict or govern, as far as that can be told in a moment. `None` for
/// all others, and if there are none.
fn only_restrict_or_govern(envelopes: &[Bytes]) -> Option<Urgency> {
    let (mut bytes, mut least_urgent): (usize, Option<Urgency>) = (0, None);
    for envelope in envelopes {
        bytes = bytes.saturating_add(envelope.len());
        if bytes > READ_AT_ONCE {
            return None;
        }
        let urgency = match read(envelope)? {
            Read { costly: true, .. } | Read { does: Does::Other, .. } => return None,
            Read { does: Does::Restricts, .. } => Urgency::Restriction,
            Read { does: Does::Governs, .. } => Urgency::Governance,
        };
        least_urgent = least_urgent.max(Some(urgency));
    }
    least_urgent
}

/// One value for each urgency.
pub(super) struct PerUrgency<T> {
    restriction: T,
    governance: T,
    single: T,
    batch: T,
}

impl<T> PerUrgency<T> {
    /// Makes the value for each urgency in turn, the most urgent first.
    pub(super) fn new(mut make: impl FnMut(Urgency) -> T) -> Self {
        Self {
            restriction: make(Urgency::Restriction),
            governance: make(Urgency::Governance),
            single: make(Urgency::Single),
            batch: make(Urgency::Batch),
        }
    }

    /// The value of one urgency.
    pub(super) fn of(&self, urgency: Urgency) -> &T {
        match urgency {
            Urgency::Restriction => &self.restriction,
            Urgency::Governance => &self.governance,
            Urgency::Single => &self.single,
            Urgency::Batch => &self.batch,
        }
    }
}

/// The places: one for each envelope, from the arrival of its call to its answer.
///
/// A call whose envelopes name keys that this node does not know waits for a read barrier, and any client can send
/// one. It waits aside, in one of the same number of other places. So such calls keep no others out, however many
/// there are ([`HeldPlaces`]).
pub(super) struct Places {
    free: PerUrgency<Pool>,
    aside: PerUrgency<Pool>,
    most: PerUrgency<usize>,
}

impl Places {
    /// The places for the calls of clients: half for batches, an eighth each for restrictions and for governance, and the
    /// rest for single envelopes.
    pub(super) fn for_clients(limits: &LimitConfig) -> Self {
        let (batches, eighth) = (limits.submit_queue / 2, limits.submit_queue / 8);
        Self::new(|urgency| match urgency {
            Urgency::Restriction | Urgency::Governance => eighth,
            Urgency::Single => {
                limits.submit_queue.saturating_sub(batches).saturating_sub(eighth.saturating_mul(2))
            }
            Urgency::Batch => batches,
        })
    }

    /// The places for what peers forward. All peers together may forward as many envelopes of each urgency as one of
    /// them may have waiting.
    pub(super) fn for_peers(limits: &LimitConfig) -> Self {
        Self::new(|_| limits.submit_queue)
    }

    fn new(most: impl Fn(Urgency) -> usize) -> Self {
        Self {
            free: PerUrgency::new(|urgency| Pool::new(most(urgency))),
            aside: PerUrgency::new(|urgency| Pool::new(most(urgency))),
            most: PerUrgency::new(&most),
        }
    }

    /// The places, with a count of the refusals of callers that have their share.
    pub(super) fn counted(self, count: &Count) -> Self {
        let counted =
            |pools: &PerUrgency<Pool>| PerUrgency::new(|urgency| pools.of(urgency).clone().counted(count));
        Self { free: counted(&self.free), aside: counted(&self.aside), most: self.most }
    }

    /// Checks whether there are places for this many envelopes now. It takes none.
    ///
    /// # Errors
    /// Why there are none, one sentence.
    pub(super) fn look(&self, account: &Account, urgency: Urgency, envelopes: usize) -> Result<(), String> {
        self.free.of(urgency).look(account, envelopes).map_err(|why| self.full(why, urgency, envelopes))
    }

    fn full(&self, why: NoShare, urgency: Urgency, envelopes: usize) -> String {
        let (most, of) = (self.most.of(urgency), urgency.of_what());
        why.told(|| format!("there are places for {most} {of}, and {envelopes} more do not fit"))
    }

    /// Places for this many envelopes.
    ///
    /// # Errors
    /// Why there are none, one sentence.
    fn take(&self, account: &Account, urgency: Urgency, envelopes: usize) -> Result<Share, String> {
        self.free.of(urgency).take(account, envelopes).map_err(|why| self.full(why, urgency, envelopes))
    }

    /// Places aside for this many envelopes.
    ///
    /// # Errors
    /// Why there are none, one sentence.
    fn take_aside(&self, account: &Account, urgency: Urgency, envelopes: usize) -> Result<Share, String> {
        self.aside.of(urgency).take(account, envelopes).map_err(|why| {
            let (most, of) = (self.most.of(urgency), urgency.of_what());
            why.told(|| {
                format!(
                    "of calls with issuers that this node does not know, {most} {of} may wait for a read barrier, and \
                     {envelopes} more do not fit"
                )
            })
        })
    }

    /// How many places of one urgency are taken, and how many there are, for the page of metrics.
    pub(super) fn shown(&self, urgency: Urgency, of: &'static str) -> TakenPlaces {
        TakenPlaces { urgency: urgency.name(), of, taken: self.taken(urgency), most: *self.most.of(urgency) }
    }

    /// How many places of one urgency are taken.
    pub(super) fn taken(&self, urgency: Urgency) -> usize {
        self.free.of(urgency).taken()
    }
}

/// The places of one call, which are given back when this is dropped: its own places, or those where it waits aside.
pub(super) struct HeldPlaces<'a> {
    places: &'a Places,
    urgency: Urgency,
    envelopes: usize,
    held: Share,
}

impl<'a> HeldPlaces<'a> {
    /// Takes a place for each of a call's envelopes.
    ///
    /// # Errors
    /// Why there are none, one sentence.
    pub(super) fn take(
        places: &'a Places,
        account: &Account,
        urgency: Urgency,
        envelopes: usize,
    ) -> Result<Self, String> {
        let held = places.take(account, urgency, envelopes)?;
        Ok(Self { places, urgency, envelopes, held })
    }

    /// Adjusts the places of a call that took them before it was read, now that its urgency and size are known. It
    /// gives back what the call does not need.
    ///
    /// # Errors
    /// Why there is no more, one sentence.
    pub(super) fn turned_out(mut self, urgency: Urgency, envelopes: usize) -> Result<Self, String> {
        if urgency != self.urgency {
            return Self::take(self.places, self.held.account(), urgency, envelopes);
        }
        let more = envelopes.saturating_sub(self.envelopes);
        self.held.grow(more).map_err(|why| self.places.full(why, urgency, more))?;
        self.held.keep(envelopes);
        self.envelopes = envelopes;
        Ok(self)
    }

    /// How urgent the call is.
    pub(super) fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// Whose places they are.
    pub(super) fn account(&self) -> &Account {
        self.held.account()
    }

    /// Gives the places back, and takes others where the call waits aside.
    ///
    /// # Errors
    /// Why there are none, in one sentence. The call then keeps its own places.
    pub(super) fn step_aside(&mut self) -> Result<(), String> {
        self.held = self.places.take_aside(self.held.account(), self.urgency, self.envelopes)?;
        Ok(())
    }

    /// Takes places again, and gives back those where the call waited aside.
    ///
    /// # Errors
    /// Why there are none, in one sentence. Then nothing of the call may be proposed.
    pub(super) fn come_back(&mut self) -> Result<(), String> {
        self.held = self.places.take(self.held.account(), self.urgency, self.envelopes)?;
        Ok(())
    }

    /// The places, for the task that proposes the envelopes.
    pub(super) fn into_places(self) -> Share {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use assent_api::MAX_BATCH;
    use assent_fixtures::{Place, claims, key};
    use assent_proof::{Claims, EvidenceId, Seconds, SigningKey};

    use super::*;

    /// An envelope of these claims, signed by each of these keys.
    fn envelope(claims: &Claims, seeds: &[u8]) -> Bytes {
        let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
        let place = Place::new("registry.test/1", "prod.eu".parse().unwrap(), Seconds(0));
        place.draft(claims).sign(&keys.iter().collect::<Vec<_>>()).into()
    }

    fn quarantine() -> Bytes {
        envelope(&claims::quarantine("exec-1".parse().unwrap()), &[1])
    }

    fn evidence() -> Bytes {
        envelope(&claims::integrity("m"), &[1])
    }

    fn release(signers: &[u8]) -> Bytes {
        envelope(&claims::release(EvidenceId([7; 32])), signers)
    }

    fn revocation(signers: &[u8]) -> Bytes {
        envelope(&claims::revocation(key(9).public(), None), signers)
    }

    #[test]
    fn what_only_restricts_is_most_urgent_then_what_governs_then_a_single_envelope_then_all_else() {
        assert_eq!(Urgency::of(&[quarantine()]), Urgency::Restriction);
        assert_eq!(Urgency::of(&[quarantine(), revocation(&[1, 2, 3])]), Urgency::Restriction);
        assert_eq!(Urgency::of(&[evidence()]), Urgency::Single);
        assert_eq!(Urgency::of(&[Bytes::from_static(b"no envelope")]), Urgency::Single);
        assert_eq!(Urgency::of(&[quarantine(), evidence()]), Urgency::Batch);
        assert_eq!(Urgency::of(&vec![quarantine(); 1_000]), Urgency::Batch, "too much to read in a moment");
        assert_eq!(Urgency::of(&[]), Urgency::Batch);
        assert!(Urgency::ALL.is_sorted());
    }

    #[test]
    fn what_governs_has_an_urgency_of_its_own_alone_with_others_of_its_kind_and_with_restrictions() {
        assert_eq!(Urgency::of(&[release(&[1])]), Urgency::Governance);
        assert_eq!(Urgency::of(&[release(&[1]), release(&[2])]), Urgency::Governance);
        assert_eq!(Urgency::of(&[quarantine(), release(&[1]), quarantine()]), Urgency::Governance);
        assert_eq!(Urgency::of(&[release(&[1]), evidence()]), Urgency::Batch);
        assert_eq!(Urgency::of(&[evidence(), release(&[1])]), Urgency::Batch);
        assert_eq!(Urgency::of(&vec![release(&[1]); 1_000]), Urgency::Batch, "too much to read in a moment");
        assert_eq!(
            Urgency::of(&[release(&[1, 2, 3, 4, 5, 6])]),
            Urgency::Batch,
            "its signatures cost as much"
        );
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
        assert_eq!(of(&[group(&[quarantine()]), group(&[evidence()])]), Urgency::Single);
        assert_eq!(of(&[group(&[quarantine()]), group(&[release(&[1])])]), Urgency::Governance);
        assert_eq!(of(&[group(&[release(&[1])]), group(&[evidence()])]), Urgency::Single);
        let many = vec![group(&[quarantine()]); 64];
        let bytes: usize = many.iter().flat_map(|group| &group.envelopes).map(Bytes::len).sum();
        assert!(bytes > READ_AT_ONCE, "more than a single call of restrictions may have");
        assert_eq!(of(&many), Urgency::Restriction);
        let costly = revocation(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(of(&[group(&[evidence()]), group(&[costly])]), Urgency::Batch, "as it was on the peer");
        assert_eq!(of(&[]), Urgency::Batch);
    }

    #[test]
    fn an_envelope_too_large_to_be_read_in_a_moment_is_no_more_urgent_than_a_batch() {
        let mut large = evidence().to_vec();
        large.resize(READ_AT_ONCE, b' ');
        assert_eq!(Urgency::of(&[large.clone().into()]), Urgency::Single);
        large.push(b' ');
        assert_eq!(Urgency::of(&[large.into()]), Urgency::Batch);
    }

    #[test]
    fn what_a_follower_puts_together_of_restrictions_or_governance_statements_the_leader_reads_at_once() {
        let limits = LimitConfig::default();
        assert!(Urgency::Restriction.entry_bytes_max(&limits) <= READ_AT_ONCE);
        assert!(Urgency::Governance.entry_bytes_max(&limits) <= READ_AT_ONCE);
        let small = LimitConfig { submit_batch_bytes: 1_024, ..limits };
        assert_eq!(Urgency::Restriction.entry_bytes_max(&small), 1_024);
        assert_eq!(Urgency::Single.entry_bytes_max(&small), 1_024);
    }

    #[test]
    fn calls_that_wait_for_a_barrier_block_no_others_and_their_number_is_bounded() {
        let limits = LimitConfig { submit_queue: 2 * MAX_BATCH, ..LimitConfig::default() };
        let places = Places::for_clients(&limits);
        let most = *places.most.of(Urgency::Restriction);
        let take = || HeldPlaces::take(&places, &Account::Common, Urgency::Restriction, 1);
        let mut aside: Vec<HeldPlaces<'_>> = (0..most).map(|_| take().unwrap()).collect();
        assert!(take().is_err());
        for held_places in &mut aside {
            held_places.step_aside().unwrap();
        }
        assert_eq!(places.taken(Urgency::Restriction), 0);
        // One call more does not get aside, and has its own place until it ends.
        let mut one_more = take().unwrap();
        let why = one_more.step_aside().unwrap_err();
        let said = format!("{most} envelopes that only restrict may wait for a read barrier");
        assert!(why.contains(&said), "{why}");
        assert_eq!(places.taken(Urgency::Restriction), 1);
        // A call that comes back needs a place again.
        let others = HeldPlaces::take(&places, &Account::Common, Urgency::Restriction, most - 1).unwrap();
        let mut first = aside.pop().unwrap();
        assert!(first.come_back().is_err());
        drop(others);
        first.come_back().unwrap();
        assert_eq!(places.taken(Urgency::Restriction), 2);
        assert!(one_more.step_aside().is_ok(), "the place aside is free again");
    }

    #[test]
    fn a_call_that_took_room_before_it_was_read_holds_what_it_turned_out_to_need() {
        let limits = LimitConfig { submit_queue: 2 * MAX_BATCH, ..LimitConfig::default() };
        let places = Places::for_clients(&limits);
        let expected =
            |envelopes| HeldPlaces::take(&places, &Account::Common, Urgency::Batch, envelopes).unwrap();
        let held = expected(MAX_BATCH).turned_out(Urgency::Batch, 10).unwrap();
        assert_eq!(places.taken(Urgency::Batch), 10);
        assert!(places.look(&Account::Common, Urgency::Batch, MAX_BATCH - 10).is_ok());
        let full = places.look(&Account::Common, Urgency::Batch, MAX_BATCH - 9).unwrap_err();
        assert_eq!(Some(full), places.take(&Account::Common, Urgency::Batch, MAX_BATCH - 9).err());
        let more = expected(20).turned_out(Urgency::Batch, 30).unwrap();
        assert_eq!(places.taken(Urgency::Batch), 40);
        assert!(expected(20).turned_out(Urgency::Batch, MAX_BATCH).is_err());
        assert_eq!(places.taken(Urgency::Batch), 40, "what is shed holds nothing");
        let single = more.turned_out(Urgency::Single, 1).unwrap();
        assert_eq!((places.taken(Urgency::Batch), places.taken(Urgency::Single)), (10, 1));
        drop((held, single));
        assert_eq!((places.taken(Urgency::Batch), places.taken(Urgency::Single)), (0, 0));
    }

    #[test]
    fn batches_take_no_places_from_more_urgent_calls_and_the_smallest_queue_holds_a_full_batch() {
        let limits = LimitConfig { submit_queue: 2 * MAX_BATCH, ..LimitConfig::default() };
        let places = Places::for_clients(&limits);
        let held = places.take(&Account::Common, Urgency::Batch, MAX_BATCH).unwrap();
        assert!(places.take(&Account::Common, Urgency::Batch, 1).is_err());
        assert!(
            places.take(&Account::Common, Urgency::Single, 1).is_ok()
                && places.take(&Account::Common, Urgency::Restriction, 1).is_ok()
        );
        assert!(places.take(&Account::Common, Urgency::Governance, 1).is_ok());
        assert_eq!(places.taken(Urgency::Batch), MAX_BATCH);
        drop(held);
        assert_eq!(places.taken(Urgency::Batch), 0);
        let all: usize = Urgency::ALL.iter().map(|urgency| *places.most.of(*urgency)).sum();
        assert_eq!(all, 2 * MAX_BATCH);
    }
}
