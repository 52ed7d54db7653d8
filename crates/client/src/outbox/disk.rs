//! The outbox's files, and what a crash leaves at each step.

use assent_api::{Problem, ReceiptBody};
use assent_proof::{Envelope, EvidenceId, History, MAX_ENVELOPE_BYTES};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::OutboxError;

const DONE: &str = "done";
const REFUSED: &str = "refused";
const TMP: &str = "tmp";
const HISTORY: &str = "history";
/// The first line of [`HISTORY`]: another one is of another build, and not guessed at.
const HISTORY_FORMAT: &str = "assent outbox history 1";
/// More than the file ever has.
const HISTORY_BYTES_MAX: u64 = 1024;
/// More than a receipt ever has.
const RECEIPT_BYTES_MAX: u64 = 64 * 1024;

/// One envelope's name: its place in the order, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) number: u64,
    pub(super) id: EvidenceId,
}

impl Name {
    /// The file's name without its ending. Twenty digits hold every u64, so names sort by number.
    fn stem(&self) -> String {
        let id = self.id.to_string();
        format!("{:020}-{}", self.number, id.strip_prefix("blake3:").unwrap_or(&id))
    }

    /// Reads a file's name; `None` for files that are not pending envelopes.
    fn parse(file_name: &str) -> Option<Name> {
        let (number, hex) = file_name.strip_suffix(".json")?.split_once('-')?;
        let name = Name { number: number.parse().ok()?, id: format!("blake3:{hex}").parse().ok()? };
        (format!("{}.json", name.stem()) == file_name).then_some(name)
    }
}

/// A definite outcome.
#[derive(Debug)]
pub(super) enum Settled {
    Done(ReceiptBody),
    Refused(Box<Problem>),
}

/// In which history what is done was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Nothing is done yet.
    Nothing,
    /// In this one.
    In(History),
    /// So many envelopes are done, and nothing says in which: an earlier build did not note it.
    Unnoted {
        /// How many.
        count: usize,
    },
}

/// The directory, locked.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    /// Held for as long as this lives; the system releases it when the process ends, however it ends.
    _lock: File,
}

impl Disk {
    /// Makes and locks the directory, and removes what a crash left half-written.
    pub(super) fn open(dir: PathBuf) -> Result<Self, OutboxError> {
        for sub in ["", DONE, REFUSED] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).map_err(|error| OutboxError::io("make directory", &path, error))?;
        }
        let path = dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|error| OutboxError::io("open", &path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutboxError::InUse { dir }),
            Err(TryLockError::Error(error)) => return Err(OutboxError::io("lock", &path, error)),
        }
        for sub in ["", DONE, REFUSED] {
            remove_half_written(&dir.join(sub))?;
        }
        sync_dir(&dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        Ok(Disk { dir, _lock: lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// In which history the envelopes that are done were delivered: as the outbox notes it; without that, as their receipts have it,
    /// which is noted then.
    pub(super) fn delivered(&self) -> Result<Delivered, OutboxError> {
        if let Some(history) = self.noted_history()? {
            return Ok(Delivered::In(history));
        }
        let done = names(&self.dir.join(DONE))?;
        let mut histories = BTreeSet::new();
        for name in &done {
            match self.history_of_receipt(*name)? {
                Some(history) => histories.insert(history),
                // An earlier build kept it, or it is gone.
                None => return Ok(Delivered::Unnoted { count: done.len() }),
            };
        }
        match (histories.pop_first(), histories.is_empty()) {
            (None, _) => Ok(Delivered::Nothing),
            (Some(history), true) => {
                self.note_history(&history)?;
                Ok(Delivered::In(history))
            }
            (Some(_), false) => Ok(Delivered::Unnoted { count: done.len() }),
        }
    }

    /// The history that the receipt of an envelope names, if there is a receipt and it names one.
    fn history_of_receipt(&self, name: Name) -> Result<Option<History>, OutboxError> {
        let path = self.dir.join(DONE).join(format!("{}.receipt.json", name.stem()));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OutboxError::io("open", &path, error)),
        };
        let mut bytes = Vec::new();
        file.take(RECEIPT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| OutboxError::io("read", &path, error))?;
        let receipt: Option<ReceiptBody> = serde_json::from_slice(&bytes).ok();
        Ok(receipt.map(|receipt| receipt.history))
    }

    /// The history that the outbox has noted; none before the first envelope is done, and in an outbox of a build that noted none.
    fn noted_history(&self) -> Result<Option<History>, OutboxError> {
        let path = self.dir.join(HISTORY);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OutboxError::io("open", &path, error)),
        };
        let mut text = String::new();
        file.take(HISTORY_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| OutboxError::io("read", &path, error))?;
        let unknown = |problem: String| OutboxError::HistoryUnknown { path: path.clone(), problem };
        let history = text.strip_prefix(HISTORY_FORMAT).and_then(|rest| rest.strip_prefix('\n'));
        let history = history.and_then(|rest| rest.strip_suffix('\n'));
        let history = history.ok_or_else(|| unknown(format!("it is not of the form `{HISTORY_FORMAT}`")))?;
        history.parse().map(Some).map_err(|error: assent_proof::FieldError| unknown(error.to_string()))
    }

    /// Notes the history in which envelopes are delivered from now on.
    pub(super) fn note_history(&self, history: &History) -> Result<(), OutboxError> {
        // A crash inside leaves the file as it was, or whole.
        write_durably(&self.dir, HISTORY, format!("{HISTORY_FORMAT}\n{history}\n").as_bytes())
    }

    /// Makes everything that is done pending again, under its old numbers. The receipts stay until new ones replace them.
    pub(super) fn undo_all(&self) -> Result<(), OutboxError> {
        let done = self.dir.join(DONE);
        for name in names(&done)? {
            let file_name = format!("{}.json", name.stem());
            let (from, to) = (done.join(&file_name), self.dir.join(&file_name));
            fs::rename(&from, &to).map_err(|error| OutboxError::io("move", &from, error))?;
        }
        // A crash before this leaves some pending again and some done: the outbox still names the earlier history, or none, and this
        // is asked for again.
        sync_dir(&self.dir)?;
        sync_dir(&done)
    }

    /// The pending envelopes in their order.
    pub(super) fn pending(&self) -> Result<Vec<Name>, OutboxError> {
        let mut names = names(&self.dir)?;
        names.sort();
        Ok(names)
    }

    /// A number above every one that is in use.
    pub(super) fn next_number(&self) -> Result<u64, OutboxError> {
        let mut next = 0;
        for sub in ["", DONE, REFUSED] {
            let names = names(&self.dir.join(sub))?;
            next = names.iter().map(|name| name.number.saturating_add(1)).fold(next, u64::max);
        }
        Ok(next)
    }

    /// Makes an envelope pending. Nothing is sent before this has returned.
    pub(super) fn put(&self, name: Name, envelope: &[u8]) -> Result<(), OutboxError> {
        // A crash inside leaves nothing or a `.tmp`, and nothing was sent: the caller still holds what it signed, or
        // signs anew. After it the envelope is pending.
        write_durably(&self.dir, &format!("{}.json", name.stem()), envelope)
    }

    /// A pending envelope's bytes.
    pub(super) fn read(&self, name: Name) -> Result<Vec<u8>, OutboxError> {
        let path = self.dir.join(format!("{}.json", name.stem()));
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(|error| OutboxError::io("open", &path, error))?;
        let limit = u64::try_from(MAX_ENVELOPE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(|error| OutboxError::io("read", &path, error))?;
        match Envelope::parse(&bytes) {
            Ok(envelope) if envelope.id() == name.id => Ok(bytes),
            _ => Err(OutboxError::Mutated { path }),
        }
    }

    /// Files an envelope whose outcome is definite.
    pub(super) fn settle(&self, name: Name, settled: &Settled) -> Result<(), OutboxError> {
        let (sub, kind, body) = match settled {
            Settled::Done(receipt) => (DONE, "receipt", receipt.to_vec()),
            Settled::Refused(problem) => (REFUSED, "problem", problem.to_vec()),
        };
        let (stem, into) = (name.stem(), self.dir.join(sub));
        // A crash after this line leaves the receipt and the envelope still pending: it is sent again, the answer is the
        // same receipt, which replaces this file.
        write_durably(&into, &format!("{stem}.{kind}.json"), &body)?;
        let (from, to) = (self.dir.join(format!("{stem}.json")), into.join(format!("{stem}.json")));
        fs::rename(&from, &to).map_err(|error| OutboxError::io("move", &from, error))?;
        // A crash here leaves it pending or filed, never neither: the place it goes to is made durable first. Pending
        // again is harmless, as above.
        sync_dir(&into)?;
        sync_dir(&self.dir)
    }
}

/// Writes a file so that after a crash it is there with these bytes or not at all, and is there once this has returned.
fn write_durably(dir: &Path, file_name: &str, bytes: &[u8]) -> Result<(), OutboxError> {
    let (path, tmp) = (dir.join(file_name), dir.join(format!("{file_name}.{TMP}")));
    let written = File::create(&tmp).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    // A crash up to here leaves a `.tmp`, removed by the next open.
    written.map_err(|error| OutboxError::io("write", &tmp, error))?;
    fs::rename(&tmp, &path).map_err(|error| OutboxError::io("move", &tmp, error))?;
    // A crash here leaves one name or the other; the bytes under it are whole.
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), OutboxError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| OutboxError::io("make durable", dir, error))
}

fn file_names(dir: &Path) -> Result<Vec<String>, OutboxError> {
    let read =
        |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    fs::read_dir(dir)
        .and_then(|entries| entries.map(read).collect())
        .map_err(|error| OutboxError::io("list", dir, error))
}

fn names(dir: &Path) -> Result<Vec<Name>, OutboxError> {
    Ok(file_names(dir)?.iter().filter_map(|file_name| Name::parse(file_name)).collect())
}

/// Whether a file is one of [`write_durably`]'s that a crash left.
fn half_written(file_name: &str) -> bool {
    file_name.strip_suffix(TMP).is_some_and(|name| name.ends_with(".json.") || name == "history.")
}

fn remove_half_written(dir: &Path) -> Result<(), OutboxError> {
    for file_name in file_names(dir)?.iter().filter(|file_name| half_written(file_name)) {
        let path = dir.join(file_name);
        fs::remove_file(&path).map_err(|error| OutboxError::io("remove", &path, error))?;
    }
    Ok(())
}
