//! Everything that can be wrong with a configuration and can be told without the disk or the network.
//!
//! Each check names the field, what is wrong with it and what to do. Where several fields are wrong, the first one in the
//! order of the checks is told.

use std::collections::BTreeSet;

use assent_api::{AddressError, MemberAddress, address_key};
use assent_registry::limit::CLOCK_BOUND_MS;

use super::address::{is_loopback, overlap, validate_address};
use super::error::{ConfigError, at_least, at_most, invalid};
use super::{Config, LimitConfig, RaftConfig};
use crate::access::SettingError;
use crate::raft::types::{check_founder_id, check_node_id};
use crate::usecase::{DECISION_KIB, SLICE};

/// The largest number of entries of `peers`. It is larger than the number of members that there can be.
const PEERS_MAX: u64 = 16;

impl Config {
    /// Checks everything that can be wrong without looking at the disk or the network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_voters()?;
        self.validate_peers()?;
        self.validate_clients()?;
        self.validate_peer_listener()?;
        self.validate_listeners()?;
        self.raft.validate()?;
        self.validate_times()?;
        self.limits.validate()
    }

    /// Checks that nodes prove to each other who they are, where other machines reach the peer port.
    fn validate_peer_listener(&self) -> Result<(), ConfigError> {
        let has_identities = self.peer_tls.is_some() || self.simulated_network;
        if !is_loopback("peer_listen", &self.peer_listen)? && !has_identities {
            let problem = format!(
                "`{}` is not loopback, and no process proves there which node it is: set `peer_tls` (`assent cert node` \
                 makes its files), or listen on a loopback address",
                self.peer_listen
            );
            return Err(invalid("peer_listen", problem));
        }
        Ok(())
    }

    /// Checks the deadlines, the settings of the clock, and how often the registry is made durable.
    fn validate_times(&self) -> Result<(), ConfigError> {
        let deadlines = &self.deadlines;
        for (field, value) in [
            ("deadlines.authorize_ms", deadlines.authorize_ms),
            ("deadlines.submit_ms", deadlines.submit_ms),
            ("deadlines.read_ms", deadlines.read_ms),
            ("deadlines.membership_ms", deadlines.membership_ms),
            ("deadlines.http_head_ms", deadlines.http_head_ms),
            ("deadlines.http_body_ms", deadlines.http_body_ms),
            ("deadlines.http_write_ms", deadlines.http_write_ms),
            ("deadlines.events_heartbeat_ms", deadlines.events_heartbeat_ms),
            ("deadlines.events_slow_ms", deadlines.events_slow_ms),
            ("limits.registry_flush_ms", self.limits.registry_flush_ms),
            ("clock_bound_ms", self.clock_bound_ms),
        ] {
            at_least(field, value, 1)?;
            at_most(field, value, 60_000)?;
        }
        at_most("deadlines.authorize_ms", deadlines.authorize_ms, 1_000)?;
        at_least("deadlines.http_idle_ms", deadlines.http_idle_ms, 1)?;
        at_most("deadlines.http_idle_ms", deadlines.http_idle_ms, 3_600_000)?;
        // The rules refuse evidence that is issued more than this ahead of registry time, so a node with a looser
        // clock could not submit.
        at_most("clock_bound_ms", self.clock_bound_ms, CLOCK_BOUND_MS.unsigned_abs())?;
        at_least("clock_settle_ms", self.clock_settle_ms, 1)?;
        at_most("clock_settle_ms", self.clock_settle_ms, 3_600_000)?;
        at_most("deadlines.shutdown_ms", deadlines.shutdown_ms, 60_000)?;
        at_most("deadlines.drain_ms", deadlines.drain_ms, 60_000)?;
        // Some tasks beat once a second, and a supervisor restarts a node that is not live.
        at_least("deadlines.task_late_ms", deadlines.task_late_ms, 3_000)?;
        at_most("deadlines.task_late_ms", deadlines.task_late_ms, 600_000)
    }

    fn validate_voters(&self) -> Result<(), ConfigError> {
        if !matches!(self.voters.len(), 1 | 3 | 5) {
            let problem =
                format!("there are {} voters, and a cluster starts with 1, 3 or 5", self.voters.len());
            return Err(invalid("voters", problem));
        }
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (place, voter) in self.voters.iter().enumerate() {
            let field = format!("voters[{place}].id");
            check_founder_id(voter.id).map_err(|error| invalid(&field, error.to_string()))?;
            if !ids.insert(voter.id) {
                return Err(invalid(field, format!("{} is given twice", voter.id)));
            }
            for (name, address) in [("peer", &voter.peer), ("client", &voter.client)] {
                let field = format!("voters[{place}].{name}");
                match address.parse::<MemberAddress>() {
                    // A cluster that was founded with such an address goes on. `usecase/form.rs` founds none with it.
                    Ok(_) | Err(AddressError::NotDialable { .. } | AddressError::Spelling { .. }) => {}
                    Err(error @ (AddressError::TooLong { .. } | AddressError::Form { .. })) => {
                        return Err(invalid(field, error.to_string()));
                    }
                }
                if !addresses.insert(address_key(address)) {
                    return Err(invalid(field, format!("`{address}` is given twice")));
                }
            }
        }
        check_node_id(self.node_id).map_err(|error| invalid("node_id", error.to_string()))?;
        for (field, address) in
            [("client_advertise", &self.client_advertise), ("peer_advertise", &self.peer_advertise)]
        {
            let Some(address) = address else { continue };
            validate_address(field, address)?;
        }
        Ok(())
    }

    fn validate_peers(&self) -> Result<(), ConfigError> {
        let mut ids = BTreeSet::new();
        for (place, peer) in self.peers.iter().enumerate() {
            let field = format!("peers[{place}].id");
            check_node_id(peer.id).map_err(|error| invalid(&field, error.to_string()))?;
            if !ids.insert(peer.id) {
                return Err(invalid(field, format!("{} is given twice", peer.id)));
            }
            validate_address(&format!("peers[{place}].peer"), &peer.peer)?;
        }
        at_most("peers", u64::try_from(self.peers.len()).unwrap_or(u64::MAX), PEERS_MAX)
    }

    /// Checks who may reach the client port, and how.
    fn validate_clients(&self) -> Result<(), ConfigError> {
        let loopback = is_loopback("client_listen", &self.client_listen)? || self.simulated_network;
        match (&self.client_tls, self.plain_http) {
            (Some(_), true) => {
                let problem =
                    "is set, and `client_tls` is too: the client port serves either plain HTTP or TLS";
                return Err(invalid("plain_http", problem));
            }
            (Some(tls), false) if tls.crl.is_some() && tls.ca.is_none() => {
                let problem =
                    "is set without `client_tls.ca`, so there is no certificate that it could revoke";
                return Err(invalid("client_tls.crl", problem));
            }
            (None, false) => {
                let problem = "there is no TLS of the client port: set `client_tls`, or set `plain_http = true` to let \
                               every program on this machine do everything";
                return Err(invalid("client_tls", problem));
            }
            (None, true) if !loopback => {
                let problem = format!(
                    "`{}` is not loopback, and `plain_http` is only for loopback: set `client_tls`",
                    self.client_listen
                );
                return Err(invalid("client_listen", problem));
            }
            (None, true) => self.validate_nobody_is_told_apart()?,
            (Some(_), false) => {}
        }
        let of_setting = |SettingError { field, problem }| invalid(field, problem);
        self.audit.validate().map_err(of_setting)?;
        self.access().validate().map_err(of_setting)
    }

    /// Checks the admin listener and the health listener, and that no two listeners have the same address.
    fn validate_listeners(&self) -> Result<(), ConfigError> {
        if let Some(admin) = &self.admin_listen
            && !is_loopback("admin_listen", admin)?
        {
            let lacks = match &self.client_tls {
                None => Some("`client_tls`"),
                Some(tls) if tls.ca.is_none() => Some("`client_tls.ca`"),
                Some(_) => None,
            };
            if let Some(lacks) = lacks {
                let problem = format!(
                    "`{admin}` is not loopback, so each caller must show the certificate of an operator, and without {lacks} \
                     it cannot: set {lacks}, or write a loopback address"
                );
                return Err(invalid("admin_listen", problem));
            }
        }
        match &self.health_listen {
            // It may be any address.
            Some(health) => _ = is_loopback("health_listen", health)?,
            None if self.health_metrics => {
                let problem = "is set, and `health_listen` is not, so there is no listener that could show the metrics: set \
                               `health_listen`, or remove it";
                return Err(invalid("health_metrics", problem));
            }
            None => {}
        }
        let mut before: Vec<(&str, &String)> = Vec::new();
        for (field, address) in [
            ("client_listen", Some(&self.client_listen)),
            ("peer_listen", Some(&self.peer_listen)),
            ("admin_listen", self.admin_listen.as_ref()),
            ("health_listen", self.health_listen.as_ref()),
        ] {
            let Some(address) = address else { continue };
            if let Some((other, taken)) = before.iter().find(|(_, taken)| overlap(taken, address)) {
                let problem = format!(
                    "`{address}` is taken by `{other}`, which is `{taken}`: each listener needs an address of its own"
                );
                return Err(invalid(field, problem));
            }
            before.push((field, address));
        }
        Ok(())
    }

    /// With plain HTTP every program on this machine may do everything, so rules about callers would only seem to
    /// hold.
    fn validate_nobody_is_told_apart(&self) -> Result<(), ConfigError> {
        for (field, is_set) in [
            ("callers", !self.callers.is_empty()),
            ("jwt_issuers", !self.jwt_issuers.is_empty()),
            ("public_read", self.public_read),
        ] {
            if is_set {
                let problem = "has no effect with `plain_http`, because every program on this machine has every role: \
                               remove it, or set `client_tls` instead of `plain_http`";
                return Err(invalid(field, problem));
            }
        }
        Ok(())
    }
}

impl RaftConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        at_least("raft.heartbeat_ms", self.heartbeat_ms, 5)?;
        if self.election_min_ms < self.heartbeat_ms.saturating_mul(2) {
            let least = self.heartbeat_ms.saturating_mul(2);
            return Err(invalid("raft.election_min_ms", format!("must be at least {least}, two heartbeats")));
        }
        if self.election_max_ms <= self.election_min_ms {
            return Err(invalid("raft.election_max_ms", "must be greater than `raft.election_min_ms`"));
        }
        at_least("raft.snapshot_every_entries", self.snapshot_every_entries, 1)?;
        at_least("raft.log_mib", self.log_mib, 1)?;
        at_least("raft.log_age_s", self.log_age_s, 1)?;
        if self.lag_entries < self.keep_entries {
            return Err(invalid("raft.lag_entries", "must not be less than `raft.keep_entries`"));
        }
        Ok(())
    }
}

impl LimitConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("limits.connections", self.connections),
            ("limits.connections_per_address", self.connections_per_address),
            ("limits.handshakes_per_address", self.handshakes_per_address),
            ("limits.caller_requests", self.caller_requests),
            ("limits.caller_rate", self.caller_rate),
            ("limits.caller_burst", self.caller_burst),
            ("limits.caller_work", self.caller_work),
            ("limits.admin_connections", self.admin_connections),
            ("limits.authorize_queue", self.authorize_queue),
            ("limits.authorize_batch", self.authorize_batch),
            ("limits.answer_kib", self.answer_kib),
            ("limits.barriers", self.barriers),
            ("limits.submit_queue", self.submit_queue),
            ("limits.submit_batch", self.submit_batch),
            ("limits.submit_batch_bytes", self.submit_batch_bytes),
            ("limits.verifications", self.verifications),
            ("limits.body_kib", self.body_kib),
            ("limits.event_streams", self.event_streams),
            ("limits.proposals", self.proposals),
        ] {
            let value = u64::try_from(value).unwrap_or(u64::MAX);
            at_least(field, value, 1)?;
            at_most(field, value, 1 << 24)?;
        }
        // A full batch must fit into half of the queue.
        for (field, value) in
            [("limits.submit_queue", self.submit_queue), ("limits.authorize_queue", self.authorize_queue)]
        {
            let least = (assent_api::MAX_BATCH as u64).saturating_mul(2);
            at_least(field, u64::try_from(value).unwrap_or(u64::MAX), least)?;
        }
        let burst = u64::try_from(self.caller_burst).unwrap_or(u64::MAX);
        at_least("limits.caller_burst", burst, assent_api::MAX_BATCH as u64)?;
        at_most("limits.issuer_rate", self.issuer_rate, 1_000_000)?;
        at_least("limits.issuer_burst", self.issuer_burst, 1)?;
        at_most("limits.issuer_burst", self.issuer_burst, 1_000_000)?;
        for (field, mib) in [
            ("limits.domain_mib_per_year", self.domain_mib_per_year),
            ("limits.disk_reserve_mib", self.disk_reserve_mib),
        ] {
            // More than any disk has, and in bytes within 64 bits.
            at_most(field, mib, 1 << 40)?;
        }
        // The answers that are decided together must fit, however large they are.
        let answers = u64::try_from(self.answer_kib).unwrap_or(u64::MAX);
        at_least("limits.answer_kib", answers, (SLICE * DECISION_KIB) as u64)?;
        // One entry must fit into a peer's frame with room to spare.
        let bytes = u64::try_from(self.submit_batch_bytes).unwrap_or(u64::MAX);
        at_most("limits.submit_batch_bytes", bytes, 2 << 20)
    }
}
