//! Signed notes and verifier keys: their exact form, and which signatures count.

use assent_proof::note::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, MAX_NOTE_TEXT_BYTES, is_key_name};
use assent_proof::*;
use proptest::prelude::*;

use crate::keys::LOW_ORDER;
use crate::make::{code_of, key};

/// The example in the documentation of Go's `golang.org/x/mod/sumdb/note`.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// The example in the specification of signed notes: its text has an empty line.
const QUASIMODO: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

const TEXT: &str = "one line\n";

fn parse(note: &str) -> Result<Note, Refusal> {
    Note::parse(note.as_bytes())
}

/// A note over `text` with these lines.
fn note(text: &str, signatures: &[NoteSignature]) -> Note {
    Note { text: text.to_owned(), signatures: signatures.to_vec() }
}

fn signed_by(seed: u8) -> NoteSignature {
    sign_note(TEXT, "a.example", &key(seed))
}

fn note_key(seed: u8) -> NoteKey {
    NoteKey::ed25519("a.example", key(seed).public()).unwrap()
}

#[test]
fn the_note_of_gos_documentation_verifies_under_its_key_and_is_written_back() {
    let key: NoteKey = GO_KEY.parse().unwrap();
    assert_eq!(
        (key.name(), key.kind(), key.key_id()),
        ("PeterNeumann", NoteKeyKind::Ed25519, [0xc7, 0x4f, 0x20, 0xa3])
    );
    assert_eq!(key.to_string(), GO_KEY);
    let note = parse(GO_NOTE).unwrap();
    assert_eq!(key.verify(&note), Ok(true));
    assert_eq!(note.to_string(), GO_NOTE);
    assert_eq!(note.to_vec(), GO_NOTE.as_bytes());
    let other = parse(&GO_NOTE.replace("problem is", "problem was")).unwrap();
    assert_eq!(code_of(key.verify(&other)), Code::SignatureInvalid);
}

#[test]
fn a_text_ends_at_the_last_empty_line() {
    let note = parse(QUASIMODO).unwrap();
    assert!(note.text.contains("sole:\n\ned") && note.text.ends_with("sera.\n"));
    assert_eq!(note.signatures.len(), 1);
    assert_eq!(note.to_string(), QUASIMODO);
    assert_eq!(parse(&format!("a\n\n\n{}\n", signed_by(1))).unwrap().text, "a\n\n");
    assert_eq!(parse(&format!("\n\n{}\n", signed_by(1))).unwrap().text, "\n");
    // Lines that look like signatures above the last empty line are text.
    let nested = format!("{GO_NOTE}\n{}\n", signed_by(1));
    assert_eq!(parse(&nested).unwrap().text, GO_NOTE);
    assert_eq!(GO_KEY.parse::<NoteKey>().unwrap().verify(&parse(&nested).unwrap()), Ok(false));
}

#[test]
fn verifier_keys_of_other_implementations_are_read_and_written_back() {
    let keys = [
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteKeyKind::Ed25519),
        // Its base64 has a `+`.
        ("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6", NoteKeyKind::Ed25519),
        ("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", NoteKeyKind::Cosignature),
    ];
    for (text, kind) in keys {
        let key: NoteKey = text.parse().unwrap();
        assert_eq!((key.to_string().as_str(), key.kind()), (text, kind));
    }
}

#[test]
fn verifier_keys_of_any_other_form_are_refused() {
    let name_and_id = "example.com/foo+530d903a+";
    let wrong = [
        String::new(),
        "example.com/foo".into(),
        "example.com/foo+530d903a".into(),
        name_and_id.into(),
        // Unpadded length, another type, no padding where it belongs, the URL-safe alphabet, white space.
        format!("{name_and_id}AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2"),
        format!("{name_and_id}AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"),
        format!("{name_and_id}AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0="),
        "TEST+7997405c+AQcC-FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6".into(),
        format!("{name_and_id}AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n"),
        // The id of another name, type or case.
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".into(),
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".into(),
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".into(),
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".into(),
    ];
    for text in wrong {
        assert_eq!(code_of(text.parse::<NoteKey>()), Code::Malformed, "{text}");
    }
}

#[test]
fn a_key_of_low_order_is_no_verifier_key() {
    for bytes in LOW_ORDER {
        let raw = hex::decode(bytes).unwrap();
        let text = format!("a+00000000+{}", encode_base64(&[vec![1], raw].concat()));
        assert!(text.parse::<NoteKey>().unwrap_err().detail.contains("is refused"), "{text}");
    }
}

#[test]
fn names_are_those_of_the_specification_without_what_terminals_obey() {
    for name in ["a", "registry.example/eu-1", "é", "—", &"a".repeat(512)] {
        assert!(is_key_name(name), "{name}");
        assert_eq!(
            NoteKey::ed25519(name, key(1).public()).unwrap().to_string().parse::<NoteKey>().unwrap().name(),
            name
        );
    }
    for name in [
        "",
        " ",
        "a b",
        "a+b",
        "a\n",
        "a\tb",
        "a\u{a0}b",
        "a\u{2003}b",
        "a\u{85}b",
        "a\0",
        "a\u{202e}b",
        "a\u{7f}",
        "\u{feff}a",
        &"a".repeat(513),
    ] {
        assert!(!is_key_name(name), "{name:?}");
        assert_eq!(code_of(NoteKey::ed25519(name, key(1).public())), Code::Malformed);
        assert_eq!(code_of(NoteKey::cosigner(name, key(1).public())), Code::Malformed);
        let line = format!("— {name} {}", encode_base64(&[1; 68]));
        assert_eq!(code_of(NoteSignature::parse(&line)), Code::Malformed, "{name:?}");
    }
}

#[test]
fn notes_of_any_other_form_are_refused() {
    let line = signed_by(1).to_string();
    let blob = line.rsplit_once(' ').unwrap().1.to_owned();
    let wrong = [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        TEXT.into(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n\n"),
        format!("{TEXT}{line}\n"),
        format!("{TEXT}\n{line}"),
        format!("{TEXT}\n{line}\n\n"),
        format!("{TEXT}\n{line}\nrest"),
        format!("{TEXT}\n{line}\nrest\n"),
        format!("{TEXT}\r\n\r\n{line}\r\n"),
        format!("one\tline\n\n{line}\n"),
        format!("one\0line\n\n{line}\n"),
        format!("\n{line}\n"),
        format!("{TEXT}\n - a.example {blob}\n"),
        format!("{TEXT}\n—a.example {blob}\n"),
        format!("{TEXT}\n– a.example {blob}\n"),
        format!("{TEXT}\n— a.example  {blob}\n"),
        format!("{TEXT}\n— a.example {blob} \n"),
        format!("{TEXT}\n—  {blob}\n"),
        format!("{TEXT}\n— {blob}\n"),
        format!("{TEXT}\n— a.example \n"),
        format!("{TEXT}\n— a.example {}\n", blob.trim_end_matches('=')),
        format!("{TEXT}\n— a.example {}\n", blob.replace('/', "_").replace('+', "-")),
        // A key id without a signature.
        format!("{TEXT}\n— a.example {}\n", encode_base64(&[1; 4])),
        format!("{TEXT}\n— a.example {}\n", encode_base64(&[1; 3])),
        // Bits that the padding leaves unused.
        format!("{TEXT}\n— a.example AAAAAAB=\n"),
    ];
    parse(&format!("{TEXT}\n{line}\n")).unwrap();
    parse(&format!("{TEXT}\n— a.example AAAAAAA=\n")).unwrap();
    for note in wrong {
        assert_eq!(code_of(parse(&note)), Code::Malformed, "{note:?}");
    }
    let not_utf8 = [b"one \xff line\n\n", line.as_bytes(), b"\n"].concat();
    assert_eq!(code_of(Note::parse(&not_utf8)), Code::Malformed);
}

/// Rule R118.
#[test]
fn notes_at_the_bounds_are_read_and_over_them_refused() {
    let lines = |n: usize| note(TEXT, &vec![signed_by(1); n]).to_vec();
    assert_eq!(Note::parse(&lines(MAX_NOTE_SIGNATURES)).unwrap().signatures.len(), 64);
    assert_eq!(code_of(Note::parse(&lines(MAX_NOTE_SIGNATURES + 1))), Code::TooLarge);
    let text = |n: usize| note(&("a".repeat(n - 1) + "\n"), &[signed_by(1)]).to_vec();
    assert_eq!(Note::parse(&text(MAX_NOTE_TEXT_BYTES)).unwrap().text.len(), 65_536);
    assert_eq!(code_of(Note::parse(&text(MAX_NOTE_TEXT_BYTES + 1))), Code::TooLarge);
    // Before anything else is looked at.
    assert_eq!(code_of(Note::parse(&vec![0xff; MAX_NOTE_BYTES + 1])), Code::TooLarge);
    assert_eq!(code_of(Note::parse(&vec![0xff; MAX_NOTE_BYTES])), Code::Malformed);
}

#[test]
fn lines_of_unknown_keys_are_ignored() {
    let known = note_key(1);
    let mut other_id = signed_by(1);
    other_id.key_id[0] ^= 1;
    let other_name = NoteSignature { name: "b.example".into(), ..signed_by(1) };
    // The same name with another key's id, the same id under another name, and a post-quantum size.
    let large = NoteSignature { signature: vec![7; 5000], ..signed_by(3) };
    let unknown = [signed_by(2), other_id, other_name, large];
    assert_eq!(known.verify(&note(TEXT, &unknown)), Ok(false));
    let with_known = [&unknown[..], &[signed_by(1)]].concat();
    assert_eq!(known.verify(&note(TEXT, &with_known)), Ok(true));
    assert_eq!(parse(&note(TEXT, &with_known).to_string()).unwrap(), note(TEXT, &with_known));
}

#[test]
fn a_known_key_whose_signature_fails_rejects_the_note() {
    let bad = NoteSignature { signature: vec![7; 64], ..signed_by(1) };
    let short = NoteSignature { signature: vec![7; 63], ..signed_by(1) };
    let cut = NoteSignature { signature: signed_by(1).signature[..63].to_vec(), ..signed_by(1) };
    let long = NoteSignature { signature: [signed_by(1).signature, vec![0]].concat(), ..signed_by(1) };
    let of_other_text = sign_note("another\n", "a.example", &key(1));
    for line in [bad, short, cut, long, of_other_text] {
        for lines in [vec![line.clone()], vec![line.clone(), signed_by(1)], vec![signed_by(1), line.clone()]]
        {
            assert_eq!(code_of(note_key(1).verify(&note(TEXT, &lines))), Code::SignatureInvalid);
            // Another key does not care.
            let lines = [lines, vec![signed_by(2)]].concat();
            assert_eq!(note_key(2).verify(&note(TEXT, &lines)), Ok(true));
        }
    }
}

#[test]
fn a_key_whose_id_collides_rejects_the_note_and_verifies_nothing() {
    let forged = NoteSignature { key_id: note_key(1).key_id(), ..signed_by(2) };
    assert_eq!(code_of(note_key(1).verify(&note(TEXT, &[forged]))), Code::SignatureInvalid);
}

#[test]
fn a_cosignature_is_no_note_signature_even_under_the_other_types_id() {
    let cosigned = cosign(TEXT, "a.example", &key(1), 7);
    let cosigner = NoteKey::cosigner("a.example", key(1).public()).unwrap();
    assert_ne!(cosigner.key_id(), note_key(1).key_id());
    // As it stands, each is a line by an unknown key for the other.
    assert_eq!(cosigner.verify(&note(TEXT, std::slice::from_ref(&cosigned))), Ok(true));
    assert_eq!(note_key(1).verify(&note(TEXT, std::slice::from_ref(&cosigned))), Ok(false));
    assert_eq!(cosigner.verify(&note(TEXT, &[signed_by(1)])), Ok(false));
    // Relabelled, with and without the time.
    for signature in [cosigned.signature.clone(), cosigned.signature[8..].to_vec()] {
        let relabelled = NoteSignature { key_id: note_key(1).key_id(), signature, ..cosigned.clone() };
        assert_eq!(code_of(note_key(1).verify(&note(TEXT, &[relabelled]))), Code::SignatureInvalid);
    }
    for signature in [signed_by(1).signature, [vec![0; 8], signed_by(1).signature].concat()] {
        let relabelled = NoteSignature { key_id: cosigner.key_id(), signature, ..signed_by(1) };
        assert_eq!(code_of(cosigner.verify(&note(TEXT, &[relabelled]))), Code::SignatureInvalid);
    }
}

#[test]
fn what_a_cosigner_signed_is_not_its_own_text_either() {
    // The message of a cosignature, offered as the text of a note under the same key.
    let cosigned = cosign(TEXT, "a.example", &key(1), 7);
    let text = format!("cosignature/v1\ntime 7\n{TEXT}");
    let line = NoteSignature {
        key_id: note_key(1).key_id(),
        signature: cosigned.signature[8..].to_vec(),
        ..cosigned.clone()
    };
    assert!(key(1).public().verify(text.as_bytes(), &line.signature), "the signature itself is valid");
    assert_eq!(code_of(note_key(1).verify(&note(&text, &[line]))), Code::SignatureInvalid);
}

#[test]
fn every_flipped_bit_of_a_note_is_refused_or_does_not_verify() {
    let bytes = note(TEXT, &[signed_by(1)]).to_vec();
    assert_eq!(note_key(1).verify(&Note::parse(&bytes).unwrap()), Ok(true));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            let verified = Note::parse(&altered).and_then(|note| note_key(1).verify(&note));
            assert_ne!(verified, Ok(true), "bit {bit} of byte {at}");
        }
        let verified = Note::parse(&bytes[..at]).and_then(|note| note_key(1).verify(&note));
        assert_ne!(verified, Ok(true), "cut after {at}");
    }
}

fn arbitrary_signature() -> impl Strategy<Value = NoteSignature> {
    ("[a-z0-9./é—-]{1,40}", any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 1..200))
        .prop_map(|(name, key_id, signature)| NoteSignature { name, key_id, signature })
}

proptest! {
    #[test]
    fn notes_come_back_as_they_were_written(
        text in "([ -~é—]{0,20}\n){1,6}",
        signatures in prop::collection::vec(arbitrary_signature(), 1..8),
    ) {
        let note = Note { text, signatures };
        prop_assert_eq!(Note::parse(&note.to_vec()), Ok(note));
    }

    #[test]
    fn what_parses_is_written_back_byte_for_byte(bytes in "[ a—=+/A\n]{0,60}(\n\n— [aé +]{1,3} [A-Za-z+/]{4,12}=?\n){0,2}") {
        if let Ok(note) = Note::parse(bytes.as_bytes()) {
            prop_assert_eq!(note.to_string(), bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        let _ = Note::parse(&bytes);
        let _ = Note::parse(text.as_bytes());
        let _ = NoteSignature::parse(&text);
        let _ = text.parse::<NoteKey>();
        let _ = Checkpoint::parse(&text);
        let _ = Cosignature::from_bytes(&bytes);
    }

    #[test]
    fn signed_texts_verify_under_the_signers_key_alone_and_keys_come_back(
        text in "([ -~é—]{0,20}\n){1,4}",
        name in "[a-z0-9./é-]{1,40}",
        seed in 1u8..=255,
    ) {
        let line = sign_note(&text, &name, &key(seed));
        let note = Note { text, signatures: vec![line] };
        let own = NoteKey::ed25519(name.clone(), key(seed).public()).unwrap();
        prop_assert_eq!(own.verify(&note), Ok(true));
        prop_assert_eq!(NoteKey::ed25519(name.clone(), key(seed ^ 0xff).public()).unwrap().verify(&note), Ok(false));
        let cosigner = NoteKey::cosigner(name, key(seed).public()).unwrap();
        for key in [own, cosigner] {
            prop_assert_eq!(key.to_string().parse::<NoteKey>(), Ok(key));
        }
    }
}
