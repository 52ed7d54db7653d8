//! Reads and writes the files that people name. Sizes are bounded, and errors name the file. `-` is stdin or stdout.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use assent_proof::Sha256;
use assent_proof::pem::MAX_PEM_BYTES;
use sha2::Digest;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::exit::CliError;
use crate::output::Output;

/// The most bytes of a file that is read as a whole.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Room behind the bytes of a key file, so that reading to its end never moves them.
const SPARE_BYTES: usize = 64;

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    read_up_to(BYTES_MAX.saturating_add(1), path, &mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        let detail = format!("`{}` has more than {BYTES_MAX} bytes", path.display());
        return Err(CliError::new("too_large", detail, "give a smaller file"));
    }
    Ok(bytes)
}

fn read_up_to(limit: u64, path: &Path, bytes: &mut Vec<u8>) -> Result<(), CliError> {
    let read = if is_stdio(path) {
        std::io::stdin().lock().take(limit).read_to_end(bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(bytes))
    };
    read.map(|_| ()).map_err(|error| CliError::file("read", path, &error))
}

/// A file's text.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read(path)?).map_err(|_| not_text(path))
}

/// The text of a file with a key. It may be a private key, so it is wiped from memory when it is dropped. Of a file that
/// is longer than any key file, only so much is read that the parser of key files refuses it.
pub(crate) fn read_key_text(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let limit = u64::try_from(MAX_PEM_BYTES).unwrap_or(u64::MAX);
    // With room for all of it: growing would leave copies in memory that was given back.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PEM_BYTES.saturating_add(SPARE_BYTES)));
    read_up_to(limit.saturating_add(1), path, &mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| not_text(path))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn not_text(path: &Path) -> CliError {
    let detail = format!("`{}` is not UTF-8 text", path.display());
    CliError::new("malformed", detail, "give a text file")
}

/// Writes bytes to stdout for `-`, and otherwise to a file. An existing file is replaced, unless it is one of `kept`
/// or holds a key, which may be the only copy.
pub(crate) fn hand_out(path: &Path, kept: &[&Path], bytes: &[u8], output: Output) -> Result<(), CliError> {
    if is_stdio(path) {
        return output.product_bytes(bytes);
    }
    let is_same = |other: &&&Path| match (path.canonicalize(), other.canonicalize()) {
        (Ok(path), Ok(other)) => path == other,
        (Ok(_) | Err(_), _) => false,
    };
    let keeps = |why: &str| {
        let detail = format!("`{}` exists already, and {why}", path.display());
        CliError::new("file_exists", detail, "choose another path")
    };
    if kept.iter().any(|other| is_same(&other)) {
        return Err(keeps("this command reads it"));
    }
    if path.is_file() && holds_pem(path).map_err(|error| CliError::file("read", path, &error))? {
        return Err(keeps("holds a key or a certificate (PEM)"));
    }
    replace(path, bytes)
}

/// Whether a file has a PEM block within the size that a key file may have.
fn holds_pem(path: &Path) -> io::Result<bool> {
    let limit = u64::try_from(MAX_PEM_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PEM_BYTES.saturating_add(SPARE_BYTES)));
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    let begin = b"-----BEGIN ";
    Ok(bytes.windows(begin.len()).any(|window| window == begin))
}

/// Whether a path stands for stdin or stdout.
pub(crate) fn is_stdio(path: &Path) -> bool {
    path == Path::new("-")
}

/// Replaces a file. After a crash the file has the old bytes or the new ones. A symbolic link stays one, and its
/// target is replaced. An existing file keeps its mode and, as far as this user may give files away, its owner and
/// group. A device or a pipe is written to directly.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    try_replace(path, bytes).map_err(|error| CliError::file("write", path, &error))
}

fn try_replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    // The umask restricts the mode of a new file.
    let staged = Staged::write(path, bytes, 0o666)?;
    let folder = staged.folder.clone();
    staged.put_in_place()?;
    File::open(folder)?.sync_all()
}

/// Replaces two files of one folder that belong together, or makes them: the first may be read by its owner only if it
/// is new. Both are durable before the first one is put in its place. So a reader sees the old first file with the old
/// second file, for a moment the new first file with the old second one, and then both new ones. A crash can leave any
/// of these three states.
pub(crate) fn replace_pair(secret: (&Path, &[u8]), public: (&Path, &[u8])) -> Result<(), CliError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| CliError::file("write", &path, &error)
    };
    let first = Staged::write(secret.0, secret.1, 0o600).map_err(failed(secret.0))?;
    let second = Staged::write(public.0, public.1, 0o644).map_err(failed(public.0))?;
    let folder = second.folder.clone();
    first.put_in_place().map_err(failed(secret.0))?;
    second.put_in_place().map_err(failed(public.0))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed(public.0))
}

/// Makes a file; none that exists is replaced.
///
/// # Errors
/// `file_exists`.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CliError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let detail = format!("`{}` exists already", path.display());
            CliError::new("file_exists", detail, "choose another path")
        }
        _ => CliError::file("write", path, &error),
    };
    let staged = Staged::write(path, bytes, mode).map_err(failed)?;
    staged.new.persist_noclobber(&staged.target).map_err(|kept| failed(kept.error))?;
    File::open(&staged.folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// A durable file beside the one whose place it will take.
struct Staged {
    new: NamedTempFile,
    target: PathBuf,
    folder: PathBuf,
}

impl Staged {
    /// Writes the file. If it will replace another one, it has that one's mode, and otherwise this one.
    fn write(path: &Path, bytes: &[u8], new_mode: u32) -> io::Result<Self> {
        let before = match std::fs::metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A link without a target is an error: it is not clear whether the link or its target should be made.
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let target = if is_link { path.canonicalize()? } else { path.to_owned() };
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        // Until the file has the mode of the file that it replaces, no other user may read it.
        let mode = if before.is_some() { 0o600 } else { new_mode };
        let mut new = tempfile::Builder::new()
            .prefix(".assent-")
            .suffix(".tmp")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(&folder)?;
        new.write_all(bytes)?;
        if let Some(before) = &before {
            keep(new.as_file(), before)?;
        }
        new.as_file().sync_all()?;
        Ok(Staged { new, target, folder })
    }

    /// Renames the file. The rename is durable once the folder is synced.
    fn put_in_place(self) -> io::Result<()> {
        self.new.persist(&self.target).map(|_| ()).map_err(|failed| failed.error)
    }
}

/// Gives a file the mode of the file that it replaces and, if this user may do so, the owner and group of that file.
fn keep(new: &File, before: &Metadata) -> io::Result<()> {
    let now = new.metadata()?;
    let owner = (now.uid() != before.uid()).then_some(before.uid());
    let group = (now.gid() != before.gid()).then_some(before.gid());
    if owner.is_some() || group.is_some() {
        // Only root may give a file to another user; a member of a group may give it to the group.
        // If this user may do neither, the file stays with this user.
        let _ = fchown(new, owner, group).or_else(|_| fchown(new, None, group));
    }
    new.set_permissions(before.permissions())
}

/// The SHA-256 of a file of any length.
pub(crate) fn digest(path: &Path) -> Result<Sha256, CliError> {
    let mut hash = sha2::Sha256::new();
    let hashed = if path == Path::new("-") {
        std::io::copy(&mut std::io::stdin().lock(), &mut hash)
    } else {
        File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hash))
    };
    hashed.map_err(|error| CliError::file("read", path, &error))?;
    Ok(Sha256(hash.finalize().into()))
}
