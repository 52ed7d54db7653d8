//! The values that describe the present. They are made anew for each page, so that the page does not show what is no
//! longer there, and so that two pages that are made at once do not affect each other.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use assent_api::{SnapshotDirection, StatusBody};
use assent_proof::Seconds;

use super::labels::Worded;
use super::now::{KeyEnds, Now};
use crate::env::ProcessUsage;
use crate::tls_files::TlsFile;

/// A label with a node's number. It has as many values as there are other members.
type ByPeer = [(&'static str, u64); 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransfer {
    direction: &'static str,
    peer: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUrgency {
    urgency: &'static str,
    of: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTlsFile {
    of: &'static str,
    file: &'static str,
}

/// A gauge with fractions for each value of a label.
type Gauges<L> = Family<L, Gauge<f64, AtomicU64>>;

/// Milliseconds as seconds. Beyond 2^53 ms the last digits are lost.
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A length as a gauge's value.
fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A point in time as a gauge's value. No time of the registry lies beyond 2^53 s.
fn timestamp(at: Seconds) -> f64 {
    at.0 as f64
}

/// The node's gauges, and the counters that other modules keep.
pub(super) fn node(now: &Now<'_>, lost_lines: u64) -> Registry {
    let mut registry = Registry::with_prefix("assent");
    health(&mut registry, now, lost_lines);
    raft(&mut registry, now.status);
    clock(&mut registry, now.status);
    members(&mut registry, now.status);
    refused_peers(&mut registry, now);
    bounds(&mut registry, now);
    keys(&mut registry, now.key_ends);
    certificates(&mut registry, now.status);
    tls_files(&mut registry, now);
    growth(&mut registry, now);
    registry
}

fn all(registry: &mut Registry, gauges: &[(&str, &str, u64)]) {
    for (name, help, value) in gauges {
        registry.register(*name, *help, ConstGauge::new(*value));
    }
}

fn health(registry: &mut Registry, now: &Now<'_>, lost_lines: u64) {
    all(
        registry,
        &[
            (
                "healthy",
                "0 once the store has failed, Raft has stopped, or a task that the node needs has ended",
                u64::from(now.healthy),
            ),
            ("tasks_late", "Whether the heartbeat of a periodic task is late", u64::from(now.late)),
        ],
    );
    registry.register(
        "task_panics",
        "Panics in tasks of one connection or one call, and in blocking work",
        ConstCounter::new(now.panics),
    );
    registry.register(
        "log_lines_lost",
        "Lines of this process's log that were not taken in time, or that could not be written",
        ConstCounter::new(lost_lines),
    );
}

fn raft(registry: &mut Registry, status: &StatusBody) {
    let leads = status.leader == Some(status.node_id);
    all(
        registry,
        &[
            ("revision", "The ledger's size, as applied here", status.revision),
            ("raft_term", "Raft's term", status.term),
            ("raft_applied_index", "The last applied log index", status.applied.unwrap_or(0)),
            ("raft_last_log_index", "The last log index", status.last_log.unwrap_or(0)),
            (
                "raft_first_log_index",
                "The first log index that the log still has",
                status.log.first.unwrap_or(0),
            ),
            ("raft_is_leader", "Whether this node believes that it leads", u64::from(leads)),
            (
                "rules_version",
                "The version of the rules that the registry follows here",
                u64::from(status.rules),
            ),
        ],
    );
    let bytes = ConstGauge::new(status.log.bytes);
    registry.register_with_unit("raft_log", "Size of the Raft log's entries", Unit::Bytes, bytes);
    let (rows, expected) = (Family::<ByTransfer, Gauge>::default(), Family::<ByTransfer, Gauge>::default());
    for snapshot in &status.snapshots {
        let direction = match snapshot.direction {
            SnapshotDirection::Sending => "sending",
            SnapshotDirection::Receiving => "receiving",
        };
        let transfer = ByTransfer { direction, peer: snapshot.peer };
        let signed = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        rows.get_or_create(&transfer).set(signed(snapshot.rows));
        expected.get_or_create(&transfer).set(signed(snapshot.rows_total));
    }
    registry.register("snapshot_rows", "Rows of a snapshot under way that have arrived", rows);
    registry.register("snapshot_rows_expected", "Rows of a snapshot under way, in total", expected);
}

fn clock(registry: &mut Registry, status: &StatusBody) {
    let clock = &status.clock;
    all(
        registry,
        &[
            ("clock_sure", "Whether this node is sure of its clock", u64::from(clock.sure)),
            (
                "clock_anchored",
                "Whether this node's clock agrees with its boot time",
                u64::from(clock.anchored),
            ),
        ],
    );
    let ahead = ConstGauge::new(seconds(clock.registry_time_ahead_ms.unwrap_or(0)));
    let help = "Registry time minus this node's clock";
    registry.register_with_unit("registry_time_ahead", help, Unit::Seconds, ahead);
    let offsets = Gauges::<ByPeer>::default();
    for reading in &clock.readings {
        offsets.get_or_create(&[("peer", reading.peer)]).set(seconds(reading.offset_ms));
    }
    let help = "A peer's clock minus this node's";
    registry.register_with_unit("clock_offset", help, Unit::Seconds, offsets);
}

fn members(registry: &mut Registry, status: &StatusBody) {
    let votes = status.voters.contains(&status.node_id);
    all(
        registry,
        &[
            ("voters", "Voters of the cluster, as this node knows", number(status.voters.len())),
            ("learners", "Learners of the cluster, as this node knows", number(status.learners.len())),
            ("is_voter", "Whether this node is a voter", u64::from(votes)),
        ],
    );
    let connected = Family::<ByPeer, Gauge>::default();
    for peer in &status.peers {
        connected.get_or_create(&[("peer", peer.id)]).set(i64::from(peer.connected));
    }
    registry.register("peer_connected", "Whether there is a connection to that peer", connected);
}

fn refused_peers(registry: &mut Registry, now: &Now<'_>) {
    let refused = Family::<Worded, Counter>::default();
    for (reason, count) in &now.refused_peers {
        refused.get_or_create(&[("reason", *reason)]).inc_by(*count);
    }
    registry.register(
        "refused_peers",
        "Connections, hellos and frames of peers that a bound of the peer transport refused, by the bound",
        refused,
    );
}

/// The numbers of waiting calls and their limits, so that an alert needs no number of its own.
fn bounds(registry: &mut Registry, now: &Now<'_>) {
    let (waiting, limits, deadlines) = (&now.waiting, &now.config.limits, &now.config.deadlines);
    let lanes = |single: usize, long: usize| {
        let lanes = Family::<Worded, Gauge>::default();
        for (lane, value) in [("single", single), ("long", long)] {
            lanes.get_or_create(&[("lane", lane)]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        lanes
    };
    registry.register(
        "authorize_waiting",
        "Authorize requests between arrival and answer, from single and from long calls",
        lanes(waiting.single, waiting.long),
    );
    registry.register(
        "authorize_waiting_max",
        "The limit of authorize requests between arrival and answer",
        lanes(limits.short_queue(), limits.long_queue()),
    );
    let (taken, most) = (Family::<ByUrgency, Gauge>::default(), Family::<ByUrgency, Gauge>::default());
    for places in &waiting.submit {
        let label = ByUrgency { urgency: places.urgency, of: places.of };
        let signed = |places: usize| i64::try_from(places).unwrap_or(i64::MAX);
        taken.get_or_create(&label).set(signed(places.taken));
        most.get_or_create(&label).set(signed(places.most));
    }
    registry.register(
        "submit_waiting",
        "Envelopes between arrival and answer, by urgency, from clients and from peers",
        taken,
    );
    registry.register("submit_waiting_max", "The limit of envelopes between arrival and answer", most);
    all(
        registry,
        &[
            ("connections_max", "The limit of client connections", number(limits.connections)),
            (
                "event_feeds_max",
                "The limit of streams and long polls of events",
                number(limits.event_streams),
            ),
        ],
    );
    for (name, help, ms) in [
        (
            "authorize_deadline",
            "The time after which an authorize request without a decision is denied",
            deadlines.authorize_ms,
        ),
        (
            "submit_deadline",
            "The time after which a submission without an outcome is unknown",
            deadlines.submit_ms,
        ),
    ] {
        let deadline = ConstGauge::new(seconds(i64::try_from(ms).unwrap_or(i64::MAX)));
        registry.register_with_unit(name, help, Unit::Seconds, deadline);
    }
    let bytes = ConstGauge::new(now.config.raft.log_mib.saturating_mul(1024 * 1024));
    let help = "The size beyond which the Raft log is cut to half of it";
    registry.register_with_unit("raft_log_max", help, Unit::Bytes, bytes);
}

fn keys(registry: &mut Registry, ends: &KeyEnds) {
    if let Some(own) = ends.own {
        registry.register_with_unit(
            "node_key_end_timestamp",
            "When the grant of this node's own key ends, in Unix time; 0 if it is not granted or was revoked",
            Unit::Seconds,
            ConstGauge::new(timestamp(own)),
        );
    }
    let soonest = Gauges::<Worded>::default();
    for (role, end) in &ends.soonest {
        soonest.get_or_create(&[("role", role.as_str())]).set(timestamp(*end));
    }
    registry.register_with_unit(
        "key_end_timestamp",
        "When the next unrevoked grant of a key with this role ends, in Unix time",
        Unit::Seconds,
        soonest,
    );
}

/// When the node's certificates end, and the lists of revoked certificates. What the node does not have is not shown.
fn certificates(registry: &mut Registry, status: &StatusBody) {
    let node = &status.node;
    for (name, help, peers, clients) in [
        (
            "certificate_end_timestamp",
            "When the certificate ends that the node shows, by whom it shows it to, in Unix time",
            node.peer_certificate_end,
            node.client_certificate_end,
        ),
        (
            "revocation_list_end_timestamp",
            "When the first list of revoked certificates ends, by whose certificates it is for, in Unix time",
            node.peer_revocation_list_end,
            node.client_revocation_list_end,
        ),
    ] {
        if peers.is_none() && clients.is_none() {
            continue;
        }
        let ends = Gauges::<Worded>::default();
        for (of, end) in [("peers", peers), ("clients", clients)] {
            if let Some(end) = end {
                ends.get_or_create(&[("of", of)]).set(timestamp(end.to_seconds()));
            }
        }
        registry.register_with_unit(name, help, Unit::Seconds, ends);
    }
}

/// Which files of TLS cannot be used as they are. Every file is shown, also on a node that has none, so that an alert does not
/// depend on whether there is TLS.
fn tls_files(registry: &mut Registry, now: &Now<'_>) {
    let unusable = Family::<ByTlsFile, Gauge>::default();
    for of in ["peers", "clients"] {
        for file in TlsFile::ALL {
            let is_unusable = now.unusable_files.contains(&(of, file));
            unusable.get_or_create(&ByTlsFile { of, file: file.word() }).set(i64::from(is_unusable));
        }
    }
    registry.register(
        "tls_files_unusable",
        "Whether a file of TLS was replaced by one that cannot be used as it is, by whom it is for",
        unusable,
    );
}

/// The space on the disk, and the bytes of the largest domain. Each is shown if it is bounded.
fn growth(registry: &mut Registry, now: &Now<'_>) {
    if let Some(disk) = &now.status.disk {
        let reached = u64::from(disk.reserve_reached);
        let help =
            "Whether the node takes only restrictions and governance statements, because its disk is full";
        all(registry, &[("disk_reserve_reached", help, reached)]);
        for (name, help, bytes) in [
            ("disk_free", "Space that the node can still take on its disk", disk.free_bytes),
            ("disk_reserve", "The reserve on the disk, in bytes", disk.reserve_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(bytes));
        }
    }
    if let Some(year) = &now.domain_year {
        let help = "Whether the node has counted the envelopes of a year since it was started";
        all(registry, &[("domain_year_counted", help, u64::from(year.counted))]);
        for (name, help, bytes) in [
            ("domain_year", "Envelopes of a year, in the domain with the most", year.used),
            ("domain_year_max", "The limit of the envelopes of a year in one domain", year.most),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(bytes));
        }
    }
}

/// What the process takes of its machine, under the names that every Prometheus client uses. If the system does not
/// tell a value, it is left out.
pub(super) fn process(usage: &ProcessUsage) -> Registry {
    let mut registry = Registry::with_prefix("process");
    if let Some(cpu) = usage.cpu_seconds {
        let help = "Processor time of all threads, in user mode and in the kernel";
        registry.register_with_unit("cpu", help, Unit::Seconds, ConstCounter::new(cpu));
    }
    if let Some(files) = usage.files {
        let open = files.used.map(|used| ("open_fds", "Open files of the process", used));
        let most = ("max_fds", "The limit of open files of the process", files.limit);
        for gauge in open.into_iter().chain([most]) {
            all(&mut registry, &[gauge]);
        }
    }
    for (name, help, bytes) in [
        ("resident_memory", "Memory of the process in RAM", usage.resident_bytes),
        ("virtual_memory", "Address space that the process has mapped", usage.virtual_bytes),
    ] {
        if let Some(bytes) = bytes {
            registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(bytes));
        }
    }
    if let Some(start) = usage.start_seconds {
        let help = "When the process was started, in Unix time";
        registry.register_with_unit("start_time", help, Unit::Seconds, ConstGauge::new(start));
    }
    registry
}
