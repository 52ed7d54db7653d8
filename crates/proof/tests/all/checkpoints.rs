//! Checkpoints: their exact form, the registry's signature, and a majority of its nodes.

use assent_proof::*;
use proptest::prelude::*;

use crate::make::{ORIGIN, code_of, key, refused};

/// Computed once with Python's `hashlib` and `cryptography`, from the seeds 1 (registry), 2 and 3 (nodes).
const GOLDEN: &str = "registry.example/eu-1\n3\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n
— registry.example/eu-1 hR1di6tgqn68RC4/9Qf6f/bJXalEqd2xP9jhLBhT7C+Zd5JJaGqRGmAOtosDgXEDvbzpFO5Ya4SW9WeJyz0OaQHCKwM=
— registry.example/eu-1/node/8139770ea87d175f a/BdAQAAAABrAzuyYVSFzQcL441f4z+N9o8rsewj4mHjzUHpZGkIZmTK6Xbl9+jaI/vs1kmMDp9hdBUolAwil1CT8ltmYO+u0OTWAw==
— registry.example/eu-1/node/ed4928c628d1c2c6 ZE35+gAAAABrAzuz8uhamAE2F3GoIhR8bz5xcr7Jz7sqAanUUR9PGetR5f7PLUoIdGGu0gGJOyNcI+PMxh9NJOyz9XxbtMZT1wCOAw==
";

/// A checkpoint of a public staging log with its signatures and those of public witnesses, as it was served.
const PUBLIC: &str = "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n
— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size: 3, root: Sha256::of(b"root").0 }
}

fn nodes(seeds: impl IntoIterator<Item = u8>) -> Vec<PublicKey> {
    seeds.into_iter().map(|seed| key(seed).public()).collect()
}

fn registry_line() -> NoteSignature {
    sign_note(&checkpoint().to_text(), ORIGIN, &key(1))
}

fn node_line(seed: u8, seconds: u64) -> NoteSignature {
    let key = key(seed);
    cosign(&checkpoint().to_text(), &cosigner_name(ORIGIN, &key.public()), &key, seconds)
}

/// The checkpoint with the registry's line and these.
fn noted(lines: &[NoteSignature]) -> Vec<u8> {
    Note { text: checkpoint().to_text(), signatures: [&[registry_line()], lines].concat() }.to_vec()
}

fn verify_noted(note: &[u8], nodes: &[PublicKey]) -> Result<VerifiedCheckpoint, Refusal> {
    verify_checkpoint(Rules::NEWEST, note, ORIGIN, &key(1).public(), nodes)
}

#[test]
fn a_checkpoint_with_cosignatures_has_these_bytes_and_verifies() {
    let note = noted(&[node_line(2, 1_795_374_002), node_line(3, 1_795_374_003)]);
    assert_eq!(String::from_utf8(note.clone()).unwrap(), GOLDEN);
    let verified = verify_noted(&note, &nodes(2..=4)).unwrap();
    assert_eq!(verified.checkpoint(), &checkpoint());
    let cosigned: Vec<(PublicKey, u64)> =
        verified.cosigned().iter().map(|(key, time)| (*key, *time)).collect();
    let mut expected = vec![(key(2).public(), 1_795_374_002), (key(3).public(), 1_795_374_003)];
    expected.sort();
    assert_eq!(cosigned, expected);
    let keys = [
        NoteKey::ed25519(ORIGIN, key(1).public()).unwrap(),
        NoteKey::cosigner(cosigner_name(ORIGIN, &key(2).public()), key(2).public()).unwrap(),
        NoteKey::cosigner(cosigner_name(ORIGIN, &key(3).public()), key(3).public()).unwrap(),
    ];
    assert_eq!(
        keys.map(|key| key.to_string()),
        [
            "registry.example/eu-1+851d5d8b+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
            "registry.example/eu-1/node/8139770ea87d175f+6bf05d01+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
            "registry.example/eu-1/node/ed4928c628d1c2c6+644df9fa+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR",
        ]
    );
}

#[test]
fn a_public_logs_checkpoint_verifies_under_its_key_and_its_witnesses_keys() {
    let note = Note::parse(PUBLIC.as_bytes()).unwrap();
    assert_eq!(note.to_string(), PUBLIC);
    let checkpoint = Checkpoint::parse(&note.text).unwrap();
    assert_eq!((checkpoint.size, checkpoint.to_text()), (1_432_088_532, note.text.clone()));
    let mut altered = note.clone();
    altered.text = altered.text.replace("1432088532", "1432088533");
    let keys = [
        "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f",
        "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
        "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    ];
    for key in keys.map(|key| key.parse::<NoteKey>().unwrap()) {
        assert_eq!(key.verify(&note), Ok(true), "{key}");
        assert_eq!(code_of(key.verify(&altered)), Code::SignatureInvalid, "{key}");
    }
    let absent = "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG";
    assert_eq!(absent.parse::<NoteKey>().unwrap().verify(&note), Ok(false));
}

#[test]
fn checkpoints_of_any_other_form_are_refused() {
    let root = "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=";
    let parse = |text: &str| Checkpoint::parse(text);
    parse(&format!("o\n1\n{root}\n")).unwrap();
    assert_eq!(parse(&format!("o\n18446744073709551615\n{root}\n")).unwrap().size, u64::MAX);
    for text in [
        String::new(),
        format!("o\n3\n{root}"),
        "o\n3\n".into(),
        format!("3\n{root}\n"),
        format!("o\n3\n{root}\n\n"),
        format!("o\n3\n{root}\nextension\n"),
        format!("o\n3\n{root}\nextension"),
        format!("\no\n3\n{root}\n"),
        format!("o\n\n3\n{root}\n"),
    ] {
        refused(parse(&text), Code::Malformed, "");
    }
    for origin in ["", " ", "a b", "a+b", "a\r"] {
        refused(parse(&format!("{origin}\n3\n{root}\n")), Code::Malformed, "origin");
    }
    for size in ["", "03", "00", "+3", "-0", " 3", "3 ", "3\r", "0x3", "٣", "18446744073709551616", "1e3"] {
        refused(parse(&format!("o\n{size}\n{root}\n")), Code::Malformed, "size");
    }
    for root in [
        "",
        "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I",
        "SBNJTRN-FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=",
        // Not canonical: unused bits set.
        "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7J=",
        " SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=",
        // 31 and 33 bytes.
        "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2dw==",
        "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7IA",
    ] {
        refused(parse(&format!("o\n3\n{root}\n")), Code::Malformed, "root");
    }
}

#[test]
fn a_checkpoint_of_no_leaves_has_the_root_of_the_empty_tree_and_no_other() {
    let empty = Checkpoint { origin: ORIGIN.into(), size: 0, root: BatchTree::new(Vec::new()).root() };
    assert_eq!(empty.to_text(), format!("{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"));
    assert_eq!(Checkpoint::parse(&empty.to_text()), Ok(empty.clone()));
    let noted = |checkpoint: &Checkpoint| {
        let text = checkpoint.to_text();
        let line = cosign(&text, &cosigner_name(ORIGIN, &key(2).public()), &key(2), 7);
        let signatures = vec![sign_note(&text, ORIGIN, &key(1)), line];
        Note { text, signatures }.to_vec()
    };
    assert!(verify_noted(&noted(&empty), &nodes([2])).is_ok());
    for root in [[0; 32], leaf_hash(&[]), Sha256::of(b"root").0] {
        let other = Checkpoint { root, ..empty.clone() };
        refused(Checkpoint::parse(&other.to_text()), Code::Malformed, "root");
        refused(verify_noted(&noted(&other), &nodes([2])), Code::Malformed, "root");
        assert!(Checkpoint::parse(&Checkpoint { size: 1, ..other }.to_text()).is_ok());
    }
}

#[test]
fn the_registrys_own_signature_is_required_and_must_verify() {
    let text = checkpoint().to_text();
    let cosigned = [node_line(2, 7), node_line(3, 7)];
    let without = Note { text: text.clone(), signatures: cosigned.to_vec() };
    refused(verify_noted(&without.to_vec(), &nodes(2..=4)), Code::UnsignedEvidence, "signatures");
    // By another key under its name, and by its key under another name.
    for line in [sign_note(&text, ORIGIN, &key(9)), sign_note(&text, "registry.example/eu-2", &key(1))] {
        let note = Note { text: text.clone(), signatures: [&[line], &cosigned[..]].concat() };
        refused(verify_noted(&note.to_vec(), &nodes(2..=4)), Code::UnsignedEvidence, "signatures");
    }
    let bad = NoteSignature { signature: vec![7; 64], ..registry_line() };
    for lines in [vec![bad.clone()], vec![bad.clone(), registry_line()], vec![registry_line(), bad]] {
        let note = Note { text: text.clone(), signatures: [&lines, &cosigned[..]].concat() };
        refused(verify_noted(&note.to_vec(), &nodes(2..=4)), Code::SignatureInvalid, "signatures");
    }
}

#[test]
fn the_registrys_cosignature_is_not_its_signature() {
    let text = checkpoint().to_text();
    let cosigned = cosign(&text, ORIGIN, &key(1), 7);
    let relabelled = NoteSignature {
        key_id: registry_line().key_id,
        signature: cosigned.signature[8..].to_vec(),
        ..cosigned.clone()
    };
    for (line, code) in [(cosigned, Code::UnsignedEvidence), (relabelled, Code::SignatureInvalid)] {
        let note = Note { text: text.clone(), signatures: vec![line, node_line(2, 7)] };
        refused(verify_noted(&note.to_vec(), &nodes([2])), code, "signatures");
    }
}

#[test]
fn a_nodes_plain_signature_is_not_its_cosignature() {
    let text = checkpoint().to_text();
    let name = cosigner_name(ORIGIN, &key(2).public());
    let plain = sign_note(&text, &name, &key(2));
    refused(
        verify_noted(&noted(std::slice::from_ref(&plain)), &nodes([2])),
        Code::UnsignedEvidence,
        "signatures",
    );
    let dated = [7u64.to_be_bytes().to_vec(), plain.signature.clone()].concat();
    for signature in [plain.signature.clone(), dated] {
        let relabelled = NoteSignature { key_id: node_line(2, 7).key_id, signature, ..plain.clone() };
        refused(verify_noted(&noted(&[relabelled]), &nodes([2])), Code::SignatureInvalid, "signatures");
    }
}

/// Rule R118.
#[test]
fn a_majority_is_more_than_half_of_the_nodes() {
    for voters in 1..=7u8 {
        for cosigned in 0..=voters {
            let lines: Vec<NoteSignature> = (0..cosigned).map(|i| node_line(10 + i, 7)).collect();
            let result = verify_noted(&noted(&lines), &nodes((0..voters).map(|i| 10 + i)));
            if 2 * cosigned > voters {
                assert_eq!(result.unwrap().cosigned().len(), usize::from(cosigned));
            } else {
                refused(result, Code::UnsignedEvidence, "signatures");
            }
        }
    }
    refused(verify_noted(&noted(&[node_line(2, 7)]), &[]), Code::UnsignedEvidence, "signatures");
}

#[test]
fn several_lines_by_one_node_count_once_at_the_latest_time() {
    let lines = [node_line(2, 7), node_line(2, 9), node_line(2, 8), node_line(2, 9)];
    refused(verify_noted(&noted(&lines), &nodes(2..=4)), Code::UnsignedEvidence, "signatures");
    let verified = verify_noted(&noted(&lines), &nodes([2])).unwrap();
    assert_eq!(verified.cosigned().get(&key(2).public()), Some(&9));
}

#[test]
fn a_majority_is_counted_over_distinct_keys_however_often_they_are_listed() {
    let thrice = [key(2).public(), key(2).public(), key(2).public(), key(3).public(), key(4).public()];
    refused(verify_noted(&noted(&[node_line(2, 7)]), &thrice), Code::UnsignedEvidence, "signatures");
    assert!(verify_noted(&noted(&[node_line(3, 7), node_line(4, 7)]), &thrice).is_ok());
}

#[test]
fn lines_of_unknown_keys_are_ignored_even_under_a_known_name() {
    let impostor = cosign(&checkpoint().to_text(), &cosigner_name(ORIGIN, &key(3).public()), &key(9), 7);
    let misnamed = NoteSignature { name: "elsewhere.example".into(), ..node_line(3, 7) };
    let junk = NoteSignature { name: "witness.example".into(), key_id: [1; 4], signature: vec![1; 2428] };
    let lines = [node_line(2, 7), node_line(8, 7), impostor, misnamed, junk];
    refused(verify_noted(&noted(&lines), &nodes(2..=4)), Code::UnsignedEvidence, "signatures");
    let verified = verify_noted(&noted(&[&lines[..], &[node_line(4, 7)]].concat()), &nodes(2..=4)).unwrap();
    assert!(verified.cosigned().keys().eq(std::collections::BTreeSet::from_iter(nodes([2, 4])).iter()));
}

#[test]
fn one_bad_cosignature_by_a_known_node_rejects_the_note_even_beside_a_majority() {
    let mut bad = node_line(4, 7);
    bad.signature[71] ^= 1;
    let mut redated = node_line(4, 7);
    redated.signature[7] ^= 1;
    let undated = NoteSignature { signature: node_line(4, 7).signature[8..].to_vec(), ..node_line(4, 7) };
    let long = NoteSignature { signature: [node_line(4, 7).signature, vec![0]].concat(), ..node_line(4, 7) };
    // Validly signed, but of a time that the specification forbids.
    let too_late = node_line(4, 1 << 63);
    assert!(
        verify_noted(&noted(&[node_line(2, 7), node_line(3, 7), node_line(4, (1 << 63) - 1)]), &nodes(2..=4))
            .is_ok()
    );
    for line in [bad, redated, undated, long, too_late] {
        let note = noted(&[node_line(2, 7), node_line(3, 7), line]);
        refused(verify_noted(&note, &nodes(2..=4)), Code::SignatureInvalid, "signatures");
        assert!(verify_noted(&note, &nodes(2..=3)).is_ok(), "of an unknown key it would be ignored");
    }
}

/// Rule R118.
#[test]
fn a_checkpoint_of_another_origin_is_refused_however_well_signed() {
    let other = Checkpoint { origin: "registry.example/eu-2".into(), ..checkpoint() };
    let text = other.to_text();
    let cosigner = |origin: &str| cosign(&text, &cosigner_name(origin, &key(2).public()), &key(2), 7);
    let signatures = vec![
        sign_note(&text, ORIGIN, &key(1)),
        sign_note(&text, &other.origin, &key(1)),
        cosigner(ORIGIN),
        cosigner(&other.origin),
    ];
    let note = Note { text: text.clone(), signatures }.to_vec();
    refused(verify_noted(&note, &nodes([2])), Code::WrongRegistry, "origin");
    assert!(verify_checkpoint(Rules::NEWEST, &note, &other.origin, &key(1).public(), &nodes([2])).is_ok());
}

#[test]
fn a_signed_note_that_is_no_checkpoint_is_refused() {
    let text = format!("{}extension\n", checkpoint().to_text());
    let line = cosign(&text, &cosigner_name(ORIGIN, &key(2).public()), &key(2), 7);
    let note = Note { text: text.clone(), signatures: vec![sign_note(&text, ORIGIN, &key(1)), line] };
    refused(verify_noted(&note.to_vec(), &nodes([2])), Code::Malformed, "");
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_barely_sufficient_note_is_refused() {
    assert!(verify_noted(GOLDEN.as_bytes(), &nodes(2..=4)).is_ok());
    for at in 0..GOLDEN.len() {
        for bit in 0..8 {
            let mut altered = GOLDEN.as_bytes().to_vec();
            altered[at] ^= 1 << bit;
            assert!(verify_noted(&altered, &nodes(2..=4)).is_err(), "bit {bit} of byte {at}");
        }
        assert!(verify_noted(&GOLDEN.as_bytes()[..at], &nodes(2..=4)).is_err(), "cut after {at}");
    }
}

#[test]
fn cosignatures_are_72_bytes_of_a_time_that_fits_63_bits() {
    let bytes = node_line(2, 7).signature;
    let cosignature = Cosignature::from_bytes(&bytes).unwrap();
    assert_eq!((cosignature.time, cosignature.to_bytes()), (7, bytes.clone()));
    assert!(cosignature.verify(&checkpoint().to_text(), &key(2).public()));
    assert!(!cosignature.verify(&checkpoint().to_text(), &key(3).public()));
    assert!(!Cosignature { time: 8, ..cosignature }.verify(&checkpoint().to_text(), &key(2).public()));
    for wrong in [&bytes[..71], &bytes[..8], &bytes[..7], &[], &[&bytes[..], &[0]].concat(), &[0xff; 72]] {
        assert_eq!(code_of(Cosignature::from_bytes(wrong)), Code::Malformed);
    }
}

proptest! {
    #[test]
    fn checkpoints_come_back_as_they_were_written(
        origin in "[a-z0-9./é—-]{1,40}", size in 1..=u64::MAX, root in any::<[u8; 32]>(),
    ) {
        let checkpoint = Checkpoint { origin, size, root };
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint));
    }

    #[test]
    fn what_parses_as_a_checkpoint_is_written_back_byte_for_byte(
        text in "[a +]{1,2}\n[0-9+]{1,20}\n[A-Za-z+/]{42}[A-Z]=\n?",
    ) {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text);
        }
    }

    #[test]
    fn cosigned_checkpoints_verify_with_their_times(size in 1..=u64::MAX, root in any::<[u8; 32]>(), time in 0..=i64::MAX as u64) {
        let text = Checkpoint { origin: ORIGIN.into(), size, root }.to_text();
        let name = cosigner_name(ORIGIN, &key(2).public());
        let signatures = vec![cosign(&text, &name, &key(2), time), sign_note(&text, ORIGIN, &key(1))];
        let verified = verify_noted(&Note { text, signatures }.to_vec(), &nodes([2])).unwrap();
        prop_assert_eq!((verified.checkpoint().size, verified.checkpoint().root), (size, root));
        prop_assert_eq!(verified.cosigned().get(&key(2).public()), Some(&time));
    }
}
