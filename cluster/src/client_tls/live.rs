//! The connections of callers that have shown a certificate, so that they can be ended when it is withdrawn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use assent_tls::{CertificateDer, CertificateError, SpiffeId};
use tokio_util::sync::CancellationToken;

use crate::locked::lock;

/// The certificates that a caller has shown, its own first.
type Chain = Vec<CertificateDer<'static>>;

/// The connections that are open. Their number is bounded by that of all connections.
#[derive(Debug, Default)]
pub(super) struct LiveConnections(Mutex<Live>);

#[derive(Debug, Default)]
struct Live {
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    chain: Arc<Chain>,
    id: SpiffeId,
    withdrawn: CancellationToken,
}

/// The caller of one connection, as its certificate names it. The connection is known until this is dropped.
#[derive(Debug)]
pub(crate) struct LiveCaller {
    live: Arc<LiveConnections>,
    number: u64,
    id: SpiffeId,
    withdrawn: CancellationToken,
}

impl LiveCaller {
    /// Who it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Cancelled once the certificate does not hold any more.
    pub(crate) fn withdrawn(&self) -> &CancellationToken {
        &self.withdrawn
    }
}

impl Drop for LiveCaller {
    fn drop(&mut self) {
        lock(&self.live.0).open.remove(&self.number);
    }
}

impl LiveConnections {
    /// Notes a connection.
    pub(super) fn add(self: &Arc<Self>, id: SpiffeId, chain: Chain) -> LiveCaller {
        let withdrawn = CancellationToken::new();
        let mut live = lock(&self.0);
        let number = live.next;
        live.next = number.wrapping_add(1);
        let open = Open { chain: Arc::new(chain), id: id.clone(), withdrawn: withdrawn.clone() };
        live.open.insert(number, open);
        LiveCaller { live: self.clone(), number, id, withdrawn }
    }

    /// Ends each connection whose certificate `check` refuses. Callers that have shown the same certificate are checked
    /// once.
    pub(super) fn end_withdrawn(&self, check: impl Fn(&Chain) -> Result<SpiffeId, CertificateError>) {
        // The lock is not held while certificates are checked.
        let open: Vec<(u64, Arc<Chain>)> =
            lock(&self.0).open.iter().map(|(number, open)| (*number, open.chain.clone())).collect();
        let mut judged: BTreeMap<Vec<&[u8]>, Option<String>> = BTreeMap::new();
        for (number, chain) in &open {
            let bytes: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
            let refused =
                judged.entry(bytes).or_insert_with(|| check(chain).err().map(|error| error.to_string()));
            let Some(why) = refused else { continue };
            if let Some(open) = lock(&self.0).open.remove(number) {
                tracing::info!(caller = %open.id, %why, "a caller's certificate does not hold any more; its connection ends");
                open.withdrawn.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_ends_when_its_certificate_is_refused_and_no_other_does() {
        let live = Arc::new(LiveConnections::default());
        let add = |name: &str, byte: u8| {
            let id = SpiffeId::parse(&format!("spiffe://example.org/{name}")).unwrap();
            live.add(id, vec![CertificateDer::from(vec![byte])])
        };
        let (kept, first, second, gone) = (add("kept", 1), add("bad", 2), add("bad", 2), add("gone", 2));
        drop(gone);
        assert_eq!(lock(&live.0).open.len(), 3);
        let checks = std::cell::Cell::new(0);
        live.end_withdrawn(|chain| {
            checks.set(checks.get() + 1);
            match chain[0].as_ref() {
                [1] => Ok(SpiffeId::parse("spiffe://example.org/kept").unwrap()),
                _ => Err(CertificateError::None),
            }
        });
        assert_eq!(checks.get(), 2);
        assert!(first.withdrawn().is_cancelled() && second.withdrawn().is_cancelled());
        assert!(!kept.withdrawn().is_cancelled());
        drop((first, second, kept));
        assert!(lock(&live.0).open.is_empty());
    }
}
