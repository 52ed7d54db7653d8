//! When the next granted keys end, for operators. If a node's key ends, the node denies, and so does everything that
//! depends on an authority whose grant ends. Local: no barrier, and no decision depends on it.
//!
//! A page of metrics must cost about the same however large the registry is. So one page reads at most one part of
//! the authorities. What it shows of a role is what the last complete walk over all authorities found. An end that
//! has passed since then is left out: it is not the next one any more. If a key was revoked in the meantime, its end
//! is shown until the next walk reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use assent_proof::{DomainName, Millis, PublicKey, Role, Seconds};
use assent_registry::{AuthorityStatus, RowError, query};
use assent_store::RegistryStore;

use super::Parts;
use crate::env::blocking;
use crate::locked::lock;
use crate::metrics::KeyEnds;

/// The number of authorities that are read for one page.
const STRETCH: usize = 2_048;
/// The shortest time between two reads, however often the page is requested.
const READ_EVERY: Duration = Duration::from_secs(5);
/// How long a page waits for a read. After that it shows what was known before, so that a disk that hangs does not
/// delay it.
const WAITS: Duration = Duration::from_millis(500);
/// The value for a key whose grant has no end: the last second that a statement can name.
const NEVER: Seconds = Seconds(253_402_300_799);

/// The walks over all authorities, one after another.
#[derive(Default)]
pub(super) struct Walks {
    /// The read itself holds this lock, so that there is one read at a time.
    walk: Arc<tokio::sync::Mutex<Walk>>,
    known: Arc<Mutex<KeyEnds>>,
}

/// A walk that is under way.
#[derive(Default)]
struct Walk {
    /// When it last read.
    read: Option<Instant>,
    /// Where it continues; none at the beginning.
    after: Option<Vec<u8>>,
    /// What it has found so far.
    found: BTreeMap<Role, Seconds>,
}

impl Walks {
    /// What is known of the ends of keys, after one more read if it is time for one.
    pub(super) async fn known(&self, parts: &Parts) -> KeyEnds {
        let now = parts.env.clock.now();
        // If another page is reading now, what is known is enough.
        if let Ok(mut walk) = self.walk.clone().try_lock_owned()
            && walk.read.is_none_or(|read| read.elapsed() >= READ_EVERY)
        {
            walk.read = Some(Instant::now());
            let (registry, key) = (parts.storage.registry.clone(), parts.identity.key.public());
            let known = self.known.clone();
            let reading = blocking(&*parts.env.blocking, move || {
                let read = walk.go_on(&registry, &key, now);
                let mut known = lock(&known);
                match read {
                    Ok((own, all)) => {
                        known.own = Some(own);
                        if let Some(all) = all {
                            known.soonest = all;
                        }
                        Ok(())
                    }
                    // If the authorities cannot be read any more, they are not shown as if they were still granted.
                    Err(error) => {
                        *known = KeyEnds::default();
                        Err(error)
                    }
                }
            });
            if let Ok(Ok(Err(error))) = timeout(WAITS, reading).await {
                parts.stop_if_unknown(&error);
            }
        }
        lock(&self.known).to_come(now)
    }
}

impl Walk {
    /// Reads the node's own key and one part of the authorities. Returns when that key ends and, if the walk is
    /// complete, what it found.
    fn go_on(
        &mut self,
        registry: &RegistryStore,
        own: &PublicKey,
        now: Millis,
    ) -> Result<(Seconds, Option<BTreeMap<Role, Seconds>>), RowError> {
        let view = registry.view()?;
        let own = own_end(query::authority(&view, own, now)?);
        let after = self.after.take();
        let found = std::mem::take(&mut self.found);
        let page = query::key_ends(&view, after.as_deref(), STRETCH, now)?;
        let found = soonest_of(found, page.soonest, now);
        if page.next.is_some() {
            self.after = page.next;
            self.found = found;
            return Ok((own, None));
        }
        Ok((own, Some(found)))
    }
}

/// The soonest ends of both that are still to come at `now`. An end that passed during its walk does not hide one
/// that was found later.
fn soonest_of(
    mut found: BTreeMap<Role, Seconds>,
    more: BTreeMap<Role, Seconds>,
    now: Millis,
) -> BTreeMap<Role, Seconds> {
    found.retain(|_, end| now < end.to_millis());
    for (role, end) in more {
        found.entry(role).and_modify(|soonest| *soonest = end.min(*soonest)).or_insert(end);
    }
    found
}

/// When the grant of a node's key ends.
fn own_end(entry: Option<query::AuthorityEntry>) -> Seconds {
    let granted = entry.filter(|entry| {
        entry.role == Role::Registry
            && entry.domain == DomainName::root()
            && entry.status != AuthorityStatus::Revoked
    });
    granted.map_or(Seconds(0), |entry| entry.not_after.unwrap_or(NEVER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_proof::{EvidenceId, SigningKey};

    fn entry(role: Role, domain: &str, status: AuthorityStatus) -> query::AuthorityEntry {
        query::AuthorityEntry {
            key: SigningKey::from_seed([7; 32]).public(),
            name: "node-1".to_owned(),
            role,
            domain: domain.parse().unwrap(),
            not_before: Seconds(1),
            not_after: Some(Seconds(1_900_000_000)),
            status,
            admitted_by: EvidenceId([0; 32]),
            revoked_by: None,
            invalid_since: None,
        }
    }

    #[test]
    fn a_page_shows_no_end_of_a_role_that_has_passed_since_it_was_read() {
        let (first, second) = (Seconds(1_900_000_000), Seconds(1_900_000_060));
        let known = KeyEnds {
            own: Some(first),
            soonest: BTreeMap::from([(Role::Attestation, first), (Role::Registry, second)]),
        };
        assert_eq!(known.to_come(Millis(first.to_millis().0 - 1)), known);
        let later = known.to_come(first.to_millis());
        assert_eq!(later.soonest, BTreeMap::from([(Role::Registry, second)]));
        // It was read for this page, and says that this node denies.
        assert_eq!(later.own, Some(first));
        assert_eq!(known.to_come(second.to_millis()).soonest, BTreeMap::new());
    }

    #[test]
    fn an_end_that_passes_while_a_walk_is_under_way_hides_no_later_one() {
        let of = |end| BTreeMap::from([(Role::Audit, Seconds(end))]);
        let at = |second| Seconds(second).to_millis();
        assert_eq!(soonest_of(of(100), of(200), at(99)), of(100));
        assert_eq!(soonest_of(of(100), of(200), at(100)), of(200));
        assert_eq!(soonest_of(of(300), of(200), at(100)), of(200));
        assert_eq!(soonest_of(of(100), BTreeMap::new(), at(100)), BTreeMap::new());
    }

    #[test]
    fn a_node_whose_key_is_not_granted_or_was_revoked_shows_an_end_that_is_long_past() {
        let granted = entry(Role::Registry, "_root", AuthorityStatus::Active);
        assert_eq!(own_end(Some(granted.clone())), Seconds(1_900_000_000));
        // An end that has passed is shown as it was.
        let expired = query::AuthorityEntry { status: AuthorityStatus::Expired, ..granted.clone() };
        assert_eq!(own_end(Some(expired)), Seconds(1_900_000_000));
        assert_eq!(own_end(Some(query::AuthorityEntry { not_after: None, ..granted })), NEVER);
        assert_eq!(own_end(None), Seconds(0));
        for other in [
            entry(Role::Registry, "_root", AuthorityStatus::Revoked),
            entry(Role::Audit, "_root", AuthorityStatus::Active),
            entry(Role::Registry, "dev.local", AuthorityStatus::Active),
        ] {
            assert_eq!(own_end(Some(other)), Seconds(0));
        }
    }
}
