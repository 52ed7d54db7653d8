//! Why a configuration is refused, and the bounds of one number.

use std::path::PathBuf;

/// Why the node refuses a configuration: the field, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML, or not of this shape.
    #[error("`{path}` is not a node's configuration: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in the file, and what is wrong there.
        problem: String,
    },
    /// The value of a field cannot be used.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The error about the value of this field.
pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { field: field.into(), problem: problem.into() }
}

/// Refuses a value that is too small.
pub(super) fn at_least(field: &str, value: u64, least: u64) -> Result<(), ConfigError> {
    if value >= least { Ok(()) } else { Err(invalid(field, format!("is {value}, must be at least {least}"))) }
}

/// Refuses a value that is too large.
pub(super) fn at_most(field: &str, value: u64, most: u64) -> Result<(), ConfigError> {
    if value <= most { Ok(()) } else { Err(invalid(field, format!("is {value}, must be at most {most}"))) }
}
