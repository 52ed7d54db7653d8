//! The parsers of a node's files and of what a leader sends: configuration, genesis file, log commands, parts of a
//! snapshot.

use std::path::Path;

use assent_cluster::config::Config;
use assent_fixtures::usual;
use assent_proof::{Envelope, Rules};
use assent_registry::{Command, GenesisFile, Group};
use assent_store::{SnapshotChunk, SnapshotHeader, SnapshotSummary};

use super::judge::{Growth, check_text, holds, refused, reread, reread_exactly};
use super::parser::{Parser, Reading};
use super::samples;

/// A configuration is written with every field that has a default, and an escape of two bytes becomes six.
const CONFIGURATION: Growth = Growth { times: 8, more: 16 * 1024 };

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "config", check: configuration, samples: samples::configurations },
    Parser { name: "genesis", check: genesis, samples: samples::genesis },
    Parser { name: "command", check: command, samples: commands },
    Parser { name: "snapshot_header", check: snapshot_header, samples: small_parts },
    Parser { name: "snapshot_chunk", check: snapshot_chunk, samples: snapshot_chunks },
    Parser { name: "snapshot_summary", check: snapshot_summary, samples: small_parts },
];

fn configuration(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    // No file of this name is opened.
    let read =
        |text: &str| Config::from_toml(text, Path::new("node.toml")).map_err(|error| error.to_string());
    if let Err(error) = read(text) {
        // It shows the place in the file, in lines.
        return check_text(&error, true).map(|()| Reading::Refused);
    }
    // What is written is read as a text again, so the errors of both are of this form.
    let read = |bytes: &[u8]| read(std::str::from_utf8(bytes).map_err(|error| error.to_string())?);
    reread(bytes, CONFIGURATION, read, |config| config.to_toml().unwrap_or_default().into_bytes())
}

fn genesis(bytes: &[u8]) -> Result<Reading, String> {
    let file = match GenesisFile::parse(bytes) {
        Ok(file) => file,
        Err(refusal) => return refused(&refusal),
    };
    let parsed: Result<Vec<Envelope>, _> =
        file.envelopes().iter().map(|envelope| Envelope::parse(envelope.bytes())).collect();
    let parsed = parsed.map_err(|refusal| format!("a verified envelope is not parsed: {refusal}"))?;
    let written =
        GenesisFile::format(&parsed).map_err(|refusal| format!("it is not written anew: {refusal}"))?;
    let most = bytes.len().saturating_mul(3).saturating_add(512);
    holds(
        written.len() <= most,
        "a genesis file is written in at most three times its length and 512 bytes",
    )?;
    let again =
        GenesisFile::parse(&written).map_err(|refusal| format!("written anew, it is refused: {refusal}"))?;
    holds(again.origin() == file.origin(), "a genesis file that is written anew has its origin")?;
    let ids = |file: &GenesisFile| file.envelopes().iter().map(|one| one.id()).collect::<Vec<_>>();
    holds(ids(&again) == ids(&file), "a genesis file that is written anew has its envelopes")?;
    Ok(Reading::Accepted)
}

/// What every replica reads of a log entry must be the same, so a command has one spelling under the rules of its version.
fn command(bytes: &[u8]) -> Result<Reading, String> {
    let command = match Command::decode(bytes) {
        Ok(command) => command,
        Err(error) => return refused(&error),
    };
    let written = Rules::all().any(|rules| command.encode(rules) == bytes);
    holds(written, "a command is written as it was read, under some rules")?;
    Ok(Reading::Accepted)
}

fn snapshot_header(bytes: &[u8]) -> Result<Reading, String> {
    reread_exactly(bytes, SnapshotHeader::decode, SnapshotHeader::encode)
}

fn snapshot_chunk(bytes: &[u8]) -> Result<Reading, String> {
    reread_exactly(bytes, SnapshotChunk::decode, SnapshotChunk::encode)
}

fn snapshot_summary(bytes: &[u8]) -> Result<Reading, String> {
    reread_exactly(bytes, SnapshotSummary::decode, SnapshotSummary::encode)
}

/// The header and the summary of a snapshot that an earlier build sent, and a small chunk. In its own chunks nearly all
/// damage would be to the rows, which these parsers do not read.
fn small_parts() -> Vec<Vec<u8>> {
    let rows = b"\x01\x00\x00\x00\x03key\x00\x00\x00\x05value".to_vec();
    let chunk = SnapshotChunk { index: 3, rows, digest: [7; 32] };
    let mut parts = samples::snapshot_parts();
    parts.retain(|part| part.len() < 1024);
    parts.push(chunk.encode());
    parts
}

/// The same, and a whole chunk.
fn snapshot_chunks() -> Vec<Vec<u8>> {
    let mut parts = small_parts();
    parts.extend(samples::snapshot_parts().into_iter().find(|part| part.len() >= 1024));
    parts
}

fn commands() -> Vec<Vec<u8>> {
    let envelopes: Vec<bytes::Bytes> = samples::envelopes().into_iter().map(bytes::Bytes::from).collect();
    let groups = |envelopes: &[bytes::Bytes]| {
        vec![
            Group { atomic: true, envelopes: envelopes.to_vec() },
            Group { atomic: false, envelopes: Vec::new() },
        ]
    };
    let small = envelopes.get(..1).unwrap_or_default();
    [groups(small), groups(&envelopes)]
        .into_iter()
        .flat_map(|groups| {
            let command = Command { proposed_at: usual::ms(1), groups };
            Rules::all().map(|rules| command.encode(rules)).collect::<Vec<_>>()
        })
        .collect()
}
