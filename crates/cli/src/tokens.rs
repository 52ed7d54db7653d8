//! Bearer tokens as files: the token, for its caller, and the file of digests, for the nodes.
//!
//! A token goes from the system's randomness to a file with mode 0600. This module never prints one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use assent_cluster::access::{TOKEN_FILE_BYTES, TOKENS_MAX, Token, TokenDigest, parse_tokens};

use crate::exit::CliError;
use crate::{edge, files};

/// The mode of a file with a token.
const SECRET: u32 = 0o600;
/// The mode of a new file of digests. A node refuses a file that everybody may write.
const PUBLIC: u32 = 0o644;
/// The bytes that a digest adds to a file: 64 digits, the end of its line, and perhaps that of the line before.
const LINE_BYTES: usize = 66;

/// Makes a token and writes it to a new file. Returns its digest.
///
/// # Errors
/// `file_exists` if the file exists: it may be the only copy of another token.
pub(crate) fn create(path: &Path) -> Result<TokenDigest, CliError> {
    let mut filled = Ok(());
    let token = Token::generate(|bytes| filled = edge::fill(bytes));
    filled?;
    files::create(path, token.expose().as_bytes(), SECRET)?;
    Ok(token.digest())
}

/// A file that lists the digests of tokens, with room for one more.
pub(crate) struct DigestFile {
    path: PathBuf,
    /// What it has. `None` if it is not there.
    text: Option<String>,
}

impl DigestFile {
    /// Reads and checks the file, if it is there.
    ///
    /// # Errors
    /// `malformed` if a node would refuse the file, or if it is full: 64 digests or 64 KiB.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let path = path.to_owned();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(wrong(&path, "is not a file")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DigestFile { path, text: None }),
            Err(error) => return Err(CliError::file("read", &path, &error)),
        }
        let text = files::read_text(&path)?;
        if !text.trim().is_empty() {
            let listed = parse_tokens(&text).map_err(|problem| wrong(&path, &problem))?;
            if listed.len() >= TOKENS_MAX {
                return Err(wrong(&path, &format!("has {TOKENS_MAX} tokens, which is the most")));
            }
        }
        if text.len().saturating_add(LINE_BYTES) > TOKEN_FILE_BYTES {
            return Err(wrong(&path, &format!("has no room: a node reads at most {TOKEN_FILE_BYTES} bytes")));
        }
        Ok(DigestFile { path, text: Some(text) })
    }

    /// Adds a line, and leaves every other line as it is.
    pub(crate) fn add(self, digest: &TokenDigest) -> Result<(), CliError> {
        let Some(mut text) = self.text else {
            return files::create(&self.path, format!("{digest}\n").as_bytes(), PUBLIC);
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&digest.to_string());
        text.push('\n');
        files::replace(&self.path, text.as_bytes())
    }
}

fn wrong(path: &Path, problem: &str) -> CliError {
    let detail = format!("`{}`: {problem}", path.display());
    CliError::new("malformed", detail, "give a file of digests of tokens, or one that is not there yet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_in_its_own_file_alone_and_the_file_of_digests_keeps_its_other_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, listed) =
            (dir.path().join("one"), dir.path().join("two"), dir.path().join("ci.tokens"));
        let first = create(&one).unwrap();
        DigestFile::open(&listed).unwrap().add(&first).unwrap();
        fs::write(&listed, format!("# of ci\n{first}  # until March")).unwrap();
        let second = create(&two).unwrap();
        DigestFile::open(&listed).unwrap().add(&second).unwrap();
        let text = fs::read_to_string(&listed).unwrap();
        assert_eq!(text, format!("# of ci\n{first}  # until March\n{second}\n"));
        assert_eq!(parse_tokens(&text), Ok(vec![first, second]));
        for (path, digest) in [(&one, first), (&two, second)] {
            let token = fs::read_to_string(path).unwrap();
            assert_eq!(TokenDigest::of_shown(&token), Some(digest));
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!text.contains(&token));
        }
        assert_eq!(create(&one).unwrap_err().code, "file_exists");
    }

    #[test]
    fn a_file_that_no_node_would_read_gets_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let token = dir.path().join("token");
        create(&token).unwrap();
        let token = fs::read_to_string(&token).unwrap();
        let many: String = (0..64).map(|n| format!("{n:064x}\n")).collect();
        let long = format!("#{}\n", "x".repeat(TOKEN_FILE_BYTES - LINE_BYTES));
        for (text, says) in
            [(token.as_str(), "line 1"), (many.as_str(), "64 tokens"), (long.as_str(), "at most 65536")]
        {
            fs::write(&path, text).unwrap();
            let error = DigestFile::open(&path).err().unwrap();
            assert!(error.code == "malformed" && error.detail.contains(says), "{error}");
            assert!(!error.to_string().contains(&token), "{error}");
        }
        assert!(DigestFile::open(dir.path()).is_err());
        // One that was emptied by accident is no other kind of file.
        fs::write(&path, "").unwrap();
        assert!(DigestFile::open(&path).is_ok());
    }
}
