//! `docs/rules.md` lists the rules, and each leads to the functions that implement it and to tests that show it. The
//! same numbers stand on these functions, with the rule's sentence, and on these tests. If one of the three changes
//! without the others, this test fails.
//!
//! A function that implements a rule has `/// Rule R17 (RFC-EG-033 §7, deny): …` in its documentation, as a paragraph of its own. A test
//! has `/// Rule R17.` or `/// Rules R17, R18.`.
//!
//! A new row has the number R0, and so have its tags. To number all rules anew, in the order of the page:
//! `ASSENT_WRITE_DOCS=1 cargo test -p assent-registry --test all numbered`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use assent_proof::{Code, CodeUse};

/// Pages that name rules by their numbers.
const PAGES: &[&str] = &["docs/rules.md", "docs/protocol.md", "docs/conformance.md", "ARCHITECTURE.md"];

/// A function: its file, from the root of the workspace, and its name.
type Place = (String, String);

/// A rule's number, its clause and its sentence.
type Saying = (usize, String, String);

/// A row of the page.
struct Rule {
    saying: Saying,
    code: Vec<Place>,
    tests: Vec<Place>,
}

/// A function and its documentation, paragraph by paragraph.
struct Function {
    place: Place,
    is_test: bool,
    paragraphs: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/rules.md")).unwrap()
}

/// What stands in backticks: file, function, file, function, and so on.
fn places(cell: &str) -> Vec<Place> {
    let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    assert!(
        !quoted.is_empty() && quoted.len().is_multiple_of(2),
        "`{cell}` has no pairs of a file and a function"
    );
    quoted.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

fn rules(page: &str) -> Vec<Rule> {
    let rule = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, sentence, clause, code, tests] = cells[..] else {
            panic!("`{line}` has not five cells")
        };
        let number = number.strip_prefix('R').unwrap().parse().unwrap();
        let saying = (number, clause.to_owned(), sentence.to_owned());
        Rule { saying, code: places(code), tests: places(tests) }
    };
    page.lines().filter(|line| line.starts_with("| R")).map(rule).collect()
}

/// Every source file below a folder of the workspace.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of the function that begins in this line, if one does.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        ["pub", "const", "async"].contains(word) || word.starts_with("pub(") || word.ends_with(')')
    });
    let name = words.next().filter(|word| *word == "fn").and(words.next())?;
    name.split(['(', '<']).next()
}

fn is_tag(paragraph: &str) -> bool {
    paragraph.starts_with("Rule R") || paragraph.starts_with("Rules R")
}

/// The functions of one file that have a documentation.
fn functions(file: &str, text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let (mut paragraphs, mut is_test, mut in_attribute) = (Vec::<String>::new(), false, false);
    let mut goes_on = false;
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///").map(str::trim) {
            if said.is_empty() {
                goes_on = false;
                continue;
            }
            if goes_on && let Some(last) = paragraphs.last_mut() {
                last.push(' ');
                last.push_str(said);
            } else {
                paragraphs.push(said.to_owned());
            }
            goes_on = true;
            continue;
        }
        goes_on = false;
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if in_attribute || line.starts_with("#[") {
            in_attribute = !line.ends_with(']');
            continue;
        }
        let paragraphs = std::mem::take(&mut paragraphs);
        let is_test = std::mem::take(&mut is_test);
        match function_name(line) {
            Some(name) => {
                found.push(Function { place: (file.to_owned(), name.to_owned()), is_test, paragraphs });
            }
            None => {
                if let Some(tag) = paragraphs.iter().find(|paragraph| is_tag(paragraph)) {
                    panic!("`{file}`: `{tag}` stands on no function");
                }
            }
        }
    }
    found
}

/// Every source file of the workspace.
fn all_sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["crates", "cluster", "jepsen-like", "benches"] {
        sources(&root().join(folder), &mut files);
    }
    files
}

/// All documented functions of the workspace.
fn workspace() -> Vec<Function> {
    all_sources()
        .iter()
        .flat_map(|path| {
            let file = path.strip_prefix(root()).unwrap().to_str().unwrap();
            functions(file, &fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// What `Rule R17 (RFC-EG-033 §7, deny): …` says.
fn saying(tag: &str) -> Option<Saying> {
    let (number, rest) = tag.strip_prefix("Rule R")?.split_once(" (")?;
    let (clause, sentence) = rest.split_once("): ")?;
    Some((number.parse().ok()?, clause.to_owned(), sentence.to_owned()))
}

/// The numbers in `Rule R17.` or `Rules R17, R18.`.
fn numbers(tag: &str) -> Option<Vec<usize>> {
    let list = tag.strip_prefix("Rules ").or_else(|| tag.strip_prefix("Rule "))?.strip_suffix('.')?;
    list.split(", ").map(|number| number.strip_prefix('R')?.parse().ok()).collect()
}

/// The text with new numbers for the rules that it names.
fn renumbered(text: &str, numbers: &BTreeMap<usize, usize>) -> String {
    let piece = |piece: &str| {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (word, rest) = piece.split_at(end);
        let before = word.strip_prefix('R').and_then(|number| number.parse::<usize>().ok());
        match before.and_then(|before| numbers.get(&before)) {
            Some(number) => format!("R{number}{rest}"),
            None => piece.to_owned(),
        }
    };
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(piece).collect()
}

/// The source with new numbers in its tags, and nowhere else.
fn with_renumbered_tags(text: &str, numbers: &BTreeMap<usize, usize>) -> String {
    let mut in_tag = false;
    let line = |line: &str| {
        let said = line.trim().strip_prefix("///").map_or("", str::trim);
        in_tag = !said.is_empty() && (in_tag || is_tag(said));
        if in_tag { renumbered(line, numbers) } else { line.to_owned() }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Numbers the rules anew, in the order of the page: on the pages, and in the tags.
fn renumber() {
    let numbered: Vec<usize> = rules(&page()).iter().map(|rule| rule.saying.0).collect();
    let count = numbered.len();
    let numbers: BTreeMap<usize, usize> = numbered.into_iter().zip(1..).collect();
    assert_eq!(numbers.len(), count, "two rows have one number; one row at most has the number R0");
    for name in PAGES {
        let path = root().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, renumbered(&text, &numbers)).unwrap();
    }
    for path in all_sources() {
        let text = fs::read_to_string(&path).unwrap();
        let written = with_renumbered_tags(&text, &numbers);
        if written != text {
            fs::write(&path, written).unwrap();
        }
    }
}

/// The clauses of the RFC, section and item, as `docs/conformance.md` has them.
fn clauses() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split(' ').next().unwrap();
        } else if let Some((item, _)) = line.strip_prefix("| ").and_then(|row| row.split_once(" |")) {
            found.insert(format!("RFC-EG-033 {section}, {item}"));
        }
    }
    found
}

#[test]
fn the_rules_are_numbered_from_one_on_and_each_names_its_clause() {
    if env::var_os("ASSENT_WRITE_DOCS").is_some() {
        renumber();
    }
    let rules = rules(&page());
    assert!(rules.len() > 100, "the rows of the page are not found");
    let clauses = clauses();
    for (expected, Rule { saying: (number, clause, sentence), .. }) in (1..).zip(&rules) {
        assert_eq!(*number, expected, "the rules are numbered in order, without a gap: {sentence}");
        assert!(clauses.contains(clause), "R{number}: `{clause}` is no item of docs/conformance.md");
        assert!(sentence.ends_with('.') && !sentence.contains(". "), "R{number} is not one sentence");
    }
}

#[test]
fn each_rule_stands_on_the_functions_that_the_page_names_and_on_no_other() {
    let mut on_the_page = BTreeSet::new();
    for Rule { saying, code, .. } in rules(&page()) {
        on_the_page.extend(code.into_iter().map(|place| (saying.clone(), place)));
    }
    let mut in_the_code = BTreeSet::new();
    for Function { place, paragraphs, .. } in workspace().into_iter().filter(|function| !function.is_test) {
        for tag in paragraphs.iter().filter(|paragraph| is_tag(paragraph)) {
            let saying = saying(tag).unwrap_or_else(|| panic!("{place:?}: `{tag}` is no tag of a rule"));
            assert!(in_the_code.insert((saying, place.clone())), "{place:?} has `{tag}` twice");
        }
    }
    let lacking: Vec<_> = on_the_page.difference(&in_the_code).collect();
    let unknown: Vec<_> = in_the_code.difference(&on_the_page).collect();
    assert!(
        lacking.is_empty() && unknown.is_empty(),
        "on the page and not in the code: {lacking:#?}\nin the code and not on the page: {unknown:#?}"
    );
}

#[test]
fn each_rule_stands_on_the_tests_that_the_page_names_and_on_no_other() {
    let mut on_the_page = BTreeSet::new();
    for Rule { saying: (number, ..), tests, .. } in rules(&page()) {
        on_the_page.extend(tests.into_iter().map(|place| (number, place)));
    }
    let mut in_the_tests = BTreeSet::new();
    for Function { place, paragraphs, .. } in workspace().into_iter().filter(|function| function.is_test) {
        for tag in paragraphs.iter().filter(|paragraph| is_tag(paragraph)) {
            let numbers = numbers(tag).unwrap_or_else(|| panic!("{place:?}: `{tag}` is no tag of rules"));
            in_the_tests.extend(numbers.into_iter().map(|number| (number, place.clone())));
        }
    }
    let lacking: Vec<_> = on_the_page.difference(&in_the_tests).collect();
    let unknown: Vec<_> = in_the_tests.difference(&on_the_page).collect();
    assert!(
        lacking.is_empty() && unknown.is_empty(),
        "on the page and not at a test: {lacking:#?}\nat a test and not on the page: {unknown:#?}"
    );
}

#[test]
fn no_page_names_a_rule_that_there_is_not() {
    let last = rules(&page()).len();
    for name in PAGES {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        for number in words.filter_map(|word| word.strip_prefix('R')?.parse::<usize>().ok()) {
            assert!((1..=last).contains(&number), "`{name}` names R{number}, and the last rule is R{last}");
        }
    }
}

#[test]
fn the_page_says_of_each_code_that_denies_by_which_rules() {
    let page = page();
    let rows: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "))
        .collect();
    for code in Code::ALL {
        let denies = match code.usage() {
            CodeUse::Denies | CodeUse::RefusesAndDenies | CodeUse::RefusesReadAndDenies => true,
            CodeUse::Refuses | CodeUse::RefusesChange | CodeUse::RefusesRead => false,
        };
        let by = rows.get(code.as_str());
        assert!(
            !denies || by.is_some_and(|by| !by.is_empty()),
            "the page does not say what denies by `{code}`"
        );
    }
}

/// Where a text occurs in the sources below a folder of the workspace, and how often.
fn occurrences(folder: &str, wanted: &str) -> Vec<(PathBuf, usize)> {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    files
        .into_iter()
        .map(|path| {
            let times = fs::read_to_string(&path).unwrap().matches(wanted).count();
            (path, times)
        })
        .filter(|(_, times)| *times > 0)
        .collect()
}

#[test]
fn one_function_makes_an_allow() {
    let verdict = root().join("crates/registry/src/authorize/verdict.rs");
    assert_eq!(occurrences("crates/registry/src", "Allow { authorized_by"), [(verdict, 1)]);
}

#[test]
fn one_function_answers_with_an_allow() {
    let decision = root().join("cluster/src/usecase/decision.rs");
    assert_eq!(occurrences("cluster/src", "Verdict::Allow"), [(decision, 1)]);
}
