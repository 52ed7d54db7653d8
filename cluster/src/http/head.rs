//! The checks of a request's head: its size, its `Host`, and the encoding of the body.

use std::net::Ipv6Addr;

use http::{HeaderMap, HeaderName, Request, Version, header};

/// The largest size of a request's head, in bytes.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// Why a request's head is refused as too large.
pub(super) fn head_too_large() -> String {
    format!("the request's head has more than {HEAD_BYTES} bytes or more than 100 headers")
}

/// The least number of bytes that the head had. Insignificant white space is not known any more.
pub(super) fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = request.method().as_str().len().saturating_add(target).saturating_add(authority);
    request.headers().iter().fold(line, |bytes, (name, value)| {
        bytes.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(": \r\n".len())
    })
}

/// What is wrong with the `Host` of a request (RFC 9112 §3.2). If a request names two hosts, two readers may each use
/// another one, so a node refuses it.
pub(super) fn wrong_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Some("the request has more than one `Host` header"),
        (Some(host), None) => {
            let is_host = host.is_empty() || host.to_str().is_ok_and(is_host);
            let detail = "the request's `Host` header is not a host with or without a port";
            (!is_host).then_some(detail)
        }
        (None, _) if version >= Version::HTTP_11 => {
            Some("the request has no `Host` header, which HTTP/1.1 requires")
        }
        (None, _) => None,
    }
}

/// Whether this is a host with or without a port (RFC 9110 §7.2): a name, an IPv4 address, or an IPv6 address in
/// brackets. RFC 3986 §3.2.2 allows more characters in a name, such as `,` and `*`. No machine has such a name, and
/// another reader may see two hosts in it, or any host.
fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
    let is_port = |port: &str| {
        // The standard parser also accepts a sign before a number.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    let Some(literal) = text.strip_prefix('[') else {
        return match text.split_once(':') {
            Some((name, port)) => is_name(name) && is_port(port),
            None => is_name(text),
        };
    };
    let Some((address, behind)) = literal.split_once(']') else { return false };
    let is_address = match address.split_once("%25") {
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && is_name(zone),
        None => address.parse::<Ipv6Addr>().is_ok(),
    };
    is_address && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
}

/// Whether a body with these headers has an encoding that this node does not decode.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_other = |name: HeaderName, known: &str| {
        let values = headers.get_all(name);
        values.iter().any(|value| match value.to_str() {
            Ok(value) => value.split(',').any(|coding| !coding.trim().eq_ignore_ascii_case(known)),
            Err(_) => true,
        })
    };
    // Two `chunked` are another framing than one (RFC 9112 §6.1).
    let transfer = headers.get_all(header::TRANSFER_ENCODING);
    let codings: usize =
        transfer.iter().map(|value| value.as_bytes().split(|byte| *byte == b',').count()).sum();
    is_other(header::CONTENT_ENCODING, "identity")
        || is_other(header::TRANSFER_ENCODING, "chunked")
        || codings > 1
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn identity_and_chunked_are_no_encodings_and_everything_else_is() {
        let with = |pairs: &[(HeaderName, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            is_encoded(&pairs.collect::<HeaderMap>())
        };
        let (content, transfer) = (header::CONTENT_ENCODING, header::TRANSFER_ENCODING);
        for plain in [
            vec![],
            vec![(content.clone(), "identity")],
            vec![(content.clone(), "Identity, identity"), (transfer.clone(), "Chunked")],
        ] {
            assert!(!with(&plain), "{plain:?}");
        }
        for encoded in [
            vec![(content.clone(), "gzip")],
            vec![(content.clone(), "")],
            vec![(content.clone(), "identity, br")],
            vec![(content.clone(), "identity"), (content.clone(), "zstd")],
            vec![(transfer.clone(), "gzip, chunked")],
            vec![(transfer.clone(), "chunked, chunked")],
            vec![(transfer.clone(), "chunked"), (transfer.clone(), "chunked")],
        ] {
            assert!(with(&encoded), "{encoded:?}");
        }
    }

    #[test]
    fn a_request_names_one_host_and_only_one_of_http_1_0_may_name_none() {
        let wrong = |version: Version, hosts: &[&'static str]| {
            let hosts = hosts.iter().map(|host| (header::HOST, HeaderValue::from_static(host)));
            wrong_host(version, &hosts.collect::<HeaderMap>()).is_some()
        };
        for host in [
            "",
            "node",
            "node:7400",
            "node:",
            "node-1.eu_west.example:65535",
            "127.0.0.1:7400",
            "[::1]:7400",
            "[2001:db8::4]",
            "[fe80::1%25eth0]:7400",
        ] {
            assert!(!wrong(Version::HTTP_11, &[host]), "{host}");
        }
        for host in [
            "a b",
            "user@node",
            "node/path",
            "http://node",
            "node:abc",
            "node:99999",
            "node:+80",
            "node:80:80",
            ":7400",
            "::1",
            "a,b",
            "node, node",
            "*",
            "[::1",
            "[node]",
            "[::1]7400",
            "[::1]:x",
            "[fe80::1%25]",
        ] {
            assert!(wrong(Version::HTTP_11, &[host]), "{host}");
        }
        assert!(wrong(Version::HTTP_11, &[]) && !wrong(Version::HTTP_10, &[]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(wrong(version, &["node", "node"]), "{version:?}");
        }
    }

    #[test]
    fn a_head_is_as_large_as_its_line_and_its_headers() {
        let of = |target: String, header: String| {
            let request = Request::builder().uri(target).header("x", header);
            head_bytes(&request.body(()).unwrap())
        };
        assert_eq!(of("/livez".to_owned(), String::new()), "GET/livezx: \r\n".len());
        assert!(of(format!("/{}", "a".repeat(40_000)), "y".repeat(40_000)) > HEAD_BYTES);
        assert!(of(format!("/{}", "a".repeat(30_000)), "y".repeat(30_000)) < HEAD_BYTES);
    }
}
