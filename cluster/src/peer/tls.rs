//! TLS between nodes.
//!
//! A node's certificate has a SPIFFE id that names its cluster and its node id. Both sides check the other's chain,
//! its time, the list of revoked certificates and this id in the TLS handshake, so before any frame is read. The
//! dialer wants the node that it dials, and the hello of a node that dials in must name the node of its certificate.
//! Names and addresses do not count.
//!
//! The files are read again while the node runs. What is unusable is logged, and the node goes on with what it read
//! before. Unusable are also a file of CAs of which none has issued the node's own certificate, and a revocation list that
//! is older than the one that was read before. A connection keeps the chain that the peer has shown, which is checked
//! again from time to time.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio_rustls::{TlsAcceptor, TlsConnector};

use assent_tls::{
    Admit, Authorities, CertificateDer, ClientConfig, NodeName, OwnCertificate, ServerConfig, ServerName,
    Side, SpiffeId, mutual_client, mutual_server,
};

use crate::config::PeerTlsConfig;
use crate::env::{BoxStream, Clock};
use crate::locked::lock;
use crate::raft::types::NodeId;
use crate::wall_time::WallTime;

/// The protocol that both sides name in the handshake (ALPN), so that no other TLS service is taken for a node.
const ALPN: &[u8] = b"assent-peer";

/// The name that rustls asks for. It is not sent, and the certificate is not compared with it.
fn unused_name() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Why TLS between nodes cannot be used: the file or the certificate, what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerTlsError(String);

/// TLS for the connections of one node. Clones share it.
#[derive(Clone)]
pub struct PeerTls {
    inner: Arc<Inner>,
}

struct Inner {
    files: PeerTlsConfig,
    /// The node that this is.
    own: (/* cluster */ [u8; 32], NodeId),
    time: WallTime,
    current: Mutex<Arc<Material>>,
}

/// What was read from the files last.
struct Material {
    /// How often the node's own certificate was read anew.
    issue: u64,
    name: NodeName,
    own: OwnCertificate,
    authorities: Arc<Authorities>,
    server: Arc<ServerConfig>,
}

/// The node that is at the other end of a connection, by the certificate that it has shown.
#[derive(Clone)]
pub(super) struct Proven {
    pub(super) node: NodeId,
    chain: Vec<CertificateDer<'static>>,
    shown_by: Side,
    /// The issue of the own certificate that this node has shown.
    issue: u64,
}

/// What a new reading of the files has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reread {
    Nothing,
    Changed,
}

impl PeerTls {
    /// Reads the files, and checks that the certificate is that of this node and was issued by one of the CAs.
    pub fn load(
        files: PeerTlsConfig,
        cluster_id: [u8; 32],
        node_id: NodeId,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PeerTlsError> {
        let (own, time) = ((cluster_id, node_id), WallTime(clock));
        let material = Material::read(&files, own, &time, 0, None)?;
        // The clock may be wrong, and the file may be replaced while the node runs.
        for side in [Side::Server, Side::Client] {
            if let Err(error) = material.authorities.check(material.own.chain(), side, time.now()) {
                tracing::warn!(file = %files.cert.display(), %error, "peers will refuse this node's certificate");
                break;
            }
        }
        let current = Mutex::new(Arc::new(material));
        Ok(Self { inner: Arc::new(Inner { files, own, time, current }) })
    }

    /// Reads the files again. Blocks the thread. After an error the node goes on with what it has.
    pub(super) fn reread(&self) -> Result<Reread, PeerTlsError> {
        let before = self.current();
        let Inner { files, own, time, .. } = &*self.inner;
        let mut read = Material::read(files, *own, time, before.issue, Some(before.authorities.as_ref()))?;
        let is_renewed = read.own.chain() != before.own.chain();
        if !is_renewed && read.authorities.is_same(&before.authorities) {
            return Ok(Reread::Nothing);
        }
        read.issue = before.issue.saturating_add(u64::from(is_renewed));
        *lock(&self.inner.current) = Arc::new(read);
        Ok(Reread::Changed)
    }

    /// When this node's certificate ends, in milliseconds since 1970.
    pub fn not_after_ms(&self) -> i64 {
        self.current().own.not_after_ms()
    }

    /// When the first of the lists of revoked certificates ends, in milliseconds since 1970. `None` without lists.
    pub fn next_update_ms(&self) -> Option<i64> {
        self.current().authorities.next_update_ms()
    }

    /// Shakes hands as the side that dialed `target`.
    pub(super) async fn dial(&self, stream: BoxStream, target: NodeId) -> io::Result<(BoxStream, Proven)> {
        let material = self.current();
        let connector = TlsConnector::from(material.client(target, &self.inner.time)?);
        let stream = connector.connect(unused_name(), stream).await?;
        let (_, session) = stream.get_ref();
        let chain = spoken(session.alpn_protocol(), session.peer_certificates())?;
        let proven = Proven { node: target, chain, shown_by: Side::Server, issue: material.issue };
        Ok((Box::new(stream), proven))
    }

    /// Shakes hands as the side that was dialed.
    pub(super) async fn accept(&self, stream: BoxStream) -> io::Result<(BoxStream, Proven)> {
        let material = self.current();
        let stream = TlsAcceptor::from(material.server.clone()).accept(stream).await?;
        let (_, session) = stream.get_ref();
        let chain = spoken(session.alpn_protocol(), session.peer_certificates())?;
        let id = material
            .authorities
            .check(&chain, Side::Client, self.inner.time.now())
            .map_err(|error| io::Error::other(error.to_string()))?;
        let node = named(&id, &material.name).map_err(io::Error::other)?;
        Ok((Box::new(stream), Proven { node, chain, shown_by: Side::Client, issue: material.issue }))
    }

    /// Whether the peer's certificate would still be accepted now, or why not.
    pub(super) fn check(&self, proven: &Proven) -> Result<(), String> {
        let material = self.current();
        let id = material
            .authorities
            .check(&proven.chain, proven.shown_by, self.inner.time.now())
            .map_err(|error| error.to_string())?;
        match named(&id, &material.name)? {
            node if node == proven.node => Ok(()),
            node => Err(format!("its certificate is that of node {node}, not of node {}", proven.node)),
        }
    }

    /// Whether this node has shown a certificate on that connection that it has replaced since.
    pub(super) fn has_renewed_since(&self, proven: &Proven) -> bool {
        self.current().issue != proven.issue
    }

    fn current(&self) -> Arc<Material> {
        lock(&self.inner.current).clone()
    }
}

impl Material {
    fn read(
        files: &PeerTlsConfig,
        (cluster_id, node_id): ([u8; 32], NodeId),
        time: &WallTime,
        issue: u64,
        before: Option<&Authorities>,
    ) -> Result<Self, PeerTlsError> {
        let unusable = |problem: String| PeerTlsError(problem);
        let own =
            OwnCertificate::read(&files.cert, &files.key).map_err(|error| unusable(error.to_string()))?;
        let crl = files.crl.as_deref();
        let authorities = match before {
            Some(before) => before.read_again(&files.ca, crl),
            None => Authorities::read(&files.ca, crl),
        };
        let authorities = authorities.map_err(|error| unusable(error.to_string()))?;
        let cert = files.cert.display();
        let id = own.id().map_err(|error| unusable(format!("`{cert}`: {error}")))?;
        let name = NodeName::of(&id).map_err(|error| unusable(format!("`{cert}`: {error}")))?;
        if (name.cluster_id, name.node_id) != (cluster_id, node_id) {
            let right = NodeName { cluster_id, node_id, trust_domain: name.trust_domain };
            return Err(unusable(format!(
                "the certificate `{cert}` is that of `{id}`, and this node is `{}`: issue one for this node",
                right.to_id()
            )));
        }
        // While the CA is replaced, the file has both. A file that has lost the CA of this certificate is taken for a mistake:
        // peers with the same file refuse this node.
        authorities.covers(own.chain()).map_err(|error| {
            let ca = files.ca.display();
            unusable(format!(
                "the certificate `{cert}` was issued by no CA of `{ca}`, so peers would refuse it: {error}"
            ))
        })?;
        let authorities = Arc::new(authorities);
        let own_name = name.clone();
        let admit: Admit = Arc::new(move |id: &SpiffeId| named(id, &own_name).map(|_| ()));
        let server = mutual_server(&own, authorities.clone(), admit, Arc::new(time.clone()), ALPN)
            .map_err(|error| unusable(format!("`{cert}`: {error}")))?;
        Ok(Self { issue, name, own, authorities, server })
    }

    /// The configuration with which this node dials `target`.
    fn client(&self, target: NodeId, time: &WallTime) -> io::Result<Arc<ClientConfig>> {
        let own_name = self.name.clone();
        let admit: Admit = Arc::new(move |id: &SpiffeId| match named(id, &own_name)? {
            node if node == target => Ok(()),
            node => Err(format!("the certificate is that of node {node}, and node {target} was dialed")),
        });
        mutual_client(&self.own, self.authorities.clone(), admit, Arc::new(time.clone()), ALPN)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

/// The peer that a SPIFFE id names: another node of the same cluster and trust domain.
fn named(id: &SpiffeId, own: &NodeName) -> Result<NodeId, String> {
    let name = NodeName::of(id)
        .map_err(|error| format!("the certificate of `{id}` is not that of a node: {error}"))?;
    if name.trust_domain != own.trust_domain {
        return Err(format!("`{id}` is of another trust domain than this node's `{}`", own.trust_domain));
    }
    if name.cluster_id != own.cluster_id {
        return Err(format!("`{id}` is a node of another cluster"));
    }
    if name.node_id == own.node_id {
        return Err(format!("the certificate of `{id}` is that of this node itself"));
    }
    Ok(name.node_id)
}

/// The chain that the other side has shown, if it speaks the protocol of peers.
fn spoken(
    alpn: Option<&[u8]>,
    chain: Option<&[CertificateDer<'static>]>,
) -> io::Result<Vec<CertificateDer<'static>>> {
    if alpn != Some(ALPN) {
        return Err(io::Error::other(
            "the other side speaks TLS, but not the protocol of peers: is this a client port?",
        ));
    }
    chain
        .filter(|chain| !chain.is_empty())
        .map(<[CertificateDer<'static>]>::to_vec)
        .ok_or_else(|| io::Error::other("the other side has shown no certificate"))
}
