//! Bytes that must never change, because the ids and signatures of existing envelopes would change with them. They
//! were computed once with other tools: Python's `json`, `hashlib`, `blake3`, `cryptography` and securesystemslib.

use assent_proof::*;

use crate::make::{ORIGIN, key, statement};

const PAYLOAD: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"trainer","digest":{"sha256":"06ea17a8981d25b0315ff17bd1ebad3d95c15a3f8b764eaadb93612d9b61a54e"}}],"predicateType":"urn:egpep:v1:runtime-attestation","predicate":{"registry":"registry.example/eu-1","domain":"prod.eu","lineage":"exec-7f3a","issuers":["ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"],"sequence":4,"parent":"blake3:0707070707070707070707070707070707070707070707070707070707070707","references":["blake3:0808080808080808080808080808080808080808080808080808080808080808","blake3:0909090909090909090909090909090909090909090909090909090909090909"],"issuedAt":"2026-11-22T19:00:00Z","expiresAt":"2026-11-22T20:00:00Z","claims":{"verifier":"verifier-1","status":"affirming","measurement":"sha384:00ff"}}}"#;

#[test]
fn one_statement_has_these_bytes_this_id_and_this_signature() {
    let signing = key(1);
    let statement = statement(&[&signing]);
    assert_eq!(String::from_utf8(statement.to_vec()).unwrap(), PAYLOAD);
    let bytes = sign_statement(&statement, &[&signing]);
    let verified = verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
    let envelope = Envelope::parse(&bytes).unwrap();
    let pae = format!("DSSEv1 28 application/vnd.in-toto+json {} {PAYLOAD}", PAYLOAD.len());
    assert_eq!(envelope.pae(), pae.as_bytes());
    assert_eq!(
        verified.id().to_string(),
        "blake3:3564b9c05462fe0b1ed484a295df96c4cb6e7aa71c0eb42fdcd497092e0edd18"
    );
    assert_eq!(
        hex::encode(&envelope.signatures[0].sig),
        "25207e0ca6bff4464cf24a3c4992994c9746e828bfcfbb973a118bbddce1a17b21980d0963d3175fd8aeca2f1b6a4797d3e35b572ffb329c89abf31c66adf70d"
    );
    let expected = format!(
        r#"{{"payload":"{}","payloadType":"application/vnd.in-toto+json","signatures":[{{"keyid":"7ab6b86cb2c9684b0ddc10896153aa2595decf4d4327a5ff1a8ab7422c828b12","sig":"{}"}}]}}"#,
        encode_base64(PAYLOAD.as_bytes()),
        encode_base64(&envelope.signatures[0].sig)
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn one_batch_of_decisions_has_this_payload_and_this_signature() {
    let receipts =
        sign_batch(vec![b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec(), b"{\"c\":3}".to_vec()], &key(1));
    let envelope = &receipts[2].envelope;
    assert_eq!(
        String::from_utf8(envelope.payload.clone()).unwrap(),
        r#"{"root":"FaeAyGKD1CyME604W/lnlPK2G+zyLO/wjQJV4FUch48=","size":3}"#
    );
    assert_eq!(
        hex::encode(&envelope.signatures[0].sig),
        "c18568c99de46e9d104083ced36e8a939083842656002bef9582853c6d1eadff4445c5b3da0e905506052ebfd7e98a2fb67c07c74e96d0b90cdf96fa3350a504"
    );
    assert_eq!(receipts[2].path.len(), 1);
}
