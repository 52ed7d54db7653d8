//! Keys: which are refused, their text and PEM forms.

use assent_proof::*;

use crate::make::key;

fn bytes(hex: &str) -> [u8; 32] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// The 8 points of low order, canonically encoded.
pub const LOW_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn public_keys_of_low_order_are_refused() {
    for hex in LOW_ORDER {
        assert_eq!(PublicKey::from_bytes(&bytes(hex)), Err(KeyError::LowOrder), "{hex}");
        assert!(format!("ed25519:{hex}").parse::<PublicKey>().is_err());
    }
}

#[test]
fn public_keys_that_are_not_canonically_encoded_are_refused() {
    // Every encoding of a y at or over the prime: 2^255 - 19 to 2^255 - 1, with either sign.
    for first in 0xed..=0xffu8 {
        for last in [0x7f, 0xff] {
            let mut raw = [0xff; 32];
            (raw[0], raw[31]) = (first, last);
            assert_eq!(PublicKey::from_bytes(&raw), Err(KeyError::NotCanonical));
        }
    }
    // x = 0 with the sign of a negative x.
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        assert!(PublicKey::from_bytes(&bytes(hex)).is_err(), "{hex}");
    }
}

#[test]
fn every_accepted_key_is_what_its_point_encodes_to() {
    let mut accepted = 0;
    for i in 0..=255u8 {
        let raw = *Sha256::of(&[i]).as_bytes();
        if let Ok(key) = PublicKey::from_bytes(&raw) {
            let point = ed25519_dalek::VerifyingKey::from_bytes(&raw).unwrap().to_edwards();
            assert_eq!(point.compress().as_bytes(), key.as_bytes());
            accepted += 1;
        }
    }
    assert!(accepted > 50);
}

#[test]
fn what_is_no_point_is_refused() {
    let raw = bytes("0200000000000000000000000000000000000000000000000000000000000000");
    assert_eq!(PublicKey::from_bytes(&raw), Err(KeyError::NotAPoint));
}

#[test]
fn the_text_of_a_key_is_exact() {
    let public = key(1).public();
    let text = public.to_string();
    assert_eq!(text.parse::<PublicKey>().unwrap(), public);
    let upper = format!("ed25519:{}", hex::encode_upper(public.as_bytes()));
    for wrong in
        [upper.as_str(), &text[8..], &text[..71], &format!("{text}0"), &format!(" {text}"), "ed25519:", ""]
    {
        assert_eq!(wrong.parse::<PublicKey>(), Err(KeyError::Text), "{wrong}");
    }
}

#[test]
fn pem_files_read_back_and_others_are_refused() {
    let signing = key(9);
    let (private, public) = (signing.to_pem(), signing.public().to_pem());
    assert_eq!(SigningKey::from_pem(&private).unwrap().public(), signing.public());
    assert_eq!(PublicKey::from_pem(&public).unwrap(), signing.public());
    assert_eq!(SigningKey::from_pem(&private.replace('\n', "\r\n")).unwrap().public(), signing.public());
    for wrong in
        ["", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", &public, &"x".repeat(20_000)]
    {
        assert!(SigningKey::from_pem(wrong).is_err());
    }
    for wrong in ["", &private, &public.replace('M', "N"), &"x".repeat(20_000)] {
        assert!(PublicKey::from_pem(wrong).is_err());
    }
}

#[test]
fn a_public_key_file_of_low_order_is_refused() {
    let honest = key(1).public();
    for hex in LOW_ORDER {
        let der = [hex::decode("302a300506032b6570032100").unwrap(), hex::decode(hex).unwrap()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", encode_base64(&der));
        assert_eq!(pem.len(), honest.to_pem().len());
        assert_eq!(PublicKey::from_pem(&pem), Err(KeyError::LowOrder));
    }
}

#[test]
fn pkcs8_v2_is_read_when_its_public_half_fits() {
    // RFC 8410 §10.3 has the layout: version 1, seed, and the public key under tag 1.
    let v2 = |public: &PublicKey| {
        let prefix = hex::decode("3051020101300506032b657004220420").unwrap();
        let der = [&prefix[..], &[9; 32], &[0x81, 0x21, 0x00], public.as_bytes()].concat();
        let body = encode_base64(&der);
        let (first, rest) = body.split_at(64);
        format!("-----BEGIN PRIVATE KEY-----\n{first}\n{rest}\n-----END PRIVATE KEY-----\n")
    };
    assert_eq!(SigningKey::from_pem(&v2(&key(9).public())).unwrap().public(), key(9).public());
    assert!(SigningKey::from_pem(&v2(&key(8).public())).is_err());
}

#[test]
fn debug_output_does_not_show_the_seed() {
    let shown = format!("{:?}", SigningKey::from_seed([0xab; 32]));
    assert!(!shown.contains("abab") && !shown.contains("171, 171"), "{shown}");
    assert!(shown.contains("ed25519:"));
}
