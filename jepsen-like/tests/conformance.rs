//! `docs/conformance.md` names, for every item of RFC-EG-033's lists, code and tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::workspace::root;

/// The lists of the RFC, by the heading of their section in the page.
const LISTS: &[(&str, &[&str])] = &[
    (
        "## §2",
        &[
            "execution authorization artifacts",
            "runtime attestation evidence",
            "policy validation proofs",
            "synchronization continuity proofs",
            "audit lineage evidence",
            "runtime integrity verification",
            "distributed governance reconciliation",
            "sovereign execution trust evidence",
        ],
    ),
    (
        "## §3",
        &[
            "Immutable Proof Persistence",
            "Cryptographic Proof Validation",
            "Distributed Synchronization",
            "Deterministic Proof Resolution",
            "Runtime Proof Continuity",
            "Authority Proof Verification",
            "Fail-Closed Proof Enforcement",
            "Immutable Exchange Lineage",
        ],
    ),
    (
        "## §4",
        &[
            "unsigned governance evidence",
            "fragmented proof lineage",
            "unverifiable runtime proof continuity",
            "synchronization ambiguity",
            "detached audit evidence",
            "inconsistent authority validation",
            "topology reconciliation divergence",
            "incomplete proof continuity",
            "unauthorized evidence mutation",
            "unverifiable exchange inheritance",
        ],
    ),
    (
        "## §5",
        &[
            "sovereign execution domains",
            "orchestration infrastructures",
            "governance registries",
            "runtime schedulers",
            "execution gateways",
            "attestation systems",
            "audit synchronization fabrics",
            "distributed verification infrastructures",
        ],
    ),
    (
        "## §6",
        &[
            "signed proof envelopes",
            "immutable evidence identifiers",
            "deterministic exchange hashes",
            "distributed proof lineage",
            "timestamp-bound proof continuity",
            "synchronized runtime evidence",
            "cryptographic reconciliation validation",
            "distributed audit persistence",
        ],
    ),
    (
        "## §7",
        &[
            "deny",
            "revoke",
            "quarantine",
            "isolate",
            "invalidate",
            "synchronize-before-authorize",
            "optimistic proof handling",
            "unsigned evidence inheritance",
            "unverifiable proof reconciliation",
            "topology bypass synchronization",
            "partial proof acceptance",
            "best-effort evidence continuity",
        ],
    ),
    (
        "## §8",
        &[
            "governance authorities",
            "runtime infrastructures",
            "orchestration systems",
            "execution gateways",
            "synchronization registries",
            "attestation authorities",
            "sovereign runtime zones",
            "distributed audit fabrics",
        ],
    ),
    (
        "## §10",
        &[
            "governance evidence corruption",
            "proof replay attacks",
            "synchronization fragmentation",
            "authority validation spoofing",
            "distributed runtime drift",
            "unsigned proof inheritance",
            "topology reconciliation ambiguity",
            "execution lineage corruption",
            "runtime evidence escalation attacks",
        ],
    ),
];

/// The names of all functions behind a test attribute, or inside `proptest!`, in the workspace.
fn tests_of(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                tests_of(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    marked = true;
                } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ") {
                    if marked {
                        found.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                    }
                    marked = false;
                }
            }
        }
    }
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_item_of_the_rfc_has_its_row_and_every_row_leads_to_what_exists() {
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let mut tests = BTreeSet::new();
    tests_of(&root(), &mut tests);
    for (heading, items) in LISTS {
        let start = page.find(&format!("\n{heading} ")).unwrap_or_else(|| panic!("no section `{heading}`"));
        let section = &page[start + 1..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        let rows: Vec<Vec<&str>> = section
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| item"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let named: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(&named, items, "the rows of `{heading}`");
        for row in &rows {
            let [item, _, code, shown_by] = row[..] else { panic!("`{row:?}` has not four cells") };
            let paths = quoted(code);
            assert!(!paths.is_empty(), "`{item}` names no code");
            for path in paths {
                assert!(root().join(path).is_file(), "`{item}` names `{path}`, which does not exist");
            }
            let names = quoted(shown_by);
            assert!(!names.is_empty(), "`{item}` names no test");
            for name in names {
                assert!(tests.contains(name), "`{item}` names test `{name}`, which does not exist");
            }
        }
    }
}
