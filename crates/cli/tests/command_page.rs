//! `docs/command.md` lists each code that only the command has, with the program's exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use assent_proof::Code;

const PAGE: &str = include_str!("../../../docs/command.md");
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
/// Whose codes the command passes on.
const CLIENT: &str = include_str!("../../client/src/error.rs");

/// Codes, each with the exit codes that are known from where it stands.
type Codes = BTreeMap<String, BTreeSet<u8>>;

/// The source files of a folder, without their unit tests.
fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            into.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
        }
    }
}

/// The literal with which a text begins, if it could be a code.
fn literal(text: &str) -> Option<&str> {
    let (word, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    let is_code = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_code.then_some(word)
}

/// The number of a variant of `Exit`.
fn number(exit: &str) -> u8 {
    match exit {
        "Failed" => 1,
        "CannotKnow" => 11,
        "Stopped" => 12,
        "StoppedUnknown" => 13,
        "OtherHistory" => 14,
        "Usage" => 64,
        other => panic!("no number of `Exit::{other}` is known here"),
    }
}

/// Notes the codes with which a source makes errors.
fn made(source: &str, codes: &mut Codes) {
    let mut note = |code: &str, exit: &str| {
        codes.entry(code.to_owned()).or_default().insert(number(exit));
    };
    let new = "CliError::new(";
    for (at, _) in source.match_indices(new) {
        let (before, rest) = source.split_at(at);
        let Some(code) = rest.strip_prefix(new).and_then(literal) else { continue };
        // As in `CliError { exit: Exit::Usage, ..CliError::new("usage", …) }`.
        let updates = before.strip_suffix("..").and_then(|before| before.trim_end().strip_suffix(','));
        let exit = updates.and_then(|before| before.rsplit_once("exit: Exit::"));
        note(code, exit.map_or("Failed", |(_, exit)| exit));
    }
    for rest in source.split("self.stopping(").skip(1) {
        let (_, exit) = rest.split_once("Exit::").unwrap();
        let exit = exit.split(|c: char| !c.is_alphanumeric()).next().unwrap();
        note(literal(rest).expect("it is stopped with a code"), exit);
    }
    // As in `let code = match … { … => "key_exposed" }`.
    for rest in source.split("=> ").skip(1) {
        if let Some(code) = literal(rest.trim_start_matches('(')).filter(|code| code.contains('_')) {
            note(code, "Failed");
        }
    }
}

/// The table of the page: each code with its exit codes.
fn table() -> Codes {
    let rows = PAGE.lines().skip_while(|line| *line != "| code | exit code | meaning |").skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let read = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').splitn(3, '|').map(str::trim).collect();
        let [code, exits, meaning] = cells.as_slice() else { panic!("{row}") };
        assert!(meaning.len() > 10, "{row}");
        let exits: BTreeSet<u8> = exits.split(", ").map(|exit| exit.parse::<u8>().unwrap()).collect();
        (code.trim_matches('`').to_owned(), exits)
    };
    rows.map(read).collect()
}

#[test]
fn every_code_of_the_commands_own_is_on_its_page_with_its_exit_code() {
    let mut codes = Codes::new();
    let mut files = Vec::new();
    sources(Path::new(SOURCES), &mut files);
    for source in &files {
        made(source, &mut codes);
    }
    let (_, said) = CLIENT.split_once("pub fn code(").unwrap();
    let (said, _) = said.split_once("\n    }\n").unwrap();
    for code in said.split("=> ").skip(1).filter_map(literal) {
        codes.entry(code.to_owned()).or_default();
    }
    // The one of the outbox that keeps its own name.
    codes.entry("outbox_history_unnoted".to_owned()).or_default().insert(number("OtherHistory"));
    // Those of the registry are on a page of their own.
    codes.retain(|code, _| Code::ALL.iter().all(|known| known.as_str() != code));
    assert!(codes.len() > 30, "{codes:?}");
    let page = table();
    let names = |codes: &Codes| codes.keys().cloned().collect::<Vec<String>>();
    assert_eq!(names(&page), names(&codes));
    for (code, exits) in &codes {
        assert!(exits.is_subset(&page[code]), "`{code}`: {exits:?}, and the page says {:?}", page[code]);
    }
}
