//! When the next granted keys end, for people: a node whose key ends denies, and so does all that rests on an authority whose grant
//! ends. Local: no barrier, and no decision rests on it.
//!
//! A page of metrics must cost about the same however large the registry is, so one page reads one stretch of the authorities at
//! most, and what is shown of a role is what the last complete walk over all of them found. An end that has passed since is left out:
//! it is not the next one any more, and a key that was revoked meanwhile would show its own until the walk comes by again.

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

/// Authorities that are read for one page.
const STRETCH: usize = 2_048;
/// How often they are read at most, however often a page is asked for.
const READ_EVERY: Duration = Duration::from_secs(5);
/// A page waits so long for a stretch. Then it shows what was known before: a disk that stands still must not hold it up.
const WAITS: Duration = Duration::from_millis(500);
/// What is shown of a key whose grant has no end: the last second that a statement can name.
const NEVER: Seconds = Seconds(253_402_300_799);

/// The walks over all authorities, one after the other.
#[derive(Default)]
pub(super) struct Walks {
    /// Held by the reading itself, so that there is one at a time.
    walk: Arc<tokio::sync::Mutex<Walk>>,
    known: Arc<Mutex<KeyEnds>>,
}

/// A walk that is under way.
#[derive(Default)]
struct Walk {
    /// When it last read.
    read: Option<Instant>,
    /// Where it goes on; none at the beginning.
    after: Option<Vec<u8>>,
    /// What it found so far.
    found: BTreeMap<Role, Seconds>,
}

impl Walks {
    /// What is known of when keys end, after one more stretch if it is time for one.
    pub(super) async fn known(&self, parts: &Parts) -> KeyEnds {
        let now = parts.env.clock.now();
        // Another page reads right now: what is known will do.
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
                    // What cannot be read any more is not shown as if it still held.
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
    /// Reads the node's own key and one stretch. Answers when that key ends and, if the walk is complete, what it found.
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

/// The soonest ends of both that are still to come at `now`: one that has passed while its walk was under way hides none that was found
/// later.
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
