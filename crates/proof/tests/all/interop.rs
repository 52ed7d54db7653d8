//! Files and envelopes made by other people's tools.

use assent_proof::*;
use std::process::Command;

use crate::make::ORIGIN;

pub fn securesystemslib() -> Json {
    json::parse(include_bytes!("../fixtures/securesystemslib.json")).unwrap()
}

fn text(fixture: &Json, name: &str) -> String {
    fixture.get(name).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn envelopes_signed_by_securesystemslib_are_accepted_whatever_their_key_id() {
    let fixture = securesystemslib();
    let public: PublicKey = format!("ed25519:{}", text(&fixture, "public")).parse().unwrap();
    let envelopes = fixture.get("envelopes").unwrap().as_array().unwrap();
    assert_eq!(envelopes.len(), 2);
    for bytes in envelopes.iter().map(|envelope| envelope.as_str().unwrap().as_bytes()) {
        let verified = verify(bytes, ORIGIN, Rules::NEWEST).unwrap();
        assert_eq!(verified.statement().issuers, [public]);
        assert_eq!(verified.statement().kind, EvidenceKind::RuntimeAttestation);
        let envelope = Envelope::parse(bytes).unwrap();
        assert_eq!(hex::encode(envelope.pae()), text(&fixture, "pae"));
        Claims::parse(Rules::NEWEST, verified.statement().kind, &verified.statement().claims).unwrap();
    }
}

#[test]
fn our_signatures_key_ids_and_pem_files_are_those_of_securesystemslib() {
    let fixture = securesystemslib();
    let seed = hex::decode(text(&fixture, "seed")).unwrap().try_into().unwrap();
    let key = SigningKey::from_seed(seed);
    assert_eq!(hex::encode(key.public().as_bytes()), text(&fixture, "public"));
    assert_eq!(key.public().keyid(), text(&fixture, "keyid"));
    assert_eq!(key.to_pem(), text(&fixture, "private_pem"));
    assert_eq!(key.public().to_pem(), text(&fixture, "public_pem"));
    assert_eq!(SigningKey::from_pem(&text(&fixture, "private_pem")).unwrap().public(), key.public());
    let theirs = fixture.get("envelopes").unwrap().as_array().unwrap()[0].as_str().unwrap();
    let theirs = Envelope::parse(theirs.as_bytes()).unwrap();
    let mut ours = Envelope::unsigned(&theirs.payload_type, theirs.payload.clone());
    ours.sign_with(&key);
    assert_eq!(ours, theirs);
}

#[test]
fn keys_and_signatures_of_openssl_are_read_and_written_byte_for_byte() {
    let fixture = json::parse(include_bytes!("../fixtures/openssl.json")).unwrap();
    let (private, public) = (text(&fixture, "private_pem"), text(&fixture, "public_pem"));
    let key = SigningKey::from_pem(&private).unwrap();
    assert_eq!(key.to_pem(), private);
    assert_eq!(PublicKey::from_pem(&public).unwrap(), key.public());
    assert_eq!(key.public().to_pem(), public);
    let message = text(&fixture, "message");
    assert_eq!(hex::encode(key.sign(message.as_bytes())), text(&fixture, "signature"));
}

/// Runs where an `openssl` is found; the fixture above covers the other machines.
#[test]
fn an_installed_openssl_reads_our_key_files_and_we_read_its() {
    let openssl =
        |args: &[&str]| Command::new("openssl").args(args).output().ok().filter(|out| out.status.success());
    let Some(generated) = openssl(&["genpkey", "-algorithm", "ed25519"]) else { return };
    let generated = String::from_utf8(generated.stdout).unwrap();
    let key = SigningKey::from_pem(&generated).unwrap();
    assert_eq!(key.to_pem(), generated);
    let file = std::env::temp_dir().join(format!("assent-proof-{}.pem", std::process::id()));
    std::fs::write(&file, SigningKey::from_seed([5; 32]).to_pem()).unwrap();
    let public = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout"]);
    std::fs::remove_file(&file).unwrap();
    let public = String::from_utf8(public.unwrap().stdout).unwrap();
    assert_eq!(public, SigningKey::from_seed([5; 32]).public().to_pem());
}
