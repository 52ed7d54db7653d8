//! Checks that `docs/protocol.md` allows an answer to a call, by its table "What each call answers".
//!
//! The helpers of tests that talk to nodes over HTTP make this check for each answer. So if the page lacks a status or
//! a code, the test that received it fails. Other crates' tests include this file too, by its path.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each of those that include it uses its own part"
)]
#![allow(clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/protocol.md");
const HEADING: &str = "\n### What each call answers\n";
/// The rows that are of several calls, by their first cell.
const EVERY_CALL: &str = "every call";
const EXCEPT_PROBES: &str = "every call except `/livez`, `/readyz` and `/metrics`";
const EXCEPT_HEALTH: &str = "every call except `/livez` and `/readyz`";
const OTHER_METHOD: &str = "a path with a method that it does not take";
const OTHER_PATH: &str = "a path that is not in this table";
/// The calls that `EXCEPT_PROBES` excepts.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// The calls that `EXCEPT_HEALTH` excepts.
const HEALTH: [&str; 2] = ["/livez", "/readyz"];

/// A row of the table.
struct Row {
    /// Its first cell.
    of: String,
    /// The method and the path of each call that its first cell names.
    calls: Vec<(String, String)>,
    /// The codes that come with each status. A success has none.
    answers: BTreeMap<u16, BTreeSet<String>>,
}

impl Row {
    fn has_path(&self, path: &str) -> bool {
        self.calls.iter().any(|(_, named)| is_named(path, named))
    }

    fn has_call(&self, method: &str, path: &str) -> bool {
        self.calls.iter().any(|(taken, named)| taken == method && is_named(path, named))
    }
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let (_, rest) = PAGE.split_once(HEADING).unwrap_or_default();
    let part = rest.split("\n#").next().unwrap_or_default();
    part.lines().filter(|line| line.starts_with("| ")).skip(1).filter_map(row).collect()
});

fn row(line: &str) -> Option<Row> {
    let (of, answers) = line.trim_matches('|').split_once(" | ")?;
    let calls = ticked(of).filter_map(|call| call.split_once(' '));
    let answers = answers.split(';').filter_map(|answer| {
        let (status, codes) = answer.trim().split_at_checked(3)?;
        Some((status.parse::<u16>().ok()?, ticked(codes).map(str::to_owned).collect::<BTreeSet<String>>()))
    });
    Some(Row {
        of: of.trim().to_owned(),
        calls: calls.map(|(method, path)| (method.to_owned(), path.to_owned())).collect(),
        answers: answers.collect(),
    })
}

/// What stands in backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a path is the one that the page writes like this, with `{…}` for what the caller puts in.
fn is_named(path: &str, named: &str) -> bool {
    let (path, named): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), named.split('/').collect());
    path.len() == named.len()
        && path.iter().zip(&named).all(|(part, name)| name.starts_with('{') || part == name)
}

/// The rows that are of this call.
fn rows_of(method: &str, path: &str) -> Vec<&'static Row> {
    let method = if method == "HEAD" { "GET" } else { method };
    let other = if TABLE.iter().any(|row| row.has_call(method, path)) {
        None
    } else if TABLE.iter().any(|row| row.has_path(path)) {
        Some(OTHER_METHOD)
    } else {
        Some(OTHER_PATH)
    };
    let is_of = |row: &Row| match row.of.as_str() {
        EVERY_CALL => true,
        EXCEPT_PROBES => !PROBES.contains(&path),
        EXCEPT_HEALTH => !HEALTH.contains(&path),
        of => row.has_call(method, path) || Some(of) == other,
    };
    TABLE.iter().filter(|row| is_of(row)).collect()
}

/// The list of this name in a body; empty if there is none.
fn list<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

/// The code of a problem or of a reason.
fn code_of(body: &Value) -> Option<&str> {
    body.get("code").and_then(Value::as_str)
}

/// What the rows of the call lack of an answer: the call, the status and the code.
fn lacks(method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
    let rows = rows_of(method, path);
    let has = |status: u16, code: Option<&str>| {
        let listed = |codes: &BTreeSet<String>| code.is_none_or(|code| codes.contains(code));
        rows.iter().any(|row| row.answers.get(&status).is_some_and(listed))
    };
    let named = |code: &str| format!("`{method} {path}` with {status} {code}");
    // A success has no code, and neither has the answer to `HEAD`.
    let code = code_of(body).filter(|_| status >= 400);
    if !has(status, code) {
        return Some(named(code.unwrap_or("without a code")));
    }
    // A deny that cannot know may have other reasons beside.
    let is_listed = |code: &str| has(status, Some(code)) || (status == 503 && has(403, Some(code)));
    let mut reasons = list(body, "reasons").iter().filter_map(code_of);
    reasons.find(|code| !is_listed(code)).map(named)
}

/// What the page lacks of an answer, with what it says of each element of a batch: the call, the status and the code.
pub fn undocumented(method: &str, target: &str, status: u16, body: &Value) -> Option<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let results = list(body, "results").iter().map(|result| {
        let status = result.get("status").and_then(Value::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        lacks("POST", "/v1/envelopes", status, result.get("problem").unwrap_or(&Value::Null))
    });
    let decisions = list(body, "decisions").iter().map(|decision| {
        let denied = decision.get("decision").and_then(Value::as_str) == Some("deny");
        lacks("POST", "/v1/authorize", if denied { 503 } else { 200 }, decision)
    });
    lacks(method, path, status, body).or_else(|| results.chain(decisions).flatten().next())
}

/// Fails the test if the page does not say that this call can be answered like this.
#[track_caller]
pub fn insist(method: &str, target: &str, status: u16, body: &Value) {
    if let Some(what) = undocumented(method, target, status, body) {
        panic!("docs/protocol.md, \"What each call answers\", does not list {what}: {body}");
    }
}

/// The method and the target of a request, as far as it has them.
pub fn asked(request: &[u8]) -> (String, String) {
    let line = request.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ').map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Fails the test if the page does not say that this request can be answered like this. If several requests were answered on the
/// connection, the first answer counts.
#[track_caller]
pub fn check(request: &[u8], answer: &str) {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return };
    let Some(status) = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) else { return };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let body = body.get(..length.unwrap_or(body.len())).unwrap_or(body);
    let (method, target) = asked(request);
    insist(&method, &target, status, &serde_json::from_str(body).unwrap_or(Value::Null));
}
