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
submission (or a change of the cluster's members) and denies an authorize; a code that only does the other has none there. A deny with 503 means that the registry cannot
know now, and another node may; any other deny stands until something changes.

This page is generated from `crates/proof/src/code.rs` and compared with it by a test.

| code | clause | refuses | denies | means | what to do |
|---|---|---|---|---|---|
";

fn page() -> String {
    let mut page = String::from(HEAD);
    for code in Code::ALL {
        let refuses = matches!(code.usage(), CodeUse::Refuses | CodeUse::RefusesAndDenies);
        let denies = matches!(code.usage(), CodeUse::Denies | CodeUse::RefusesAndDenies);
        let manages = code.usage() == CodeUse::RefusesChange;
        let status = |used: bool, call| if used { status_of(*code, call).to_string() } else { String::new() };
        let clause = code.clause().trim_start_matches("RFC-EG-033 ");
        let refuses = match manages {
            true => status(true, Call::Manage),
            false => status(refuses, Call::Submission),
        };
        let denies = status(denies, Call::Authorize);
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
