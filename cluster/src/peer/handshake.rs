//! The first frames of a connection, in both directions, before anything else. Each side says who it is and which
//! node it wants, and decides whether the other may talk.
//!
//! The dialer sends a hello. The acceptor sends a hello or a refusal. The dialer sends ready or a refusal. A refusal
//! carries its reason, so that a wrong configuration shows in one log line on either side. If the cluster was
//! recovered without the other node, that node gets a hello and then root's statement. It accepts the statement only
//! from a peer that it has admitted, and checks it itself. For an unknown peer, a node allocates nothing beyond one
//! small frame.

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use assent_proof::text::is_obeyed;

use crate::env::BoxStream;
use crate::raft::types::NodeId;

use super::bounds::{node_id, number};
use super::frame::{FRAME_HEAD, FrameError, FrameReader, HANDSHAKE_FRAME_MAX, kind, small_frame};
use super::handler::Handler;
use super::hello::{Hello, Identity, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use super::refusals::{PeerBound, Refusals};

/// The longest reason that is sent or accepted, in bytes.
const REASON_MAX: usize = 512;
/// The longest recovery statement that is sent, in bytes.
const RECOVERY_MAX: usize = HANDSHAKE_FRAME_MAX - FRAME_HEAD;
/// The start of the reason for which a node that was removed is refused. A build that gets such a refusal recognizes
/// it by these words, so they never change.
pub(crate) const REMOVED: &str = "this node was removed from the cluster";
/// The error of a connection on which root's statement came in place of a refusal.
pub(super) const RECOVERED_WITHOUT: &str = "it says that the cluster was recovered without this node";

/// What a node that only asks who answers sends in place of the rest.
const LOOKED: &str = "it only looked who answers here";

/// The largest term and log end that a peer may claim in its hello, and where a hello that claims more is counted.
#[derive(Clone, Copy)]
pub(super) struct ClaimBound<'a> {
    pub(super) most: u64,
    pub(super) refusals: &'a Refusals,
}

/// A stream after a handshake that succeeded.
pub(super) struct Opened {
    /// The other side's hello.
    pub(super) hello: Hello,
    /// The reader of the other side's frames. It may hold bytes already.
    pub(super) reader: FrameReader<ReadHalf<BoxStream>>,
    /// The writer of this side's frames.
    pub(super) writer: WriteHalf<BoxStream>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The stream failed.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// Writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The bytes that arrived are not a handshake of this protocol.
    #[error("the other side does not speak this protocol: {0}")]
    Foreign(String),
    /// This node refuses the other side.
    #[error("refused node `{node}`: {reason}")]
    Refused { node: NodeId, reason: String },
    /// The other side refuses this node.
    #[error("refused by the peer: {0}")]
    RefusedByPeer(String),
}

impl HandshakeError {
    /// Whether the other side refuses this node as one that was removed from the cluster.
    pub(super) fn says_removed(&self) -> bool {
        matches!(self, HandshakeError::RefusedByPeer(reason) if reason.starts_with(REMOVED))
    }

    /// The error for people. If TLS failed, this says which of the two sides refused.
    pub(super) fn explained(&self) -> String {
        let io = match self {
            HandshakeError::Io(error) | HandshakeError::Frame(FrameError::Io(error)) => Some(error),
            _ => None,
        };
        io.map_or_else(|| self.to_string(), assent_tls::explain)
    }

    /// Whether the other side only asked who answers here.
    pub(super) fn only_looked(&self) -> bool {
        matches!(self, HandshakeError::RefusedByPeer(reason) if reason == LOOKED)
    }
}

/// Opens a connection as the side that dialed `target`.
pub(super) async fn dial(
    stream: BoxStream,
    identity: &Identity,
    target: NodeId,
    claims: ClaimBound<'_>,
    handler: &dyn Handler,
) -> Result<Opened, HandshakeError> {
    let (read, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    send(&mut writer, kind::HELLO, &Hello::new(identity, target, handler.store_progress()).to_bytes())
        .await?;
    let hello = receive_hello(&mut reader).await?;
    if let Err(reason) = check_dialed(&hello, identity, target, claims).and_then(|()| handler.admit(&hello)) {
        if let Some(envelope) = statement_for(&hello, handler) {
            send(&mut writer, kind::RECOVERED, &envelope).await?;
            writer.shutdown().await?;
            return Err(HandshakeError::Refused { node: hello.node_id, reason });
        }
        return refuse(&mut writer, &hello, reason).await;
    }
    send(&mut writer, kind::READY, &[]).await?;
    Ok(Opened { hello, reader, writer })
}

/// Asks which node answers as `target`, and closes the connection. The other side keeps the connections that it has.
pub(super) async fn look(
    stream: BoxStream,
    identity: &Identity,
    target: NodeId,
    claims: ClaimBound<'_>,
    handler: &dyn Handler,
) -> Result<Hello, HandshakeError> {
    let (read, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    send(&mut writer, kind::HELLO, &Hello::new(identity, target, handler.store_progress()).to_bytes())
        .await?;
    let hello = receive_hello(&mut reader).await?;
    if let Err(reason) = check_dialed(&hello, identity, target, claims) {
        return refuse(&mut writer, &hello, reason).await;
    }
    send(&mut writer, kind::REFUSAL, LOOKED.as_bytes()).await?;
    writer.shutdown().await?;
    Ok(hello)
}

/// Opens a connection as the side that was dialed. With TLS, the peer has `proven` which node it is. `room`
/// returns whether there is room for another node, or why not.
pub(super) async fn accept(
    stream: BoxStream,
    proven: Option<NodeId>,
    identity: &Identity,
    claims: ClaimBound<'_>,
    handler: &dyn Handler,
    room: &(dyn Fn(NodeId) -> Result<(), String> + Send + Sync),
) -> Result<Opened, HandshakeError> {
    let (read, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    let hello = receive_hello(&mut reader).await?;
    let checked = check_accepted(&hello, proven, identity, claims);
    let own = Hello::new(identity, hello.node_id, handler.store_progress());
    let admitted = checked.and_then(|()| handler.admit(&hello)).and_then(|()| room(hello.node_id));
    if let Err(reason) = admitted {
        if let Some(envelope) = statement_for(&hello, handler) {
            send(&mut writer, kind::HELLO, &own.to_bytes()).await?;
            send(&mut writer, kind::RECOVERED, &envelope).await?;
            // The dialer answers the hello before it reads on. Its answer does not matter, but if this side closed
            // the connection while the dialer sends, the dialer could lose the statement.
            let _ = reader.next(HANDSHAKE_FRAME_MAX).await;
            writer.shutdown().await?;
            return Err(HandshakeError::Refused { node: hello.node_id, reason });
        }
        return refuse(&mut writer, &hello, reason).await;
    }
    send(&mut writer, kind::HELLO, &own.to_bytes()).await?;
    let frame = reader.next(HANDSHAKE_FRAME_MAX).await?;
    match frame.kind {
        kind::READY => Ok(Opened { hello, reader, writer }),
        kind::REFUSAL => Err(HandshakeError::RefusedByPeer(reason_of(&frame.body))),
        kind::RECOVERED => {
            handler.recovered(&hello, &frame.body);
            Err(HandshakeError::RefusedByPeer(RECOVERED_WITHOUT.to_owned()))
        }
        other => Err(HandshakeError::Foreign(format!("frame kind `{other:#04x}` instead of ready"))),
    }
}

async fn send(writer: &mut WriteHalf<BoxStream>, kind: u8, body: &[u8]) -> Result<(), HandshakeError> {
    writer.write_all(&small_frame(kind, 0, body)).await?;
    writer.flush().await?;
    Ok(())
}

async fn receive_hello(reader: &mut FrameReader<ReadHalf<BoxStream>>) -> Result<Hello, HandshakeError> {
    let frame = reader.next(HANDSHAKE_FRAME_MAX).await?;
    match frame.kind {
        kind::HELLO => Hello::parse(&frame.body).map_err(|error| HandshakeError::Foreign(error.to_string())),
        kind::REFUSAL => Err(HandshakeError::RefusedByPeer(reason_of(&frame.body))),
        other => Err(HandshakeError::Foreign(format!("frame kind `{other:#04x}` instead of hello"))),
    }
}

/// Sends the other side the reason of the refusal, if it can still be reached.
async fn refuse<T>(
    writer: &mut WriteHalf<BoxStream>,
    hello: &Hello,
    reason: String,
) -> Result<T, HandshakeError> {
    let node = hello.node_id;
    let mut told = reason.as_bytes();
    if told.len() > REASON_MAX {
        told = told.split_at(REASON_MAX).0;
    }
    send(writer, kind::REFUSAL, told).await?;
    writer.shutdown().await?;
    Err(HandshakeError::Refused { node, reason })
}

/// Root's statement, if the node with this hello is one that the cluster was recovered without.
fn statement_for(hello: &Hello, handler: &dyn Handler) -> Option<Bytes> {
    handler.recovery(hello).filter(|envelope| envelope.len() <= RECOVERY_MAX)
}

/// A peer's reason, made safe to log, because another node wrote it.
fn reason_of(body: &Bytes) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .take(REASON_MAX)
        .map(|c| if is_obeyed(c) { ' ' } else { c })
        .collect()
}

fn check_dialed(
    hello: &Hello,
    identity: &Identity,
    target: NodeId,
    claims: ClaimBound<'_>,
) -> Result<(), String> {
    check_both(hello, identity, claims)?;
    if hello.node_id != target {
        return Err(format!("node `{}` answers where node `{target}` should", hello.node_id));
    }
    Ok(())
}

fn check_accepted(
    hello: &Hello,
    proven: Option<NodeId>,
    identity: &Identity,
    claims: ClaimBound<'_>,
) -> Result<(), String> {
    check_both(hello, identity, claims)?;
    if let Some(proven) = proven
        && proven != hello.node_id
    {
        let claimed = hello.node_id;
        return Err(format!(
            "it says that it is node `{claimed}`, and its certificate is that of node `{proven}`"
        ));
    }
    if hello.node_id == identity.node_id {
        return Err(format!("this is node `{}` itself", identity.node_id));
    }
    Ok(())
}

fn check_both(hello: &Hello, identity: &Identity, claims: ClaimBound<'_>) -> Result<(), String> {
    if hello.versions.1 < PROTOCOL_VERSION_MIN || hello.versions.0 > PROTOCOL_VERSION {
        return Err(format!(
            "protocol versions `{}` to `{}` do not meet `{PROTOCOL_VERSION_MIN}` to `{PROTOCOL_VERSION}`",
            hello.versions.0, hello.versions.1
        ));
    }
    if hello.cluster_id != identity.cluster_id {
        return Err("it belongs to another cluster".to_owned());
    }
    if let Err(why) = node_id(hello.node_id) {
        return Err(format!("node {} is not a member of this cluster: {why}", hello.node_id));
    }
    if hello.target != identity.node_id {
        return Err(format!("this is node `{}`, not node `{}`", identity.node_id, hello.target));
    }
    let progress = &hello.store_progress;
    let claimed = number("term", progress.term, claims.most)
        .and_then(|()| number("log end", progress.log_end, claims.most));
    claimed.inspect_err(|_| claims.refusals.count(PeerBound::Claims))
}
