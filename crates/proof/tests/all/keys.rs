//! Keys: which keys are refused, and their text and PEM forms.

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
    let (private, public) = (signing.to_pem().to_string(), signing.public().to_pem());
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

#[track_caller]
fn problem<T: std::fmt::Debug>(read: Result<T, KeyError>) -> String {
    read.unwrap_err().to_string()
}

#[test]
fn keys_are_found_among_text_other_blocks_empty_lines_and_a_byte_order_mark() {
    let signing = key(9);
    let (private, public) = (signing.to_pem().to_string(), signing.public().to_pem());
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let around = |pem: &str| {
        let in_two = pem.replacen("-----\n", "-----\n\n", 1).replace('=', "=\t ");
        [
            format!("\u{feff}{pem}"),
            format!("Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n{pem}"),
            format!("{certificate}{pem}{certificate}"),
            format!("{pem}\n\nthat was it\n"),
            pem.replace('\n', "\r\n"),
            pem.trim_end().to_owned(),
            in_two,
            format!("{pem}{pem}"),
        ]
    };
    for text in around(&private) {
        assert_eq!(SigningKey::from_pem(&text).unwrap().public(), signing.public(), "{text}");
    }
    for text in around(&public) {
        assert_eq!(PublicKey::from_pem(&text).unwrap(), signing.public(), "{text}");
    }
    let both = format!("{public}{private}");
    assert_eq!(SigningKey::from_pem(&both).unwrap().public(), signing.public());
    assert_eq!(pem::public_keys(&both).unwrap(), [signing.public()]);
    assert_eq!(pem::public_keys(&private).unwrap(), [signing.public()]);
    let two = format!("{public}text\n{}", key(8).public().to_pem());
    assert_eq!(pem::public_keys(&two).unwrap(), [signing.public(), key(8).public()]);
    assert_eq!(PublicKey::from_pem(&two).unwrap(), signing.public());
    assert!(pem::has_public_key(&two) && !pem::has_public_key(&private));
}

#[test]
fn a_file_with_two_different_private_keys_is_refused() {
    let text = format!("{}{}", *key(9).to_pem(), *key(8).to_pem());
    assert!(problem(SigningKey::from_pem(&text)).contains("two different private keys"));
    assert!(problem(pem::public_keys(&text)).contains("two different private keys"));
}

#[test]
fn what_is_no_key_is_named() {
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let old_encrypted = "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nAAAA\n\
                         -----END PRIVATE KEY-----\n";
    let private = key(9).to_pem().as_str().to_owned();
    let mut cases = vec![
        (String::new(), "it is empty"),
        (" \r\n\t\n".to_owned(), "it is empty"),
        ("not a key\n".to_owned(), "no line `-----BEGIN PRIVATE KEY-----`"),
        // As environment variables and secret stores leave it.
        (private.replace('\n', ""), "no line `-----BEGIN PRIVATE KEY-----`"),
        (private.replace('\n', "\\n"), "no line `-----BEGIN PRIVATE KEY-----`"),
        (block("ENCRYPTED PRIVATE KEY"), "an encrypted private key"),
        (old_encrypted.to_owned(), "an encrypted private key"),
        (block("RSA PRIVATE KEY"), "an RSA private key"),
        (block("EC PRIVATE KEY"), "an elliptic-curve (ECDSA) private key"),
        (block("OPENSSH PRIVATE KEY"), "OpenSSH"),
        (block("CERTIFICATE"), "it holds a certificate, and no private key"),
        (key(9).public().to_pem(), "it holds a public key, and no private key"),
        (block("AGE KEY"), "it holds a block `AGE KEY`"),
        (block("\u{1b}[2J"), "no line `-----BEGIN PRIVATE KEY-----`"),
        (private.lines().take(2).collect::<Vec<_>>().join("\n"), "it was cut short"),
        (private.replacen("END PRIVATE", "END PUBLIC", 1), "it was cut short"),
        (private.replacen("\nM", "\n*", 1), "is not base64"),
        ("x".repeat(pem::MAX_PEM_BYTES + 1), "longer than 1048576 bytes"),
    ];
    for (text, names) in &cases {
        let told = problem(SigningKey::from_pem(text));
        assert!(told.contains(names) && told.contains("private key"), "{told}");
        assert!(!told.contains("AAAA") && !told.contains(private.lines().nth(1).unwrap()), "{told}");
    }
    assert!(problem(PublicKey::from_pem(&block("CERTIFICATE"))).contains("openssl x509"));
    assert!(problem(PublicKey::from_pem(&block("ENCRYPTED PRIVATE KEY"))).contains("-pubout"));
    // A key beside what is no key of ours is found.
    for (text, _) in cases.drain(5..13) {
        assert_eq!(SigningKey::from_pem(&format!("{text}{private}")).unwrap().public(), key(9).public());
    }
}

#[test]
fn a_key_of_another_algorithm_is_named_and_passed_over_beside_one_of_ours() {
    // PKCS#8 and SubjectPublicKeyInfo (RFC 5958, RFC 5280) around the algorithm's number: RSA, then X25519.
    let rsa = "300d06092a864886f70d0101010500";
    let x25519 = "300506032b656e";
    let pem_of = |label: &str, hex: String| {
        let der = encode_base64(&hex::decode(hex).unwrap());
        format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n")
    };
    for (algorithm, bytes, names) in [(rsa, 15, "an RSA key"), (x25519, 7, "an X25519 key")] {
        let private = pem_of("PRIVATE KEY", format!("30{:02x}020100{algorithm}0400", 3 + bytes + 2));
        let public = pem_of("PUBLIC KEY", format!("30{:02x}{algorithm}030100", bytes + 3));
        assert!(problem(SigningKey::from_pem(&private)).contains(names));
        assert!(problem(PublicKey::from_pem(&public)).contains(names));
        let beside = format!("{private}{}{private}", *key(9).to_pem());
        assert_eq!(SigningKey::from_pem(&beside).unwrap().public(), key(9).public());
        let beside = format!("{public}{}", key(9).public().to_pem());
        assert_eq!(PublicKey::from_pem(&beside).unwrap(), key(9).public());
        // Where all keys of a file are asked for, each has to be one.
        assert!(problem(pem::public_keys(&beside)).contains(names));
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
