//! What the clients of a run send.

use bytes::Bytes;
use http::{Method, Uri};

use crate::error::ClientError;

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

impl Call {
    /// A GET of `path`, with its query.
    ///
    /// # Errors
    /// `config_invalid` for something that is no path.
    pub fn get(path: &str) -> Result<Self, ClientError> {
        Ok(Call { method: Method::GET, uri: uri(path)?, body: Bytes::new() })
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// `config_invalid` for something that is no path.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Result<Self, ClientError> {
        Ok(Call { method: Method::POST, uri: uri(path)?, body: body.into() })
    }
}

fn uri(path: &str) -> Result<Uri, ClientError> {
    match path.parse::<Uri>() {
        Ok(uri) if path.starts_with('/') => Ok(uri),
        _ => Err(ClientError::config(format!("`{path}` is not a path"), "give a path that begins with `/`")),
    }
}

/// What the clients send.
#[derive(Clone, Debug)]
pub enum Work {
    /// All of these again and again; each client starts elsewhere in the list.
    Repeat(Vec<Call>),
    /// Each client its own list, once, in order. The run ends when the first client has nothing left, so that the
    /// number of clients is the same all the time.
    Once(Vec<Vec<Call>>),
}
