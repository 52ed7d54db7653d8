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
    /// Appends that may be in flight to one follower at once. Small, so that under load the log's own tail
    /// gathers into larger batches instead of a long line of small ones.
    pub append_pipeline: usize,
    /// Appends of one peer that may wait for, or be with, the Raft core here.
    pub append_lane_max: usize,
    /// Votes, read barriers, probes and snapshot steps of one peer that may be in work at once.
    pub control_requests_max: usize,
    /// Submissions of one peer that may be in work at once.
    pub submissions_max: usize,
    /// Their bytes, altogether.
    pub submission_bytes_max: usize,
    /// Nodes that this one may have connections with, or dial, before it takes connections from no other one. A node that waits to be
    /// added lets in whoever is of its cluster, under whatever id: the open files that are kept for peers suffice for so many.
    pub peers_max: usize,
    /// Incoming connections that may be shaking hands at once.
    pub handshakes_max: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the handshake may take after that.
    pub handshake_timeout: Duration,
    /// How often each side pings, which is also how often the clocks are compared.
    pub ping_interval: Duration,
    /// A connection on which nothing arrived for so long is dropped.
    pub silence_max: Duration,
    /// Once a call has waited too long, and there was no sign since it was sent that the peer hears this node, the
    /// connection is pinged and gets this long to show one before it is dropped. A peer with a slow disk
    /// answers a ping at once, a peer behind a slow link says that more has reached it; a stream that hangs (one
    /// direction cut, a lost segment that nobody repeats) shows nothing.
    pub suspicion_max: Duration,
    /// The pause before the first redial.
    pub redial_min: Duration,
    /// The longest pause between redials; pauses double up to it.
    pub redial_max: Duration,
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
        }
    }
}
