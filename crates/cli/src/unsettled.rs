//! Statements that were signed for a slot and have no definite outcome yet, kept beside the keys that signed them.
//!
//! Two different statements of one issuer for one slot are an equivocation. So a statement is on disk before it is
//! sent, and a command that is about to sign for the same chain finds it there. This module never sends anything.
//!
//! ```text
//! KEY.<evidence id's hex>.unsettled    exactly the signed bytes, beside each key file that signed them
//! ```
//! The files of a statement are removed once a node has given a definite answer to it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use assent_proof::{DomainName, Envelope, EvidenceId, LineageName, Statement};

use crate::exit::{CliError, Exit};
use crate::files;

/// The ending of the names of these files.
const ENDING: &str = ".unsettled";

/// A chain of statements, of one issuer or of a domain's governance. A statement that is kept beside a key belongs to
/// a chain of that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    registry: String,
    domain: DomainName,
    lineage: LineageName,
}

impl Chain {
    /// The governance of a domain.
    pub(crate) fn governance(registry: &str, domain: DomainName) -> Self {
        Chain { registry: registry.to_owned(), domain, lineage: LineageName::governance() }
    }

    /// The chain that a statement belongs to.
    pub(crate) fn of(statement: &Statement) -> Self {
        let Statement { registry, domain, lineage, .. } = statement;
        Chain { registry: registry.clone(), domain: domain.clone(), lineage: lineage.clone() }
    }
}

/// A signed statement whose outcome is unknown.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The statement's evidence id.
    pub(crate) id: EvidenceId,
    /// The first of the statement's files.
    pub(crate) path: PathBuf,
    /// The signed bytes.
    pub(crate) bytes: Vec<u8>,
    /// The statement in the signed bytes.
    pub(crate) statement: Statement,
}

/// The statements that are kept beside some keys.
#[derive(Clone, Debug)]
pub(crate) struct Unsettled {
    keys: Vec<PathBuf>,
}

impl Unsettled {
    /// The places beside these key files. A key that comes from stdin has no place.
    pub(crate) fn beside<'a>(keys: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let files = keys.into_iter().filter(|key| !files::is_stdio(key));
        // A key has one place, whichever link names it.
        let keys = files.map(|key| key.canonicalize().unwrap_or_else(|_| key.clone())).collect();
        Unsettled { keys }
    }

    /// Keeps signed bytes, and returns their file. When this returns, the bytes survive a crash.
    ///
    /// # Errors
    /// `usage` if no key has a place; `io_failed`. In both cases nothing is kept, and the caller must send nothing.
    pub(crate) fn keep(&self, envelope: &[u8]) -> Result<Kept, CliError> {
        let (id, statement) = read(envelope)?;
        let first = self.first()?;
        for key in &self.keys {
            let path = file_of(key, &id);
            // If the folder cannot be listed, the next run would not find the statement.
            let listed =
                fs::read_dir(folder_of(key)).map_err(|error| CliError::file("list", folder_of(key), &error));
            if let Err(error) = listed.and_then(|_| files::replace(&path, envelope)) {
                // The statement is not sent, so the next run must not find it.
                let _ = self.settle(id);
                return Err(no_room(error));
            }
        }
        Ok(Kept { id, path: file_of(first, &id), bytes: envelope.to_vec(), statement })
    }

    /// Checks that signed bytes could be kept here, before anything is sent. It leaves nothing behind.
    ///
    /// # Errors
    /// `usage` if no key has a place; `io_failed`.
    pub(crate) fn must_have_room(&self) -> Result<(), CliError> {
        self.first()?;
        for key in &self.keys {
            let folder = folder_of(key);
            let tried = fs::read_dir(folder)
                .and_then(|_| tempfile::Builder::new().prefix(".assent-").suffix(".tmp").tempfile_in(folder));
            tried.map_err(|error| no_room(CliError::file("write to", folder, &error)))?;
        }
        Ok(())
    }

    /// The places where a file can be made. If this user may not write to a folder, no command keeps a statement there.
    pub(crate) fn where_writable(&self) -> Self {
        let keys = self.keys.iter().filter(|key| !is_read_only(folder_of(key)));
        Unsettled { keys: keys.cloned().collect() }
    }

    /// Whether there is no place.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.keys.is_empty()
    }

    fn first(&self) -> Result<&PathBuf, CliError> {
        self.keys.first().ok_or_else(|| {
            let detail = "a statement for a slot must be kept until its outcome is known, and there is no place for it beside a key from stdin";
            let remedy = "give the key in a file, or give `--outbox DIR`, if the command has that option";
            CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) }
        })
    }

    /// The statements that are kept for this chain, in the order of their slots.
    ///
    /// # Errors
    /// `io_failed`; `kept_file_spoilt` for a file that has not the statement that its name says. Its chain is then not
    /// known, so nothing may be signed with the key.
    pub(crate) fn of_chain(&self, chain: &Chain) -> Result<Vec<Kept>, CliError> {
        let mut found = BTreeMap::new();
        for key in &self.keys {
            for path in files_of(key)? {
                let bytes = files::read(&path)?;
                let (id, statement) = read(&bytes).map_err(|error| spoilt(&path, &error.detail))?;
                if path.file_name() != file_of(key, &id).file_name() {
                    return Err(spoilt(&path, &format!("it has the statement `{id}`")));
                }
                if Chain::of(&statement) == *chain {
                    found.entry(id).or_insert(Kept { id, path, bytes, statement });
                }
            }
        }
        let mut kept: Vec<Kept> = found.into_values().collect();
        kept.sort_by_key(|kept| kept.statement.sequence);
        Ok(kept)
    }

    /// Fails if a statement is kept for this chain. It is called before a statement is signed that the command does
    /// not send itself.
    ///
    /// # Errors
    /// `outcome_unknown`, exit code 11.
    pub(crate) fn must_be_none_of(&self, chain: &Chain) -> Result<(), CliError> {
        let kept = self.of_chain(chain)?;
        let Some(kept) = kept.first() else { return Ok(()) };
        let path = kept.path.display();
        let detail =
            format!("`{path}` was signed by an earlier run for the same chain, and its outcome is not known");
        let remedy = format!(
            "submit it (`assent submit {path}`); once it is accepted, or refused for good, remove that file"
        );
        Err(CliError { exit: Exit::CannotKnow, ..CliError::new("outcome_unknown", detail, remedy) })
    }

    /// The first file in which a statement is kept; `None` if it is kept in none.
    pub(crate) fn file(&self, id: EvidenceId) -> Option<PathBuf> {
        self.keys.iter().map(|key| file_of(key, &id)).find(|path| path.is_file())
    }

    /// Removes the files of a statement that has a definite outcome.
    ///
    /// # Errors
    /// `io_failed`: a later run finds the statement and sends it again.
    pub(crate) fn settle(&self, id: EvidenceId) -> Result<(), CliError> {
        let mut removed = Ok(());
        for key in &self.keys {
            let path = file_of(key, &id);
            let this = match fs::remove_file(&path) {
                Ok(()) => sync(folder_of(key)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            removed = removed.and(this.map_err(|error| CliError::file("remove", &path, &error)));
        }
        removed
    }
}

/// The evidence id and the statement of an envelope.
fn read(envelope: &[u8]) -> Result<(EvidenceId, Statement), CliError> {
    let envelope = Envelope::parse(envelope)?;
    Ok((envelope.id(), Statement::parse(&envelope.payload)?))
}

/// The file in which a statement is kept beside a key.
fn file_of(key: &Path, id: &EvidenceId) -> PathBuf {
    let id = id.to_string();
    let mut path = key.as_os_str().to_owned();
    path.push(format!(".{}{ENDING}", id.strip_prefix("blake3:").unwrap_or(&id)));
    path.into()
}

fn folder_of(key: &Path) -> &Path {
    key.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this user may not make a file in a folder, such as one of secrets that is mounted read-only.
fn is_read_only(folder: &Path) -> bool {
    let tried = tempfile::Builder::new().prefix(".assent-").suffix(".tmp").tempfile_in(folder);
    let refused = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    tried.is_err_and(|error| refused.contains(&error.kind()))
}

/// The files of all statements that are kept beside a key.
fn files_of(key: &Path) -> Result<Vec<PathBuf>, CliError> {
    let folder = folder_of(key);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if has_nothing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(CliError::file("list", folder, &error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CliError::file("list", folder, &error))?.path();
        // No command keeps a statement in anything but a regular file, and opening a pipe could wait for ever.
        if is_of(key, &path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Whether a folder that could not be listed has nothing in it: only one that is not there. In one that may not be listed now, something
/// may have been kept before.
fn has_nothing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// The error of a file that has not the statement that its name says.
fn spoilt(path: &Path, why: &str) -> CliError {
    let detail = format!("`{}` has not the signed statement that its name says: {why}", path.display());
    let remedy = "nothing was signed: put back the file from a copy, such as the one beside another key that signed; remove it only if \
                  its statement has a definite outcome or was never sent";
    CliError::new("kept_file_spoilt", detail, remedy)
}

/// The error of bytes that could not be kept.
fn no_room(error: CliError) -> CliError {
    let remedy = "nothing was sent: have it kept elsewhere (`--outbox DIR`, where the command has that), or make the folder of the \
                  key one that can be written";
    CliError { remedy: remedy.to_owned(), ..error }
}

/// Whether a path is one of [`file_of`] for this key.
fn is_of(key: &Path, path: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(key), Some(name)) = (name(key), name(path)) else { return false };
    let hex = name.strip_prefix(&key).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(ENDING));
    hex.is_some_and(|hex| format!("blake3:{hex}").parse::<EvidenceId>().is_ok())
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use assent_proof::{EvidenceKind, Json, Seconds, Sha256, SigningKey, sign_statement};

    use super::*;

    fn signed(lineage: &str, sequence: u64) -> Vec<u8> {
        let key = SigningKey::from_seed([1; 32]);
        let statement = Statement {
            subject_name: None,
            subject: Sha256([3; 32]),
            kind: EvidenceKind::AuditLineage,
            registry: "registry.example/eu-1".to_owned(),
            domain: "prod.eu".parse().unwrap(),
            lineage: lineage.parse().unwrap(),
            issuers: vec![key.public()],
            sequence: Some(sequence),
            parent: (sequence > 0).then_some(EvidenceId([7; 32])),
            references: Vec::new(),
            issued_at: Seconds(1_700_000_000),
            expires_at: None,
            claims: Json::object([("event", Json::text("started"))]),
        };
        sign_statement(&statement, &[&key])
    }

    #[test]
    fn what_is_kept_is_found_beside_each_key_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ["a.pem", "b.pem"].map(|name| dir.path().join(name));
        keys.iter().for_each(|key| fs::write(key, "").unwrap());
        let both = Unsettled::beside(&keys);
        let (second, first) =
            (both.keep(&signed("job-1", 2)).unwrap(), both.keep(&signed("job-1", 1)).unwrap());
        both.keep(&signed("job-2", 0)).unwrap();
        let chain = Chain::of(&first.statement);
        for key in &keys {
            let found = Unsettled::beside([key]).of_chain(&chain).unwrap();
            assert_eq!(found.iter().map(|kept| kept.id).collect::<Vec<_>>(), [first.id, second.id]);
            assert_eq!(found[0].bytes, signed("job-1", 1));
        }
        assert_eq!(both.of_chain(&chain).unwrap().len(), 2, "each once");
        assert_eq!(both.must_be_none_of(&chain).unwrap_err().code, "outcome_unknown");
        both.settle(first.id).unwrap();
        both.settle(second.id).unwrap();
        assert!(both.of_chain(&chain).unwrap().is_empty() && both.must_be_none_of(&chain).is_ok());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            4,
            "two keys, and the other chain's beside each"
        );
    }

    #[test]
    fn a_spoilt_file_is_named_and_the_error_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("k.pem");
        let unsettled = Unsettled::beside([&key]);
        let kept = unsettled.keep(&signed("job-1", 0)).unwrap();
        for spoilt in [Vec::new(), b"{".to_vec(), signed("job-2", 0)] {
            fs::write(&kept.path, spoilt).unwrap();
            let error = unsettled.must_be_none_of(&Chain::of(&kept.statement)).unwrap_err();
            assert_eq!(error.code, "kept_file_spoilt");
            assert!(error.detail.contains(&kept.path.display().to_string()), "{error}");
            assert!(error.remedy.contains("from a copy") && !error.remedy.contains("field"), "{error}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened_and_does_not_hide_another_file_from_its_removal() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ["a.pem", "b.pem"].map(|name| dir.path().join(name));
        let unsettled = Unsettled::beside(&keys);
        let kept = unsettled.keep(&signed("job-1", 0)).unwrap();
        let [first, second] = keys.each_ref().map(|key| file_of(key, &kept.id));
        fs::remove_file(&first).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&first).status().unwrap();
        assert!(made.success());
        let found = unsettled.of_chain(&Chain::of(&kept.statement)).unwrap();
        assert_eq!(found.iter().map(|kept| &kept.path).collect::<Vec<_>>(), [&second]);
        // A folder cannot be removed as a file is.
        fs::remove_file(&first).unwrap();
        fs::create_dir(&first).unwrap();
        assert_eq!(unsettled.settle(kept.id).unwrap_err().code, "io_failed");
        assert!(!second.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_listed_may_have_something_in_it() {
        assert!(has_nothing(&ErrorKind::NotFound.into()));
        assert!(!has_nothing(&ErrorKind::PermissionDenied.into()));
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::of(&read(&signed("job-1", 0)).unwrap().1);
        let missing = dir.path().join("missing/k.pem");
        assert!(Unsettled::beside([&missing]).must_be_none_of(&chain).is_ok());
        // What is no folder cannot be listed by any user.
        fs::write(dir.path().join("file"), "").unwrap();
        let unlisted = Unsettled::beside([&dir.path().join("file/k.pem")]);
        assert_eq!(unlisted.must_be_none_of(&chain).unwrap_err().code, "io_failed");
        assert_eq!(unlisted.must_have_room().unwrap_err().code, "io_failed");
    }

    #[test]
    fn there_is_room_where_a_file_can_be_written_and_none_is_left_there() {
        let dir = tempfile::tempdir().unwrap();
        Unsettled::beside([&dir.path().join("k.pem")]).must_have_room().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // No user can make a file there.
        let unwritable = Unsettled::beside([&PathBuf::from("/proc/k.pem")]);
        assert_eq!(unwritable.must_have_room().unwrap_err().code, "io_failed");
    }

    #[test]
    fn a_key_from_stdin_has_no_place() {
        let stdin = PathBuf::from("-");
        let error = Unsettled::beside([&stdin]).keep(&signed("job-1", 0)).unwrap_err();
        assert_eq!((error.code.as_str(), error.exit), ("usage", Exit::Usage));
        assert!(Unsettled::beside([&stdin]).where_writable().is_nowhere());
        let dir = tempfile::tempdir().unwrap();
        assert!(!Unsettled::beside([&stdin, &dir.path().join("k.pem")]).where_writable().is_nowhere());
    }
}
