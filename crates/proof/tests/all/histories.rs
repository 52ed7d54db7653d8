//! Histories and cursors: one spelling each, and requests that point into a ledger name the history that they mean.

use assent_proof::*;

use crate::make::refused;

fn digest() -> String {
    "ab".repeat(32)
}

fn history(epoch: u64) -> History {
    History::new([0xab; 32], epoch).unwrap()
}

#[test]
fn a_history_and_a_cursor_read_back_as_they_are_written() {
    for epoch in [1, 2, 10, EPOCH_MAX] {
        let text = format!("blake3:{}/e{epoch}", digest());
        assert_eq!(history(epoch).to_string(), text);
        assert_eq!(text.parse::<History>().unwrap(), history(epoch));
        for revision in [0, 1, 17, u64::MAX] {
            let cursor = Cursor { history: history(epoch), revision };
            assert_eq!(cursor.to_string(), format!("{text}:{revision}"));
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
    }
    assert_eq!(History::founded([0xab; 32]), history(1));
    assert_eq!((history(7).epoch(), history(7).cluster()), (7, &[0xab; 32]));
}

#[test]
fn a_history_has_one_spelling_and_an_epoch_that_every_reader_of_json_has_exactly() {
    assert_eq!(History::new([0; 32], 0), None);
    assert_eq!(History::new([0; 32], EPOCH_MAX + 1), None);
    let digest = digest();
    for wrong in [
        String::new(),
        digest.clone(),
        format!("blake3:{digest}"),
        format!("blake3:{digest}/e"),
        format!("blake3:{digest}/e0"),
        format!("blake3:{digest}/e01"),
        format!("blake3:{digest}/e+1"),
        format!("blake3:{digest}/e-1"),
        format!("blake3:{digest}/e1 "),
        format!("blake3:{digest}/E1"),
        format!("blake3:{digest}/1"),
        format!("blake3:{digest}/e9007199254740992"),
        format!("blake3:{digest}/e99999999999999999999"),
        format!("BLAKE3:{digest}/e1"),
        format!("blake3:{}/e1", digest.to_uppercase()),
        format!("blake3:{}/e1", &digest[1..]),
        format!("sha256:{digest}/e1"),
    ] {
        assert!(wrong.parse::<History>().is_err(), "{wrong}");
        assert!(format!("{wrong}:1").parse::<Cursor>().is_err(), "{wrong}");
    }
    for wrong in ["", ":", "1", ":01", ":-1", ":+1", ":1.0", ":18446744073709551616", ":1:2"] {
        assert!(format!("blake3:{digest}/e1{wrong}").parse::<Cursor>().is_err(), "{wrong}");
    }
}

#[test]
fn a_history_is_its_text_wherever_it_is_stored_or_sent() {
    let history = history(3);
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(json, format!("\"blake3:{}/e3\"", digest()));
    assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
    assert!(serde_json::from_str::<History>("\"blake3:00/e1\"").is_err());
    let bytes = rmp_serde::to_vec(&history).unwrap();
    assert_eq!(bytes, rmp_serde::to_vec(&history.to_string()).unwrap());
    assert_eq!(rmp_serde::from_slice::<History>(&bytes).unwrap(), history);
    let cursor = Cursor { history, revision: 9 };
    assert_eq!(serde_json::from_str::<Cursor>(&serde_json::to_string(&cursor).unwrap()).unwrap(), cursor);
}

fn request(fields: &str) -> Vec<u8> {
    let subject = Sha256::of(b"trainer");
    format!(
        r#"{{"domain":"prod.eu","action":"run","subject":{{"digest":{{"sha256":"{subject}"}}}}{fields}}}"#
    )
    .into_bytes()
}

#[test]
fn a_request_that_points_into_a_ledger_names_its_history_and_one_may_name_it_alone() {
    let head = EvidenceId([3; 32]);
    let named = format!(r#","history":"{}""#, history(2));
    for fields in [r#","minRevision":17"#.to_owned(), format!(r#","expectedHead":"{head}""#)] {
        refused(AuthorizeRequest::parse(&request(&fields)), Code::Malformed, "history");
        let with = AuthorizeRequest::parse(&request(&format!("{fields}{named}"))).unwrap();
        assert_eq!(with.history, Some(history(2)));
        let null = format!(r#"{fields},"history":null"#);
        refused(AuthorizeRequest::parse(&request(&null)), Code::Malformed, "history");
    }
    let alone = AuthorizeRequest::parse(&request(&named)).unwrap();
    assert_eq!((alone.history, alone.min_revision, alone.expected_head), (Some(history(2)), None, None));
    let wrong = named.replace("/e2", "/e0");
    refused(AuthorizeRequest::parse(&request(&wrong)), Code::Malformed, "history");
}

#[test]
fn a_request_is_not_answered_before_what_its_caller_has_written() {
    let bare = AuthorizeRequest::parse(&request("")).unwrap();
    let asked = bare.clone().not_before(Cursor { history: history(2), revision: 17 });
    assert_eq!((asked.history, asked.min_revision), (Some(history(2)), Some(17)));
    assert_eq!(AuthorizeRequest::parse(&asked.to_json().to_vec()).unwrap(), asked);
}

#[test]
fn a_request_without_a_history_is_written_and_stored_as_before_there_were_any() {
    let bare = AuthorizeRequest::parse(&request("")).unwrap();
    assert_eq!(bare.to_json().to_vec(), request(""));
    let stored = rmp_serde::to_vec(&bare).unwrap();
    assert_eq!(stored[0], 0x9a, "ten fields by position");
    assert_eq!(rmp_serde::from_slice::<AuthorizeRequest>(&stored).unwrap(), bare);
    let named = AuthorizeRequest { history: Some(history(1)), ..bare };
    let stored = rmp_serde::to_vec(&named).unwrap();
    assert_eq!(stored[0], 0x9b, "eleven fields by position");
    assert_eq!(rmp_serde::from_slice::<AuthorizeRequest>(&stored).unwrap(), named);
}
