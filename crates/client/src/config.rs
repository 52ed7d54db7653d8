//! The configuration of a client.

use std::sync::Arc;
use std::time::Duration;

use crate::client_tls::ClientTls;
use crate::clock::{Clock, SystemClock};
use crate::endpoint::Endpoint;
use crate::endpoints::{Endpoints, FirstEndpoint};
use crate::error::ClientError;
use crate::trust::Trust;

/// The most endpoints of one client.
const ENDPOINTS_MAX: usize = 64;

/// The configuration of a client. [`ClientConfig::new`] fills in the fields that have a default.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The nodes' client addresses, such as `https://node-1:7400`, or `http://127.0.0.1:7400` for nodes without TLS: 1
    /// to 64. Any voter answers any call.
    pub endpoints: Vec<String>,
    /// The addresses of the nodes' admin listeners, where the calls answer that list and change the members, move the
    /// leader and confirm a clock: at most 64. Default: none, and then these calls go to `endpoints`, where nodes with plain
    /// HTTP and without an admin listener answer them.
    pub admin: Vec<String>,
    /// How long a call may take with all its attempts. Default 10 s.
    pub deadline: Duration,
    /// Which endpoint is asked first. Default: a random one.
    pub first_endpoint: FirstEndpoint,
    /// The longest time for one attempt at one endpoint. Default 3 s. An attempt gets no more than its share of the
    /// time that is left until the deadline: as much as each endpoint that is still to be asked, but at least 250 ms.
    pub attempt_timeout: Duration,
    /// How long a single authorize or a read waits for a silent endpoint before it also asks a second one and takes
    /// the first final answer. Default: a quarter of the attempt's share. With `deadline` or more, no second endpoint
    /// is asked. Permits, submissions, batches and changes never ask a second endpoint in this way.
    pub hedge_after: Option<Duration>,
    /// How long it may take to connect, and again how long a TLS handshake may take. Default 1 s.
    pub connect_timeout: Duration,
    /// What the client shows to the nodes, and how it knows them. Default: nothing, for plain HTTP. With it, plain HTTP
    /// goes only to a loopback address.
    pub tls: Option<ClientTls>,
    /// The keys whose allows are believed. There is no default.
    pub trust: Trust,
    /// The clock by which the client counts how long an allow may be relied on. Default: the system's clocks.
    pub clock: Arc<dyn Clock>,
    /// The longest answer that is read, in bytes. Default 16 MiB.
    pub response_bytes_max: usize,
}

impl ClientConfig {
    /// The default configuration for these endpoints and this trust.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>, trust: Trust) -> Self {
        ClientConfig {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            admin: Vec::new(),
            deadline: Duration::from_secs(10),
            first_endpoint: FirstEndpoint::Random,
            attempt_timeout: Duration::from_secs(3),
            hedge_after: None,
            connect_timeout: Duration::from_secs(1),
            tls: None,
            trust,
            clock: Arc::new(SystemClock),
            response_bytes_max: 16 * 1024 * 1024,
        }
    }

    /// Reads one endpoint, and refuses one that must not be asked with this client's credentials.
    pub(crate) fn endpoint(&self, text: &str) -> Result<Endpoint, ClientError> {
        endpoint(self.tls.as_ref(), text)
    }

    /// The endpoints.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, ClientError> {
        let wrong = || {
            let detail = format!("`{}` endpoints are given", self.endpoints.len());
            ClientError::config(detail, format!("give 1 to {ENDPOINTS_MAX} endpoints"))
        };
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(wrong());
        }
        let (first, others) = self.endpoints.split_first().ok_or_else(wrong)?;
        let others: Result<_, _> = others.iter().map(|endpoint| self.endpoint(endpoint)).collect();
        Ok(Endpoints::new(self.endpoint(first)?, others?, self.first_endpoint))
    }
}

/// Reads one endpoint, and refuses one that must not be asked with these credentials.
pub(crate) fn endpoint(tls: Option<&ClientTls>, text: &str) -> Result<Endpoint, ClientError> {
    let endpoint = Endpoint::parse(text)?;
    ClientTls::check(tls, &endpoint)?;
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_an_admin_listener_is_checked_like_an_endpoint() {
        let with_admin = |admin: Vec<String>| {
            crate::client::Client::new(ClientConfig {
                admin,
                ..ClientConfig::new(["127.0.0.1:1"], Trust::NoAllow)
            })
        };
        assert!(with_admin(vec!["127.0.0.1:2".to_owned()]).is_ok());
        assert!(with_admin(vec!["127.0.0.1".to_owned()]).is_err());
        assert!(with_admin(vec!["127.0.0.1:2".to_owned(); 65]).is_err());
    }

    #[test]
    fn a_client_needs_an_endpoint() {
        assert!(ClientConfig::new(Vec::<String>::new(), Trust::NoAllow).endpoints().is_err());
        assert!(ClientConfig::new(vec!["a:1"; 65], Trust::NoAllow).endpoints().is_err());
    }
}
