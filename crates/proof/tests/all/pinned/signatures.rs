//! Keys and signatures on which verifiers are known to differ, each by itself and as the issuer of an envelope.

use assent_proof::*;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

use super::build::{ORIGIN, SIGNATURE_INVALID, enclosed, payload_by};
use super::forge::{Forger, ORDER, encoding, filled, low_order_not_canonical, plus_order, scalar, torsion};
use super::{Case, Input, Stage};
use crate::keys::LOW_ORDER;
use crate::make::key;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key, a way to sign under it, and what is to be made of both.
struct Trick {
    name: String,
    key: [u8; 32],
    sign: Sign,
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The key is none.
    NoKey,
    /// The signature is none of that key.
    Fails,
    Holds,
}

/// The key that signs as it should.
fn honest() -> [u8; 32] {
    *key(1).public().as_bytes()
}

/// A trick by the key that signs as it should.
fn by_honest(name: &str, expect: Expect, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Trick {
    Trick { name: name.to_owned(), key: honest(), sign: Box::new(sign), expect }
}

/// A trick by a forger. The signature is checked to hold with the cofactor, and to hold without it where it should.
fn by_forger(
    name: String,
    forger: Forger,
    expect: Expect,
    sign: impl Fn(&Forger, &[u8]) -> [u8; 64] + 'static,
) -> Trick {
    let sign = move |message: &[u8]| {
        let signature = sign(&forger, message);
        assert_eq!(forger.equations(message, &signature), (true, expect == Expect::Holds));
        signature.to_vec()
    };
    Trick { name, key: forger.public, sign: Box::new(sign), expect }
}

/// An honest signature that is then changed; it fails.
fn changed(name: &str, change: impl Fn(&mut [u8; 64]) + 'static) -> Trick {
    by_honest(name, Expect::Fails, move |message| {
        let mut signature = key(1).sign(message);
        change(&mut signature);
        signature.to_vec()
    })
}

fn scalars() -> Vec<Trick> {
    let mut tricks = vec![
        by_honest("honest", Expect::Holds, |message| key(1).sign(message).to_vec()),
        changed("s-zero", |signature| signature[32..].fill(0)),
        changed("s-is-l", |signature| signature[32..].copy_from_slice(&encoding(ORDER))),
        changed("s-is-l-minus-1", |signature| {
            signature[32..].copy_from_slice(&encoding(ORDER));
            signature[32] -= 1;
        }),
        changed("s-all-ones", |signature| signature[32..].fill(0xff)),
        changed("all-zero", |signature| signature.fill(0)),
        changed("all-ones", |signature| signature.fill(0xff)),
        by_honest("length-0", Expect::Fails, |_| Vec::new()),
        by_honest("length-63", Expect::Fails, |message| key(1).sign(message)[..63].to_vec()),
        by_honest("length-65", Expect::Fails, |message| [&key(1).sign(message)[..], &[0]].concat()),
        by_honest("length-128", Expect::Fails, |message| key(1).sign(message).repeat(2)),
    ];
    for times in [1, 2, 7, 14] {
        tricks.push(changed(&format!("s-plus-{times}-l"), move |signature| {
            *signature = plus_order(*signature, times);
        }));
    }
    for bit in [0x10, 0x20, 0x40, 0x80] {
        tricks.push(changed(&format!("s-high-bit-{bit:02x}"), move |signature| signature[63] ^= bit));
    }
    tricks
}

fn points_r() -> Vec<Trick> {
    let forger = Forger::honest();
    // With S = k a, R is the neutral point to a verifier that multiplies by the cofactor.
    let neutral = move |name: String, r: [u8; 32]| Trick {
        name,
        key: forger.public,
        sign: Box::new(move |message| forger.respond(Scalar::ZERO, r, message).to_vec()),
        expect: Expect::Fails,
    };
    let mut tricks = vec![
        neutral("r-not-canonical-p-plus-3".into(), filled(0xf0, 0xff, 0x7f)),
        neutral("r-not-canonical-p-plus-18".into(), filled(0xff, 0xff, 0x7f)),
        neutral("r-not-canonical-p-plus-18-negative".into(), filled(0xff, 0xff, 0xff)),
        neutral("r-is-no-point".into(), filled(0x02, 0x00, 0x00)),
        changed("r-negated", |signature| signature[31] ^= 0x80),
        by_forger("r-with-torsion-cofactored-only".into(), forger, Expect::Fails, |forger, message| {
            forger.search(message, 1, |_| true)
        }),
    ];
    for (i, r) in LOW_ORDER.iter().enumerate() {
        tricks.push(neutral(format!("r-low-order-{i}"), encoding(r)));
    }
    for (i, r) in low_order_not_canonical().into_iter().enumerate() {
        tricks.push(neutral(format!("r-low-order-not-canonical-{i}"), r));
    }
    tricks
}

fn points_a() -> Vec<Trick> {
    // A challenge that 8 divides takes the low order out of the equation, so a lax verifier accepts.
    let none = |name: String, public: [u8; 32]| {
        let forger = Forger::without_secret(public);
        let sign = move |message: &[u8]| forger.search(message, 0, |k| k.reduced == 0).to_vec();
        Trick { name, key: public, sign: Box::new(sign), expect: Expect::NoKey }
    };
    let mut tricks = vec![
        none("a-not-canonical-p-plus-3".into(), filled(0xf0, 0xff, 0x7f)),
        none("a-not-canonical-p-plus-18".into(), filled(0xff, 0xff, 0x7f)),
        none("a-not-canonical-p-plus-18-negative".into(), filled(0xff, 0xff, 0xff)),
        none("a-is-no-point".into(), filled(0x02, 0x00, 0x00)),
        Trick {
            name: "a-negated".into(),
            key: {
                let mut negated = honest();
                negated[31] ^= 0x80;
                negated
            },
            sign: Box::new(|message| key(1).sign(message).to_vec()),
            expect: Expect::Fails,
        },
        // The neutral point as R and S = 0, and S = L, for which any message will do.
        Trick {
            name: "a-and-r-neutral-s-zero".into(),
            key: filled(0x01, 0, 0),
            sign: Box::new(|_| [filled(0x01, 0, 0), [0; 32]].concat()),
            expect: Expect::NoKey,
        },
        Trick {
            name: "a-and-r-neutral-s-is-l".into(),
            key: filled(0x01, 0, 0),
            sign: Box::new(|_| [filled(0x01, 0, 0), encoding(ORDER)].concat()),
            expect: Expect::NoKey,
        },
    ];
    for (i, a) in LOW_ORDER.iter().enumerate() {
        tricks.push(none(format!("a-low-order-{i}"), encoding(a)));
    }
    for (i, a) in low_order_not_canonical().into_iter().enumerate() {
        tricks.push(none(format!("a-low-order-not-canonical-{i}"), a));
    }
    tricks
}

/// Keys of mixed order: they are keys, and the signatures count that satisfy the equation without the cofactor.
fn mixed_orders() -> Vec<Trick> {
    let mut tricks = Vec::new();
    for (times, order) in [(1, 8u8), (2, 4), (4, 2)] {
        let forger = Forger::with_torsion(times);
        tricks.push(by_forger(
            format!("a-of-order-{order}-l-cofactored-only"),
            forger,
            Expect::Fails,
            move |forger, message| forger.search(message, 0, |k| !k.reduced.is_multiple_of(order)),
        ));
        tricks.push(by_forger(
            format!("a-of-order-{order}-l-both"),
            forger,
            Expect::Holds,
            move |forger, message| forger.search(message, 0, |k| k.reduced.is_multiple_of(order)),
        ));
    }
    let forger = Forger::with_torsion(1);
    tricks.extend([
        // Whether the challenge is reduced before the point is multiplied decides these two.
        by_forger("a-mixed-unreduced-only".into(), forger, Expect::Fails, |forger, message| {
            forger.search(message, 0, |k| k.reduced != 0 && k.unreduced == 0)
        }),
        by_forger("a-mixed-reduced-only".into(), forger, Expect::Holds, |forger, message| {
            forger.search(message, 0, |k| k.reduced == 0 && k.unreduced != 0)
        }),
        // R's torsion makes up for that of A: R = r B + T and k = -1 modulo 8.
        by_forger("a-and-r-mixed-both".into(), forger, Expect::Holds, |forger, message| {
            forger.search(message, 1, |k| k.reduced == 7)
        }),
        by_forger("a-and-r-mixed-cofactored-only".into(), forger, Expect::Fails, |forger, message| {
            forger.search(message, 1, |k| k.reduced != 7)
        }),
    ]);
    tricks
}

/// Signatures of another scheme or over something else.
fn domains() -> Vec<Trick> {
    // RFC 8032 §2: dom2(flag, context).
    let dom2 = |flag: u8, context: &[u8]| {
        let length = u8::try_from(context.len()).unwrap();
        [&b"SigEd25519 no Ed25519 collisions"[..], &[flag, length][..], context].concat()
    };
    let forger = Forger::honest();
    let nonce = scalar("nonce");
    let r = curve25519_dalek::edwards::EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let in_domain = move |name: &str, domain: Vec<u8>, hashed: bool| Trick {
        name: name.to_owned(),
        key: forger.public,
        sign: Box::new(move |message| {
            let message = if hashed { Sha512::digest(message).to_vec() } else { message.to_vec() };
            forger.respond_in(&domain, nonce, r, &message).to_vec()
        }),
        expect: Expect::Fails,
    };
    let prefix = dom2(1, b"");
    vec![
        in_domain("ed25519ph", dom2(1, b""), true),
        in_domain("ed25519ctx", dom2(0, b"assent"), false),
        in_domain("ed25519ctx-empty-context", dom2(0, b""), false),
        by_honest("prefix-of-ed25519ph-signed", Expect::Fails, move |message| {
            key(1).sign(&[&prefix[..], message].concat()).to_vec()
        }),
        by_honest("of-the-hash", Expect::Fails, |message| key(1).sign(&Sha512::digest(message)).to_vec()),
        by_honest("of-one-byte-more", Expect::Fails, |message| {
            key(1).sign(&[message, &[0]].concat()).to_vec()
        }),
        by_honest("of-nothing", Expect::Fails, |_| key(1).sign(b"").to_vec()),
    ]
}

fn tricks() -> Vec<Trick> {
    assert_eq!(torsion(8), torsion(0));
    [scalars(), points_r(), points_a(), mixed_orders(), domains()].into_iter().flatten().collect()
}

/// Every trick as a bare signature and as an envelope.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for trick in tricks() {
        let message = b"hostile".to_vec();
        let signature = (trick.sign)(&message);
        cases.push(Case {
            name: format!("signature/{}", trick.name),
            input: Input::Signature { key: trick.key.to_vec(), message, signature },
            expect: (trick.expect == Expect::Holds).to_string(),
        });
        // The bare signatures show every spelling of a low order; one as an envelope is enough.
        if trick.name.starts_with("r-low-order") && trick.name != "r-low-order-0" {
            continue;
        }
        let payload = payload_by(&[format!("ed25519:{}", hex::encode(trick.key))]);
        let signature = (trick.sign)(&pae(STATEMENT_PAYLOAD_TYPE, &payload));
        let expect = match trick.expect {
            Expect::NoKey => "malformed at predicate.issuers[0]",
            Expect::Fails => SIGNATURE_INVALID,
            Expect::Holds => "accepted",
        };
        cases.push(Case {
            name: format!("envelope-signature/{}", trick.name),
            input: Input::Envelope {
                origin: ORIGIN.to_owned(),
                bytes: enclosed(&payload, &[signature]),
                pad_to: None,
                stage: Stage::Verify,
            },
            expect: expect.to_owned(),
        });
    }
    cases
}
