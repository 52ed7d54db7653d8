//! The log of a long-running command on stderr. No caller waits for it, and a failing stderr never ends the command.
//!
//! Lines go through a bounded queue to a thread of their own. If no reader takes the lines, or the disk that they go
//! to is full, they are lost and counted, and the next line that gets through says how many. Only `node`, `dev` and
//! `watch` have such a log; a command that ends soon writes to stderr directly.

mod filter;
mod line;
mod queue;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread;

use filter::filter;
pub(crate) use line::LogForm;
use line::line;
use queue::{Log, queue};

/// This process's log, if it has one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Starts a node's log, filtered by `ASSENT_LOG`, and the log of what this process says. Answers where lost lines are counted.
pub(crate) fn start_node(form: LogForm) -> Arc<AtomicU64> {
    let log = start(Some(form));
    let lost = log.lost();
    let (filter, wrong) = filter(std::env::var_os("ASSENT_LOG").as_deref());
    // Not through the filter: the one in place of the wrong one may let no warning pass some day.
    if let Some(wrong) = wrong {
        log.push(line(Some(form), "WARN", &wrong));
    }
    // Its own trouble would otherwise be written to stderr in its own way, which ends the caller if nobody reads it.
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .log_internal_errors(false);
    // There is one log a process; a second one would be a mistake that changes nothing.
    let _ = match form {
        LogForm::Text => events.with_ansi(false).try_init(),
        LogForm::Json => events.json().try_init(),
    };
    lost
}

/// Starts the log of what this process says on stderr, for a command that runs until it is told to stop.
pub(crate) fn start_talk() {
    start(None);
}

fn start(form: Option<LogForm>) -> Log {
    let (log, writing) = queue(form);
    // Without a thread the queue is closed: every line is lost, and counted.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writing.run(stderr()));
    let of_panics = log.clone();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        of_panics.push(of_panics.panicked(panic));
    }));
    // The first one stays; there is no second.
    let _ = LOG.set(log.clone());
    log
}

/// stderr, but not through the standard library's lock: a writer that is blocked would hold it.
fn stderr() -> Box<dyn Write> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(own) => Box::new(File::from(own)),
        Err(_) => Box::new(io::stderr()),
    }
}

/// Says a line on this process's log. Answers whether there is one.
pub(crate) fn say(text: &str) -> bool {
    let log = LOG.get();
    if let Some(log) = log {
        log.push(format!("{text}\n").into_bytes());
    }
    log.is_some()
}

/// Waits until what was said is written, at most for a second. To be called before the process ends.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.finish();
    }
}
