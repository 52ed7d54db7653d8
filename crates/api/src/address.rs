//! A member's address: one type for it, and one spelling of every IP address.
//!
//! No two members may have the same address. Resolvers read many spellings as the same IP address (`127.1`,
//! `[::ffff:127.0.0.1]`, `localhost`), and many as the same port (`080`, `+80`). So every place that accepts a new
//! address parses it as a [`MemberAddress`]: the configuration, the API, the command line, and a leader before it
//! changes the membership. An IP address is accepted only in the spelling of [RFC 5952] or in dotted decimals, and a
//! refusal shows that spelling. A name is accepted as it is written: only a resolver could tell that two names lead to
//! the same machine.
//!
//! An address that was stored before this check existed stays as it is, and is compared by [`same_address`]. This
//! module never resolves a name and never dials an address.
//!
//! [RFC 5952]: https://www.rfc-editor.org/rfc/rfc5952

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::Serialize;

/// The longest address of a member, in bytes.
const MAX_ADDRESS_BYTES: usize = 256;

/// A member's address: `host:port`, at most 256 bytes. Another node can dial it, as far as this can be known without
/// dialing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MemberAddress(String);

/// Why a text is not an address that a member may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is too long.
    #[error(
        "the address has {bytes} bytes; an address may have at most {most} bytes",
        most = MAX_ADDRESS_BYTES
    )]
    TooLong {
        /// The length of the text, in bytes.
        bytes: usize,
    },
    /// The text is not a host and a port.
    #[error(
        "`{text}` must be `host:port`: a name, an IPv4 address or an IPv6 address in brackets, and a port from 1 to 65535"
    )]
    Form {
        /// The given text, with its control characters escaped.
        text: String,
    },
    /// The text is another spelling of an address, with which one member could pass for two.
    #[error(
        "`{text}` is another spelling of `{canonical}`, and no two members have one address: write `{canonical}`"
    )]
    Spelling {
        /// What was given.
        text: String,
        /// The only accepted spelling of the address.
        canonical: String,
    },
    /// The text is an address that does not belong to a single machine.
    #[error(
        "no other node can dial `{text}`, which {why}: give the address at which others reach the node (in its configuration, set \
         `peer_advertise` and `client_advertise`)"
    )]
    NotDialable {
        /// What was given.
        text: String,
        /// What the address stands for.
        why: &'static str,
    },
}

impl MemberAddress {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong { bytes: text.len() });
        }
        let Some((written, host, port)) = read(text) else {
            return Err(AddressError::Form { text: text.escape_debug().to_string() });
        };
        let canonical = match host {
            Host::Ip(ip) => match undialable(ip) {
                Some(why) => return Err(AddressError::NotDialable { text: text.to_owned(), why }),
                None => SocketAddr::new(ip, port).to_string(),
            },
            Host::Name(_) => format!("{written}:{port}"),
        };
        if canonical != text {
            return Err(AddressError::Spelling { text: text.to_owned(), canonical });
        }
        Ok(MemberAddress(canonical))
    }
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<MemberAddress> for String {
    fn from(address: MemberAddress) -> Self {
        address.0
    }
}

/// Whether a text has the form of an address: `host:port`, at most 256 bytes, in characters that never need an escape.
/// This is weaker than the check of a [`MemberAddress`]: an earlier build may have stored such an address, and may
/// send it to its peers.
pub fn is_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS_BYTES
        && text.rsplit_once(':').is_some_and(|(host, port)| is_plain(host) && port_of(port).is_some())
}

/// Whether two texts are the same address, however each is spelled. The texts need not be a [`MemberAddress`]: an
/// earlier build may have stored another text. Two names are the same only if they are written alike, regardless of
/// case.
pub fn same_address(one: &str, other: &str) -> bool {
    one == other || address_key(one) == address_key(other)
}

/// A text that is the same for all spellings of an address. It is only for comparing: the given text may not be an
/// address.
pub fn address_key(text: &str) -> String {
    match read(text) {
        Some((_, Host::Ip(ip), port)) => SocketAddr::new(ip, port).to_string(),
        Some((_, Host::Name(name), port)) => format!("{name}:{port}"),
        None => text.to_owned(),
    }
}

/// How a resolver reads a host.
enum Host {
    /// An IP address that needs no lookup. It is never an IPv4 address that is mapped into IPv6.
    Ip(IpAddr),
    /// A name, in lower case and without a dot at its end.
    Name(String),
}

/// Reads the host as it is written, its meaning, and the port.
fn read(text: &str) -> Option<(&str, Host, u16)> {
    let (written, port) = text.rsplit_once(':')?;
    if !is_plain(written) {
        return None;
    }
    Some((written, host_of(written)?, port_of(port)?))
}

fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

fn port_of(port: &str) -> Option<u16> {
    port.parse::<u16>().ok().filter(|port| *port > 0)
}

fn host_of(written: &str) -> Option<Host> {
    let bracketed = written.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bracketed.is_some() || written.contains([':', '[', ']']) {
        let ip: Ipv6Addr = bracketed.unwrap_or(written).parse().ok()?;
        return Some(Host::Ip(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)));
    }
    let name = written.strip_suffix('.').unwrap_or(written).to_ascii_lowercase();
    if name.split('.').any(str::is_empty) {
        return None;
    }
    if name.split('.').all(is_number) {
        return ipv4_of(&name).map(|ip| Host::Ip(IpAddr::V4(ip)));
    }
    // Every resolver answers this name with a loopback address (RFC 6761 §6.3).
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    Some(Host::Name(name))
}

/// Whether a resolver may read this as a part of an IPv4 address: decimal or hexadecimal digits.
fn is_number(part: &str) -> bool {
    match part.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()),
    }
}

/// Reads an IPv4 address as `inet_aton` does: one to four decimal, octal or hexadecimal parts, the last of which fills
/// the remaining bytes.
fn ipv4_of(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = host.split('.').map(number_of).collect::<Option<_>>()?;
    let (last, before) = parts.split_last()?;
    let left = 4_usize.checked_sub(before.len()).filter(|left| *left > 0)?;
    let bits = u32::try_from(left).ok()?.saturating_mul(8);
    if before.iter().any(|part| *part > 255) || last.checked_shr(bits)? != 0 {
        return None;
    }
    let high = before.iter().fold(0_u64, |high, part| high << 8 | part);
    u32::try_from(high << bits | last).ok().map(Ipv4Addr::from)
}

fn number_of(part: &str) -> Option<u64> {
    match part.strip_prefix("0x") {
        Some("") => Some(0),
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    }
}

/// What an IP address stands for, if it does not belong to a single machine.
fn undialable(ip: IpAddr) -> Option<&'static str> {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() {
        Some("stands for every address of a machine")
    } else if ip.is_multicast() {
        Some("is a multicast address and stands for a group of machines")
    } else if broadcast {
        Some("is the broadcast address and stands for every machine of a network")
    } else if link_local {
        Some("is a link-local address and names a machine only together with an interface")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<MemberAddress, AddressError> {
        text.parse()
    }

    #[test]
    fn an_address_in_its_one_spelling_is_read_and_written_alike() {
        for text in [
            "10.0.0.4:7500",
            "127.0.0.1:1",
            "10.0.0.0:65535",
            "[::1]:7500",
            "[2001:db8::4]:7500",
            "node-4:7400",
            "Node_4.example.org:7400",
            "node-4.example.org.:7400",
            "node.4:7400",
            "0a:7500",
            "x:1",
        ] {
            assert_eq!(parsed(text).map(String::from), Ok(text.to_owned()));
            assert!(is_address(text), "{text}");
            assert!(same_address(text, text), "{text}");
        }
    }

    #[test]
    fn another_spelling_of_an_ip_address_or_a_port_is_refused_with_the_one_to_write() {
        for (text, canonical) in [
            ("127.1:7500", "127.0.0.1:7500"),
            ("127.0.1:7500", "127.0.0.1:7500"),
            ("2130706433:7500", "127.0.0.1:7500"),
            ("0x7f000001:7500", "127.0.0.1:7500"),
            ("0X7f.1:7500", "127.0.0.1:7500"),
            ("0177.0.0.01:7500", "127.0.0.1:7500"),
            ("127.000.000.001:7500", "127.0.0.1:7500"),
            ("127.0.0.1.:7500", "127.0.0.1:7500"),
            ("localhost:7500", "127.0.0.1:7500"),
            ("LocalHost.:7500", "127.0.0.1:7500"),
            ("node-1.localhost:7500", "127.0.0.1:7500"),
            ("[::ffff:127.0.0.1]:7500", "127.0.0.1:7500"),
            ("[::FFFF:7f00:1]:7500", "127.0.0.1:7500"),
            ("[0:0:0:0:0:0:0:1]:7500", "[::1]:7500"),
            ("[2001:DB8::4]:7500", "[2001:db8::4]:7500"),
            ("[2001:0db8::4]:7500", "[2001:db8::4]:7500"),
            ("::1:7500", "[::1]:7500"),
            ("127.0.0.1:07500", "127.0.0.1:7500"),
            ("127.0.0.1:+7500", "127.0.0.1:7500"),
            ("node-4:0080", "node-4:80"),
            ("node-4:+80", "node-4:80"),
        ] {
            let expected = AddressError::Spelling { text: text.to_owned(), canonical: canonical.to_owned() };
            assert_eq!(parsed(text), Err(expected), "{text}");
            assert!(parsed(canonical).is_ok(), "{canonical}");
            // One that was stored before is known for what it is.
            assert!(is_address(text) && same_address(text, canonical), "{text}");
        }
    }

    #[test]
    fn an_address_of_no_single_machine_is_no_members() {
        for (text, why) in [
            ("0.0.0.0:7500", "every address"),
            ("[::]:7500", "every address"),
            (":::7500", "every address"),
            ("[::ffff:0.0.0.0]:7500", "every address"),
            ("0:7500", "every address"),
            ("0.0:7500", "every address"),
            ("00.0.0.000:7500", "every address"),
            ("0x0:7500", "every address"),
            ("0x00.0:7500", "every address"),
            ("[0:0:0:0:0:0:0:0]:7500", "every address"),
            ("224.0.0.1:7500", "multicast"),
            ("239.255.255.255:7500", "multicast"),
            ("0xe0000001:7500", "multicast"),
            ("[ff02::1]:7500", "multicast"),
            ("[::ffff:224.0.0.1]:7500", "multicast"),
            ("255.255.255.255:7500", "broadcast"),
            ("4294967295:7500", "broadcast"),
            ("[fe80::1]:7500", "link-local"),
        ] {
            let said = parsed(text).unwrap_err().to_string();
            assert!(said.starts_with("no other node can dial") && said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            "here",
            ":7500",
            "a:",
            "a:0",
            "a:65536",
            "a:-1",
            "a b:1",
            "a/b:1",
            "[::1:7500",
            "::1]:7500",
            "[node]:7500",
            "a..b:1",
            ".a:1",
            ".:1",
            "a[b:1",
            "[10.0.0.1]:7500",
            "1.2.3.4.5:1",
            "256.0.0.1:1",
            "1.2.3.256:1",
            "08.0.0.1:1",
            "4294967296:1",
            "99999999999999999999:1",
            "a\u{1b}[1m:1",
        ] {
            assert!(matches!(parsed(text), Err(AddressError::Form { .. })), "{text}: {:?}", parsed(text));
        }
        let long = format!("{}:1", "a".repeat(255));
        assert_eq!(parsed(&long), Err(AddressError::TooLong { bytes: 257 }));
        assert!(parsed(&format!("{}:1", "a".repeat(254))).is_ok());
        assert!(!parsed("a\u{1b}:1").unwrap_err().to_string().contains('\u{1b}'));
    }

    #[test]
    fn names_are_compared_as_they_are_written_in_whatever_case() {
        assert!(same_address("Node-4:7400", "node-4.:7400"));
        assert!(same_address("no address", "no address") && same_address("", ""));
        for (one, other) in [
            ("node-4:7400", "node-5:7400"),
            ("node-4:7400", "node-4:7401"),
            ("node-4:7400", "node-4.example.org:7400"),
            ("[::1]:1", "127.0.0.1:1"),
            ("no address", "another"),
        ] {
            assert!(!same_address(one, other), "{one} {other}");
        }
    }
}
