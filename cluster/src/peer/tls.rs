//! TLS between nodes.
//!
//! A node's certificate has a SPIFFE id that names its cluster and its node id. Both sides check the other's chain,
//! its time, the list of revoked certificates and this id in the TLS handshake, so before any frame is read. The
//! dialer wants the node that it dials, and the hello of a node that dials in must name the node of its certificate.
//! Names and addresses do not count.
//!
//! The files are read again while the node runs. What they withdraw is withdrawn, even if the node's own certificate is of a
//! CA that is gone. What is unusable is logged, and the node goes on with what it read before: with its own certificate in
//! place of one that peers would refuse, and with the newer of two revocation lists. A connection keeps the chain that the
//! peer has shown, which is checked again from time to time.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio_rustls::{TlsAcceptor, TlsConnector};

use assent_tls::{
    Admit, Authorities, CertificateDer, CertificateError, ClientConfig, NodeName, OwnCertificate,
    RereadAuthorities, ServerConfig, ServerName, Side, SpiffeId, mutual_client, mutual_server,
};

use crate::config::PeerTlsConfig;
use crate::env::{BoxStream, Clock};
use crate::locked::lock;
use crate::raft::types::NodeId;
use crate::tls_files::{Problems, TableProblems, TlsFile};
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
    problems: TableProblems,
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
        let material = Material::read(&files, own, &time)?;
        // The clock may be wrong, and the file may be replaced while the node runs.
        for side in [Side::Server, Side::Client] {
            if let Err(error) = material.authorities.check(material.own.chain(), side, time.now()) {
                tracing::warn!(file = %files.cert.display(), %error, "peers will refuse this node's certificate");
                break;
            }
        }
        let current = Mutex::new(Arc::new(material));
        let problems = TableProblems::new("peer_tls");
        Ok(Self { inner: Arc::new(Inner { files, own, time, current, problems }) })
    }

    /// Reads the files again. Blocks the thread. A new certificate of this node is shown if it is sound. What the CAs and the
    /// lists withdraw is withdrawn whatever else is wrong with the files ([`Authorities::read_again`]).
    pub(super) fn reread(&self) -> Reread {
        let before = self.current();
        let Inner { files, own, time, current, problems } = &*self.inner;
        let read = match before.read_again(files, *own, time) {
            Ok((read, found)) => {
                problems.note(found);
                read
            }
            Err(error) => {
                let mut found = Problems::default();
                found.add(TlsFile::Cert, &error);
                problems.note(found);
                return Reread::Nothing;
            }
        };
        let is_same = read.issue == before.issue && read.authorities.is_same(&before.authorities);
        *lock(current) = Arc::new(read);
        if is_same { Reread::Nothing } else { Reread::Changed }
    }

    /// What is wrong with the files now.
    pub(crate) fn problems(&self) -> &TableProblems {
        &self.inner.problems
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
    /// Reads the files for the first time.
    fn read(files: &PeerTlsConfig, node: ([u8; 32], NodeId), time: &WallTime) -> Result<Self, PeerTlsError> {
        let (own, name) = own_certificate(files, node)?;
        let authorities = Authorities::read(&files.ca, files.crl.as_deref())
            .map_err(|error| PeerTlsError(error.to_string()))?;
        is_covered(files, &authorities, &own)?;
        Self::of(0, (own, name), authorities, files, time)
    }

    /// Reads the files again, to use them in place of `self`, and says what is wrong with each of them.
    fn read_again(
        &self,
        files: &PeerTlsConfig,
        node: ([u8; 32], NodeId),
        time: &WallTime,
    ) -> Result<(Self, Problems), PeerTlsError> {
        let mut problems = Problems::default();
        let RereadAuthorities { authorities, ca, crl } =
            self.authorities.read_again(&files.ca, files.crl.as_deref());
        problems.extend(TlsFile::Ca, &ca);
        problems.extend(TlsFile::Crl, &crl);
        let found = own_certificate(files, node).and_then(|(own, name)| {
            self.may_be_followed_by(&own, files, &authorities, time)?;
            Ok((own, name))
        });
        let (own, name) = found.unwrap_or_else(|error| {
            problems.add(TlsFile::Cert, &error);
            (self.own.clone(), self.name.clone())
        });
        // A CA that was withdrawn is withdrawn, even if it is that of the certificate that this node goes on showing.
        if let Err(error) = is_covered(files, &authorities, &own) {
            problems.add(TlsFile::Cert, &error);
        }
        let issue = self.issue.saturating_add(u64::from(own.chain() != self.own.chain()));
        Ok((Self::of(issue, (own, name), authorities, files, time)?, problems))
    }

    /// Whether this node may show `own` in place of its certificate.
    ///
    /// What may also be wrong with the lists or with the clock is not held against a new certificate.
    fn may_be_followed_by(
        &self,
        own: &OwnCertificate,
        files: &PeerTlsConfig,
        authorities: &Authorities,
        time: &WallTime,
    ) -> Result<(), PeerTlsError> {
        if own.chain() == self.own.chain() {
            return Ok(());
        }
        is_covered(files, authorities, own)?;
        own.may_follow(&self.own, &files.cert, time.now())
            .map_err(|error| PeerTlsError(error.to_string()))?;
        for side in [Side::Server, Side::Client] {
            match authorities.check(own.chain(), side, time.now()) {
                Ok(_)
                | Err(
                    CertificateError::Expired { .. }
                    | CertificateError::NotYetValid { .. }
                    | CertificateError::UnknownStatus { .. }
                    | CertificateError::ListExpired { .. }
                    | CertificateError::ListUnusable { .. },
                ) => {}
                Err(error) => {
                    let cert = files.cert.display();
                    return Err(PeerTlsError(format!(
                        "the certificate `{cert}` is not shown, since peers would refuse it: {error}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn of(
        issue: u64,
        (own, name): (OwnCertificate, NodeName),
        authorities: Authorities,
        files: &PeerTlsConfig,
        time: &WallTime,
    ) -> Result<Self, PeerTlsError> {
        let authorities = Arc::new(authorities);
        let own_name = name.clone();
        let admit: Admit = Arc::new(move |id: &SpiffeId| named(id, &own_name).map(|_| ()));
        let server = mutual_server(&own, authorities.clone(), admit, Arc::new(time.clone()), ALPN)
            .map_err(|error| PeerTlsError(format!("`{}`: {error}", files.cert.display())))?;
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

/// The certificate of the files and the name in it, if it is that of this node.
fn own_certificate(
    files: &PeerTlsConfig,
    (cluster_id, node_id): ([u8; 32], NodeId),
) -> Result<(OwnCertificate, NodeName), PeerTlsError> {
    let own =
        OwnCertificate::read(&files.cert, &files.key).map_err(|error| PeerTlsError(error.to_string()))?;
    let cert = files.cert.display();
    let id = own.id().map_err(|error| PeerTlsError(format!("`{cert}`: {error}")))?;
    let name = NodeName::of(&id).map_err(|error| PeerTlsError(format!("`{cert}`: {error}")))?;
    if (name.cluster_id, name.node_id) != (cluster_id, node_id) {
        let right = NodeName { cluster_id, node_id, trust_domain: name.trust_domain };
        return Err(PeerTlsError(format!(
            "the certificate `{cert}` is that of `{id}`, and this node is `{}`: issue one for this node",
            right.to_id()
        )));
    }
    Ok((own, name))
}

/// Whether a CA of the file has issued the certificate. While the CA is replaced, the file has both.
fn is_covered(
    files: &PeerTlsConfig,
    authorities: &Authorities,
    own: &OwnCertificate,
) -> Result<(), PeerTlsError> {
    authorities.covers(own.chain()).map_err(|error| {
        let (cert, ca) = (files.cert.display(), files.ca.display());
        PeerTlsError(format!(
            "the certificate of `{cert}` was issued by no CA of `{ca}`, so peers refuse it: install one of such a CA, or put \
             its CA into the file again if it is missing by mistake ({error})"
        ))
    })
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

#[cfg(test)]
mod tests;
