//! The statement's form.

use assent_proof::*;

use crate::make::{altered, key, refused, statement};

fn with(from: &str, to: &str) -> Result<Statement, Refusal> {
    Statement::parse(&altered(from, to))
}

#[test]
fn a_statement_reads_back_as_it_was_written() {
    let full = statement(&[&key(1)]);
    assert_eq!(Statement::parse(&full.to_vec()).unwrap(), full);
    let bare = Statement {
        subject_name: None,
        kind: EvidenceKind::Revocation,
        sequence: None,
        parent: None,
        references: vec![],
        expires_at: None,
        lineage: LineageName::governance(),
        domain: DomainName::root(),
        claims: Json::Object(vec![]),
        ..full
    };
    assert_eq!(Statement::parse(&bare.to_vec()).unwrap(), bare);
}

#[test]
fn what_is_optional_may_be_null_or_absent() {
    let full = statement(&[&key(1)]);
    let bare = Statement { sequence: None, parent: None, references: vec![], expires_at: None, ..full };
    let text = String::from_utf8(bare.to_vec()).unwrap();
    let mut shorter = text.clone();
    for field in [r#""sequence":null,"#, r#""parent":null,"#, r#""references":[],"#, r#""expiresAt":null,"#] {
        assert!(shorter.contains(field));
        shorter = shorter.replace(field, "");
    }
    assert_eq!(Statement::parse(shorter.as_bytes()).unwrap(), bare);
    assert_eq!(Statement::parse(text.replace("[],", "null,").as_bytes()).unwrap(), bare);
}

#[test]
fn other_digests_and_fields_of_in_toto_are_ignored() {
    let statement = statement(&[&key(1)]);
    let cases = [
        (r#""digest":{"#, r#""digest":{"sha512":"00","gitCommit":"x","#),
        (r#""name":"trainer""#, r#""name":"trainer","uri":"pkg:x","annotations":{"a":[1]}"#),
        (r#""_type":"#, r#""future":true,"_type":"#),
    ];
    for (from, to) in cases {
        assert_eq!(with(from, to).unwrap(), statement);
    }
}

#[test]
fn a_number_with_a_fraction_of_zeros_is_the_same_number_in_another_statement() {
    let plain = altered("trainer", "trainer");
    let fraction = altered(r#""sequence":4"#, r#""sequence":4.00"#);
    assert_eq!(Statement::parse(&fraction).unwrap(), Statement::parse(&plain).unwrap());
    let verified = |payload: &[u8]| {
        let bytes = crate::make::envelope_around(payload.to_vec(), &key(1));
        verify(&bytes, crate::make::ORIGIN, Rules::NEWEST).unwrap()
    };
    let (one, other) = (verified(&plain), verified(&fraction));
    assert_eq!(one.statement(), other.statement());
    assert_ne!(one.id(), other.id());
    // In requests numbers are as strict as ever.
    let request =
        r#"{"domain":"d","action":"a","subject":{"digest":{"sha256":"SUBJECT"}},"minRevision":4.0}"#;
    let request = request.replace("SUBJECT", &Sha256::of(b"x").to_string());
    refused(AuthorizeRequest::parse(request.as_bytes()), Code::Malformed, "");
}

#[test]
fn names_and_details_have_nothing_that_terminals_obey() {
    for c in [
        '\u{7f}',
        '\u{9b}',
        '\u{61c}',
        '\u{200e}',
        '\u{2028}',
        '\u{202e}',
        '\u{2066}',
        '\u{feff}',
        '\u{e0041}',
    ] {
        let named = altered("trainer", &format!("tr{c}ainer"));
        let refusal = Statement::parse(&named).unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Malformed, Some("subject[0].name")));
        assert!(refusal.detail.contains(&format!("U+{:04X}", u32::from(c))), "{refusal}");
        assert!(!refusal.detail.contains(c), "{refusal:?}");
        let told = |rules: Rules| {
            let (event, detail) = (Json::text("started"), Json::text(format!("a{c}b")));
            let claims = Json::object([("event", event), ("detail", detail)]);
            Claims::parse(rules, EvidenceKind::AuditLineage, &claims)
        };
        refused(told(Rules::NEWEST), Code::ClaimsInvalid, "predicate.claims.detail");
        // What was accepted while version 1 of the rules took it is still read.
        assert_eq!(Statement::parse_stored(&named).unwrap().subject_name, Some(format!("tr{c}ainer")));
        assert!(told(Rules::NEWEST.stored()).is_ok());
    }
    for name in ["é", "日本", "नमस्ते", "שלום", "می\u{200c}خواهم", "👩\u{200d}🔬"]
    {
        assert_eq!(with("trainer", name).unwrap().subject_name.as_deref(), Some(name));
    }
}

#[test]
fn each_error_names_its_field() {
    let issuer = key(1).public().to_string();
    let twice = format!("\"{issuer}\",\"{issuer}\"");
    let two = format!("\"{issuer}\",\"{}\"", key(2).public());
    let (subject, parent) = (Sha256::of(b"trainer").to_string(), EvidenceId([7; 32]).to_string());
    let (first, second) = (EvidenceId([8; 32]).to_string(), EvidenceId([9; 32]).to_string());
    let quoted = format!("\"{issuer}\"");
    let long = "a".repeat(129);
    let cases: Vec<(&str, &str, &str)> = vec![
        ("Statement/v1", "Statement/v0.1", "_type"),
        (r#""subject":[{"#, r#""subject":[{},{"#, "subject"),
        (r#""name":"trainer""#, r#""name":7"#, "subject[0].name"),
        ("trainer", r"\u001b[2J", "subject[0].name"),
        (r#""sha256""#, r#""sha512""#, "subject[0].digest.sha256"),
        (&subject, "00", "subject[0].digest.sha256"),
        ("06ea", "06EA", "subject[0].digest.sha256"),
        ("urn:egpep:v1:", "urn:egpep:v2:", "predicateType"),
        ("runtime-attestation", "Runtime-Attestation", "predicateType"),
        ("registry.example/eu-1", "", "predicate.registry"),
        ("registry.example/eu-1", r"a\u0000b", "predicate.registry"),
        ("registry.example/eu-1", "é", "predicate.registry"),
        ("prod.eu", "Prod.eu", "predicate.domain"),
        ("prod.eu", "_governance", "predicate.domain"),
        ("prod.eu", "_other", "predicate.domain"),
        ("exec-7f3a", "_root", "predicate.lineage"),
        ("exec-7f3a", "", "predicate.lineage"),
        ("exec-7f3a", &long, "predicate.lineage"),
        (&quoted, "", "predicate.issuers"),
        (&quoted, &two, "predicate.issuers"),
        (&issuer, "ed25519:00", "predicate.issuers[0]"),
        (&quoted, "1", "predicate.issuers[0]"),
        (r#""sequence":4"#, r#""sequence":-4"#, "predicate.sequence"),
        (&parent, "blake3:0", "predicate.parent"),
        (&parent[..7], "BLAKE3:", "predicate.parent"),
        (&second, &first, "predicate.references[1]"),
        (&second, "x", "predicate.references[1]"),
        ("2026-11-22T19:00:00Z", "2026-11-22T19:00:00+00:00", "predicate.issuedAt"),
        ("2026-11-22T20:00:00Z", "2026-02-29T20:00:00Z", "predicate.expiresAt"),
        (r#","claims":{"#, r#","extra":1,"claims":{"#, "predicate.extra"),
    ];
    for (from, to, field) in cases {
        let result = with(from, to);
        assert!(result.is_err(), "{from} → {to}");
        refused(result, Code::Malformed, field);
    }
    // Twice the same key, where several are allowed.
    let policy = String::from_utf8(altered("runtime-attestation", "policy")).unwrap();
    let policy = policy.replace(&quoted, &twice);
    refused(Statement::parse(policy.as_bytes()), Code::Malformed, "predicate.issuers[1]");
}

#[test]
fn issuers_and_references_are_bounded() {
    let keys: Vec<SigningKey> = (1..=33).map(key).collect();
    let all: Vec<&SigningKey> = keys.iter().collect();
    Statement::parse(&statement(&all[..32]).to_vec()).unwrap();
    refused(Statement::parse(&statement(&all).to_vec()), Code::Malformed, "predicate.issuers");
    let mut many = statement(&all[..1]);
    many.references = (0..64).map(|i| EvidenceId([i; 32])).collect();
    Statement::parse(&many.to_vec()).unwrap();
    many.references.push(EvidenceId([64; 32]));
    refused(Statement::parse(&many.to_vec()), Code::Malformed, "predicate.references");
}

/// Rules R81, R89.
#[test]
fn execution_evidence_has_exactly_one_issuer_and_governance_may_have_more() {
    let keys = [key(1), key(2)];
    for kind in EvidenceKind::ALL {
        let statement = Statement { kind: *kind, ..statement(&[&keys[0], &keys[1]]) };
        let read = Statement::parse(&statement.to_vec());
        if kind.is_execution() {
            refused(read, Code::Malformed, "predicate.issuers");
        } else {
            assert_eq!(read.unwrap(), statement);
        }
    }
}

#[test]
fn kinds_and_roles_read_back_and_nothing_else_does() {
    assert_eq!(EvidenceKind::ALL.len(), 18);
    assert_eq!(EvidenceKind::ALL.iter().filter(|kind| kind.is_execution()).count(), 7);
    assert_eq!(EvidenceKind::ALL.iter().filter(|kind| kind.is_restriction()).count(), 2);
    let governs = EvidenceKind::ALL.iter().filter(|kind| kind.is_governance());
    assert_eq!(governs.count(), 7, "root, recovery, domain, grant, policy, reconciliation and release");
    for kind in EvidenceKind::ALL {
        assert_eq!(EvidenceKind::from_predicate_type(&kind.predicate_type()), Some(*kind));
        assert_eq!(EvidenceKind::from_predicate_type(kind.as_str()), None);
    }
    let slotless: Vec<_> = EvidenceKind::ALL.iter().filter(|kind| !kind.takes_slot()).collect();
    let expected =
        [EvidenceKind::Permit, EvidenceKind::Rules, EvidenceKind::Revocation, EvidenceKind::Containment];
    assert_eq!(slotless, expected.iter().collect::<Vec<_>>());
    assert_eq!(EvidenceKind::RuntimeAttestation.predicate_type(), "urn:egpep:v1:runtime-attestation");
    assert_eq!(Role::ALL.len(), 8);
    assert!(Role::ALL.iter().all(|role| role.as_str().parse::<Role>().unwrap() == *role));
    assert!("Audit".parse::<Role>().is_err());
}
