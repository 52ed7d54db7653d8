//! One endpoint: `http://host:port` or `https://host:port`.

use http::uri::{Authority, Scheme, Uri};
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::error::ClientError;

/// An endpoint. It prints as host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    authority: Authority,
}

impl Endpoint {
    /// Reads an endpoint. Without a scheme it is plain HTTP.
    pub(crate) fn parse(endpoint: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            let remedy = "write `https://host:port` or `http://host:port`";
            ClientError::config(format!("endpoint `{endpoint}` {why}"), remedy)
        };
        let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let endpoint = Endpoint::of(&uri).ok_or_else(|| wrong("is neither `https` nor `http` of a host"))?;
        if endpoint.as_str().contains('@') {
            return Err(wrong("has a user name"));
        }
        match (endpoint.authority.port_u16(), written_port(endpoint.as_str())) {
            (Some(0), _) => Err(wrong("has port `0`, and a port is a number from 1 to 65535")),
            (Some(_), _) => Ok(endpoint),
            (None, Some(port)) => {
                Err(wrong(&format!("has port `{port}`, and a port is a number from 1 to 65535")))
            }
            (None, None) => Err(wrong("has no port")),
        }
    }

    /// The endpoint of a request's URL.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))?.clone();
        Some(Endpoint { scheme, authority: uri.authority()?.clone() })
    }

    /// Host and port.
    pub(crate) fn as_str(&self) -> &str {
        self.authority.as_str()
    }

    /// Host and port, as a URL has them.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The scheme of its URLs.
    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The host: a name, or an address without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// Whether the host is written as a loopback address or as `localhost`. To what the name leads is checked when a
    /// connection is there.
    pub(crate) fn names_loopback(&self) -> bool {
        match self.host().parse::<IpAddr>() {
            Ok(address) => is_loopback(address),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        }
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether packets to this address stay on this machine. An IPv4 address that is written as an IPv6 one counts as what
/// it is.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
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
    fn an_endpoint_is_host_and_port_over_plain_http_or_tls() {
        for (good, https) in [
            ("http://127.0.0.1:7400", false),
            ("http://node-1:7400/", false),
            ("localhost:1", false),
            ("http://[::1]:7400", false),
            ("https://node-1:7400", true),
            ("HTTPS://[::1]:7400/", true),
        ] {
            assert_eq!(Endpoint::parse(good).unwrap().is_https(), https, "{good}");
        }
        for bad in [
            "",
            "https://a",
            "http://a",
            "http://a:1/x",
            "http://a:1?x",
            "http://u@a:1",
            "https://u:p@a:1",
            "a b:1",
            "ftp://a:1",
        ] {
            assert_eq!(Endpoint::parse(bad).unwrap_err().code(), "config_invalid", "{bad}");
        }
    }

    #[test]
    fn an_endpoint_with_a_number_that_is_no_port_is_told_so() {
        for (bad, says) in [
            ("http://127.0.0.1:99999", "has port `99999`, and a port is a number from 1 to 65535"),
            ("http://[::1]:65536", "has port `65536`"),
            ("http://127.0.0.1:0", "has port `0`"),
            ("http://127.0.0.1", "has no port"),
            ("https://[::1]", "has no port"),
            ("http://u@a:1", "has a user name"),
        ] {
            let error = Endpoint::parse(bad).unwrap_err();
            assert!(error.to_string().contains(says), "{bad}: {error}");
            assert!(error.remedy().contains("`https://host:port`"), "{bad}: {}", error.remedy());
        }
    }

    #[test]
    fn only_this_machines_own_addresses_are_loopback() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("http://LOCALHOST:1", true),
            ("http://localhost.example.org:1", false),
            ("http://127.0.0.1.example.org:1", false),
            ("http://0.0.0.0:1", false),
            ("http://10.0.0.1:1", false),
            ("http://[::ffff:10.0.0.1]:1", false),
            ("http://node-1:1", false),
        ] {
            assert_eq!(Endpoint::parse(endpoint).unwrap().names_loopback(), expected, "{endpoint}");
        }
    }
}
