//! Files and envelopes that other tools made.

use assent_proof::*;
use std::io::Write;
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
    assert_eq!(*key.to_pem(), text(&fixture, "private_pem"));
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
    assert_eq!(*key.to_pem(), private);
    assert_eq!(PublicKey::from_pem(&public).unwrap(), key.public());
    assert_eq!(key.public().to_pem(), public);
    let message = text(&fixture, "message");
    assert_eq!(hex::encode(key.sign(message.as_bytes())), text(&fixture, "signature"));
}

/// What `openssl` writes; none where there is none, or one without Ed25519.
fn openssl(args: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("openssl").args(args).output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// Says that something was left out because this machine lacks what it needs. Where it must have that, as in CI, it is a failure.
fn left_out(what: &str, lacks: &str) {
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{lacks}, and CI=true demands it");
    // Past what the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {what}: {lacks}");
}

/// A private key that `openssl` has made, or none.
fn generated() -> Option<Vec<u8>> {
    let made = openssl(&["genpkey", "-algorithm", "ed25519"]);
    if made.is_none() {
        let lacks = "no `openssl` with Ed25519 is installed (`apt-get install openssl`)";
        left_out("key files were not exchanged with openssl", lacks);
    }
    made
}

/// Runs where an `openssl` is found; the fixture above covers the other machines.
#[test]
fn an_installed_openssl_reads_our_key_files_and_we_read_its() {
    let Some(generated) = generated() else { return };
    let generated = String::from_utf8(generated).unwrap();
    let key = SigningKey::from_pem(&generated).unwrap();
    assert_eq!(*key.to_pem(), generated);
    let file = std::env::temp_dir().join(format!("assent-proof-{}.pem", std::process::id()));
    std::fs::write(&file, SigningKey::from_seed([5; 32]).to_pem()).unwrap();
    let public = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout"]);
    std::fs::remove_file(&file).unwrap();
    let public = String::from_utf8(public.unwrap()).unwrap();
    assert_eq!(public, SigningKey::from_seed([5; 32]).public().to_pem());
}

/// Runs where an `openssl` is found: what it writes besides plain keys is read, or named.
#[test]
fn what_an_installed_openssl_writes_is_read_or_named() {
    let Some(plain) = generated() else { return };
    let dir = std::env::temp_dir().join(format!("assent-proof-openssl-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("key.pem");
    std::fs::write(&file, &plain).unwrap();
    let file = file.to_str().unwrap();
    let written = |args: &[&str]| String::from_utf8(openssl(args).unwrap()).unwrap();
    let key = SigningKey::from_pem(&String::from_utf8(plain).unwrap()).unwrap();
    // The key's numbers as text, before and behind its block.
    let as_text = written(&["pkey", "-in", file, "-text"]);
    assert!(as_text.contains("ED25519"));
    assert_eq!(SigningKey::from_pem(&as_text).unwrap().public(), key.public());
    let public = written(&["pkey", "-in", file, "-pubout", "-text"]);
    assert_eq!(PublicKey::from_pem(&public).unwrap(), key.public());
    let encrypted = written(&["pkey", "-in", file, "-aes256", "-passout", "pass:secret"]);
    assert!(SigningKey::from_pem(&encrypted).unwrap_err().to_string().contains("an encrypted private key"));
    let request = ["req", "-x509", "-new", "-key", file, "-subj", "/CN=assent", "-days", "1"];
    match openssl(&request).map(String::from_utf8) {
        Some(certificate) => {
            let problem = PublicKey::from_pem(&certificate.unwrap()).unwrap_err().to_string();
            assert!(problem.contains("a certificate"), "{problem}");
        }
        None => {
            left_out("a certificate was not read", "this `openssl` has no configuration for certificates");
        }
    }
    let rsa = written(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    assert!(SigningKey::from_pem(&rsa).unwrap_err().to_string().contains("an RSA key"));
    std::fs::remove_dir_all(&dir).unwrap();
}
