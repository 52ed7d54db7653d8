//! Every parser that meets bytes from outside, on arbitrary bytes, for some seconds. `assent-jepsen parsers` and the
//! targets in `jepsen-like/fuzz` do the same for a night.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use assent_jepsen::parsers::{
    Growth, PARSERS, Parser, ParsersReport, Reading, Search, input, parser, reread, run,
};

/// How many inputs each parser gets, if the machine is fast enough.
const SEEDS: u64 = 1500;
/// How long all of it may take.
const LASTS: Duration = Duration::from_secs(15);
/// How many inputs each parser gets at the least; fewer would show nothing.
const SEEDS_MIN: u64 = 60;

fn search(parsers: &[Parser], seeds: u64) -> ParsersReport {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    Search { parsers: parsers.to_vec(), seeds: 0..seeds, lasts: LASTS, jobs }.run(&mut |_| ())
}

#[test]
fn no_parser_panics_or_violates_its_property_on_arbitrary_bytes() {
    let report = search(&PARSERS, SEEDS);
    for finding in &report.findings {
        println!(
            "{}, seed {} ({} inputs fail): {}\n{}",
            finding.parser,
            finding.seed,
            finding.times,
            finding.problem,
            finding.hex()
        );
    }
    assert!(report.findings.is_empty(), "{} parsers fail", report.findings.len());
    for parser in PARSERS.iter() {
        let inputs = report.inputs.get(parser.name).copied().unwrap_or(0);
        assert!(inputs >= SEEDS_MIN, "{} got {inputs} inputs in {} ms", parser.name, report.wall_ms);
    }
}

#[test]
fn every_parser_accepts_a_sample_and_refuses_some_bytes() {
    for parser in PARSERS.iter() {
        let samples = (parser.samples)();
        let readings = |bytes: &[u8]| {
            (parser.check)(bytes).unwrap_or_else(|problem| panic!("{}: {problem}", parser.name))
        };
        let accepted = samples.iter().filter(|sample| readings(sample) == Reading::Accepted).count();
        assert!(accepted > 0, "{} accepts none of its {} samples", parser.name, samples.len());
        assert_eq!(readings(b"\xc1"), Reading::Refused, "{}", parser.name);
    }
}

#[test]
fn each_parser_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = PARSERS.iter().map(|parser| parser.name).collect();
    assert_eq!(names.len(), PARSERS.len());
    for name in names {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert_eq!(parser(name).unwrap().name, name);
    }
    assert!(parser("nothing").is_none());
}

fn words() -> Vec<Vec<u8>> {
    vec![b"a list of words".to_vec(), b"another".to_vec()]
}

/// A parser that panics on one pattern of bytes.
fn panicking(bytes: &[u8]) -> Result<Reading, String> {
    assert!(!bytes.windows(4).any(|four| four == b"\xff\xff\xff\xff"), "the length is too large");
    Ok(Reading::Accepted)
}

/// A parser that keeps only the first kind of end of line.
fn forgetful(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| -> Result<Vec<Vec<u8>>, String> {
        Ok(bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    };
    reread(bytes, Growth { times: 1, more: 0 }, read, |lines| lines.concat())
}

/// A parser that takes a list for many times as large as it is.
fn greedy(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| -> Result<Vec<u8>, String> { Ok(bytes.to_vec()) };
    reread(bytes, Growth { times: 2, more: 64 }, read, |value| {
        if value.contains(&0x7f) { value.repeat(90) } else { value.clone() }
    })
}

/// A parser that repeats what it refuses.
fn parrot(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| match bytes.contains(&0) {
        true => Err(String::from_utf8_lossy(bytes).into_owned()),
        false => Ok(bytes.to_vec()),
    };
    reread(bytes, Growth { times: 1, more: 0 }, read, |value| value.clone())
}

/// How a parser judges bytes.
type Check = fn(&[u8]) -> Result<Reading, String>;

#[test]
fn a_parser_that_fails_on_one_pattern_is_found_with_its_seed_and_its_input() {
    let made_up: [(&'static str, Check, &str); 4] = [
        ("panicking", panicking, "it panics: the length is too large"),
        ("forgetful", forgetful, "another value"),
        ("greedy", greedy, "more than 2 times as many"),
        ("parrot", parrot, "the refusal's text has "),
    ];
    for (name, check, problem) in made_up {
        let parser = Parser { name, check, samples: words };
        let report = search(&[parser], 5_000);
        let [finding] = report.findings.as_slice() else { panic!("{name} was not found: {report:?}") };
        assert!(finding.problem.contains(problem), "{name}: {}", finding.problem);
        // The seed gives the input again, and the input fails again.
        assert_eq!(input(name, &words(), finding.seed), finding.input);
        let again = std::panic::catch_unwind(|| parser.run(&finding.input));
        assert!(again.is_err(), "{name}");
    }
}

#[test]
fn a_target_of_an_unknown_parser_fails() {
    assert!(std::panic::catch_unwind(|| run("nothing", b"")).is_err());
    run("json", b"{}");
}

#[test]
fn libfuzzer_has_a_target_for_each_parser_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut targets = BTreeSet::new();
    for entry in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.contains(&format!("assent_jepsen::parsers::run(\"{name}\", bytes)")), "{name}");
        let lines = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&lines), "fuzz/Cargo.toml has no target `{name}`");
        targets.insert(name);
    }
    let parsers: BTreeSet<String> = PARSERS.iter().map(|parser| parser.name.to_owned()).collect();
    assert_eq!(targets, parsers);
    assert_eq!(manifest.matches("[[bin]]").count(), parsers.len());
}

fn jepsen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assent-jepsen")).arg("parsers").args(arguments).output().unwrap()
}

#[test]
fn an_input_is_run_again_from_its_file_and_samples_are_written_for_libfuzzer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let output = jepsen(&["--write-samples", path, "--only", "note"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let file = folder.path().join("note/sample-0");
    assert_eq!(fs::read(&file).unwrap(), (parser("note").unwrap().samples)()[0]);
    for (name, reading) in [("note", "note: Accepted"), ("json", "json: Refused")] {
        let output = jepsen(&["--only", name, "--input", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(reading), "{output:?}");
    }
    for wrong in [&["--only", "nothing"][..], &["--input", "a"], &["--minutes", "0"]] {
        assert_eq!(jepsen(wrong).status.code(), Some(64), "{wrong:?}");
    }
}
