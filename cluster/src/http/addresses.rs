//! The connections and TLS handshakes of each source address.
//!
//! The table has an entry for each address with a connection, so the bound of all connections bounds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Source;
use crate::locked::lock;

/// The connections by their source.
pub(super) struct Addresses {
    connections_max: usize,
    handshakes_max: usize,
    open: Mutex<BTreeMap<Source, Open>>,
}

struct Open {
    connections: usize,
    /// One permit for each handshake.
    handshakes: Arc<Semaphore>,
}

/// A connection that is counted for its source until this is dropped.
pub(super) struct Counted {
    addresses: Arc<Addresses>,
    source: Source,
    handshakes: Arc<Semaphore>,
    /// Whether its source has no more than its bound, this connection included.
    pub(super) within: bool,
}

impl Addresses {
    /// Bounds for each source.
    pub(super) fn new(connections_max: usize, handshakes_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, handshakes_max, open: Mutex::default() })
    }

    /// Counts a connection from there, even if there are too many.
    pub(super) fn count(self: &Arc<Self>, source: &Source) -> Counted {
        let mut all = lock(&self.open);
        let open = all.entry(source.clone()).or_insert_with(|| Open {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(self.handshakes_max)),
        });
        open.connections = open.connections.saturating_add(1);
        Counted {
            addresses: self.clone(),
            source: source.clone(),
            handshakes: open.handshakes.clone(),
            within: open.connections <= self.connections_max,
        }
    }
}

impl Counted {
    /// The turn of this connection's source for one handshake, if one is free now.
    pub(super) fn handshake_now(&self) -> Option<OwnedSemaphorePermit> {
        self.handshakes.clone().try_acquire_owned().ok()
    }

    /// The turn of this connection's source for one handshake.
    pub(super) async fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.handshakes.clone().acquire_owned().await.ok()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = lock(&self.addresses.open);
        let Some(open) = all.get_mut(&self.source) else { return };
        open.connections = open.connections.saturating_sub(1);
        if open.connections == 0 {
            all.remove(&self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if connections are counted over all sources, or if those that ended still count.
    #[test]
    fn each_source_has_its_own_number_of_connections_and_is_forgotten_with_its_last() {
        let addresses = Addresses::new(2, 1);
        let (one, two) = (Source::of("127.0.0.1:1"), Source::of("127.0.0.2:1"));
        let held = [addresses.count(&one), addresses.count(&one)];
        assert!(held.iter().all(|counted| counted.within));
        assert!(!addresses.count(&one).within);
        assert!(addresses.count(&two).within);
        assert_eq!(lock(&addresses.open).len(), 1);
        drop(held);
        assert!(lock(&addresses.open).is_empty());
        assert!(addresses.count(&one).within);
    }

    /// It fails if silent handshakes of one source hold up those of another.
    #[test]
    fn each_source_has_its_own_handshakes() {
        let addresses = Addresses::new(10, 1);
        let (one, two) = (Source::of("127.0.0.1:1"), Source::of("127.0.0.2:1"));
        let (first, second, other) = (addresses.count(&one), addresses.count(&one), addresses.count(&two));
        let held = first.handshake_now();
        assert!(held.is_some() && second.handshake_now().is_none() && other.handshake_now().is_some());
        drop(held);
        assert!(second.handshake_now().is_some());
    }
}
