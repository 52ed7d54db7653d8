//! `docs/codes.md` lists exactly the codes of the enum. To rewrite the page:
//! `ASSENT_WRITE_DOCS=1 cargo test -p assent-api --test all codes_page`.

use std::fmt::Write;

use assent_api::{Call, Retry, retry_of, status_of};
use assent_proof::{Code, CodeUse};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/codes.md");

const HEAD: &str = "\
# Codes

Every refusal of a submission or of a change of the cluster, and every reason of a deny, has one of these codes. They are stable: a code is never renamed, and
never given another meaning. A decision lists its reasons in the order of this page: at most 32, and every code that denies is among them.

The clause is the one of RFC-EG-033 that asks for it. *Refuses* is the status with which the code refuses a submission, a change of the cluster's
members, or a read that goes on from a cursor; *denies* is the status with which it denies an authorize. The cell is empty if the code does not do
that. A deny with 503 means that the registry cannot know now, and another node may; any other deny stands until something changes.

*Again* is whether the same call can be made again, unchanged, in the calls `submission`, `authorize` (also permits), `read`, `feed`
(`GET /v1/events`), `membership` and `clock` (`POST /v1/clock/confirm`). If a call is named, the verdict after it is that call's, and the first
one is that of all others.

- `final`: every node would answer the same until somebody changes something. The status is 4xx, and never 429.
- `here`: the cluster cannot do it now, whichever node is asked. Make the call again at the same node after its `Retry-After`, or after a
  short pause if it names none.
- `elsewhere`: this node cannot do it now. Make the call at another node at once, and at this one after its `Retry-After`. 429 and 503
  always say this. So do 500 and 504 with the outcome `unknown`, whatever the code: send the same bytes again.

This page is generated from `crates/proof/src/code.rs` and `crates/api/src`, and compared with them by a test.

| code | clause | refuses | denies | again | means | what to do |
|---|---|---|---|---|---|---|
";

/// The verdict of most calls, then each call with another one.
fn again(code: Code) -> String {
    let of = |retry: Retry| Call::ALL.into_iter().filter(move |call| retry_of(code, *call) == retry);
    let most = Retry::ALL.into_iter().max_by_key(|retry| of(*retry).count()).unwrap();
    let mut text = most.as_str().to_owned();
    for call in Call::ALL {
        let retry = retry_of(code, call);
        if retry != most {
            write!(text, "; {}: {}", call.as_str(), retry.as_str()).unwrap();
        }
    }
    text
}

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
        let (again, meaning, remedy) = (again(*code), code.meaning(), code.remedy());
        writeln!(page, "| `{code}` | {clause} | {refuses} | {denies} | {again} | {meaning} | {remedy} |")
            .unwrap();
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
