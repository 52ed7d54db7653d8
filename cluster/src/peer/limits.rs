//! Every bound and deadline of the peer transport, in one place.

use std::time::Duration;

/// Bounds of queues, frames and waits. The defaults suit a cluster within one region.
#[derive(Debug, Clone)]
pub struct PeerLimits {
    /// The largest frame either side accepts, in bytes without its length prefix. A larger one ends the connection
    /// before anything of that size is allocated.
    pub frame_bytes_max: usize,
    /// Bytes of requests that may wait to be written on one connection; answers may take as much again.
    pub queue_bytes_max: usize,
    /// Frames of requests that may wait to be written on one connection; answers may take as many again.
    pub queue_frames_max: usize,
    /// Requests of one connection that may wait for their answers.
    pub calls_max: usize,
    /// Appends that may be in flight to one follower at once. It is small, so that under load the end of the log
    /// gathers into larger batches instead of many small ones.
    pub append_pipeline: usize,
    /// Appends of one peer that may wait for, or be with, the Raft core here.
    pub append_lane_max: usize,
    /// Votes, read barriers, probes and snapshot steps of one peer that may be under way at once.
    pub control_requests_max: usize,
    /// Submissions of one peer that may be under way at once.
    pub submissions_max: usize,
    /// The size of those submissions in sum, in bytes.
    pub submission_bytes_max: usize,
    /// The number of nodes with which this one may have connections, or which it may dial, before it refuses
    /// connections from any other. A node that waits to be added admits every node of its cluster, under any id. The
    /// open files that are kept for peers suffice for this many.
    pub peers_max: usize,
    /// Incoming connections that may be shaking hands at once.
    pub handshakes_max: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the handshake may take after that.
    pub handshake_timeout: Duration,
    /// How often each side pings, which is also how often the clocks are compared.
    pub ping_interval: Duration,
    /// If nothing arrived on a connection for this long, it is dropped.
    pub silence_max: Duration,
    /// How long a connection has to show that the peer hears this node, once a call has waited too long and there was
    /// no such sign since it was sent. The node pings the connection, and drops it after this time without a sign. A
    /// peer with a slow disk answers a ping at once. A peer behind a slow link reports that more bytes have reached
    /// it. A stream that hangs (because one direction is cut, or a lost segment is never repeated) shows no sign.
    pub suspicion_max: Duration,
    /// The pause before the first redial.
    pub redial_min: Duration,
    /// The longest pause between redials; pauses double up to it.
    pub redial_max: Duration,
    /// How often the files for TLS are read again and every connection's certificate is checked again. A certificate
    /// that was withdrawn ends its connections within this time and however long the reading takes.
    pub certificates_every: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 << 20,
            queue_bytes_max: 32 << 20,
            queue_frames_max: 8192,
            calls_max: 8192,
            append_pipeline: 16,
            append_lane_max: 64,
            control_requests_max: 256,
            submissions_max: 256,
            submission_bytes_max: 32 << 20,
            peers_max: 32,
            handshakes_max: 64,
            connect_timeout: Duration::from_millis(500),
            handshake_timeout: Duration::from_secs(1),
            ping_interval: Duration::from_millis(250),
            silence_max: Duration::from_secs(1),
            suspicion_max: Duration::from_millis(400),
            redial_min: Duration::from_millis(20),
            redial_max: Duration::from_millis(250),
            certificates_every: Duration::from_secs(5),
        }
    }
}
