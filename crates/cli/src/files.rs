//! Reading and writing files that people name, bounded, with errors that name the file. `-` is stdin.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use assent_proof::Sha256;
use sha2::Digest;

use crate::exit::CliError;

/// Most bytes of a file that is read as a whole.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let limit = BYTES_MAX.saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| CliError::file("read", path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        let detail = format!("`{}` has more than {BYTES_MAX} bytes", path.display());
        return Err(CliError::new("too_large", detail, "give a smaller file"));
    }
    Ok(bytes)
}

/// A file's text.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read(path)?).map_err(|_| {
        let detail = format!("`{}` is not UTF-8 text", path.display());
        CliError::new("malformed", detail, "give a text file")
    })
}

/// Replaces a file: after a crash it has the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let tmp = path.with_file_name(name);
    File::create(&tmp)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&tmp, path))
        .and_then(|()| {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        })
        .map_err(|error| CliError::file("write", path, &error))
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
