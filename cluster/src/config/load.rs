//! The configuration's file: reading, with each path made relative to the file's folder, and writing.

use std::path::{Path, PathBuf};

use assent_proof::text::{cut, lines};

use super::Config;
use super::error::{ConfigError, invalid};

/// The longest configuration file, in bytes. The largest that a node can need has some thousand lines.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// The longest part of an error of the TOML reader that is shown, in characters before some of them are escaped.
const PROBLEM_CHARS_MAX: usize = 800;

/// The error with the place in the file. It quotes the line at fault, so if that is long, only the problem is told. Of a
/// file that does not begin as a configuration does, nothing is quoted: it may be a token or a key, named by mistake.
fn shown(error: &toml::de::Error, text: &str) -> String {
    if !begins_as_configuration(text) {
        return "its first line is neither a setting, `name = value`, nor the head of a table, `[name]`"
            .to_owned();
    }
    let whole = error.to_string();
    let told = if whole.len() <= PROBLEM_CHARS_MAX { whole.as_str() } else { error.message() };
    lines(&cut(told, PROBLEM_CHARS_MAX)).into_owned()
}

/// Whether the first line of a text is a setting or the head of a table. Names have lower-case letters only, so that
/// base64 is none.
fn begins_as_configuration(text: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.trim();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| match (line.split_once('='), line.strip_prefix('[')) {
        (Some((name, _)), _) => is_name(name),
        (None, Some(head)) => is_name(head.trim_matches(['[', ']'])),
        (None, None) => false,
    })
}

/// The fields of earlier builds that a node does not take any more, each with what to do instead. A field that loosened
/// what the node demands is not passed over in silence: its operator relied on it.
const REMOVED: [(&str, &str); 1] = [(
    "insecure_network",
    "is no setting any more: remove this line. If this node listens for peers on an address that is not loopback, stop \
     all nodes, set `peer_tls` on each, and start them (`assent cert init` and `assent cert node` make the files)",
)];

/// The error about a removed field in a configuration that cannot be read, if it has one.
fn removed_field(text: &str) -> Option<ConfigError> {
    let table = toml::from_str::<toml::Table>(text).ok()?;
    let (field, problem) = REMOVED.iter().find(|(field, _)| table.contains_key(*field))?;
    Some(invalid(*field, *problem))
}

impl Config {
    /// Reads and validates a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_toml(&text, path)
    }

    /// Reads and validates the text of the file at `path`, which is not opened.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] and [`ConfigError::Invalid`]. The text of an error is bounded, however long the file's
    /// lines are, and has no character that terminals obey, except ends of lines and tabs.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let malformed = |problem| ConfigError::Malformed { path: path.to_owned(), problem };
        if text.len() > CONFIG_BYTES_MAX {
            return Err(malformed(format!(
                "it has `{}` bytes, and a configuration has at most {CONFIG_BYTES_MAX}: is it another file?",
                text.len()
            )));
        }
        let mut config: Config = toml::from_str(text)
            .map_err(|error| removed_field(text).unwrap_or_else(|| malformed(shown(&error, text))))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in config.paths_mut() {
            *file = folder.join(&*file);
        }
        config.validate()?;
        Ok(config)
    }

    /// Every path.
    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = [&mut self.data_dir, &mut self.genesis, &mut self.node_key];
        let tls = self.client_tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert), Some(&mut tls.key), tls.ca.as_mut(), tls.crl.as_mut()].into_iter().flatten()
        });
        let peers = self.peer_tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert), Some(&mut tls.key), Some(&mut tls.ca), tls.crl.as_mut()]
                .into_iter()
                .flatten()
        });
        let tokens = self.callers.iter_mut().filter_map(|caller| caller.tokens.as_mut());
        let keys = self.jwt_issuers.iter_mut().map(|issuer| &mut issuer.jwks);
        own.into_iter().chain(tls).chain(peers).chain(tokens).chain(keys).chain(self.audit.path.as_mut())
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| invalid("", error.to_string()))
    }
}
