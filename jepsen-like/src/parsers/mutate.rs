//! Inputs: samples that are damaged in the ways in which parsers break, and random bytes.
//!
//! It owns no state. The same name, samples and seed give the same input.

use crate::sim::dice::Dice;

/// The longest input. It is larger than the largest envelope that a node accepts, so that this bound is met too.
pub const INPUT_BYTES_MAX: usize = 96 * 1024;

/// How many times one input is damaged at most.
const DAMAGES_MAX: u64 = 4;

/// Lengths as parsers of several formats read them, most of them far larger than an input.
const LENGTHS: &[&[u8]] = &[
    b"\xff",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x00",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// What opens a level of nesting, in JSON, TOML and MessagePack.
const OPENINGS: &[&[u8]] =
    &[b"[", b"{\"a\":", b"[[", b"{a=", b"a.", b"\x91", b"\x81\xa1a", b"\x92\xc0", b"\xdc\x00\x01"];

/// Bytes that some parser treats in a way of its own.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\x1b[2J",
    b"\x7f",
    b"\\u0000",
    b"\\ud800",
    b"\\u202e",
    b"\\b\\f",
    b"\\\"",
    b"\"",
    b"'",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xe2\x80\xa8",
    b"\xf3\xa0\x81\x81",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x80\x94 ",
    b"-0",
    b"0",
    b"1.0",
    b"1e999",
    b"-1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b",",
    b":",
    b"=",
    b"/",
    b"..",
    b"%2f",
    b" ",
    b"0x7f",
    b"localhost",
    b"ed25519:",
    b"blake3:",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----END PUBLIC KEY-----\n",
];

/// The input of this parser and this seed. The first seeds give the samples as they are.
pub fn input(name: &str, samples: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let whole = usize::try_from(seed).ok().and_then(|place| samples.get(place));
    if let Some(sample) = whole {
        return sample.clone();
    }
    let mut dice = Dice::new(seed).fork(name);
    let mut bytes = match dice.pick(samples) {
        Some(sample) if !dice.chance(1, 16) => sample.clone(),
        _ => random(&mut dice, 64),
    };
    for _ in 0..dice.between(1, DAMAGES_MAX) {
        damage(&mut dice, samples, &mut bytes);
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn damage(dice: &mut Dice, samples: &[Vec<u8>], bytes: &mut Vec<u8>) {
    match dice.below(12) {
        0 => {
            for _ in 0..dice.between(1, 8) {
                flip(dice, bytes);
            }
        }
        1 => {
            let at = place(dice, bytes);
            let value = u8::try_from(dice.below(256)).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        2 => {
            let at = place(dice, bytes);
            bytes.truncate(at);
        }
        3 => {
            let (from, until) = part(dice, bytes);
            bytes.drain(from..until);
        }
        // The beginning of this one and the end of another.
        4 => {
            let Some(other) = dice.pick(samples) else { return };
            let (at, from) = (place(dice, bytes), place(dice, other));
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        // A part of another one in the midst of this one.
        5 => {
            let Some(other) = dice.pick(samples) else { return };
            let (from, until) = part(dice, other);
            let at = place(dice, bytes);
            insert(bytes, at, other.get(from..until).unwrap_or_default());
        }
        6 => {
            let at = place(dice, bytes);
            let length = dice.pick(LENGTHS).copied().unwrap_or_default();
            if dice.chance(1, 2) { insert(bytes, at, length) } else { overwrite(bytes, at, length) }
        }
        // A part, many times.
        7 => {
            let (from, until) = part(dice, bytes);
            let repeated = bytes.get(from..until).unwrap_or_default().repeat(times(dice, until - from));
            insert(bytes, until, &repeated);
        }
        8 => {
            let opening = dice.pick(OPENINGS).copied().unwrap_or_default();
            let deep = opening.repeat(times(dice, opening.len()));
            let at = if dice.chance(1, 2) { 0 } else { place(dice, bytes) };
            insert(bytes, at, &deep);
        }
        9 | 10 => {
            let at = place(dice, bytes);
            let word = dice.pick(WORDS).copied().unwrap_or_default();
            if dice.chance(3, 4) { insert(bytes, at, word) } else { overwrite(bytes, at, word) }
        }
        _ => {
            let at = place(dice, bytes);
            let more = random(dice, 32);
            insert(bytes, at, &more);
        }
    }
}

/// Up to so many random bytes.
fn random(dice: &mut Dice, most: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(dice.between(0, most)).unwrap_or(0)];
    dice.fill(&mut bytes);
    bytes
}

fn flip(dice: &mut Dice, bytes: &mut [u8]) {
    let at = place(dice, bytes);
    let bit = u32::try_from(dice.below(8)).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1u8.wrapping_shl(bit);
    }
}

/// A place in the bytes, from their begin to their end.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    usize::try_from(dice.between(0, end)).unwrap_or(0)
}

/// The begin and the end of a part.
fn part(dice: &mut Dice, bytes: &[u8]) -> (usize, usize) {
    let (one, other) = (place(dice, bytes), place(dice, bytes));
    (one.min(other), one.max(other))
}

/// How often to repeat something of this length: mostly a few times, one time in 16 as often as an input can hold.
fn times(dice: &mut Dice, length: usize) -> usize {
    let most = INPUT_BYTES_MAX.checked_div(length).unwrap_or(0);
    let wanted = if dice.chance(1, 16) { most } else { usize::try_from(dice.between(1, 80)).unwrap_or(1) };
    wanted.min(most)
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    let end = bytes.split_off(at.min(bytes.len()));
    bytes.extend_from_slice(more);
    bytes.extend_from_slice(&end);
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_seed_gives_one_input_and_the_first_seeds_give_the_samples() {
        let samples = [b"one sample".to_vec(), b"another".to_vec()];
        assert_eq!(input("a", &samples, 0), samples[0]);
        assert_eq!(input("a", &samples, 1), samples[1]);
        let inputs: BTreeSet<Vec<u8>> = (2..502).map(|seed| input("a", &samples, seed)).collect();
        assert!(inputs.len() > 400, "{}", inputs.len());
        for seed in 2..502 {
            assert_eq!(input("a", &samples, seed), input("a", &samples, seed), "{seed}");
        }
        assert!((2..50).any(|seed| input("a", &samples, seed) != input("b", &samples, seed)));
    }

    #[test]
    fn inputs_are_bounded_some_are_long_some_nest_deeply_and_no_samples_are_needed() {
        let samples = [br#"{"a":[1,2]}"#.to_vec()];
        let some =
            |wanted: &dyn Fn(&[u8]) -> bool| (1..20_000).any(|seed| wanted(&input("a", &samples, seed)));
        assert!(!some(&|bytes: &[u8]| bytes.len() > INPUT_BYTES_MAX));
        assert!(some(&|bytes: &[u8]| bytes.len() > INPUT_BYTES_MAX / 2));
        assert!(some(&|bytes: &[u8]| bytes.starts_with(&b"[".repeat(10_000))));
        assert!(some(&|bytes: &[u8]| bytes.windows(4).any(|four| four == b"\xff\xff\xff\xff")));
        assert!((0..100).any(|seed| !input("a", &[], seed).is_empty()));
    }
}
