//! An entry as one line of JSON.

use std::time::Duration;

use assent_proof::Millis;
use assent_proof::json::Json;

use super::entry::{Entry, Facts, Party};
use crate::access::ShownIdentity;

/// Which of the lines of a call this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The call was permitted and begins. Only a call of class `admin` has this line.
    Asked,
    /// The call is over.
    Answered,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Asked => "asked",
            Phase::Answered => "answered",
        }
    }
}

fn int(value: impl TryInto<i64>) -> Json {
    Json::Int(value.try_into().unwrap_or(i64::MAX))
}

/// The time to the millisecond, as RFC 3339 has it.
fn time(now: Millis) -> String {
    let seconds = now.to_seconds().to_string();
    match seconds.strip_suffix('Z') {
        Some(seconds) => format!("{seconds}.{:03}Z", now.0.rem_euclid(1000)),
        None => seconds,
    }
}

fn who(party: &Party) -> Json {
    let mut fields = Vec::new();
    if let Some(name) = &party.name {
        fields.push(("name", Json::text(name.as_ref())));
    }
    fields.push(("by", Json::text(party.by.as_ref())));
    if let Some(why) = party.why {
        fields.push(("why", Json::text(why)));
    }
    match &party.shown {
        Some(ShownIdentity::Certificate(id)) => fields.push(("certificate", Json::text(id.as_ref()))),
        Some(ShownIdentity::Unverified(name)) => fields.push(("unverified", Json::text(name.as_ref()))),
        None => {}
    }
    Json::object(fields)
}

fn what(entry: &Entry, facts: &Facts) -> Json {
    let mut fields = vec![("method", Json::text(entry.method)), ("route", Json::text(entry.route))];
    let texts = [
        ("path", facts.path.clone()),
        ("domain", facts.domain.as_ref().map(ToString::to_string)),
        ("lineage", facts.lineage.as_ref().map(ToString::to_string)),
        ("evidence", facts.evidence.as_ref().map(ToString::to_string)),
    ];
    fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name, Json::text(text?)))));
    let numbers = [
        ("member", facts.member.map(int)),
        ("count", facts.count.map(int)),
        ("granted", facts.granted.map(int)),
    ];
    fields.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, number?))));
    Json::object(fields)
}

fn ended(json: &Json) -> Vec<u8> {
    let mut bytes = json.to_vec();
    bytes.push(b'\n');
    bytes
}

/// The line of an entry, with its end.
pub(super) fn line(now: Millis, node: u64, phase: Phase, entry: &Entry, latency: Duration) -> Vec<u8> {
    let facts = &entry.facts;
    let mut fields = vec![
        ("time", Json::text(time(now))),
        ("node", int(node)),
        ("request", Json::text(entry.request.as_ref())),
        ("class", Json::text(entry.class.as_str())),
        ("phase", Json::text(phase.as_str())),
        ("who", who(&entry.who)),
    ];
    if let Some(from) = &entry.from {
        fields.push(("from", Json::text(from.as_ref())));
    }
    fields.push(("what", what(entry, facts)));
    if let Some(decision) = facts.decision {
        fields.push(("decision", Json::text(decision)));
    }
    if let Some(why) = facts.refused {
        fields.push(("reason", Json::text(why.as_str())));
    }
    if let Some(status) = facts.status {
        fields.push(("status", int(status)));
    }
    if !facts.codes.is_empty() {
        fields.push(("codes", Json::texts(facts.codes.iter())));
    }
    if let Some(revision) = facts.revision {
        fields.push(("revision", int(revision)));
    }
    if phase == Phase::Answered {
        fields.push(("latencyMs", int(latency.as_millis())));
    }
    if let Some(node) = entry.forwarded_from {
        fields.push(("forwardedFrom", int(node)));
    }
    if let Some(node) = entry.forwarded_to {
        fields.push(("forwardedTo", int(node)));
    }
    ended(&Json::object(fields))
}

/// The line that says how many entries before it are missing. It is in no class, so that it cannot be turned off.
pub(super) fn lost_line(now: Millis, node: u64, lost: u64) -> Vec<u8> {
    ended(&Json::object([
        ("time", Json::text(time(now))),
        ("node", int(node)),
        ("class", Json::text("lost")),
        ("lost", int(lost)),
    ]))
}

#[cfg(test)]
mod tests {
    use assent_proof::Code;

    use super::super::class::AuditClass;
    use super::*;
    use crate::access::RefusedCaller;

    /// Fails if a field is left out, is renamed, or takes another place.
    #[test]
    fn a_line_has_its_documented_fields_in_their_order() {
        let mut facts = Facts {
            domain: Some("prod.eu".parse().unwrap()),
            count: Some(2),
            granted: Some(1),
            decision: Some("deny"),
            refused: Some(RefusedCaller::Role),
            status: Some(403),
            revision: Some(7),
            ..Facts::default()
        };
        facts.code(Code::CallerNotPermitted);
        facts.code(Code::CallerNotPermitted);
        let entry = Entry {
            class: AuditClass::Decision,
            request: "1-a-2".into(),
            who: Party::said("sched", "token"),
            from: Some("127.0.0.1:9".into()),
            method: "POST",
            route: "/v1/authorize",
            forwarded_from: Some(2),
            forwarded_to: None,
            facts,
        };
        let written = line(Millis(0), 1, Phase::Answered, &entry, Duration::from_millis(3));
        assert_eq!(
            String::from_utf8(written).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","node":1,"request":"1-a-2","class":"decision","phase":"answered","#,
                r#""who":{"name":"sched","by":"token"},"from":"127.0.0.1:9","#,
                r#""what":{"method":"POST","route":"/v1/authorize","domain":"prod.eu","count":2,"granted":1},"#,
                r#""decision":"deny","reason":"role","status":403,"codes":["caller_not_permitted"],"revision":7,"latencyMs":3,"#,
                r#""forwardedFrom":2}"#,
                "\n"
            )
        );
        let lost = String::from_utf8(lost_line(Millis(0), 1, 9)).unwrap();
        assert_eq!(
            lost,
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"node\":1,\"class\":\"lost\",\"lost\":9}\n"
        );
    }
}
