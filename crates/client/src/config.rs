//! The configuration of a client.

use http::uri::{Authority, Scheme, Uri};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::endpoints::{Endpoints, FirstEndpoint};
use crate::error::ClientError;
use crate::trust::Trust;

/// The most endpoints of one client.
const ENDPOINTS_MAX: usize = 64;

/// The configuration of a client. [`ClientConfig::new`] fills in the fields that have a default.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The nodes' client addresses, such as `http://127.0.0.1:7400`: 1 to 64. Any voter answers any call.
    pub endpoints: Vec<String>,
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
    /// How long it may take to connect. Default 1 s.
    pub connect_timeout: Duration,
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
            deadline: Duration::from_secs(10),
            first_endpoint: FirstEndpoint::Random,
            attempt_timeout: Duration::from_secs(3),
            hedge_after: None,
            connect_timeout: Duration::from_secs(1),
            trust,
            clock: Arc::new(SystemClock),
            response_bytes_max: 16 * 1024 * 1024,
        }
    }

    /// The endpoints as host and port.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, ClientError> {
        let wrong = || {
            let detail = format!("`{}` endpoints; give 1 to {ENDPOINTS_MAX}", self.endpoints.len());
            ClientError::Config { detail }
        };
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(wrong());
        }
        let (first, others) = self.endpoints.split_first().ok_or_else(wrong)?;
        let others: Result<_, _> = others.iter().map(|endpoint| authority(endpoint)).collect();
        Ok(Endpoints::new(authority(first)?, others?, self.first_endpoint))
    }
}

/// Reads an endpoint: `http://host:port`, also without the scheme.
pub(crate) fn authority(endpoint: &str) -> Result<Authority, ClientError> {
    let wrong = |why: &str| ClientError::Config {
        detail: format!("endpoint `{endpoint}` {why}; write `http://host:port`"),
    };
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err(wrong("is not plain HTTP, which is all that this version speaks"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("has a path"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("has a user name"));
    }
    match (authority.port_u16(), written_port(authority.as_str())) {
        (Some(0), _) => Err(wrong("has port `0`, and a port is a number from 1 to 65535")),
        (Some(_), _) => Ok(authority.clone()),
        (None, Some(port)) => {
            Err(wrong(&format!("has port `{port}`, and a port is a number from 1 to 65535")))
        }
        (None, None) => Err(wrong("has no port")),
    }
}

/// What stands where an authority has its port, if something does. An IPv6 address has colons of its own, in brackets.
fn written_port(authority: &str) -> Option<&str> {
    let behind_the_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    behind_the_host.split_once(':').map(|(_, port)| port).filter(|port| !port.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_host_and_port_over_plain_http() {
        for good in ["http://127.0.0.1:7400", "http://node-1:7400/", "localhost:1", "http://[::1]:7400"] {
            assert!(authority(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://a:1",
            "http://a",
            "http://a:1/x",
            "http://a:1?x",
            "http://u@a:1",
            "a b:1",
            "ftp://a:1",
        ] {
            assert_eq!(authority(bad).unwrap_err().code(), "config_invalid", "{bad}");
        }
    }

    #[test]
    fn an_endpoint_with_a_number_that_is_no_port_is_told_so() {
        for (bad, says) in [
            ("http://127.0.0.1:99999", "has port `99999`, and a port is a number from 1 to 65535"),
            ("http://[::1]:65536", "has port `65536`"),
            ("http://127.0.0.1:0", "has port `0`"),
            ("http://127.0.0.1", "has no port;"),
            ("http://[::1]", "has no port;"),
            ("http://u@a:1", "has a user name;"),
        ] {
            let said = authority(bad).unwrap_err().to_string();
            assert!(said.contains(says), "{bad}: {said}");
        }
    }

    #[test]
    fn a_client_needs_an_endpoint() {
        assert!(ClientConfig::new(Vec::<String>::new(), Trust::NoAllow).endpoints().is_err());
        assert!(ClientConfig::new(vec!["a:1"; 65], Trust::NoAllow).endpoints().is_err());
    }
}
