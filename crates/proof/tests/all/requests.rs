//! The authorize request's form.

use assent_proof::*;

use crate::make::refused;

fn full() -> String {
    let (subject, head) = (Sha256::of(b"trainer"), EvidenceId([3; 32]));
    let history = History::founded([5; 32]);
    format!(
        r#"{{"domain":"prod.eu","lineage":"exec-7f3a","runtime":"host-9","action":"deploy","subject":{{"digest":{{"sha256":"{subject}"}}}},"audience":"edge","environment":"prod","nonce":"n-1","expectedHead":"{head}","minRevision":17,"history":"{history}"}}"#
    )
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    let request = AuthorizeRequest::parse(full().as_bytes()).unwrap();
    assert_eq!(request.to_json().to_text(), full());
    assert_eq!(request.min_revision, Some(17));
    let bare = AuthorizeRequest {
        lineage: None,
        runtime: None,
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
        history: None,
        ..request
    };
    let text = bare.to_json().to_text();
    assert_eq!(text.matches(':').count(), 5);
    assert_eq!(AuthorizeRequest::parse(text.as_bytes()).unwrap(), bare);
}

#[test]
fn an_execution_is_not_its_own_runtime() {
    let own = full().replace("host-9", "exec-7f3a");
    refused(AuthorizeRequest::parse(own.as_bytes()), Code::Malformed, "runtime");
    // Which lineage it is, is then for the registry to find.
    let by_digest = own.replace(r#""lineage":"exec-7f3a","#, "");
    assert!(AuthorizeRequest::parse(by_digest.as_bytes()).is_ok());
}

#[test]
fn each_error_names_its_field_with_the_path_it_stands_at() {
    let long = "n".repeat(129);
    for (from, to, field) in [
        ("prod.eu", "_root", "domain"),
        ("exec-7f3a", "_governance", "lineage"),
        ("host-9", "_governance", "runtime"),
        ("host-9", "Host", "runtime"),
        ("host-9", "exec-7f3a", "runtime"),
        ("deploy", "", "action"),
        (r#""deploy""#, "null", "action"),
        (r#""sha256""#, r#""sha512":"","sha256""#, "subject.digest.sha512"),
        (r#""digest""#, r#""name":"x","digest""#, "subject.name"),
        ("edge", "é", "audience"),
        ("n-1", &long, "nonce"),
        ("blake3:", "sha256:", "expectedHead"),
        (":17", ":-1", "minRevision"),
        ("/e1", "/e0", "history"),
        (":17", r#":17,"dryRun":true"#, "dryRun"),
    ] {
        let text = full();
        assert!(text.contains(from), "{from}");
        let value = json::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
        refused(AuthorizeRequest::from_json(&value, ""), Code::Malformed, field);
        refused(
            AuthorizeRequest::from_json(&value, "requests[2]"),
            Code::Malformed,
            &format!("requests[2].{field}"),
        );
    }
    refused(AuthorizeRequest::parse(b"[]"), Code::Malformed, "");
    refused(AuthorizeRequest::parse(full().replace(":17", ":1e1").as_bytes()), Code::Malformed, "");
}
