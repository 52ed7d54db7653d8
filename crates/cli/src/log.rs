//! What a long-running command says on stderr: never waited for, and never a reason to end.
//!
//! Lines go through a bounded queue to a thread of their own. If nobody takes them, or the disk that they go to is full, they are
//! lost and counted, and the next line that gets through says how many. stderr's reader may die or sleep: no caller notices. Only
//! `node`, `dev` and `watch` have such a log; a command that ends soon writes by itself.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use assent_proof::text;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Lines that may wait to be written,
const LINES_MAX: usize = 8_192;
/// and their bytes.
const BYTES_MAX: usize = 4 << 20;
/// How often a full or blocked way out is tried again,
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// and how often at the end: half a second at most, since nobody may take what is left.
const RETRIES_AT_THE_END: u32 = 50;

/// What a node logs if `ASSENT_LOG` asks for nothing.
const DEFAULT_FILTER: &str = "info,openraft=error";

/// This process's log, if it has one.
static LOG: OnceLock<Log> = OnceLock::new();

/// The form of the log on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The queue. Clones share it.
#[derive(Clone)]
struct Log {
    queue: SyncSender<Item>,
    counts: Arc<Counts>,
    /// The form of a node's log; none for what a command just says.
    form: Option<LogForm>,
}

struct Counts {
    waiting_bytes: AtomicUsize,
    lost: Arc<AtomicU64>,
}

enum Item {
    Line(Vec<u8>),
    /// Told once all before it is written.
    End(SyncSender<()>),
}

/// Starts a node's log, filtered by `ASSENT_LOG`, and the log of what this process says. Answers where lost lines are counted.
pub(crate) fn start_node(form: LogForm) -> Arc<AtomicU64> {
    let log = start(Some(form));
    let lost = log.counts.lost.clone();
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

/// The filter that `ASSENT_LOG` asks for; if it cannot be followed, the default one and why.
fn filter(asked: Option<&OsStr>) -> (EnvFilter, Option<String>) {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return (EnvFilter::new(DEFAULT_FILTER), None);
    };
    match read_filter(asked) {
        Ok(filter) => (filter, None),
        Err(why) => {
            let asked = asked.display();
            let wrong = format!(
                "`ASSENT_LOG` is `{asked}`, which cannot be followed: {why}; `{DEFAULT_FILTER}` holds instead: give \
                 levels like `debug`, or `assent_cluster=debug` for a module's"
            );
            (EnvFilter::new(DEFAULT_FILTER), Some(wrong))
        }
    }
}

fn read_filter(asked: &OsStr) -> Result<EnvFilter, String> {
    let text = asked.to_str().ok_or("it is not UTF-8 text")?;
    // Spans and their fields may hold commas of their own.
    if text.contains(['[', '{']) {
        return EnvFilter::try_new(text).map_err(|error| error.to_string());
    }
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    }
    // A word alone would be taken for a module all of whose lines are wanted, and of all others none: a level that is spelled wrong
    // would silence the log.
    let is_alone = |word: &&&str| !word.contains(['=', ':']) && word.parse::<LevelFilter>().is_err();
    if let Some(word) = words.iter().find(is_alone) {
        return Err(format!("`{word}` is no level, and a module needs one, as in `{word}=debug`"));
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| error.to_string())
}

/// Starts the log of what this process says on stderr, for a command that runs until it is told to stop.
pub(crate) fn start_talk() {
    start(None);
}

fn start(form: Option<LogForm>) -> Log {
    let (queue, items) = sync_channel(LINES_MAX);
    let counts = Arc::new(Counts { waiting_bytes: AtomicUsize::new(0), lost: Arc::default() });
    let writing = Writing { items, counts: counts.clone(), form, told: 0, broken: false };
    let log = Log { queue, counts, form };
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
    let Some(log) = LOG.get() else { return };
    let (done, written) = sync_channel(1);
    let mut item = Item::End(done);
    for _ in 0..RETRIES_AT_THE_END {
        match log.queue.try_send(item) {
            Ok(()) => {
                // What is not taken by then nobody takes.
                let _ = written.recv_timeout(RETRY_AFTER.saturating_mul(RETRIES_AT_THE_END));
                return;
            }
            Err(TrySendError::Full(again)) => {
                item = again;
                thread::sleep(RETRY_AFTER);
            }
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

impl Log {
    /// Queues a line, or counts it as lost.
    fn push(&self, line: Vec<u8>) {
        let line = safe(self.form, line);
        let bytes = line.len();
        let waiting = self.counts.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting.saturating_add(bytes) > BYTES_MAX || self.queue.try_send(Item::Line(line)).is_err() {
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A panic, as a line.
    fn panicked(&self, panic: &PanicHookInfo<'_>) -> Vec<u8> {
        let thread = thread::current();
        let mut text =
            format!("thread `{}` {panic}", thread.name().unwrap_or("without a name")).replace('\n', " ");
        // Only where `RUST_BACKTRACE` asks for it.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text = format!("{text}\n{trace}");
        }
        line(self.form, "ERROR", &text)
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line with what terminals obey escaped: it may have a stranger's words.
fn safe(form: Option<LogForm>, line: Vec<u8>) -> Vec<u8> {
    let escaped = match (std::str::from_utf8(&line), form) {
        (Ok(line), Some(LogForm::Json)) => text::json_lines(line),
        (Ok(line), Some(LogForm::Text) | None) => text::lines(line),
        (Err(_), _) => return line,
    };
    let escaped = match escaped {
        Cow::Owned(escaped) => Some(escaped.into_bytes()),
        Cow::Borrowed(_) => None,
    };
    escaped.unwrap_or(line)
}

/// A line that the log itself has to say.
fn line(form: Option<LogForm>, level: &str, text: &str) -> Vec<u8> {
    let line = match form {
        None => format!("{text}\n"),
        Some(LogForm::Text) => format!("{} {level:>5} assent: {text}\n", time()),
        Some(LogForm::Json) => {
            let fields = serde_json::json!({ "message": text });
            let line = serde_json::json!({
                "timestamp": time(),
                "level": level,
                "fields": fields,
                "target": "assent",
            });
            format!("{line}\n")
        }
    };
    line.into_bytes()
}

fn time() -> String {
    let mut text = String::new();
    // A line without a time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text.trim_end().to_owned()
}

/// The thread's side.
struct Writing {
    items: Receiver<Item>,
    counts: Arc<Counts>,
    form: Option<LogForm>,
    /// How many lost lines the log has told of.
    told: u64,
    /// Whether the last line may be there in part.
    broken: bool,
}

impl Writing {
    fn run(mut self, mut to: impl Write) {
        while let Ok(item) = self.items.recv() {
            match item {
                // Whoever waited may have stopped waiting.
                Item::End(done) => {
                    let _ = done.try_send(());
                }
                Item::Line(line) => {
                    self.write(&line, &mut to);
                    self.counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                }
            }
        }
    }

    fn write(&mut self, text: &[u8], to: &mut impl Write) {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let missing = lost.saturating_sub(self.told);
        let mut bytes = Vec::with_capacity(text.len());
        if self.broken {
            bytes.push(b'\n');
        }
        if missing > 0 {
            let notice =
                format!("{missing} lines were lost here: nobody took them, or they could not be written");
            bytes.extend(line(self.form, "WARN", &notice));
        }
        bytes.extend_from_slice(text);
        match write_all(to, &bytes) {
            Ok(()) => (self.told, self.broken) = (lost, false),
            Err(_) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                self.broken = true;
            }
        }
    }
}

/// Writes all of it, however long it takes. A pipe that another process has made non-blocking is waited for.
fn write_all(to: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A file that may be full, and that never takes more than a few bytes at once.
    #[derive(Clone, Default)]
    struct Paper {
        written: Arc<Mutex<Vec<u8>>>,
        full: Arc<AtomicBool>,
        busy: Arc<AtomicBool>,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if self.busy.swap(false, Ordering::Relaxed) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let some = &bytes[..bytes.len().min(7)];
            self.written.lock().unwrap().extend_from_slice(some);
            Ok(some.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(form: Option<LogForm>, lines_max: usize) -> (Log, Writing) {
        let (queue, items) = sync_channel(lines_max);
        let counts = Arc::new(Counts { waiting_bytes: AtomicUsize::new(0), lost: Arc::default() });
        let writing = Writing { items, counts: counts.clone(), form, told: 0, broken: false };
        (Log { queue, counts, form }, writing)
    }

    fn lost(log: &Log) -> u64 {
        log.counts.lost.load(Ordering::Relaxed)
    }

    #[test]
    fn a_strangers_words_in_a_line_are_not_obeyed() {
        for (form, escaped) in [
            (None, "refused: a\\u{202e}b\\u{9b}\n"),
            (Some(LogForm::Text), "refused: a\\u{202e}b\\u{9b}\n"),
            (Some(LogForm::Json), "refused: a\\u202eb\\u009b\n"),
        ] {
            let (log, writing) = log(form, 8);
            log.push("refused: a\u{202e}b\u{9b}\n".into());
            let Ok(Item::Line(line)) = writing.items.try_recv() else { panic!("a line waits") };
            assert_eq!(String::from_utf8(line).unwrap(), escaped);
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_counted_and_the_next_one_that_gets_through_says_how_many() {
        let (mut log, writing) = log(None, 2);
        for n in 0..5 {
            log.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        // One that is larger than all that may wait is lost alone.
        log.push(vec![b'x'; BYTES_MAX + 1]);
        assert_eq!(lost(&log), 4);
        let paper = Paper::default();
        let to = paper.clone();
        let thread = thread::spawn(move || writing.run(to));
        drop(log);
        thread.join().unwrap();
        assert_eq!(
            paper.text(),
            "4 lines were lost here: nobody took them, or they could not be written\nline 0\nline 1\n"
        );
    }

    #[test]
    fn a_full_disk_loses_lines_and_ends_nothing() {
        let (log, mut writing) = log(Some(LogForm::Json), 2);
        let mut paper = Paper::default();
        writing.write(b"one\n", &mut paper);
        paper.full.store(true, Ordering::Relaxed);
        writing.write(b"two\n", &mut paper);
        writing.write(b"three\n", &mut paper);
        assert_eq!(lost(&log), 2);
        paper.full.store(false, Ordering::Relaxed);
        paper.busy.store(true, Ordering::Relaxed);
        writing.write(b"four\n", &mut paper);
        writing.write(b"five\n", &mut paper);
        let text = paper.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3], lines[4]), ("one", "", "four", "five"), "{text}");
        let told: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(told["level"], "WARN");
        assert!(told["fields"]["message"].as_str().unwrap().starts_with("2 lines were lost"), "{told}");
        assert!(told["timestamp"].as_str().unwrap().ends_with('Z'), "{told}");
        assert_eq!(lost(&log), 2);
    }

    #[test]
    fn a_filter_that_cannot_be_followed_is_said_and_the_default_one_holds() {
        for asked in ["loud", "info,loud", "assent_cluster=loud", "inof,openraft=error"] {
            let (filter, wrong) = filter(Some(OsStr::new(asked)));
            assert_eq!(filter.to_string(), EnvFilter::new(DEFAULT_FILTER).to_string(), "{asked}");
            assert!(wrong.unwrap().starts_with(&format!("`ASSENT_LOG` is `{asked}`")), "{asked}");
        }
        for asked in ["", " , ", "debug", "TRACE", "info, openraft=error", "assent_cluster::raft", "off,"] {
            assert_eq!(filter(Some(OsStr::new(asked))).1, None, "{asked}");
        }
        assert_eq!(filter(None).1, None);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_room_comes_back() {
        let (log, writing) = log(None, 100);
        log.push(vec![b'x'; BYTES_MAX]);
        log.push(vec![b'y']);
        assert_eq!(lost(&log), 1);
        let Ok(Item::Line(line)) = writing.items.recv() else { panic!("a line") };
        writing.counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        log.push(vec![b'z']);
        assert_eq!(lost(&log), 1);
    }
}
