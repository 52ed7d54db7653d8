//! Files with the private keys of nodes and authorities. A file is read once, up to a bound, and only if others on the
//! machine have no permission for it. This module never prints or logs key material.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use assent_proof::pem::MAX_PEM_BYTES;
use assent_proof::{KeyError, SigningKey};
use assent_tls::secret_file::{Access, SecretFile, SecretFileError};

/// A private key, and whether its file is open to its group.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: SigningKey,
    /// Whether the file's group has permissions, which mounted secrets may need. The caller tells its operator.
    pub is_open_to_group: bool,
}

/// Why no private key was read from a file. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read, is too long, or must not be used.
    #[error("{}", .0.detail())]
    File(#[from] SecretFileError),
    /// The file is not UTF-8.
    #[error("the file is not text, so it is not a PEM file")]
    NoText,
    /// The file has no private key that Assent can use.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeyFileError {
    /// What an operator can do about it.
    pub fn remedy(&self) -> String {
        match self {
            KeyFileError::File(error) => error.remedy(),
            KeyFileError::NoText => {
                "if it is DER, `openssl pkey -inform DER -in FILE -out NEW` writes it as PEM".to_owned()
            }
            KeyFileError::Key(_) => {
                "give a key as `assent key generate` or `openssl genpkey -algorithm ed25519` writes it"
                    .to_owned()
            }
        }
    }
}

/// Reads the private key of a PEM file.
///
/// # Errors
/// If the file has more than [`MAX_PEM_BYTES`]; if it is not a regular file; if [`SigningKey::from_pem`] refuses it; or
/// if any other user may read, write or run a file with a private key (any of the permission bits 007).
pub fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let file = SecretFile::open(path)?;
    let (is_open_to_group, exposed) = (file.is_open_to_group(), file.check(Access::OwnerAndGroup));
    let bytes = file.bytes(MAX_PEM_BYTES)?;
    // A file without a private key, such as one with a public key, has a better error than that about its mode.
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyFileError::NoText)?;
    let key = SigningKey::from_pem(text)?;
    exposed?;
    Ok(KeyFile { key, is_open_to_group })
}

/// Writes a key into a new file that only its owner may read and write.
///
/// # Errors
/// `AlreadyExists` if the file exists: it may be the only copy of another key.
pub fn write_new(path: &Path, key: &SigningKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.to_pem().as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_private_key_that_everybody_may_read_is_refused_and_one_that_a_group_may_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        write_new(&path, &key()).unwrap();
        for mode in [0o600, 0o400, 0o640, 0o440, 0o660] {
            set_mode(&path, mode);
            let (found, of_group) = (read(&path).unwrap(), mode & 0o070 != 0);
            assert_eq!((found.key.public(), found.is_open_to_group), (key().public(), of_group), "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o602, 0o601, 0o666, 0o777, 0o4604] {
            set_mode(&path, mode);
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
            assert!(error.remedy().contains(&format!("chmod 600 {}", path.display())));
        }
        assert_eq!(write_new(&path, &key()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_secret_behind_links_is_judged_by_its_own_permissions() {
        // As Kubernetes mounts secrets: `k.pem` -> `..data/k.pem`, and `..data` -> a folder with a time for its name.
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("..2026_11_30");
        std::fs::create_dir(&folder).unwrap();
        write_new(&folder.join("k.pem"), &key()).unwrap();
        symlink("..2026_11_30", dir.path().join("..data")).unwrap();
        let path = dir.path().join("k.pem");
        symlink("..data/k.pem", &path).unwrap();
        set_mode(&folder.join("k.pem"), 0o440);
        assert!(read(&path).unwrap().is_open_to_group);
        set_mode(&folder.join("k.pem"), 0o444);
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("(mode 0444)"), "{error}");
    }

    #[test]
    fn what_is_no_private_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        assert!(read(&path).unwrap_err().to_string().contains("cannot be read"));
        write_new(&path, &key()).unwrap();
        for (bytes, says) in [
            (&b""[..], "it is empty"),
            (&[0x30, 0x2e, 0xff][..], "is not text"),
            (key().public().to_pem().as_bytes(), "a public key"),
            (vec![b'x'; MAX_PEM_BYTES + 1].as_slice(), "more than 1048576 bytes"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            // A file without a private key is no exposed one, whatever its mode.
            for mode in [0o600, 0o644] {
                set_mode(&path, mode);
                let error = read(&path).unwrap_err();
                assert!(error.to_string().contains(says), "{error}");
                assert!(!error.remedy().is_empty());
            }
        }
    }
}
