//! `docs/codes.md` is what the enum says. To write it anew:
//! `ASSENT_WRITE_DOCS=1 cargo test -p assent-api --test codes_page`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fmt::Write;

use assent_api::{Call, status_of};
use assent_proof::{Code, CodeUse};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/codes.md");

const HEAD: &str = "\
# Codes

Every refusal of a submission or of a change of the cluster, and every reason of a deny, has one of these codes. They are stable: a code is never renamed, and
never given another meaning. A decision lists its reasons in the order of this page: at most 32, and every code that denies is among them.

The clause is the one of RFC-EG-033 that asks for it. *Refuses* and *denies* are the HTTP status with which a code refuses a
submission (or a change of the cluster's members, or a read that goes on from a cursor) and denies an authorize; a code that only does the other has none there. A deny with 503 means that the registry cannot
know now, and another node may; any other deny stands until something changes.

This page is generated from `crates/proof/src/code.rs` and compared with it by a test.

| code | clause | refuses | denies | means | what to do |
|---|---|---|---|---|---|
";

fn page() -> String {
    let mut page = String::from(HEAD);
    for code in Code::ALL {
        let (refuses, denies) = match code.usage() {
            CodeUse::Refuses => (Some(Call::Submission), None),
            CodeUse::Denies => (None, Some(Call::Authorize)),
            CodeUse::RefusesAndDenies => (Some(Call::Submission), Some(Call::Authorize)),
            CodeUse::RefusesChange => (Some(Call::Manage), None),
            CodeUse::RefusesRead => (Some(Call::Read), None),
            CodeUse::RefusesReadAndDenies => (Some(Call::Read), Some(Call::Authorize)),
        };
        let status =
            |call: Option<Call>| call.map(|call| status_of(*code, call).to_string()).unwrap_or_default();
        let clause = code.clause().trim_start_matches("RFC-EG-033 ");
        let (refuses, denies) = (status(refuses), status(denies));
        let (meaning, remedy) = (code.meaning(), code.remedy());
        writeln!(page, "| `{code}` | {clause} | {refuses} | {denies} | {meaning} | {remedy} |").unwrap();
    }
    page
}

#[test]
fn the_page_of_codes_is_the_enum() {
    if std::env::var_os("ASSENT_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        found == page(),
        "`docs/codes.md` is not what the enum says; see this file's head for how to write it"
    );
}
