//! How a spoilt answer is sent, and how much of it a client receives.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::content::Answer;
use super::draw::Draw;

/// Longest body that the clients read.
pub const BYTES_MAX: usize = 300_000;
/// So much of an answer that is too long is surely read before it is given up.
const PART_MAX: usize = 4_096;
/// How long a connection is held at most that a client does not end.
const HELD_MAX: Duration = Duration::from_secs(10);

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    /// The connection's end is the body's.
    ToTheEnd,
    /// The length says so many bytes more than come.
    TooLong(usize),
    /// The length says so many of 1000 parts.
    TooShort(usize),
    TwoLengths,
    LengthInWords,
    LengthAndChunks,
    /// The last chunk is missing.
    ChunksBreakOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// Some bytes at a time.
    Drip,
    /// After so many milliseconds.
    Late(u64),
    /// So many of 1000 parts come, and then nothing.
    Stalls(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Close,
    /// The endpoint ends its side, and waits for the client to end its own.
    HalfClose,
    Reset,
    /// The connection stays open.
    Hold,
}

/// How an answer goes over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Another status than the answer's.
    status: Option<u16>,
    /// A status that comes before the answer.
    interim: Option<u16>,
    /// Another `Content-Type`; none if it is empty.
    content_type: Option<&'static str>,
    /// Another `Retry-After`; none if it is empty.
    retry_after: Option<&'static str>,
    /// A `Content-Encoding`, which no node sends. The body stays as it is.
    content_encoding: Option<&'static str>,
    framing: Framing,
    pace: Pace,
    ending: Ending,
}

/// What comes of an answer.
pub struct Message {
    /// The status that a client reads.
    pub status: u16,
    /// The body that a client reads, if it reads one to its end.
    pub heard: Option<Vec<u8>>,
    /// What a client reads of the body in any case.
    pub part: Vec<u8>,
    /// Whether every client reads that.
    pub certain: bool,
    bytes: Vec<u8>,
}

const STATUSES: [u16; 20] =
    [200, 200, 403, 403, 503, 500, 429, 201, 204, 301, 302, 304, 400, 404, 408, 413, 425, 502, 504, 102];

impl Wire {
    /// As a node sends it.
    pub fn unspoilt() -> Self {
        Wire {
            status: None,
            interim: None,
            content_type: None,
            retry_after: None,
            content_encoding: None,
            framing: Framing::Length,
            pace: Pace::AtOnce,
            ending: Ending::Close,
        }
    }

    pub fn draw(draw: &mut Draw) -> Self {
        let framings = [
            Framing::Chunked,
            Framing::ToTheEnd,
            Framing::TooLong(1 + draw.below(50)),
            Framing::TooShort(draw.below(1000)),
            Framing::TwoLengths,
            Framing::LengthInWords,
            Framing::LengthAndChunks,
            Framing::ChunksBreakOff,
        ];
        let mut wire = Wire::unspoilt();
        if draw.chance(30) {
            wire.status = Some(draw.one_of(&STATUSES));
        }
        if draw.chance(4) {
            wire.interim = Some(draw.one_of(&[100, 102, 103]));
        }
        if draw.chance(10) {
            wire.content_type =
                Some(draw.one_of(&["", "text/html", "application/json; charset=utf-16", "x"]));
        }
        if draw.chance(10) {
            wire.retry_after = Some(draw.one_of(&["", "0", "3600", "-1", "Fri, 31 Dec 1999 23:59:59 GMT"]));
        }
        if draw.chance(20) {
            wire.framing = draw.one_of(&framings);
        }
        if draw.chance(12) {
            let late = Pace::Late(10 + u64::try_from(draw.below(600)).unwrap());
            let stalls = Pace::Stalls(draw.below(1000));
            wire.pace = draw.one_of(&[Pace::Drip, Pace::Drip, late, late, stalls]);
        }
        if draw.chance(20) {
            wire.ending = draw.one_of(&[Ending::HalfClose, Ending::HalfClose, Ending::Reset, Ending::Hold]);
        }
        if draw.chance(5) {
            wire.content_encoding = Some(draw.one_of(&["gzip", "br", "identity, gzip"]));
        }
        wire
    }

    /// The bytes of an answer, and what a client hears of them.
    pub fn message(&self, answer: &Answer) -> Message {
        let status = self.status.unwrap_or(answer.status);
        let body = &answer.body;
        let mut head = match self.interim {
            Some(interim) => format!("HTTP/1.1 {interim} wait\r\n\r\nHTTP/1.1 {status} said\r\n"),
            None => format!("HTTP/1.1 {status} said\r\n"),
        };
        let retry_after = answer.retry_after.as_deref().unwrap_or_default();
        for (name, value) in [
            ("content-type", self.content_type.unwrap_or(&answer.content_type)),
            ("retry-after", self.retry_after.unwrap_or(retry_after)),
            ("content-encoding", self.content_encoding.unwrap_or_default()),
            ("connection", "close"),
        ] {
            if !value.is_empty() {
                head += &format!("{name}: {value}\r\n");
            }
        }
        let (length, chunks) = (body.len(), "transfer-encoding: chunked\r\n");
        let of_length = |length: usize| format!("content-length: {length}\r\n");
        let (framed, sent, mut heard) = match self.framing {
            Framing::Length => (of_length(length), body.clone(), Some(body.clone())),
            Framing::Chunked => (chunks.to_owned(), chunked(body, true), Some(body.clone())),
            Framing::ToTheEnd => {
                let ends = matches!(self.ending, Ending::Close | Ending::HalfClose);
                (String::new(), body.clone(), ends.then(|| body.clone()))
            }
            Framing::TooLong(more) => (of_length(length + more), body.clone(), None),
            Framing::TooShort(parts) => {
                let length = length * parts / 1000;
                (of_length(length), body.clone(), Some(body[..length].to_vec()))
            }
            Framing::TwoLengths => {
                (of_length(length) + &of_length(length + 1), body.clone(), Some(body.clone()))
            }
            Framing::LengthInWords => {
                ("content-length: many\r\n".to_owned(), body.clone(), Some(body.clone()))
            }
            Framing::LengthAndChunks => (of_length(length) + chunks, chunked(body, true), Some(body.clone())),
            Framing::ChunksBreakOff => (chunks.to_owned(), chunked(body, false), None),
        };
        if matches!(status, 204 | 304) {
            heard = Some(Vec::new());
        }
        if status < 200 || matches!(self.pace, Pace::Stalls(_)) {
            heard = None;
        }
        let doubtful = self.interim.is_some()
            || self.ending == Ending::Reset
            || matches!(
                self.framing,
                Framing::TwoLengths | Framing::LengthInWords | Framing::LengthAndChunks
            );
        let heard = heard.filter(|heard| heard.len() <= BYTES_MAX);
        let part = self.part(status, body, heard.as_deref());
        // An answer that is encoded is not read as what its bytes seem to say, except that a deny in it counts.
        let heard = heard.filter(|_| self.content_encoding.is_none());
        let bytes = [head.as_bytes(), framed.as_bytes(), b"\r\n".as_slice(), sent.as_slice()].concat();
        Message { status, heard, part, certain: !doubtful, bytes }
    }

    /// What a client reads of the body in any case: all of it, or what comes before it breaks off.
    fn part(&self, status: u16, body: &[u8], heard: Option<&[u8]>) -> Vec<u8> {
        let comes: &[u8] = match (heard, self.pace) {
            (Some(heard), _) => heard,
            (None, Pace::Stalls(_)) => b"",
            (None, _) if status < 200 => b"",
            (None, _) => body,
        };
        comes[..comes.len().min(PART_MAX)].to_vec()
    }

    /// Waits before an answer that comes late.
    pub async fn wait(&self) {
        if let Pace::Late(ms) = self.pace {
            sleep(Duration::from_millis(ms)).await;
        }
    }

    /// Sends the answer.
    pub async fn send(&self, stream: &mut TcpStream, message: &Message) -> io::Result<()> {
        let bytes = &message.bytes;
        match self.pace {
            Pace::AtOnce | Pace::Late(_) => stream.write_all(bytes).await,
            Pace::Drip => {
                for some in bytes.chunks(bytes.len() / 8 + 1) {
                    stream.write_all(some).await?;
                    stream.flush().await?;
                    sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            }
            Pace::Stalls(parts) => {
                stream.write_all(&bytes[..bytes.len() * parts / 1000]).await?;
                until_ended(stream).await;
                Ok(())
            }
        }
    }

    /// Ends the connection, or leaves that to the client.
    pub async fn end(&self, mut stream: TcpStream) -> io::Result<()> {
        match self.ending {
            Ending::Close => stream.shutdown().await?,
            Ending::HalfClose => {
                stream.shutdown().await?;
                until_ended(&mut stream).await;
            }
            Ending::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?,
            Ending::Hold => until_ended(&mut stream).await,
        }
        Ok(())
    }
}

fn chunked(body: &[u8], to_the_end: bool) -> Vec<u8> {
    let mut sent = Vec::new();
    for chunk in body.chunks(body.len() / 3 + 1) {
        sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        sent.extend_from_slice(chunk);
        sent.extend_from_slice(b"\r\n");
    }
    if to_the_end {
        sent.extend_from_slice(b"0\r\n\r\n");
    }
    sent
}

/// Waits until the client has ended its side.
async fn until_ended(stream: &mut TcpStream) {
    let mut passed_over = Vec::new();
    let _ = timeout(HELD_MAX, stream.read_to_end(&mut passed_over)).await;
}
