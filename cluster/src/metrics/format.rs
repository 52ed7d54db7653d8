//! The two formats of the page: Prometheus' text format 0.0.4, which every scraper reads, and OpenMetrics 1.0, for a
//! scraper that prefers it.
//!
//! The library writes OpenMetrics. The text format is made from it line by line. The two differ in the names in the
//! lines before the values of a counter or an info, and in the lines that only OpenMetrics has.

/// One format of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/plain; version=0.0.4`.
    Text,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// The largest weight of a media range, in thousandths (RFC 9110 §12.4.2).
const WHOLE: u16 = 1_000;

impl Format {
    /// The format that the values of `Accept` ask for: OpenMetrics if it has more weight than the text format,
    /// otherwise the text format. A scraper that accepts neither gets the text format, which is more useful to it
    /// than no page.
    pub(crate) fn preferred(accept: &[&str]) -> Self {
        if weight(accept, Format::OpenMetrics) > weight(accept, Format::Text) {
            Format::OpenMetrics
        } else {
            Format::Text
        }
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// This format of a page that the library wrote.
    pub(super) fn of(self, openmetrics: String) -> String {
        match self {
            Format::Text => text(&openmetrics),
            Format::OpenMetrics => openmetrics,
        }
    }

    /// Type, subtype and version.
    fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Format::Text => ("text", "plain", "0.0.4"),
            Format::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }
}

/// The weight of a format: that of the most specific range that contains it, or 0. Without any range, all formats
/// have the same weight.
fn weight(accept: &[&str], format: Format) -> u16 {
    let ranges = accept.iter().flat_map(|value| value.split(',')).filter_map(|range| takes(range, format));
    ranges.max().map_or(0, |(_, weight)| weight)
}

/// How specific a media range is, and its weight, if it contains this format. A range that cannot be read contains
/// nothing.
fn takes(range: &str, format: Format) -> Option<(u8, u16)> {
    let (kind, subtype, version) = format.media_type();
    let mut parts = range.split(';').map(str::trim);
    let (asked_kind, asked_subtype) = parts.next()?.split_once('/')?;
    let mut specific = match (asked_kind, asked_subtype) {
        ("*", "*") => 0,
        (asked, "*") if asked.eq_ignore_ascii_case(kind) => 1,
        (asked, sub) if asked.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 2,
        _ => return None,
    };
    let mut weight = WHOLE;
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("q") {
            weight = thousandths(value)?;
        } else if name.trim().eq_ignore_ascii_case("version") {
            if value != version {
                return None;
            }
            specific = 3;
        }
    }
    Some((specific, weight))
}

/// A weight such as `0.75`: at most three digits after the point, and at most 1.
fn thousandths(value: &str) -> Option<u16> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(WHOLE),
        _ => None,
    }
}

/// The text format of an OpenMetrics page without exemplars and timestamps. OpenMetrics names a family without the
/// ending of its values, and the text format names it with that ending. The text format does not know the type of an
/// info.
fn text(openmetrics: &str) -> String {
    let mut page = String::with_capacity(openmetrics.len());
    // The library writes a family's help, its type, its unit, and then its values.
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take().filter(|(helped, _)| *helped == name) {
                page.push_str(&format!("# HELP {name}{ending} {help}\n"));
            }
            page.push_str(&format!("# TYPE {name}{ending} {kind}\n"));
        } else if !line.starts_with('#') {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accept: &[&str]) -> Format {
        Format::preferred(accept)
    }

    #[test]
    fn what_prometheus_sends_gets_openmetrics() {
        for accept in [
            // 2.42 and 3.0.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0",
            "APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"",
            "application/openmetrics-text",
        ] {
            assert_eq!(preferred(&[accept]), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everything_else_gets_the_text_format() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/*;q=0.1",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            // Versions that there is no page of.
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            // What cannot be read.
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;q=1.5",
            "application/openmetrics-text;q=0.0001",
            "openmetrics",
            ";;,,",
        ] {
            assert_eq!(preferred(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(preferred(&[]), Format::Text);
    }

    #[test]
    fn the_weights_decide_and_the_most_specific_range_has_the_say() {
        let om = "application/openmetrics-text;version=1.0.0";
        assert_eq!(preferred(&[&format!("{om};q=0.5,text/plain;q=0.4")]), Format::OpenMetrics);
        assert_eq!(preferred(&[&format!("{om};q=0.4,text/plain;q=0.5")]), Format::Text);
        assert_eq!(preferred(&[&format!("{om};q=0.5,text/plain;q=0.5")]), Format::Text);
        assert_eq!(preferred(&[&format!("{om};q=0.12,text/plain;q=0.119")]), Format::OpenMetrics);
        assert_eq!(preferred(&[&format!("{om};q=0,*/*")]), Format::Text);
        assert_eq!(preferred(&["text/plain;q=0,*/*"]), Format::OpenMetrics);
        assert_eq!(preferred(&["application/*,text/*;q=0.5"]), Format::OpenMetrics);
        assert_eq!(preferred(&["application/*", "text/*;q=0.5"]), Format::OpenMetrics);
        assert_eq!(preferred(&["application/*;q=0.1", om, "text/plain;q=0.5"]), Format::OpenMetrics);
    }

    #[test]
    fn the_text_format_names_counters_as_their_values_are_named_and_has_nothing_of_openmetrics() {
        let openmetrics = "# HELP a_seen Seen.\n# TYPE a_seen counter\na_seen_total{code=\"allow\"} 1\n\
                           # HELP a_took_seconds Took.\n# TYPE a_took_seconds histogram\n# UNIT a_took_seconds seconds\n\
                           a_took_seconds_sum 0.5\na_took_seconds_count 1\na_took_seconds_bucket{le=\"+Inf\"} 1\n\
                           # HELP a_build Build.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                           # HELP a_now Now.\n# TYPE a_now gauge\na_now 3\n# EOF\n";
        let text = "# HELP a_seen_total Seen.\n# TYPE a_seen_total counter\na_seen_total{code=\"allow\"} 1\n\
                    # HELP a_took_seconds Took.\n# TYPE a_took_seconds histogram\n\
                    a_took_seconds_sum 0.5\na_took_seconds_count 1\na_took_seconds_bucket{le=\"+Inf\"} 1\n\
                    # HELP a_build_info Build.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                    # HELP a_now Now.\n# TYPE a_now gauge\na_now 3\n";
        assert_eq!(Format::Text.of(openmetrics.to_owned()), text);
        assert_eq!(Format::OpenMetrics.of(openmetrics.to_owned()), openmetrics);
    }
}
