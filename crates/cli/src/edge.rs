//! The edge of the program: the only place in this crate that reads the wall clock and randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use assent_proof::{Millis, Seconds};

use crate::exit::CliError;

/// The wall clock, in unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "a command line tool is the edge itself; nothing simulates it")]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The wall clock, in unix seconds.
pub(crate) fn now_seconds() -> Seconds {
    now().to_seconds()
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills a buffer with random bytes from the system. A secret is then nowhere but in that buffer.
#[expect(clippy::disallowed_methods, reason = "a command line tool is the edge itself; nothing simulates it")]
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), CliError> {
    getrandom::fill(bytes).map_err(|error| {
        CliError::new("randomness_failed", error.to_string(), "check the system's random source")
    })
}
