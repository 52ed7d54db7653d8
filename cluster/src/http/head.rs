//! The checks of a request's head: its size, its `Host`, and the encoding and the length of the body. Also what tells
//! hyper's own answers to a head from the node's.

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

/// The beginning of the header that gives a body's length, with the end of the line before it.
const LENGTH_LINE: &[u8] = b"\ncontent-length:";

/// Notices a `Content-Length` in the bytes of a connection, however they are cut.
///
/// If a request has a `Transfer-Encoding` too, hyper goes by that one and drops the `Content-Length`. Another reader on
/// the way may have gone by the length, and taken for a body what hyper takes for the next request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LengthLine {
    /// The number of bytes of [`LENGTH_LINE`] that came last.
    matched: usize,
    seen: bool,
}

impl LengthLine {
    /// Notes bytes from the client.
    pub(super) fn heard(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.seen {
                return;
            }
            let byte = byte.to_ascii_lowercase();
            self.matched = if LENGTH_LINE.get(self.matched) == Some(&byte) {
                self.matched.saturating_add(1)
            } else {
                usize::from(byte == b'\n')
            };
            self.seen = self.matched == LENGTH_LINE.len();
        }
    }

    /// Whether there was one. It may have been in an earlier request, or in a body.
    pub(super) fn seen(self) -> bool {
        self.seen
    }
}

/// Whether these bytes, which hyper writes, end with an answer that hyper itself gives to a head that it cannot read.
/// It has no body, and no answer of the node's is a 4xx with an empty one.
pub(super) fn ends_with_a_bare_refusal(bytes: &[u8]) -> bool {
    if !bytes.ends_with(b"\r\n\r\n") {
        return false;
    }
    let start = bytes.windows(9).rposition(|window| window == b"HTTP/1.1 ");
    let Some(answer) = start.and_then(|start| bytes.get(start..)) else { return false };
    let Ok(answer) = std::str::from_utf8(answer) else { return false };
    let answer = answer.to_ascii_lowercase();
    answer.starts_with("http/1.1 4") && answer.contains("\r\ncontent-length: 0\r\n")
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

    #[test]
    fn a_length_is_noticed_however_its_line_is_written_and_cut() {
        let seen = |pieces: &[&[u8]]| {
            let mut line = LengthLine::default();
            pieces.iter().for_each(|piece| line.heard(piece));
            line.seen()
        };
        let with: [&[&[u8]]; 3] = [
            &[b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"],
            &[b"POST / HTTP/1.1\r\nhost: node\r\nCONTENT-LEN", b"GTH:3\r\n\r\n"],
            &[b"POST / HTTP/1.1\n", b"\n", b"content-length", b":", b"3"],
        ];
        for pieces in with {
            assert!(seen(pieces), "{pieces:?}");
        }
        let without: [&[&[u8]]; 3] = [
            &[b"POST /content-length: HTTP/1.1\r\n"],
            &[b"\r\nx-content-length: 3\r\ncontent-lengths: 3\r\ncontent-\nlength: 3\r\n"],
            &[],
        ];
        for pieces in without {
            assert!(!seen(pieces), "{pieces:?}");
        }
    }

    #[test]
    fn only_an_answer_of_hypers_own_is_a_refusal_without_a_body() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        assert!(ends_with_a_bare_refusal(bare.as_bytes()));
        assert!(ends_with_a_bare_refusal(format!("{whole}ok\n{bare}").as_bytes()));
        for other in [
            whole.to_owned(),
            format!("{whole}ok\n"),
            format!("{bare}{whole}"),
            bare.replace("content-length: 0", "content-length: 90"),
            bare.replace("400 Bad Request", "200 OK"),
            String::new(),
        ] {
            assert!(!ends_with_a_bare_refusal(other.as_bytes()), "{other}");
        }
    }
}
