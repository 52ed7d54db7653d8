//! What can go wrong with a cluster under test.

/// Why the harness could not do what a test asked. It says nothing about the product's answers.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The cluster did not get where it should within the time given.
    #[error("{0}")]
    TimedOut(String),
    /// Something is not as the harness needs it.
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
