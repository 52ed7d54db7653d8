//! Reads the metrics page as strictly as the two formats are specified: any deviation is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What Prometheus sends.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,\
     application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// A request as it goes over the wire. Answers the head and the body.
pub(crate) async fn get(address: &str, path: &str, http: &str, accept: Option<&str>) -> (String, String) {
    let answer = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let accept = accept.map(|accept| format!("Accept: {accept}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/{http}\r\nHost: {address}\r\nConnection: close\r\n{accept}\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        let answer = String::from_utf8(bytes).ok()?;
        answer.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned()))
    };
    timeout(ANSWER_WITHIN, answer).await.ok().flatten().unwrap_or_default()
}

/// A node's page, for whoever accepts this.
pub(crate) async fn metrics(address: &str, accept: Option<&str>) -> (String, String) {
    let (head, body) = get(address, "/metrics", "1.1", accept).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_ascii_lowercase();
    let typed = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    (typed.unwrap_or_else(|| panic!("no content type in {head}")).to_owned(), body)
}

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    OpenMetrics,
}

/// A metric's family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// By the whole of a sample's name and labels.
    pub(crate) samples: BTreeMap<String, f64>,
}

/// The families of a page, by the name that their values begin with: with the ending `_total` or `_info`, if they have it.
pub(crate) fn read(page: &str, form: Form) -> BTreeMap<String, Family> {
    read_strictly(page, form).unwrap_or_else(|problem| panic!("{problem} in\n{page}"))
}

fn read_strictly(page: &str, form: Form) -> Result<BTreeMap<String, Family>, String> {
    let body = match form {
        Form::Text => page,
        Form::OpenMetrics => page.strip_suffix("# EOF\n").ok_or("the end is not `# EOF`")?,
    };
    if !body.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = described(line, "# HELP ")?;
        if help.is_empty() || help.contains('\\') {
            return Err(format!("`{line}` has no help or an escape"));
        }
        let typed = lines.next().unwrap_or_default();
        let (again, kind) = described(typed, "# TYPE ")?;
        if again != name || !is_name(name) || !seen.insert(name.to_owned()) {
            return Err(format!("`{typed}` is not the type of `{name}`, or comes twice"));
        }
        if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
            let (again, unit) = described(unit, "# UNIT ")?;
            if form == Form::Text || again != name || !name.ends_with(&format!("_{unit}")) {
                return Err(format!("the unit of `{name}` is out of place"));
            }
        } else if form == Form::OpenMetrics && (name.ends_with("_seconds") || name.ends_with("_bytes")) {
            return Err(format!("`{name}` has no unit"));
        }
        let ending = match (form, kind) {
            (Form::OpenMetrics, "counter") => "_total",
            (Form::OpenMetrics, "info") => "_info",
            (_, "gauge" | "histogram") | (Form::Text, "counter") => "",
            _ => return Err(format!("`{typed}` has a type that nothing here has")),
        };
        let name = format!("{name}{ending}");
        if (kind == "counter") != name.ends_with("_total") {
            return Err(format!("`{name}` is a {kind}"));
        }
        let mut family = Family { kind: kind.to_owned(), samples: BTreeMap::new() };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (key, value) = sample(line, &name, kind)?;
            if family.samples.insert(key, value).is_some() {
                return Err(format!("`{line}` comes twice"));
            }
        }
        if kind == "histogram" {
            is_whole(&name, &family)?;
        }
        families.insert(name, family);
    }
    Ok(families)
}

fn described<'a>(line: &'a str, mark: &str) -> Result<(&'a str, &'a str), String> {
    let described = line.strip_prefix(mark).and_then(|rest| rest.split_once(' '));
    described.ok_or_else(|| format!("`{line}` does not begin with `{mark}` and a name"))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(plain) && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
}

/// One sample: name and labels as written, and the value.
fn sample(line: &str, family: &str, kind: &str) -> Result<(String, f64), String> {
    let wrong = |what: &str| format!("`{line}`: {what}");
    let (key, value) = line.rsplit_once(' ').ok_or_else(|| wrong("there is no value"))?;
    let value: f64 = value.parse().map_err(|_| wrong("the value is no number"))?;
    if !value.is_finite() || (kind != "gauge" && value < 0.0) {
        return Err(wrong("no such value"));
    }
    let (name, labels) = match key.split_once('{') {
        None => (key, ""),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').filter(|labels| !labels.is_empty());
            (name, labels.ok_or_else(|| wrong("the labels do not end"))?)
        }
    };
    let endings: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    if !name.strip_prefix(family).is_some_and(|ending| endings.contains(&ending)) {
        return Err(wrong("it is not of the family above it"));
    }
    let mut names = BTreeSet::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').ok_or_else(|| wrong("a label has no value"))?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.ok_or_else(|| wrong("a label's value is not quoted"))?;
        if !is_name(name) || !names.insert(name) || value.contains(['"', '\\']) {
            return Err(wrong("a label is not plain, or comes twice"));
        }
    }
    Ok((key.to_owned(), value))
}

/// Whether a histogram's buckets only grow, up to the count.
fn is_whole(name: &str, family: &Family) -> Result<(), String> {
    let count = family.samples.get(&format!("{name}_count"));
    let all = family.samples.get(&format!("{name}_bucket{{le=\"+Inf\"}}"));
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (key, value) in &family.samples {
        if let Some(bound) = key.split("le=\"").nth(1).and_then(|bound| bound.split('"').next()) {
            let bound = bound.replace("+Inf", "inf").parse().map_err(|_| format!("`{key}`: no bound"))?;
            buckets.push((bound, *value));
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    let whole = count.is_some() && count == all && family.samples.contains_key(&format!("{name}_sum"));
    if grows && whole { Ok(()) } else { Err(format!("the histogram `{name}` is not whole")) }
}

#[test]
fn the_reader_refuses_pages_that_are_not_right_in_every_detail() {
    let right = "# HELP a_seen_total Seen.\n# TYPE a_seen_total counter\na_seen_total{code=\"x\"} 1\n";
    assert_eq!(read_strictly(right, Form::Text).unwrap()["a_seen_total"].samples.len(), 1);
    for (from, to) in [
        ("a_seen_total counter", "a_seen counter"),
        ("counter", "gauge"),
        ("counter", "untyped"),
        ("{code=\"x\"} 1", "{code=\"x\"} NaN"),
        ("{code=\"x\"} 1", "{code=x} 1"),
        ("{code=\"x\"} 1", "{code=\"x\" 1"),
        ("{code=\"x\"} 1\n", "{code=\"x\"} 1\n# EOF\n"),
        ("{code=\"x\"} 1\n", "{code=\"x\"} 1\na_seen_total{code=\"x\"} 1\n"),
        ("{code=\"x\"} 1\n", "{code=\"x\"} 1"),
        ("# HELP a_seen_total Seen.\n", ""),
    ] {
        let wrong = right.replace(from, to);
        assert_ne!(wrong, right);
        assert!(read_strictly(&wrong, Form::Text).is_err(), "{wrong}");
    }
    let right = "# HELP a_took_seconds Took.\n# TYPE a_took_seconds gauge\n# UNIT a_took_seconds seconds\n\
                 a_took_seconds 1\n# EOF\n";
    assert_eq!(read_strictly(right, Form::OpenMetrics).unwrap()["a_took_seconds"].kind, "gauge");
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF"),
        ("# UNIT a_took_seconds seconds\n", ""),
        ("_seconds seconds", "_seconds bytes"),
        ("a_took_seconds 1\n", "a_took 1\n"),
    ] {
        assert!(read_strictly(&right.replace(from, to), Form::OpenMetrics).is_err(), "{from} as {to}");
    }
}
