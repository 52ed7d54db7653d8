//! Where a connection comes from.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Where a connection comes from. Of an IPv6 address only the first 64 bits count, because a single machine usually has
/// all addresses that begin with them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An IPv4 address, also if it was written as an IPv6 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
    /// The host of an address that is no IP address, as in a simulated network.
    Host(Arc<str>),
}

impl Source {
    /// The source of a connection with this remote address, `host:port`.
    pub(crate) fn of(remote: &str) -> Self {
        match remote.parse::<SocketAddr>() {
            Ok(SocketAddr::V4(address)) => Source::V4(*address.ip()),
            Ok(SocketAddr::V6(address)) => match address.ip().to_ipv4_mapped() {
                Some(ip) => Source::V4(ip),
                None => Source::V6(u64::try_from(address.ip().to_bits() >> 64).unwrap_or(u64::MAX)),
            },
            Err(_) => Source::Host(remote.rsplit_once(':').map_or(remote, |(host, _)| host).into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::V4(ip) => ip.fmt(f),
            Source::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64)),
            Source::Host(host) => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if the port counts, or if a machine could use each of its IPv6 addresses as another source.
    #[test]
    fn a_source_is_an_ipv4_address_or_the_first_half_of_an_ipv6_address() {
        let of = |remote: &str| Source::of(remote).to_string();
        assert_eq!(of("127.0.0.1:80"), "127.0.0.1");
        assert_eq!(Source::of("127.0.0.1:80"), Source::of("[::ffff:127.0.0.1]:9"));
        assert_eq!(Source::of("[2001:db8::1]:80"), Source::of("[2001:db8::ffff:1]:81"));
        assert_ne!(Source::of("[2001:db8::1]:80"), Source::of("[2001:db8:0:1::1]:80"));
        assert_eq!(of("[2001:db8::1]:80"), "2001:db8::/64");
        assert_eq!(of("client-1:80"), "client-1");
        assert_eq!(of("client-1"), "client-1");
    }
}
