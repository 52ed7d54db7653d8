//! A line of the log: its form, and what of it is escaped.

use std::borrow::Cow;

use assent_proof::text;
use clap::ValueEnum;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// The form of the log on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The line with what terminals obey escaped: it may have a stranger's words.
pub(super) fn safe(form: Option<LogForm>, line: Vec<u8>) -> Vec<u8> {
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
pub(super) fn line(form: Option<LogForm>, level: &str, text: &str) -> Vec<u8> {
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
