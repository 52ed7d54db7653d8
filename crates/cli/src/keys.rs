//! Key files in PEM. A private key file that this module writes is readable by its owner only.
//!
//! It never prints or logs a private key, except for `assent key generate --out -`, which asks for that.

use std::path::{Path, PathBuf};

use assent_client::TrustedKeys;
use assent_cluster::key_file::{self, KeyFileError};
use assent_proof::text::one_line;
use assent_proof::{KeyError, PublicKey, SigningKey, pem};
use assent_tls::secret_file::SecretFileProblem;
use zeroize::Zeroizing;

use crate::edge;
use crate::exit::{CliError, Exit};
use crate::files;
use crate::output::Output;

/// The most folders that a message names.
const NAMED_MAX: usize = 8;

/// A new key from the system's randomness.
pub(crate) fn generate() -> Result<SigningKey, CliError> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    edge::fill(seed.as_mut_slice())?;
    Ok(SigningKey::from_seed(*seed))
}

/// Writes a new key file with mode 0600.
///
/// # Errors
/// `file_exists` if the file exists. It is never overwritten, since it might be the only copy of another key.
pub(crate) fn write_new(path: &Path, key: &SigningKey) -> Result<(), CliError> {
    key_file::write_new(path, key).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            let detail = format!("`{}` exists already", path.display());
            return CliError::new("file_exists", detail, "choose another path; keys are never overwritten");
        }
        CliError::file("write", path, &error)
    })
}

/// Reads a private key; `-` is stdin.
///
/// # Errors
/// `key_exposed` for a file that every user may read, and `key_invalid` for a path that is not a regular file. A file
/// that its group may read is read, with a note on stderr.
pub(crate) fn read_signing(path: &Path) -> Result<SigningKey, CliError> {
    if files::is_stdio(path) {
        return SigningKey::from_pem(&files::read_key_text(path)?).map_err(|error| wrong(path, &error));
    }
    let found = key_file::read(path).map_err(|error| unread(path, &error))?;
    if found.is_open_to_group {
        let name = path.display();
        Output::Text.say(&format!("note: the file's group may use the private key `{name}` too"));
    }
    Ok(found.key)
}

/// Reads private keys, in the order given.
pub(crate) fn read_all_signing<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<SigningKey>, CliError> {
    paths.iter().map(|path| read_signing(path.as_ref())).collect()
}

/// Reads the public key from a public or a private key file.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, CliError> {
    pem::public_key_of(&files::read_key_text(path)?).map_err(|error| wrong(path, &error))
}

/// Reads the public keys from files that hold one or several of them. A file may also be a private key. A folder
/// stands for its `.pem` files with public keys. Its subfolders are not read, as with the certificate folders of other
/// programs. A note on stderr names these subfolders, except those whose name begins with a dot: Kubernetes uses such
/// names to mount secrets.
///
/// # Errors
/// Each file and each folder must hold a key. A file or folder without a key never means that any key is trusted.
pub(crate) fn read_trusted<P: AsRef<Path>>(paths: &[P]) -> Result<TrustedKeys, CliError> {
    trusted_of(paths, PrivateKeys::StandForTheirPublicHalf)
}

/// Reads the public keys of the nodes whose allows are to be believed, like [`read_trusted`].
///
/// # Errors
/// Also for a file that is a private key. A caller has only the nodes' public keys, so the file is a wrong one, and no
/// allow would be believed.
pub(crate) fn read_trusted_nodes<P: AsRef<Path>>(paths: &[P]) -> Result<TrustedKeys, CliError> {
    trusted_of(paths, PrivateKeys::AreRefused)
}

/// How a file is treated that is named to be trusted and holds only a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PrivateKeys {
    /// The file stands for the key's public half, for a caller who verifies what that key has signed.
    StandForTheirPublicHalf,
    /// The file is an error.
    AreRefused,
}

fn trusted_of<P: AsRef<Path>>(paths: &[P], private: PrivateKeys) -> Result<TrustedKeys, CliError> {
    let mut keys = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            let Found { files: found, folders } = public_files(path)?;
            let here = path.display();
            if found.is_empty() {
                let holds = match folders.as_slice() {
                    [] => String::new(),
                    folders => format!("; the folders in it are not read: {}", listed(folders)),
                };
                return Err(nothing_to_trust(format!(
                    "the folder `{here}` holds no `.pem` file with a public key{holds}"
                )));
            }
            if !folders.is_empty() {
                let folders = listed(&folders);
                Output::Text.say(&format!(
                    "note: folders in `{here}` are not read: {folders}; name them too if their keys are to be \
                     trusted"
                ));
            }
            files.extend(found);
        } else {
            files.push(path.to_path_buf());
        }
    }
    for path in &files {
        let text = files::read_key_text(path)?;
        let found = pem::public_keys(&text)
            .map_err(|error| nothing_to_trust(format!("`{}`: {error}", path.display())))?;
        // A file from which a key was read, and which has no public key, is a private key.
        if private == PrivateKeys::AreRefused && !pem::has_public_key(&text) {
            let detail = format!("`{}` is a private key, but a node's public key is needed", path.display());
            let remedy = "give the node's public key, which `assent key show` prints from the private key; only the node itself \
                          needs the private key";
            return Err(CliError { exit: Exit::Usage, ..CliError::new("key_invalid", detail, remedy) });
        }
        keys.extend(found);
    }
    Ok(TrustedKeys::new(keys)?)
}

/// The first of these names, and how many more there are.
fn listed(names: &[String]) -> String {
    let mut named: Vec<String> =
        names.iter().take(NAMED_MAX).map(|name| format!("`{}`", one_line(name))).collect();
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

/// The error if a file or folder that was named to be trusted holds no key: exit code 64.
fn nothing_to_trust(detail: String) -> CliError {
    let remedy = "give a file of `PUBLIC KEY` PEM blocks, or a folder of such `.pem` files";
    CliError { exit: Exit::Usage, ..CliError::new("key_invalid", detail, remedy) }
}

/// The contents of a folder that was named to be trusted.
#[derive(Default)]
struct Found {
    /// The folder's PEM files that hold public keys, by name.
    files: Vec<PathBuf>,
    /// The names of its subfolders, except those that begin with a dot.
    folders: Vec<String>,
}

fn public_files(directory: &Path) -> Result<Found, CliError> {
    let unreadable = |error: std::io::Error| CliError::file("read", directory, &error);
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            found.folders.extend((!name.starts_with('.')).then_some(name));
        } else if path.extension().is_some_and(|ending| ending == "pem") {
            // Reading from a pipe could take for ever.
            if path.exists() && !path.is_file() {
                return Err(nothing_to_trust(format!("`{}` is not a file", path.display())));
            }
            if pem::has_public_key(&files::read_key_text(&path)?) {
                found.files.push(path);
            }
        }
    }
    found.files.sort();
    found.folders.sort();
    Ok(found)
}

/// The error of a private key file that cannot be read or must not be used.
fn unread(path: &Path, error: &KeyFileError) -> CliError {
    let mut remedy = error.remedy();
    let code = match error {
        KeyFileError::File(error) => match error.problem() {
            SecretFileProblem::Io(error) => return CliError::file("read", path, error),
            SecretFileProblem::Exposed { .. } => "key_exposed",
            SecretFileProblem::NotAFile(_) => {
                remedy.push_str(", or `-` for a key on stdin");
                "key_invalid"
            }
            SecretFileProblem::TooLarge { .. } => "key_invalid",
        },
        KeyFileError::NoText | KeyFileError::Key(_) => "key_invalid",
    };
    CliError::new(code, format!("`{}`: {error}", path.display()), remedy)
}

fn wrong(path: &Path, error: &KeyError) -> CliError {
    let detail = format!("`{}`: {error}", path.display());
    CliError::new("key_invalid", detail, "give an Ed25519 key as openssl or `assent key` writes it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let key = SigningKey::from_seed([1; 32]);
        write_new(&path, &key).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path, &key).unwrap_err().code, "file_exists");
        assert_eq!(read_signing(&path).unwrap().public(), key.public());
        assert_eq!(read_public(&path).unwrap(), key.public());
    }

    #[test]
    fn a_key_that_is_not_in_a_regular_file_can_come_from_stdin() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_signing(dir.path()).unwrap_err();
        assert_eq!(error.code, "key_invalid");
        assert_eq!(error.remedy, "name a regular file, or `-` for a key on stdin");
    }

    #[test]
    fn a_trust_file_holds_several_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust.pem");
        let keys = [1, 2, 3].map(|n| SigningKey::from_seed([n; 32]).public());
        std::fs::write(&path, keys.map(|key| key.to_pem()).concat()).unwrap();
        assert_eq!(read_trusted(&[&path]).unwrap().as_slice(), keys);
        std::fs::write(&path, "nothing").unwrap();
        assert_eq!(read_trusted(&[&path]).unwrap_err().code, "key_invalid");
        std::fs::write(&path, "-----BEGIN PUBLIC KEY-----").unwrap();
        assert_eq!(read_trusted(&[&path]).unwrap_err().code, "key_invalid");
    }

    #[test]
    fn what_is_named_to_be_trusted_and_holds_no_public_key_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("keys"), dir.path().join("node.pem"));
        std::fs::create_dir(&folder).unwrap();
        let refused = |paths: &[&Path]| {
            let error = read_trusted(paths).unwrap_err();
            (error.code, error.exit)
        };
        assert_eq!(refused(&[]), ("config_invalid".to_owned(), Exit::Usage));
        assert_eq!(refused(&[&folder]), ("key_invalid".to_owned(), Exit::Usage));
        // Private keys are no keys of others, and a name without `.pem` is none of a key.
        write_new(&folder.join("mine.pem"), &SigningKey::from_seed([1; 32])).unwrap();
        let public = SigningKey::from_seed([2; 32]).public();
        std::fs::write(folder.join("node.txt"), public.to_pem()).unwrap();
        assert_eq!(refused(&[&folder]), ("key_invalid".to_owned(), Exit::Usage));
        // A key elsewhere does not make up for it.
        std::fs::write(&file, public.to_pem()).unwrap();
        assert_eq!(refused(&[&file, &folder]), ("key_invalid".to_owned(), Exit::Usage));
        std::fs::write(folder.join("node.pem"), public.to_pem()).unwrap();
        assert_eq!(read_trusted(&[&folder]).unwrap().as_slice(), [public]);
    }

    #[test]
    fn a_folder_in_a_folder_to_trust_is_not_read_and_is_named_if_there_is_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let public = SigningKey::from_seed([2; 32]).public();
        for inner in ["nodes", "more.pem", ".data"] {
            std::fs::create_dir(dir.path().join(inner)).unwrap();
            std::fs::write(dir.path().join(inner).join("node.pem"), public.to_pem()).unwrap();
        }
        let error = read_trusted(&[dir.path()]).unwrap_err();
        assert_eq!((error.code.as_str(), error.exit), ("key_invalid", Exit::Usage));
        assert!(error.detail.ends_with("are not read: `more.pem`, `nodes`"), "{error}");
        let other = SigningKey::from_seed([3; 32]).public();
        std::fs::write(dir.path().join("node.pem"), other.to_pem()).unwrap();
        assert_eq!(read_trusted(&[dir.path()]).unwrap().as_slice(), [other]);
        let inner = dir.path().join("nodes");
        assert_eq!(read_trusted(&[dir.path(), &inner]).unwrap().as_slice(), [other, public]);
    }
}
