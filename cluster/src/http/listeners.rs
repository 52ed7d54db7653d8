//! The listeners of a node: the client port and, if the configuration has them, the admin listener and the health
//! listener. This module owns what each of them serves, to whom, and how many connections it has.
//!
//! All of them are bound before one is served, so a node that cannot have one serves nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::caller::Counts;
use super::connection::Terms;
use super::front::BeyondLimit;
use super::health;
use super::routes::{ApiPort, router};
use super::server::{Beyond, Listening, Rules, listen};
use super::socket::ClientTimeouts;
use crate::client_tls::{ADMIN_HANDSHAKES_MAX, ClientTls, Demand};
use crate::config::{Config, LimitConfig};
use crate::env::{Listener, PROBE_CONNECTIONS};
use crate::usecase::Service;

/// How long a client has to leave after the last answer on its connection.
const LINGER: Duration = Duration::from_secs(1);
/// One address may have one part in so many of the places and of the turns of an admin listener that other machines reach.
const ADMIN_SHARE: usize = 4;
/// How long a stopping node lets probes under way continue.
const PROBES_END_WITHIN: Duration = Duration::from_millis(500);

/// A listener, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// The client port.
    Clients,
    /// The admin listener.
    Admin,
    /// The health listener.
    Health,
}

/// A listener that cannot be opened.
#[derive(Debug)]
pub(crate) struct NotListening {
    pub(crate) kind: ListenerKind,
    /// The address in the configuration.
    pub(crate) addr: String,
    pub(crate) problem: String,
}

/// The listeners that are being served.
pub(crate) struct Serving {
    clients: Listening,
    admin: Option<Listening>,
    health: Option<Listening>,
}

/// Opens the listeners of the configuration, and serves them until they are told to stop.
///
/// # Errors
/// The first listener that cannot be opened. Then none is served.
pub(crate) async fn serve(service: &Service, tls: Option<Arc<ClientTls>>) -> Result<Serving, NotListening> {
    let config = service.config();
    let clients = bind(service, ListenerKind::Clients, &config.client_listen).await?;
    let admin = match &config.admin_listen {
        Some(addr) => Some(bind(service, ListenerKind::Admin, addr).await?),
        None => None,
    };
    let health = match &config.health_listen {
        Some(addr) => Some(bind(service, ListenerKind::Health, addr).await?),
        None => None,
    };
    if config.client_tls.is_some() && config.admin_listen.is_none() {
        tracing::warn!(
            "this node has no admin listener, so nobody can change the members or the leader, or confirm the clock, through \
             it: set `admin_listen`"
        );
    }
    let serving = Serving {
        clients: listen(clients, client_rules(service, tls.clone()), service),
        admin: admin.map(|admin| listen(admin, admin_rules(service, tls), service)),
        health: health.map(|health| listen(health, health_rules(service), service)),
    };
    Ok(serving)
}

async fn bind(
    service: &Service,
    kind: ListenerKind,
    addr: &str,
) -> Result<(Box<dyn Listener>, SocketAddr), NotListening> {
    let not_listening =
        |error: std::io::Error| NotListening { kind, addr: addr.to_owned(), problem: error.to_string() };
    let listener = service.parts().env.net.listen(addr.to_owned()).await.map_err(not_listening)?;
    let local_addr = listener.local_addr().map_err(not_listening)?;
    Ok((listener, local_addr))
}

fn timeouts(config: &Config) -> ClientTimeouts {
    ClientTimeouts {
        head: Duration::from_millis(config.deadlines.http_head_ms),
        idle: Duration::from_millis(config.deadlines.http_idle_ms),
        write: Duration::from_millis(config.deadlines.http_write_ms),
    }
}

fn client_rules(service: &Service, tls: Option<Arc<ClientTls>>) -> Rules {
    let config = service.config();
    let (timeouts, places) = (timeouts(config), config.limits.connections);
    Rules {
        task: "accept clients",
        router: router(service.clone(), ApiPort::of_clients(config)),
        tls: tls.map(|tls| (tls, Demand::Client)),
        counts: Counts::Any,
        places,
        per_address: config.limits.connections_per_address,
        handshakes: config.limits.handshakes_per_address,
        terms: Terms { timeouts, linger: LINGER, one_request: false, beyond: None },
        beyond: Beyond::Probes(PROBE_CONNECTIONS, Terms::brief(timeouts, Some(BeyondLimit::All(places)))),
        runtime: service.parts().env.clients.clone(),
    }
}

/// The connections and the handshakes that the admin listener may have at once from one address.
fn admin_bounds(is_loopback: bool, limits: &LimitConfig) -> (usize, usize) {
    // Everybody there is on this machine, so an address tells nobody apart.
    if is_loopback {
        return (usize::MAX, limits.handshakes_per_address);
    }
    let handshakes = (ADMIN_HANDSHAKES_MAX / ADMIN_SHARE).min(limits.handshakes_per_address);
    ((limits.admin_connections / ADMIN_SHARE).max(1), handshakes)
}

fn admin_rules(service: &Service, tls: Option<Arc<ClientTls>>) -> Rules {
    let config = service.config();
    // The configuration lets other machines reach it only with TLS. Without TLS it is loopback, and every caller is local.
    let is_loopback = config.admin_is_loopback();
    let (per_address, handshakes) = admin_bounds(is_loopback, &config.limits);
    let (demand, counts) = if is_loopback {
        (Demand::Admin, Counts::Any)
    } else {
        (Demand::AdminCertificate, Counts::OperatorsCertificate)
    };
    Rules {
        task: "accept operators",
        router: router(service.clone(), ApiPort::Admin),
        tls: tls.map(|tls| (tls, demand)),
        counts,
        places: config.limits.admin_connections,
        per_address,
        handshakes,
        terms: Terms { timeouts: timeouts(config), linger: LINGER, one_request: false, beyond: None },
        beyond: Beyond::Operators("limits.admin_connections"),
        runtime: None,
    }
}

fn health_rules(service: &Service) -> Rules {
    Rules {
        task: "accept probes",
        router: health::router(service.clone()),
        tls: None,
        counts: Counts::Nothing,
        places: PROBE_CONNECTIONS,
        per_address: usize::MAX,
        handshakes: 1,
        terms: Terms::brief(timeouts(service.config()), None),
        beyond: Beyond::Closed,
        runtime: None,
    }
}

impl Serving {
    /// The address at which clients reach the node.
    pub(crate) fn client_addr(&self) -> SocketAddr {
        self.clients.local_addr()
    }

    /// The address at which operators reach the node, if it has an admin listener.
    pub(crate) fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Listening::local_addr)
    }

    /// The address at which probes reach the node, if it has a health listener.
    pub(crate) fn health_addr(&self) -> Option<SocketAddr> {
        self.health.as_ref().map(Listening::local_addr)
    }

    /// Ends the service of clients and operators: it accepts no more connections, ends streams, and lets requests under
    /// way end. After `within` it ends them too. Probes are answered until then, and are told that the node is not ready.
    pub(crate) async fn shutdown(&self, within: Duration) {
        match &self.admin {
            Some(admin) => _ = tokio::join!(self.clients.shutdown(within), admin.shutdown(within)),
            None => self.clients.shutdown(within).await,
        }
        if let Some(health) = &self.health {
            health.shutdown(within.min(PROBES_END_WITHIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if one address may have all the places or all the turns of operators.
    #[test]
    fn one_address_has_a_quarter_of_what_an_admin_listener_has_that_other_machines_reach() {
        let mut limits = LimitConfig::default();
        assert_eq!(admin_bounds(false, &limits), (limits.admin_connections / 4, ADMIN_HANDSHAKES_MAX / 4));
        assert_eq!(admin_bounds(true, &limits).0, usize::MAX);
        (limits.admin_connections, limits.handshakes_per_address) = (1, 1);
        assert_eq!(admin_bounds(false, &limits), (1, 1));
    }
}
