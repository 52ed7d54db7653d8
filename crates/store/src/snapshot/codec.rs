//! The parts of a snapshot as bytes, and the digests that bind them together.
//!
//! Each part starts with a version and its kind. An unknown version is an error of its own, different from
//! damage. A chunk's digest covers its index and its rows. The summary's digest covers the header, every
//! chunk's digest in order and the counts. Each digest is BLAKE3 with a context of its own.

use blake3::Hasher;

use assent_registry::Table;

use crate::StoreError;
use crate::bytes_codec::{CodecProblem, Reader, put_bytes};

/// The newest version of all three parts, and the one that is written. To add one: `docs/formats.md`.
const VERSION: u8 = 1;
const HEADER: u8 = 1;
const CHUNK: u8 = 2;
const SUMMARY: u8 = 3;

const CHUNK_CONTEXT: &str = "assent 2026-11-22 snapshot chunk v1";
const SUMMARY_CONTEXT: &str = "assent 2026-11-22 snapshot summary v1";

/// The rows in a chunk take at most this many bytes, unless there is only one row.
pub(super) const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// The rows of a received chunk may take this many bytes: more than the largest single row.
const CHUNK_BYTES_ACCEPTED: usize = 2 * CHUNK_BYTES_MAX;

/// The first part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The applied position, in the caller's encoding; empty before anything was applied.
    pub applied: Vec<u8>,
    /// How many rows follow. This is for people: the summary decides whether all rows came.
    pub rows: u64,
}

/// The second part of a snapshot, many times: some rows, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// The chunk's number, from 0.
    pub index: u64,
    /// The rows' bytes: table (1), key, value, each with its length (4) in front.
    pub rows: Vec<u8>,
    /// Covers the index and the rows.
    pub digest: [u8; 32],
}

/// The last part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// How many chunks came before it.
    pub chunks: u64,
    /// How many rows were in them.
    pub rows: u64,
    /// Covers header, chunks and counts.
    pub digest: [u8; 32],
}

impl SnapshotHeader {
    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, HEADER];
        put_bytes(&mut bytes, &self.applied);
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        part(bytes, HEADER, "header", |reader| {
            Ok(Self { applied: reader.bytes()?.to_vec(), rows: reader.u64()? })
        })
    }
}

impl SnapshotChunk {
    /// Makes chunk `index` of `rows`, with its digest.
    pub(super) fn new(index: u64, rows: Vec<u8>) -> Self {
        let digest = chunk_digest(index, &rows);
        Self { index, rows, digest }
    }

    /// Checks that index and rows match the digest.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        if self.rows.len() > CHUNK_BYTES_ACCEPTED {
            return Err(StoreError::Snapshot(format!("chunk {} is too large", self.index)));
        }
        if chunk_digest(self.index, &self.rows) != self.digest {
            return Err(StoreError::Snapshot(format!("chunk {} does not match its digest", self.index)));
        }
        Ok(())
    }

    /// The chunk's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rows.len() + 46);
        bytes.extend_from_slice(&[VERSION, CHUNK]);
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        put_bytes(&mut bytes, &self.rows);
        bytes
    }

    /// Reads a chunk. Its digest is checked later, when the chunk is written.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        part(bytes, CHUNK, "chunk", |reader| {
            Ok(Self { index: reader.u64()?, digest: reader.array()?, rows: reader.bytes()?.to_vec() })
        })
    }
}

impl SnapshotSummary {
    /// The summary's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, SUMMARY];
        bytes.extend_from_slice(&self.chunks.to_be_bytes());
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        bytes
    }

    /// Reads a summary.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        part(bytes, SUMMARY, "summary", |reader| {
            Ok(Self { chunks: reader.u64()?, rows: reader.u64()?, digest: reader.array()? })
        })
    }
}

/// Computes the summary, both at the sender and at the receiver.
#[derive(Debug)]
pub(super) struct Summing {
    hasher: Hasher,
    chunks: u64,
    rows: u64,
}

impl Summing {
    pub(super) fn new(applied: &[u8]) -> Self {
        let mut hasher = Hasher::new_derive_key(SUMMARY_CONTEXT);
        hasher.update(&(applied.len() as u64).to_be_bytes());
        hasher.update(applied);
        Self { hasher, chunks: 0, rows: 0 }
    }

    pub(super) fn add(&mut self, chunk: &SnapshotChunk, rows: u64) {
        self.hasher.update(&chunk.digest);
        self.chunks += 1;
        self.rows += rows;
    }

    /// How many chunks were added.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// How many rows were in them.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn summary(&self) -> SnapshotSummary {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.chunks.to_be_bytes());
        hasher.update(&self.rows.to_be_bytes());
        SnapshotSummary { chunks: self.chunks, rows: self.rows, digest: *hasher.finalize().as_bytes() }
    }
}

/// Appends one row to a chunk's rows.
pub(super) fn put_row(rows: &mut Vec<u8>, table: Table, key: &[u8], value: &[u8]) {
    rows.push(table as u8);
    put_bytes(rows, key);
    put_bytes(rows, value);
}

/// Table, key and value.
pub(super) type ChunkRow<'a> = (Table, &'a [u8], &'a [u8]);

/// The next row of a chunk's rows.
pub(super) fn next_row<'a>(reader: &mut Reader<'a>) -> Result<Option<ChunkRow<'a>>, CodecProblem> {
    if reader.is_empty() {
        return Ok(None);
    }
    let table = Table::ALL.get(reader.u8()? as usize).ok_or("a table is unknown")?;
    Ok(Some((*table, reader.bytes()?, reader.bytes()?)))
}

fn chunk_digest(index: u64, rows: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::new_derive_key(CHUNK_CONTEXT);
    hasher.update(&index.to_be_bytes());
    hasher.update(rows);
    *hasher.finalize().as_bytes()
}

fn part<T>(
    bytes: &[u8],
    kind: u8,
    name: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, CodecProblem>,
) -> Result<T, StoreError> {
    let unreadable =
        |problem: CodecProblem| StoreError::Snapshot(format!("the {name} cannot be read: {problem}"));
    let mut reader = Reader::new(bytes);
    let version = reader.u8().map_err(unreadable)?;
    if version != 1 {
        return Err(StoreError::unknown_version(&format!("a snapshot's {name}"), version, VERSION));
    }
    if reader.u8().map_err(unreadable)? != kind {
        return Err(unreadable("it is a different part of a snapshot"));
    }
    let value = read(&mut reader).map_err(unreadable)?;
    reader.finish().map_err(unreadable)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_have_these_bytes() {
        let header = SnapshotHeader { applied: b"position".to_vec(), rows: 7 };
        let mut rows = Vec::new();
        put_row(&mut rows, Table::Leaves, b"key", b"value");
        let chunk = SnapshotChunk::new(0, rows);
        let mut summing = Summing::new(&header.applied);
        summing.add(&chunk, 1);
        let summary = summing.summary();
        assert_eq!(hex::encode(header.encode()), "010100000008706f736974696f6e0000000000000007");
        assert_eq!(
            hex::encode(chunk.encode()),
            "01020000000000000000d1ac3c13e18322476657b7a52f029ea9d98d0d17908c57fa84c9a379c04427280000001101000000036b65790000000576616c7565"
        );
        assert_eq!(
            hex::encode(summary.encode()),
            "010300000000000000010000000000000001c9760da96a299104aa9df1e5c0ec49a4d8e886eb7380f091dc339719956c7de6"
        );
        assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
        assert_eq!(SnapshotChunk::decode(&chunk.encode()), Ok(chunk));
        assert_eq!(SnapshotSummary::decode(&summary.encode()), Ok(summary));
    }

    #[test]
    fn a_part_that_is_cut_extended_or_another_kind_is_refused() {
        let bytes = SnapshotChunk::new(3, vec![1, 2, 3]).encode();
        for length in 0..bytes.len() {
            assert!(SnapshotChunk::decode(&bytes[..length]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(SnapshotChunk::decode(&longer).is_err());
        assert!(SnapshotHeader::decode(&bytes).is_err());
    }

    #[test]
    fn a_part_of_the_next_version_is_not_damaged_and_says_which_build_to_start() {
        let header = SnapshotHeader { applied: b"position".to_vec(), rows: 7 };
        let chunk = SnapshotChunk::new(3, vec![1, 2, 3]);
        let summary = Summing::new(&header.applied).summary();
        let next = |mut part: Vec<u8>| {
            part[0] = VERSION + 1;
            part
        };
        for (name, error) in [
            ("header", SnapshotHeader::decode(&next(header.encode())).unwrap_err()),
            ("chunk", SnapshotChunk::decode(&next(chunk.encode())).unwrap_err()),
            ("summary", SnapshotSummary::decode(&next(summary.encode())).unwrap_err()),
        ] {
            assert!(error.takes_another_build(), "{error}");
            assert_eq!(
                error.to_string(),
                format!(
                    "a snapshot's {name} has version 2, and this build reads version 1: start this node with a newer build"
                )
            );
        }
    }

    #[test]
    fn a_chunk_under_another_index_or_with_a_flipped_bit_is_refused() {
        let mut chunk = SnapshotChunk::new(3, vec![1, 2, 3]);
        assert_eq!(chunk.verify(), Ok(()));
        chunk.index = 4;
        assert!(chunk.verify().is_err());
        chunk.index = 3;
        chunk.rows[0] ^= 1;
        assert!(chunk.verify().is_err());
    }
}
