//! Files with secrets: private keys and tokens. The one place where their permissions are checked.
//!
//! What is checked is the file that was opened, so no other file can take its place between the check and the reading.
//! Links are followed, because Kubernetes mounts secrets as links. The bytes are wiped from memory when they are
//! dropped, and no error quotes them.

use std::fmt::{self, Display, Formatter};
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

/// The permission bits that have a meaning.
const MODE: u32 = 0o7777;
/// Room behind the bytes of a file, so that reading to its end never moves them.
const SPARE_BYTES: usize = 64;

/// Who may use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone.
    Owner,
    /// Its owner, and its group, as mounted secrets need.
    OwnerAndGroup,
}

impl Access {
    /// The permission bits that a file must not have.
    fn forbidden(self) -> u32 {
        match self {
            Access::Owner => 0o077,
            Access::OwnerAndGroup => 0o007,
        }
    }
}

/// Why a file with a secret is not used.
#[derive(Debug)]
pub struct SecretFileError {
    path: PathBuf,
    problem: SecretFileProblem,
}

/// What is wrong with a file with a secret.
#[derive(Debug)]
pub enum SecretFileProblem {
    /// The system cannot open or read it.
    Io(io::Error),
    /// It is not a regular file, but this. Only a regular file has permissions that last.
    NotAFile(&'static str),
    /// Users who must not have any permission for it have one.
    Exposed {
        /// The file's permissions.
        mode: u32,
        /// Who may have permissions.
        access: Access,
    },
    /// It is longer than its bound.
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
}

impl SecretFileError {
    fn new(path: &Path, problem: SecretFileProblem) -> Self {
        SecretFileError { path: path.to_owned(), problem }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &SecretFileProblem {
        &self.problem
    }

    /// What is wrong with it, in words that follow its name.
    pub fn detail(&self) -> String {
        match &self.problem {
            SecretFileProblem::Io(error) => format!("it cannot be read: {error}"),
            SecretFileProblem::NotAFile(what) => format!("it is {what}, not a regular file"),
            SecretFileProblem::Exposed { mode, .. } => {
                let everyone = Access::OwnerAndGroup.forbidden();
                let who = if mode & everyone != 0 { "every user of this machine" } else { "its group" };
                format!("{who} may use it (mode {mode:04o})")
            }
            SecretFileProblem::TooLarge { bytes_max } => format!("it has more than {bytes_max} bytes"),
        }
    }

    /// What an operator can do about it.
    pub fn remedy(&self) -> String {
        let path = self.path.display();
        match &self.problem {
            SecretFileProblem::Io(_) => "check the path and its permissions".to_owned(),
            SecretFileProblem::NotAFile(_) => "name a regular file".to_owned(),
            SecretFileProblem::Exposed { access: Access::Owner, .. } => format!("run `chmod 600 {path}`"),
            SecretFileProblem::Exposed { access: Access::OwnerAndGroup, .. } => format!(
                "run `chmod 600 {path}` (640 lets a group in; a secret that Kubernetes mounts takes `defaultMode: 0440`), \
                 and replace the secret if strangers may have read it"
            ),
            SecretFileProblem::TooLarge { .. } => "give a file with the secret alone".to_owned(),
        }
    }
}

/// What is wrong with the file and what to do, in words that follow its name.
impl Display for SecretFileError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.detail(), self.remedy())
    }
}

impl std::error::Error for SecretFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            SecretFileProblem::Io(error) => Some(error),
            SecretFileProblem::NotAFile(_)
            | SecretFileProblem::Exposed { .. }
            | SecretFileProblem::TooLarge { .. } => None,
        }
    }
}

/// An open regular file with a secret. `Debug` shows its name and its mode.
#[derive(Debug)]
pub struct SecretFile {
    file: File,
    path: PathBuf,
    mode: u32,
}

impl SecretFile {
    /// Opens a file for reading. Its permissions are not checked yet.
    ///
    /// # Errors
    /// If it cannot be opened, or if it is not a regular file. A pipe is refused at once, whether or not any program
    /// writes to it.
    pub fn open(path: &Path) -> Result<Self, SecretFileError> {
        let mut options = OpenOptions::new();
        options.read(true);
        Self::open_with(path, &mut options)
    }

    /// Opens a file in another way, such as for writing. Its permissions are not checked yet.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, options: &mut OpenOptions) -> Result<Self, SecretFileError> {
        let failed = |error| SecretFileError::new(path, SecretFileProblem::Io(error));
        // To open a pipe could otherwise wait for its other side for ever. For a regular file it changes nothing.
        let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(SecretFileError::new(path, SecretFileProblem::NotAFile(kind(found.file_type()))));
        }
        Ok(SecretFile { file, path: path.to_owned(), mode: found.mode() & MODE })
    }

    /// Refuses the file if other users than these have any permission for it: to read, to write or to run it.
    ///
    /// # Errors
    /// [`SecretFileProblem::Exposed`].
    pub fn check(&self, access: Access) -> Result<(), SecretFileError> {
        if self.mode & access.forbidden() == 0 {
            return Ok(());
        }
        Err(SecretFileError::new(&self.path, SecretFileProblem::Exposed { mode: self.mode, access }))
    }

    /// Whether the file's group has a permission for it.
    pub fn is_open_to_group(&self) -> bool {
        self.mode & 0o070 != 0
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If it cannot be read, or if it has more than `bytes_max` bytes.
    pub fn bytes(self, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
        let SecretFile { file, path, .. } = self;
        // With room for all of it: growing would leave copies in memory that was given back.
        let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max.saturating_add(SPARE_BYTES)));
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| SecretFileError::new(&path, SecretFileProblem::Io(error)))?;
        if bytes.len() > bytes_max {
            return Err(SecretFileError::new(&path, SecretFileProblem::TooLarge { bytes_max }));
        }
        Ok(bytes)
    }

    /// The file itself.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// The bytes of a file for which only its owner and its group may have permissions.
///
/// # Errors
/// If it cannot be read, if it is not a regular file, if any other user has a permission for it (any of the bits 007),
/// or if it has more than `bytes_max` bytes.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let file = SecretFile::open(path)?;
    file.check(Access::OwnerAndGroup)?;
    file.bytes(bytes_max)
}

/// What a file is that is not a regular one.
fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a folder"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn put(path: &Path, mode: u32) {
        let _ = fs::remove_file(path);
        fs::write(path, "sesame").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Fails if a bit is left out, or if the error does not say the file, its mode and what to run.
    #[test]
    fn a_file_is_refused_for_each_permission_of_each_user_who_must_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let remedy = format!("chmod 600 {}", path.display());
        for mode in (0..=0o777).chain([0o4600, 0o4604]).filter(|mode| mode & 0o400 != 0) {
            put(&path, 0o600);
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            for (access, forbidden) in [(Access::Owner, 0o077), (Access::OwnerAndGroup, 0o007)] {
                let file = SecretFile::open(&path).unwrap();
                let Err(error) = file.check(access) else {
                    assert_eq!(mode & forbidden, 0, "{mode:04o} {access:?}");
                    continue;
                };
                assert_ne!(mode & forbidden, 0, "{mode:04o} {access:?}");
                let text = error.to_string();
                assert!(text.contains(&remedy) && text.contains(&format!("(mode {mode:04o})")), "{text}");
                let everyone = text.contains("every user of this machine");
                assert_eq!(everyone, mode & 0o007 != 0, "{text}");
            }
            assert_eq!(read(&path, 100).is_ok(), mode & 0o007 == 0, "{mode:04o}");
        }
        put(&path, 0o640);
        let file = SecretFile::open(&path).unwrap();
        assert!(file.is_open_to_group());
        assert_eq!(file.bytes(6).unwrap().as_slice(), b"sesame");
    }

    /// Fails if a pipe is waited for, or if it or a folder is read.
    #[test]
    fn what_is_not_a_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink(&pipe, &link).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe"),
            (&link, "a pipe"),
            (dir.path(), "a folder"),
            (Path::new("/dev/null"), "a device"),
        ] {
            let error = read(path, 100).unwrap_err();
            assert!(error.to_string().starts_with(&format!("it is {what}, not a regular file")), "{error}");
            assert_eq!(error.path(), path);
        }
    }

    #[test]
    fn a_file_behind_links_is_judged_by_its_own_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("k.pem"), dir.path().join("link"));
        symlink("k.pem", &link).unwrap();
        put(&path, 0o440);
        assert_eq!(read(&link, 100).unwrap().as_slice(), b"sesame");
        put(&dir.path().join("other"), 0o444);
        fs::rename(dir.path().join("other"), &path).unwrap();
        let error = read(&link, 100).unwrap_err();
        assert!(matches!(error.problem(), SecretFileProblem::Exposed { mode: 0o444, .. }), "{error}");
    }

    #[test]
    fn a_missing_or_too_long_file_is_refused_and_no_error_quotes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        assert!(matches!(read(&path, 5).unwrap_err().problem(), SecretFileProblem::Io(_)));
        put(&path, 0o600);
        let error = read(&path, 5).unwrap_err();
        assert!(matches!(error.problem(), SecretFileProblem::TooLarge { bytes_max: 5 }), "{error}");
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
    }
}
