//! Which long tests run today. In CI they take turns, because all of them together would take too long there.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether a long test runs here. In CI it runs on the days of its turn, one of three, and on the others it says that it was left
/// out. Elsewhere it always runs.
#[expect(clippy::disallowed_methods, reason = "the day decides which tests run, and nothing that they do")]
pub(crate) fn runs_today(turn: u64) -> bool {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let runs = !in_ci || days % 3 == turn;
    if !runs {
        let program = env!("CARGO_CRATE_NAME");
        // The test harness keeps what `eprintln!` says in a test that passes, and then nobody would see it.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: a test of `{program}` runs in CI on every third day; \
             `CI= cargo test -p assent-jepsen --test {program}` runs it"
        );
    }
    runs
}
