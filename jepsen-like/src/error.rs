//! The errors of the harness.

/// Why the harness could not do what a test asked. It does not say whether the product's answers are right.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The operating system returned an error.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The cluster did not reach the expected state in time.
    #[error("{0}")]
    TimedOut(String),
    /// Something is not in the state that the harness needs.
    #[error("{0}")]
    Unexpected(String),
}

impl HarnessError {
    /// An IO error with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| HarnessError::Io { doing, source }
    }
}
