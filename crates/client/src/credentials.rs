//! The files of a [`ClientTls`], read, and read again when they have changed.
//!
//! A short-lived certificate or token is replaced while the program runs. So before each new connection, and at most
//! every 5 s before a request, the client looks whether a file has changed. If the new files cannot be used, for example
//! because the certificate is there and its key is not yet, the client goes on with the old ones and looks again.

use assent_tls::{Authorities, ClientConfig, OwnCertificate, TimeProvider, UnixTime, secret_file};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::client_tls::{BearerToken, ClientTls, TOKEN_MAX, TokenSource};
use crate::clock::Clock;
use crate::error::ClientError;

/// For how long a request goes with a token without a look at its file.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(5);

/// The protocol that the client speaks within TLS.
const ALPN: &[u8] = b"http/1.1";

/// What the files had when they were last read.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// `None` without a CA: then no connection is made over TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) token: Option<BearerToken>,
}

/// How a file was when it was read. A file that was replaced differs in one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct State {
    held: Arc<Held>,
    /// Of each file when it was last read. `None` for a file that could not be looked at.
    stamps: Vec<Option<Stamp>>,
    looked_at: Instant,
    /// Why the files that are there now cannot be used.
    trouble: Option<String>,
}

/// The credentials of one client.
#[derive(Debug)]
pub(crate) struct Credentials {
    given: ClientTls,
    time: Arc<dyn TimeProvider>,
    state: Mutex<State>,
}

/// The client's wall clock, for TLS.
#[derive(Debug)]
struct WallTime(Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(self.0.wall().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since)))
    }
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// `config_invalid` if one of them cannot be used.
    pub(crate) fn read(given: &ClientTls, clock: Arc<dyn Clock>) -> Result<Arc<Self>, ClientError> {
        let time: Arc<dyn TimeProvider> = Arc::new(WallTime(clock));
        let stamps = stamps(given);
        let wrong = |detail: String| {
            ClientError::config(detail, "correct the file that the message names, or give another one")
        };
        let held = Arc::new(read(given, &time).map_err(wrong)?);
        let state = Mutex::new(State { held, stamps, looked_at: Instant::now(), trouble: None });
        Ok(Arc::new(Credentials { given: given.clone(), time, state }))
    }

    /// What to make a new connection with: the files as they are now.
    pub(crate) async fn for_connection(self: &Arc<Self>) -> Arc<Held> {
        self.not_older_than(Duration::ZERO).await
    }

    /// The token to send with a request.
    pub(crate) async fn token(self: &Arc<Self>) -> Option<BearerToken> {
        self.given.token.as_ref()?;
        self.not_older_than(TOKEN_AGE_MAX).await.token.clone()
    }

    /// Why the files that are there now cannot be used, if they cannot. The client goes on with those that it had.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    async fn not_older_than(self: &Arc<Self>, age: Duration) -> Arc<Held> {
        let held = {
            let state = self.state();
            if files(&self.given).is_empty() || (!age.is_zero() && state.looked_at.elapsed() < age) {
                return Arc::clone(&state.held);
            }
            Arc::clone(&state.held)
        };
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || this.look()).await.unwrap_or(held)
    }

    /// Reads the files again if one of them has changed.
    fn look(&self) -> Arc<Held> {
        let now = stamps(&self.given);
        {
            let mut state = self.state();
            if state.stamps == now && state.trouble.is_none() {
                state.looked_at = Instant::now();
                return Arc::clone(&state.held);
            }
        }
        let read = read(&self.given, &self.time);
        let mut state = self.state();
        state.looked_at = Instant::now();
        match read {
            Ok(held) => {
                // If a file has changed since `now`, the next look sees it.
                (state.held, state.stamps, state.trouble) = (Arc::new(held), now, None);
            }
            Err(why) => state.trouble = Some(why),
        }
        Arc::clone(&state.held)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and each change of the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of these credentials.
fn files(given: &ClientTls) -> Vec<&PathBuf> {
    let certificate = given.certificate.iter().flat_map(|files| [&files.cert, &files.key]);
    let token = given.token.iter().filter_map(|token| match token {
        TokenSource::File(path) => Some(path),
        TokenSource::Value(_) => None,
    });
    given.ca.iter().chain(certificate).chain(token).collect()
}

fn stamps(given: &ClientTls) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some(Stamp { device: found.dev(), inode: found.ino(), bytes: found.size(), changed })
    };
    files(given).into_iter().map(stamp).collect()
}

fn read(given: &ClientTls, time: &Arc<dyn TimeProvider>) -> Result<Held, String> {
    let tls = match &given.ca {
        Some(ca) => Some(tls_config(given, ca, time)?),
        None => None,
    };
    let token = match &given.token {
        Some(TokenSource::Value(token)) => Some(token.clone()),
        Some(TokenSource::File(path)) => Some(read_token(path)?),
        None => None,
    };
    Ok(Held { tls, token })
}

fn tls_config(
    given: &ClientTls,
    ca: &Path,
    time: &Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, String> {
    let authorities = Authorities::read(ca, None).map_err(|error| error.to_string())?;
    let own = match &given.certificate {
        Some(files) => {
            Some(OwnCertificate::read(&files.cert, &files.key).map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let config = assent_tls::client(own.as_ref(), &authorities, Arc::clone(time));
    let mut config = ClientConfig::clone(&*config.map_err(|error| error.to_string())?);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Reads the file of a token. The errors never repeat what is in it.
fn read_token(path: &Path) -> Result<BearerToken, String> {
    let name = path.display();
    // One that is too long is read a little too far, so that it is refused.
    let bytes = secret_file::read(path, TOKEN_MAX.saturating_add(64))
        .map_err(|error| format!("the token file `{name}` is not used: {error}"))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| format!("the token file `{name}` has no token: it is not text"))?;
    BearerToken::new(text)
        .map_err(|error| format!("the token file `{name}` has no token: {error}; {}", error.remedy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::os::unix::fs::PermissionsExt;

    fn write(path: &Path, text: &str, mode: u32) {
        // As a program that replaces a secret does it: the new file is complete when it gets its name.
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(&new, path).unwrap();
    }

    fn with_token_file(path: &Path) -> ClientTls {
        ClientTls { token: Some(TokenSource::File(path.to_owned())), ..ClientTls::default() }
    }

    #[tokio::test]
    async fn a_token_file_that_is_replaced_is_read_again_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write(&path, "first\n", 0o600);
        let credentials = Credentials::read(&with_token_file(&path), Arc::new(SystemClock)).unwrap();
        let shown = async || {
            let held = credentials.for_connection().await;
            held.token.as_ref().unwrap().header().to_str().unwrap().to_owned()
        };
        assert_eq!(shown().await, "Bearer first");
        write(&path, "second\n", 0o600);
        assert_eq!(shown().await, "Bearer second");
        write(&path, "two words\n", 0o600);
        assert_eq!(shown().await, "Bearer second");
        assert!(credentials.trouble().unwrap().contains("has no token"));
        write(&path, "third\n", 0o600);
        assert_eq!(shown().await, "Bearer third");
        assert_eq!(credentials.trouble(), None);
    }

    #[test]
    fn a_token_file_that_every_user_may_read_is_refused_and_so_are_files_without_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let long = "x".repeat(TOKEN_MAX + 1);
        for (text, mode, says) in [
            ("sesame", 0o644, "every user of this machine"),
            ("sesame", 0o602, "every user of this machine"),
            ("", 0o600, "is empty"),
            (long.as_str(), 0o600, "at most 8192"),
        ] {
            write(&path, text, mode);
            let error = Credentials::read(&with_token_file(&path), Arc::new(SystemClock)).unwrap_err();
            assert_eq!(error.code(), "config_invalid");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
        let missing = with_token_file(&dir.path().join("none"));
        let error = Credentials::read(&missing, Arc::new(SystemClock)).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
