//! The queue of lines that wait to be written, and the thread that writes them.
//!
//! A line that finds no room, or that cannot be written, is lost and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use super::line::{LogForm, line, safe};

/// The most lines that may wait to be written.
const LINES_MAX: usize = 8_192;
/// The most bytes of the lines that may wait to be written.
const BYTES_MAX: usize = 4 << 20;
/// The pause before a full or blocked stderr is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// How often stderr is tried again at the end of the process: for at most half a second, since there may be no reader.
const RETRIES_AT_THE_END: u32 = 50;

/// The queue. Clones share it.
#[derive(Clone)]
pub(super) struct Log {
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

/// A queue, and what writes the lines in it.
pub(super) fn queue(form: Option<LogForm>) -> (Log, Writing) {
    of_lines(form, LINES_MAX)
}

/// The same for so many lines at most.
fn of_lines(form: Option<LogForm>, lines_max: usize) -> (Log, Writing) {
    let (queue, items) = sync_channel(lines_max);
    let counts = Arc::new(Counts { waiting_bytes: AtomicUsize::new(0), lost: Arc::default() });
    let writing = Writing { items, counts: counts.clone(), form, told: 0, broken: false };
    (Log { queue, counts, form }, writing)
}

impl Log {
    /// Queues a line, or counts it as lost.
    pub(super) fn push(&self, line: Vec<u8>) {
        let line = safe(self.form, line);
        let bytes = line.len();
        let waiting = self.counts.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting.saturating_add(bytes) > BYTES_MAX || self.queue.try_send(Item::Line(line)).is_err() {
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A panic, as a line.
    pub(super) fn panicked(&self, panic: &PanicHookInfo<'_>) -> Vec<u8> {
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

    /// Where lost lines are counted.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.counts.lost)
    }

    /// Waits until all that waits is written, at most for a second.
    pub(super) fn finish(&self) {
        let (done, written) = sync_channel(1);
        let mut item = Item::End(done);
        for _ in 0..RETRIES_AT_THE_END {
            match self.queue.try_send(item) {
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

/// The thread's side.
pub(super) struct Writing {
    items: Receiver<Item>,
    counts: Arc<Counts>,
    form: Option<LogForm>,
    /// How many lost lines the log has told of.
    told: u64,
    /// Whether the last line may be there in part.
    broken: bool,
}

impl Writing {
    /// Writes what comes until no [`Log`] is left.
    pub(super) fn run(mut self, mut to: impl Write) {
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
                format!("{missing} lines were lost here: no reader took them, or they could not be written");
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
        of_lines(form, lines_max)
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
    fn dropped_log_lines_are_counted_and_the_next_written_line_reports_their_number() {
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
            "4 lines were lost here: no reader took them, or they could not be written\nline 0\nline 1\n"
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
