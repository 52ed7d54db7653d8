//! What follows from several fields of a configuration: the node's addresses, how callers are told apart, and how many
//! places and connections there are.

use assent_api::{AddressError, MemberAddress};

use super::address::is_loopback;
use super::{Config, LimitConfig};
use crate::access::AccessConfig;
use crate::env::PROBE_CONNECTIONS;

impl Config {
    /// How callers are told apart.
    pub fn access(&self) -> AccessConfig<'_> {
        AccessConfig {
            plain_http: self.plain_http,
            public_read: self.public_read,
            callers: &self.callers,
            jwt_issuers: &self.jwt_issuers,
        }
    }

    /// Whether this node is one of the genesis voters, which found the cluster together.
    pub fn is_founder(&self) -> bool {
        self.voters.iter().any(|voter| voter.id == self.node_id)
    }

    /// The addresses at which peers and clients reach this node, in this order: the advertised address, or else the
    /// one in `voters`, or else the address at which the node listens.
    pub fn addresses(&self) -> (String, String) {
        let voter = self.voters.iter().find(|voter| voter.id == self.node_id);
        let pick = |advertised: &Option<String>, voter: Option<&String>, listen: &String| {
            advertised.as_ref().or(voter).unwrap_or(listen).clone()
        };
        (
            pick(&self.peer_advertise, voter.map(|voter| &voter.peer), &self.peer_listen),
            pick(&self.client_advertise, voter.map(|voter| &voter.client), &self.client_listen),
        )
    }

    /// Those of [`addresses`](Self::addresses) that a member may have. The node announces no others.
    ///
    /// A member cannot have a port that the system chooses, or an address that stands for every address of a machine.
    /// Nor can it have an address in another spelling, which `voters` may contain from before spellings were checked.
    /// For such an address the membership keeps what it has.
    pub(crate) fn dialable(&self) -> (Option<String>, Option<String>) {
        let dialable = |address: &String| address.parse::<MemberAddress>().is_ok();
        let (peer, client) = self.addresses();
        (Some(peer).filter(dialable), Some(client).filter(dialable))
    }

    /// What to set, if this node has an address that no member may have.
    pub(crate) fn undialable(&self) -> Option<String> {
        let (peer, client) = self.addresses();
        let (dialable_peer, dialable_client) = self.dialable();
        let (address, field) = match (dialable_peer, dialable_client) {
            (None, _) => (peer, "peer_advertise"),
            (Some(_), None) => (client, "client_advertise"),
            (Some(_), Some(_)) => return None,
        };
        if let Err(error @ AddressError::Spelling { .. }) = address.parse::<MemberAddress>() {
            return Some(format!("{error} as `{field}`"));
        }
        Some(format!(
            "no other node can dial `{address}`: set `{field}` to the `host:port` at which others reach this node"
        ))
    }

    /// Whether only programs on this machine reach the admin listener. If there is any doubt, the answer is no.
    pub(crate) fn admin_is_loopback(&self) -> bool {
        let admin = self.admin_listen.as_ref();
        admin.is_some_and(|admin| is_loopback("admin_listen", admin).unwrap_or(false))
    }

    /// The most connections that the listeners beside the client port and the peer port may have at once.
    pub fn other_connections(&self) -> usize {
        let admin = if self.admin_listen.is_some() { self.limits.admin_connections } else { 0 };
        let health = if self.health_listen.is_some() { PROBE_CONNECTIONS } else { 0 };
        admin.saturating_add(health)
    }
}

impl LimitConfig {
    /// The number of places for authorize requests of long calls.
    pub(crate) fn long_queue(&self) -> usize {
        self.authorize_queue / 2
    }

    /// The number of places for all other authorize requests.
    pub(crate) fn short_queue(&self) -> usize {
        self.authorize_queue.saturating_sub(self.long_queue())
    }
}
