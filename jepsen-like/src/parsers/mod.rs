//! Every parser that meets bytes from outside, on arbitrary bytes.
//!
//! A [`Parser`] is one such reader of the product, with a property that must hold for any bytes at all, and with good
//! inputs to begin from. [`PARSERS`] lists all of them. Three drivers use the list: the test `tests/arbitrary_bytes.rs`
//! for some seconds, `assent-jepsen parsers` for a night on all cores, and the targets of `fuzz/` under libFuzzer.
//!
//! No property is only "it does not panic". What a parser accepts must be written to bytes that it reads as the same
//! value, and these may be longer than the input by a stated factor only. Where a value has one spelling, the bytes must
//! be the input itself. The text of a refusal must be bounded, and must have no character that terminals obey.
//! `judge.rs` has these properties.
//!
//! `mutate.rs` makes inputs: the same name and seed give the same bytes. The module never decides what a parser should
//! accept. It does no IO, except the command, which prints and reads and writes files.
//!
//! Not here: hyper's own reading of HTTP, and the rows and the log on a node's own disk.

mod api;
mod callers;
pub mod command;
mod judge;
mod mutate;
mod node;
mod parser;
mod peer;
mod pem_files;
mod proof;
mod samples;
mod search;
mod table;
mod tls;

pub use judge::{ERROR_BYTES_MAX, Growth, check_text, reread, reread_exactly};
pub use mutate::{INPUT_BYTES_MAX, input};
pub use parser::{Parser, Reading};
pub use search::{Finding, ParsersReport, Search, TOO_SLOW};
pub use table::{PARSERS, parser, run};
