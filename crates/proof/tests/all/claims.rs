//! Claims, kind by kind.

use assent_proof::*;

use crate::make::{key, refused};

fn public(seed: u8) -> String {
    key(seed).public().to_string()
}

fn id(digit: char) -> String {
    format!("blake3:{}", digit.to_string().repeat(64))
}

/// One complete example for each kind.
pub fn examples() -> Vec<(EvidenceKind, String)> {
    let (a, b) = (public(1), public(2));
    vec![
        (EvidenceKind::ExecutionAuthorization, r#"{"actions":["deploy","run job"],"audience":["edge"],"environment":"prod","notBefore":"2026-01-01T00:00:00Z","notAfter":"2027-01-01T00:00:00Z","uses":3,"runtimes":["host-1","host-2"]}"#.into()),
        (EvidenceKind::RuntimeAttestation, r#"{"verifier":"v","status":"affirming","measurement":"sha384:00"}"#.into()),
        (EvidenceKind::PolicyValidation, r#"{"policyDigest":"sha256:00","verdict":"pass"}"#.into()),
        (EvidenceKind::RuntimeIntegrity, r#"{"measured":"sha384:00"}"#.into()),
        (EvidenceKind::AuditLineage, r#"{"event":"completed","detail":"exit 0"}"#.into()),
        (EvidenceKind::Root, format!(r#"{{"keys":["{a}","{b}"],"threshold":2,"registryKey":"{a}"}}"#)),
        (EvidenceKind::Domain, format!(r#"{{"domain":"prod.eu","governance":["{a}","{b}"],"threshold":1}}"#)),
        (EvidenceKind::AuthorityGrant, format!(r#"{{"authority":"{a}","name":"tpm verifier","role":"attestation","notBefore":"2026-01-01T00:00:00Z","notAfter":"2027-01-01T00:00:00Z"}}"#)),
        (EvidenceKind::Policy, r#"{"require":[{"kind":"runtime-attestation","of":"runtime","minIssuers":2,"maxAgeSeconds":300}],"attestationStatus":["affirming","warning"],"measurements":[],"policyDigests":["sha256:00"],"decisionTtlSeconds":60,"permitAlways":true}"#.into()),
        (EvidenceKind::Revocation, format!(r#"{{"authority":"{a}","reason":"keyCompromise","invalidSince":"2026-01-01T00:00:00Z"}}"#)),
        (EvidenceKind::Containment, r#"{"action":"quarantine","target":"exec-1"}"#.into()),
        (EvidenceKind::Release, format!(r#"{{"containment":"{}"}}"#, id('1'))),
        (EvidenceKind::SovereignTrust, format!(r#"{{"peer":"registry.example/us-1","registryKey":"{a}","nodeKeys":["{a}","{b}"],"notAfter":"2027-01-01T00:00:00Z"}}"#)),
        (EvidenceKind::SynchronizationContinuity, format!(r#"{{"checkpoint":"a note","consistency":["{}"]}}"#, encode_base64(&[5; 32]))),
        (EvidenceKind::Permit, format!(r#"{{"request":{{"domain":"prod.eu","lineage":"exec-1","action":"run","subject":{{"digest":{{"sha256":"{}"}}}},"nonce":"n-1"}}}}"#, "0".repeat(64))),
        (EvidenceKind::Reconciliation, format!(r#"{{"conflict":["{}","{}"],"canonical":"{}"}}"#, id('1'), id('2'), id('2'))),
        (EvidenceKind::Rules, r#"{"version":2}"#.into()),
        (EvidenceKind::Recovery, format!(r#"{{"epoch":2,"voters":["{a}","{b}"]}}"#)),
    ]
}

fn read(kind: EvidenceKind, text: &str) -> Result<Claims, Refusal> {
    Claims::parse(Rules::NEWEST, kind, &json::parse(text.as_bytes()).unwrap())
}

fn example(kind: EvidenceKind) -> String {
    examples().into_iter().find(|(k, _)| *k == kind).unwrap().1
}

/// Reads the example of `kind` with one piece replaced, which must be there.
#[track_caller]
fn with(kind: EvidenceKind, from: &str, to: &str) -> Result<Claims, Refusal> {
    let text = example(kind);
    assert!(text.contains(from), "`{from}` is not in {text}");
    read(kind, &text.replacen(from, to, 1))
}

#[test]
fn claims_read_back_as_they_were_written() {
    for (kind, text) in examples() {
        let claims = read(kind, &text).unwrap();
        assert_eq!(claims.kind(), kind);
        assert_eq!(claims.to_json().to_text(), text);
    }
}

#[test]
fn every_kind_has_an_example() {
    for kind in EvidenceKind::ALL {
        assert_eq!(examples().iter().filter(|(k, _)| k == kind).count(), 1, "{kind}");
    }
}

#[test]
fn unknown_fields_missing_fields_and_wrong_types_are_refused_in_every_kind() {
    for (kind, text) in examples() {
        let extra = text.replacen('{', r#"{"note":1,"#, 1);
        refused(read(kind, &extra), Code::ClaimsInvalid, "predicate.claims.note");
        refused(read(kind, "[]"), Code::ClaimsInvalid, "predicate.claims");
        assert_eq!(read(kind, "{}").unwrap_err().code, Code::ClaimsInvalid);
        let Json::Object(fields) = json::parse(text.as_bytes()).unwrap() else { panic!("an object") };
        for (name, _) in &fields {
            let wrong = |(key, value): &(String, Json)| {
                let other = match value {
                    Json::Object(_) => Json::Bool(true),
                    _ => Json::Object(vec![]),
                };
                let value = if key == name { other } else { value.clone() };
                (key.clone(), value)
            };
            let wrong = Json::Object(fields.iter().map(wrong).collect());
            refused(
                Claims::parse(Rules::NEWEST, kind, &wrong),
                Code::ClaimsInvalid,
                &format!("predicate.claims.{name}"),
            );
        }
    }
}

#[test]
fn optional_claims_may_be_null_or_absent_and_lists_may_be_empty() {
    let bare = r#"{"actions":[],"notBefore":"2026-01-01T00:00:00Z","notAfter":"2026-01-01T00:00:01Z"}"#;
    let nulls = bare.replace(
        r#""actions":[],"#,
        r#""actions":[],"audience":null,"environment":null,"uses":null,"runtimes":null,"#,
    );
    let kind = EvidenceKind::ExecutionAuthorization;
    assert_eq!(read(kind, bare).unwrap(), read(kind, &nulls).unwrap());
    let policy = r#"{"require":[{"kind":"audit-lineage","maxAgeSeconds":null}],"decisionTtlSeconds":1}"#;
    let Claims::Policy(policy) = read(EvidenceKind::Policy, policy).unwrap() else { panic!("a policy") };
    assert_eq!(
        policy.require,
        [Requirement {
            kind: EvidenceKind::AuditLineage,
            of: Of::Execution,
            min_issuers: 1,
            max_age_seconds: None
        }]
    );
    assert_eq!((policy.attestation_status, policy.measurements, policy.permit_always), (None, None, false));
    let Claims::Policy(policy) = with(EvidenceKind::Policy, r#"["affirming","warning"]"#, "[]").unwrap()
    else {
        panic!("a policy")
    };
    assert_eq!((policy.attestation_status, policy.measurements), (Some(vec![]), Some(vec![])));
}

/// A policy that requires one kind, and the text of its claims.
fn policy_for(kind: &str, lists: &str) -> Result<Claims, Refusal> {
    let require = format!(r#"[{{"kind":"{kind}","of":"execution","minIssuers":1,"maxAgeSeconds":null}}]"#);
    read(EvidenceKind::Policy, &format!(r#"{{"require":{require},{lists}"decisionTtlSeconds":10}}"#))
}

/// Rule R97.
#[test]
fn a_required_kind_must_state_how_old_it_may_be() {
    let kind = EvidenceKind::Policy;
    let absent = with(kind, r#","maxAgeSeconds":300"#, "");
    refused(absent.clone(), Code::ClaimsInvalid, "predicate.claims.require[0].maxAgeSeconds");
    assert!(absent.unwrap_err().detail.contains("`null` for any age"));
    let Claims::Policy(policy) = with(kind, "300", "null").unwrap() else { panic!("a policy") };
    assert_eq!(policy.require[0].max_age_seconds, None);
}

/// Rule R97.
#[test]
fn a_required_kind_must_state_each_list_that_judges_it() {
    let judged: [(&str, &[&str]); 7] = [
        ("runtime-attestation", &["attestationStatus", "measurements"]),
        ("runtime-integrity", &["measurements"]),
        ("policy-validation", &["policyDigests"]),
        ("audit-lineage", &[]),
        ("execution-authorization", &[]),
        ("sovereign-trust", &[]),
        ("synchronization-continuity", &[]),
    ];
    for (kind, lists) in judged {
        let stated = |left_out: &str| -> String {
            let stated = lists.iter().filter(|list| **list != left_out);
            stated.map(|list| format!("\"{list}\":null,")).collect()
        };
        let claims = policy_for(kind, &stated("")).unwrap();
        assert_eq!(read(EvidenceKind::Policy, &claims.to_json().to_text()).unwrap(), claims, "{kind}");
        for list in lists {
            let absent = policy_for(kind, &stated(list));
            refused(absent.clone(), Code::ClaimsInvalid, &format!("predicate.claims.{list}"));
            let detail = absent.unwrap_err().detail;
            assert!(detail.contains("`null` approves any") && detail.contains(kind), "{detail}");
        }
    }
}

#[test]
fn an_absent_limit_is_written_as_null_where_it_must_be_stated_and_omitted_elsewhere() {
    let lists = r#""measurements":null,"attestationStatus":null,"#;
    let claims = policy_for("runtime-attestation", lists).unwrap();
    let written = concat!(
        r#"{"require":[{"kind":"runtime-attestation","of":"execution","minIssuers":1,"maxAgeSeconds":null}],"#,
        r#""attestationStatus":null,"measurements":null,"decisionTtlSeconds":10}"#
    );
    assert_eq!(claims.to_json().to_text(), written);
    let nothing = r#"{"require":[],"decisionTtlSeconds":10}"#;
    assert_eq!(read(EvidenceKind::Policy, nothing).unwrap().to_json().to_text(), nothing);
}

/// Rule R19.
#[test]
fn a_policy_says_in_words_what_it_does_not_check() {
    let words = |claims: Claims| -> Vec<String> {
        let Claims::Policy(policy) = claims else { panic!("a policy") };
        policy.unchecked().iter().map(ToString::to_string).collect()
    };
    let any_status = "any attestation status is accepted, `contraindicated` too";
    let any_measurement = "any measurement is accepted";
    let no_runtime = "the policy requires nothing of the runtime";
    let strict = words(read(EvidenceKind::Policy, &example(EvidenceKind::Policy)).unwrap());
    let no_validation = "no `policy-validation` is required, so that `policyDigests` is not looked at";
    assert_eq!(strict, [no_validation]);
    assert_eq!(
        words(with(EvidenceKind::Policy, "300", "null").unwrap()),
        [no_validation, "`runtime-attestation` of the runtime counts at any age"]
    );
    assert_eq!(
        words(read(EvidenceKind::Policy, r#"{"require":[],"decisionTtlSeconds":10}"#).unwrap()),
        [
            "no kind of evidence is required besides the `execution-authorization`",
            no_runtime,
            any_status,
            any_measurement
        ]
    );
    let validated = policy_for("policy-validation", r#""policyDigests":null,"#).unwrap();
    assert_eq!(
        words(validated),
        [
            no_runtime,
            any_status,
            any_measurement,
            "a `pass` for any policy digest counts",
            "`policy-validation` of the execution counts at any age"
        ]
    );
    let twice = example(EvidenceKind::Policy)
        .replace("300", "null")
        .replace("[{", r#"[{"kind":"runtime-attestation","of":"runtime","maxAgeSeconds":null},{"#);
    let twice = words(read(EvidenceKind::Policy, &twice).unwrap());
    assert_eq!(twice, [no_validation, "`runtime-attestation` of the runtime counts at any age"], "said once");
    let lists = r#""attestationStatus":["affirming"],"measurements":["m"],"policyDigests":["d"]"#;
    let idle = format!(
        r#"{{"require":[{{"kind":"audit-lineage","of":"runtime","maxAgeSeconds":1}}],{lists},"decisionTtlSeconds":10}}"#
    );
    let idle = words(read(EvidenceKind::Policy, &idle).unwrap());
    let said = |what: &str| idle.iter().filter(|words| words.contains(what)).count();
    assert_eq!(idle.len(), 3, "lists that judge no required kind are no checks: {idle:?}");
    assert_eq!(
        (said("`policy-validation` is required"), said("no `runtime-attestation`")),
        (1, 2),
        "{idle:?}"
    );
}

#[test]
fn thresholds_of_zero_or_over_the_number_of_keys_are_refused() {
    for (kind, given, keys) in [(EvidenceKind::Root, "2", "keys"), (EvidenceKind::Domain, "1", "governance")]
    {
        let given = format!("\"threshold\":{given}");
        for threshold in ["0", "3", "-1", "4294967297", "1.0"] {
            let text = example(kind).replace(&given, &format!("\"threshold\":{threshold}"));
            if let Ok(claims) = json::parse(text.as_bytes()) {
                refused(
                    Claims::parse(Rules::NEWEST, kind, &claims),
                    Code::ClaimsInvalid,
                    "predicate.claims.threshold",
                );
            }
        }
        let twice = example(kind).replace(&public(2), &public(1));
        refused(read(kind, &twice), Code::ClaimsInvalid, &format!("predicate.claims.{keys}[1]"));
        let none = example(kind).replace(&format!("[\"{}\",\"{}\"]", public(1), public(2)), "[]");
        refused(read(kind, &none), Code::ClaimsInvalid, &format!("predicate.claims.{keys}"));
    }
}

/// Rule R79.
#[test]
fn values_outside_their_bounds_are_refused() {
    use EvidenceKind::*;
    let (long, digest) = ("x".repeat(129), "x".repeat(257));
    let list = format!("[{}]", vec!["\"a\""; 65].join(","));
    let low_order = format!("ed25519:01{}", "0".repeat(62));
    let (a, b) = (public(1), public(2));
    let both = format!(r#"["{a}","{b}"]"#);
    let six = format!("[\"{}\"]", [1, 2, 3, 4, 5, 6].map(public).join("\",\""));
    let cases: Vec<(EvidenceKind, &str, &str, &str)> = vec![
        (ExecutionAuthorization, "deploy", "*", "actions"),
        (ExecutionAuthorization, "deploy", "dep*", "actions"),
        (ExecutionAuthorization, "deploy", "", "actions[0]"),
        (ExecutionAuthorization, "deploy", "é", "actions[0]"),
        (ExecutionAuthorization, "deploy", r"a\u0000", "actions[0]"),
        (ExecutionAuthorization, "run job", &long, "actions[1]"),
        (ExecutionAuthorization, r#"["deploy","run job"]"#, &list, "actions"),
        (ExecutionAuthorization, "edge", "*", "audience"),
        (ExecutionAuthorization, r#""prod""#, r#""*""#, "environment"),
        (ExecutionAuthorization, "2027-01-01", "2026-01-01", "notAfter"),
        (ExecutionAuthorization, "2027-01-01", "2025-01-01", "notAfter"),
        (ExecutionAuthorization, ":3,", ":0,", "uses"),
        (ExecutionAuthorization, ":3,", ":4294967296,", "uses"),
        (ExecutionAuthorization, "host-2", "Host", "runtimes[1]"),
        (ExecutionAuthorization, "host-2", "_governance", "runtimes[1]"),
        (ExecutionAuthorization, r#"["host-1","host-2"]"#, &list, "runtimes"),
        (RuntimeAttestation, "affirming", "Affirming", "status"),
        (RuntimeAttestation, r#""v""#, r#""""#, "verifier"),
        (RuntimeAttestation, "sha384:00", "", "measurement"),
        (RuntimeAttestation, "sha384:00", &digest, "measurement"),
        (PolicyValidation, "pass", "maybe", "verdict"),
        (PolicyValidation, "sha256:00", "ü", "policyDigest"),
        (RuntimeIntegrity, "sha384:00", r"\n", "measured"),
        (AuditLineage, "completed", &long, "event"),
        (AuditLineage, "exit 0", r"\u001b[2J", "detail"),
        (Domain, "prod.eu", "_root", "domain"),
        (Domain, "prod.eu", "Prod", "domain"),
        (Root, &a, &low_order, "keys[0]"),
        (AuthorityGrant, "tpm verifier", &long, "name"),
        (AuthorityGrant, r#""attestation""#, r#""admin""#, "role"),
        (Policy, "runtime-attestation", "policy", "require[0].kind"),
        (Policy, "runtime-attestation", "nothing", "require[0].kind"),
        (Policy, r#""runtime""#, r#""host""#, "require[0].of"),
        (Policy, r#""minIssuers":2"#, r#""minIssuers":0"#, "require[0].minIssuers"),
        (Policy, r#""minIssuers":2"#, r#""minIssuers":33"#, "require[0].minIssuers"),
        (Policy, "300", "0", "require[0].maxAgeSeconds"),
        (Policy, "300", "300,\"x\":1", "require[0].x"),
        (Policy, r#""warning""#, r#""none","fine""#, "attestationStatus[2]"),
        (Policy, r#"["sha256:00"]"#, r#"["a",""]"#, "policyDigests[1]"),
        (Policy, r#""measurements":[]"#, r#""measurements":[1]"#, "measurements[0]"),
        (Policy, ":60,", ":61,", "decisionTtlSeconds"),
        (Policy, ":60,", ":0,", "decisionTtlSeconds"),
        (Policy, ":60,", ":null,", "decisionTtlSeconds"),
        (Policy, "true", "1", "permitAlways"),
        (Revocation, "keyCompromise", "key-compromise", "reason"),
        (Revocation, "2026-01-01T", "2026-1-1T", "invalidSince"),
        (Rules, ":2}", ":0}", "version"),
        (Rules, ":2}", ":-1}", "version"),
        (Rules, ":2}", ":4294967296}", "version"),
        (Recovery, ":2,", ":1,", "epoch"),
        (Recovery, ":2,", ":-2,", "epoch"),
        (Recovery, ":2,", ":null,", "epoch"),
        (Recovery, &b, &a, "voters[1]"),
        (Recovery, &a, &low_order, "voters[0]"),
        (Recovery, &both, "[]", "voters"),
        (Recovery, &both, &six, "voters"),
    ];
    for (kind, from, to, field) in cases {
        let result = with(kind, from, to);
        assert!(result.is_err(), "{kind}: {from} → {to}");
        refused(result, Code::ClaimsInvalid, &format!("predicate.claims.{field}"));
    }
}

#[test]
fn containments_name_a_target_of_their_action() {
    let kind = EvidenceKind::Containment;
    let action =
        |action: &str, target: &str| read(kind, &format!(r#"{{"action":"{action}","target":"{target}"}}"#));
    action("isolate", "prod.eu").unwrap();
    action("invalidate", &id('3')).unwrap();
    for (name, target) in
        [("quarantine", "_governance"), ("quarantine", "A"), ("isolate", "A"), ("invalidate", "exec-1")]
    {
        refused(action(name, target), Code::ClaimsInvalid, "predicate.claims.target");
    }
    for name in ["revoke", "Quarantine", ""] {
        refused(action(name, "exec-1"), Code::ClaimsInvalid, "predicate.claims.action");
    }
}

/// Rule R143.
#[test]
fn a_permits_request_names_its_lineage_and_a_nonce() {
    for (field, there) in [("lineage", r#""lineage":"exec-1","#), ("nonce", r#","nonce":"n-1""#)] {
        let path = format!("predicate.claims.request.{field}");
        refused(with(EvidenceKind::Permit, there, ""), Code::ClaimsInvalid, &path);
    }
}

#[test]
fn a_reconciliation_names_two_halves_and_one_of_them() {
    let kind = EvidenceKind::Reconciliation;
    let (one, two) = (id('1'), id('2'));
    refused(with(kind, &format!(r#","{two}""#), ""), Code::ClaimsInvalid, "predicate.claims.conflict");
    refused(with(kind, &one, &two), Code::ClaimsInvalid, "predicate.claims.conflict[1]");
    let stranger = format!(r#""canonical":"{}""#, id('3'));
    refused(
        with(kind, &format!(r#""canonical":"{two}""#), &stranger),
        Code::ClaimsInvalid,
        "predicate.claims.canonical",
    );
}

#[test]
fn a_recovery_names_up_to_five_voters() {
    let kind = EvidenceKind::Recovery;
    for count in 1..=5 {
        let voters: Vec<String> = (1..=count).map(|seed| format!("\"{}\"", public(seed))).collect();
        let text = format!(r#"{{"epoch":7,"voters":[{}]}}"#, voters.join(","));
        let Claims::Recovery { epoch, voters } = read(kind, &text).unwrap() else { panic!("a recovery") };
        assert_eq!((epoch, voters.len()), (7, usize::from(count)));
    }
}
