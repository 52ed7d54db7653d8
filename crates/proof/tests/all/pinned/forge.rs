//! The arithmetic behind forged signatures: what a signer can do that holds the secret and follows no standard.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity};
use sha2::{Digest, Sha512};

use crate::keys::LOW_ORDER;

/// The group's order L = 2^252 + 27742317777372353535851937790883648493, little-endian.
pub const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// 32 bytes from their hex.
pub fn encoding(hex: &str) -> [u8; 32] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// The 32 bytes that begin and end with these and are `middle` in between.
pub fn filled(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

/// The 6 encodings of points of low order that are not canonical: x = 0 with a sign, and y = p or p + 1.
pub fn low_order_not_canonical() -> [[u8; 32]; 6] {
    [
        filled(0x01, 0x00, 0x80),
        filled(0xec, 0xff, 0xff),
        filled(0xed, 0xff, 0x7f),
        filled(0xed, 0xff, 0xff),
        filled(0xee, 0xff, 0x7f),
        filled(0xee, 0xff, 0xff),
    ]
}

/// A scalar that nobody chose.
pub fn scalar(label: &str) -> Scalar {
    let wide: [u8; 64] = Sha512::digest(label).into();
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// `times` times a point of order 8.
pub fn torsion(times: usize) -> EdwardsPoint {
    let eighth = CompressedEdwardsY(encoding(LOW_ORDER[4])).decompress().unwrap();
    (0..times).fold(EdwardsPoint::identity(), |sum, _| sum + eighth)
}

/// `signature` with S + `times` L instead of S.
pub fn plus_order(mut signature: [u8; 64], times: usize) -> [u8; 64] {
    for _ in 0..times {
        let mut carry = 0u16;
        for (byte, add) in signature[32..].iter_mut().zip(encoding(ORDER)) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert_eq!(carry, 0, "S + {times} L has more than 32 bytes");
    }
    signature
}

/// SHA-512 of what Ed25519 hashes into its challenge, before it is reduced.
fn challenge_hash(domain: &[u8], r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    Sha512::new()
        .chain_update(domain)
        .chain_update(r)
        .chain_update(public)
        .chain_update(message)
        .finalize()
        .into()
}

/// The challenge modulo 8: as a number below L, and as the 512 bits that were hashed.
#[derive(Clone, Copy)]
pub struct Eighths {
    pub reduced: u8,
    pub unreduced: u8,
}

/// A secret scalar and the encoding that stands for its public key, whether or not that is what belongs to it.
#[derive(Clone, Copy)]
pub struct Forger {
    pub secret: Scalar,
    pub public: [u8; 32],
}

impl Forger {
    /// A key like any other.
    pub fn honest() -> Self {
        Self::with_torsion(0)
    }

    /// A key whose point has `times` times a point of order 8 added to it.
    pub fn with_torsion(times: usize) -> Self {
        let secret = scalar("the secret of a forger");
        let point = EdwardsPoint::mul_base(&secret) + torsion(times);
        Forger { secret, public: point.compress().to_bytes() }
    }

    /// A key that needs no secret, since its point has a low order.
    pub fn without_secret(public: [u8; 32]) -> Self {
        Forger { secret: Scalar::ZERO, public }
    }

    /// The signature with this R, and S as if `nonce` were the logarithm of R.
    pub fn respond(&self, nonce: Scalar, r: [u8; 32], message: &[u8]) -> [u8; 64] {
        self.respond_in(b"", nonce, r, message)
    }

    /// The same with bytes in front of all that is hashed into the challenge, as Ed25519ctx and Ed25519ph have them.
    pub fn respond_in(&self, domain: &[u8], nonce: Scalar, r: [u8; 32], message: &[u8]) -> [u8; 64] {
        let hash = challenge_hash(domain, &r, &self.public, message);
        let s = nonce + Scalar::from_bytes_mod_order_wide(&hash) * self.secret;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(s.as_bytes());
        signature
    }

    /// A signature whose R has `times` times a point of order 8 added to it and whose challenge `fits`.
    pub fn search(&self, message: &[u8], times: usize, fits: impl Fn(Eighths) -> bool) -> [u8; 64] {
        for i in 0..10_000 {
            let nonce = scalar(&format!("nonce {i}"));
            let r = (EdwardsPoint::mul_base(&nonce) + torsion(times)).compress().to_bytes();
            let hash = challenge_hash(b"", &r, &self.public, message);
            let reduced = Scalar::from_bytes_mod_order_wide(&hash).as_bytes()[0] % 8;
            if fits(Eighths { reduced, unreduced: hash[0] % 8 }) {
                return self.respond(nonce, r, message);
            }
        }
        panic!("no challenge fits");
    }

    /// Whether the equation of RFC 8032 holds for this signature: multiplied by the cofactor 8, and as it stands.
    pub fn equations(&self, message: &[u8], signature: &[u8; 64]) -> (bool, bool) {
        let half = |half: &[u8]| <[u8; 32]>::try_from(half).unwrap();
        let (r, s) = (half(&signature[..32]), half(&signature[32..]));
        let point = |encoding: [u8; 32]| CompressedEdwardsY(encoding).decompress().unwrap();
        let k = Scalar::from_bytes_mod_order_wide(&challenge_hash(b"", &r, &self.public, message));
        let s = Scalar::from_bytes_mod_order(s);
        let rest = EdwardsPoint::mul_base(&s) - point(self.public) * k - point(r);
        (rest.mul_by_cofactor().is_identity(), rest.is_identity())
    }
}
