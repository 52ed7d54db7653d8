//! Which texts a configuration may give as addresses: those at which a node can listen, and those at which others can
//! dial it.

use std::net::SocketAddr;

use assent_api::MemberAddress;
use assent_proof::text::{cut, one_line};

use super::error::{ConfigError, invalid};

/// The longest part of a wrong address that an error repeats, in characters.
const TOLD_CHARS_MAX: usize = 100;

/// Whether this address, at which a node is to listen, is loopback.
pub(super) fn is_loopback(field: &str, address: &str) -> Result<bool, ConfigError> {
    let parsed: SocketAddr = address
        .parse()
        .map_err(|_| invalid(field, format!("`{}` must be an IP address and a port", told(address))))?;
    // If no advertised address is set, the node also announces this one.
    if parsed.to_string() != address {
        let problem = format!("`{}` is another spelling of `{parsed}`: write `{parsed}`", told(address));
        return Err(invalid(field, problem));
    }
    Ok(parsed.ip().is_loopback())
}

/// Whether a node cannot listen at both of these addresses. The system chooses a port for 0, so that it differs.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) else { return false };
    let is_for_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_for_all || one.ip() == other.ip())
}

/// A text that is no address, for a message of one line.
fn told(text: &str) -> String {
    one_line(&cut(text, TOLD_CHARS_MAX)).into_owned()
}

/// Refuses an address that no member may have.
pub(super) fn validate_address(field: &str, address: &str) -> Result<(), ConfigError> {
    address.parse::<MemberAddress>().map(|_| ()).map_err(|error| invalid(field, error.to_string()))
}
