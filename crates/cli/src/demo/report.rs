//! The report of the demo's steps: printed step by step for people, or as one document at the end for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::exit::CliError;
use crate::output::Output;

/// Where a step's title ends and its outcome begins.
const TITLE_COLUMNS: usize = 76;

/// What one step has to show.
pub(crate) struct Step {
    /// Its name in the document.
    pub(crate) name: &'static str,
    /// What happened, in a few words.
    pub(crate) title: String,
    /// Whether it went as it should.
    pub(crate) ok: bool,
    /// How long it took.
    pub(crate) took: Duration,
    /// For people: lines of at most 90 columns.
    pub(crate) lines: Vec<String>,
    /// For programs: more fields of the step.
    pub(crate) fields: Map<String, Value>,
}

/// The steps so far.
pub(crate) struct Report {
    output: Output,
    steps: Vec<Value>,
    ok: bool,
}

impl Report {
    /// Nothing happened yet.
    pub(crate) fn new(output: Output) -> Self {
        Self { output, steps: Vec::new(), ok: true }
    }

    /// Says something before the next step, to people only.
    pub(crate) fn say(&self, text: &str) -> Result<(), CliError> {
        match self.output {
            Output::Text => self.output.line(text),
            Output::Json => Ok(()),
        }
    }

    /// Adds a step and tells it.
    pub(crate) fn add(&mut self, step: Step) -> Result<(), CliError> {
        self.ok &= step.ok;
        let ms = millis(step.took);
        let number = self.steps.len().saturating_add(1);
        let outcome = if step.ok { "ok" } else { "WRONG" };
        let mut text = format!("{number:>2}. {:<TITLE_COLUMNS$} {outcome:<5} {ms:>6} ms", step.title);
        for line in &step.lines {
            text.push_str("\n    ");
            text.push_str(line);
        }
        let mut value = Map::new();
        value.insert("step".to_owned(), json!(step.name));
        value.insert("ok".to_owned(), json!(step.ok));
        value.insert("ms".to_owned(), json!(ms));
        value.extend(step.fields);
        self.steps.push(Value::Object(value));
        self.say(&format!("{text}\n \n"))
    }

    /// Whether every step went as it should.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    /// Prints the document, for programs; the summary, for people.
    pub(crate) fn finish(&self) -> Result<(), CliError> {
        self.output.result(&json!({ "steps": self.steps, "ok": self.ok }), || {
            if self.ok {
                "Everything went as it should. Next: `assent dev` keeps a cluster like this one for you."
                    .to_owned()
            } else {
                "Something went otherwise than it should; see the steps above.".to_owned()
            }
        })
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// More fields of a step.
pub(super) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A duration for people, as wide as any other.
pub(super) fn ms(duration: Duration) -> String {
    format!("{:>4} ms", millis(duration))
}
