//! Which bytes are a command. This never changes.
//!
//! Whether a log entry is a command or garbage decides what every node applies, so a new version of the codec's crates
//! must not change it. Each value has the one encoding that is listed here; everything else is garbage, even if a
//! lenient reader could read it. The second version of commands, which `test-rules` adds, is in no release and is not
//! pinned.

use assent_proof::{Millis, Rules, RulesVersion};
use assent_registry::{CodecError, Command, Group};

/// The command of the golden bytes: at time 1, one atomic group of the envelope `{}`.
const GOLDEN: &str = "01 92 01 91 92 c3 91 c402 7b7d";

/// The versions of commands that are in a release.
const VERSIONS: &[u8] = &[1];

/// A name and hex with spaces.
type Named = (&'static str, &'static str);

/// Encodings of times in version 1.
const TIMES: &[(&str, i64)] = &[
    ("00", 0),
    ("7f", 0x7f),
    ("cc 80", 0x80),
    ("cc ff", 0xff),
    ("cd 0100", 0x100),
    ("cd ffff", 0xffff),
    ("ce 00010000", 0x1_0000),
    ("ce ffffffff", 0xffff_ffff),
    ("cf 0000000100000000", 0x1_0000_0000),
    ("cf 000001a204a12780", 1_795_374_000_000),
    ("cf 7fffffffffffffff", i64::MAX),
    // Negative times are read. What `apply` does with them is not tested here.
    ("ff", -1),
    ("e0", -0x20),
    ("d0 df", -0x21),
    ("d0 80", -0x80),
    ("d1 ff7f", -0x81),
    ("d1 8000", -0x8000),
    ("d2 ffff7fff", -0x8001),
    ("d2 80000000", -0x8000_0000),
    ("d3 ffffffff7fffffff", -0x8000_0001),
    ("d3 8000000000000000", i64::MIN),
];

/// What is no time, in the place of one.
const NO_TIMES: &[Named] = &[
    ("1 as u8", "cc 01"),
    ("1 as u16", "cd 0001"),
    ("1 as u32", "ce 00000001"),
    ("1 as u64", "cf 0000000000000001"),
    ("1 as i8", "d0 01"),
    ("1 as i16", "d1 0001"),
    ("1 as i32", "d2 00000001"),
    ("1 as i64", "d3 0000000000000001"),
    ("127 as u8", "cc 7f"),
    ("128 as u16", "cd 0080"),
    ("128 as i16", "d1 0080"),
    ("255 as u32", "ce 000000ff"),
    ("65535 as i32", "d2 0000ffff"),
    ("65535 as u32", "ce 0000ffff"),
    ("2^32 - 1 as u64", "cf 00000000ffffffff"),
    ("2^32 as i64", "d3 0000000100000000"),
    ("2^63 - 1 as i64", "d3 7fffffffffffffff"),
    ("2^63", "cf 8000000000000000"),
    ("2^64 - 1", "cf ffffffffffffffff"),
    ("-1 as i8", "d0 ff"),
    ("-1 as i16", "d1 ffff"),
    ("-1 as i32", "d2 ffffffff"),
    ("-1 as i64", "d3 ffffffffffffffff"),
    ("-32 as i8", "d0 e0"),
    ("-33 as i16", "d1 ffdf"),
    ("-129 as i32", "d2 ffffff7f"),
    ("-2^31 as i64", "d3 ffffffff80000000"),
    ("nil", "c0"),
    ("never used", "c1"),
    ("false", "c2"),
    ("true", "c3"),
    ("1.0 as f32", "ca 3f800000"),
    ("1.0 as f64", "cb 3ff0000000000000"),
    ("0.0 as f64", "cb 0000000000000000"),
    ("not a number", "cb 7ff8000000000000"),
    ("fixstr", "a1 31"),
    ("empty fixstr", "a0"),
    ("bin8", "c4 01 01"),
    ("bin8 of 8 bytes", "c4 08 0000000000000001"),
    ("array of 1", "91 01"),
    ("empty array", "90"),
    ("empty map", "80"),
    ("map", "81 00 01"),
    ("fixext1", "d4 01 01"),
    ("fixext8", "d7 01 0000000000000001"),
    ("timestamp32", "d6 ff 00000001"),
    ("timestamp64", "d7 ff 0000000000000001"),
    ("timestamp96", "c7 0c ff 00000000 0000000000000001"),
    ("ext8 of nothing", "c7 00 01"),
];

/// What is no list of groups, in the place of an empty one, and no group's list of envelopes either.
const NO_LISTS: &[Named] = &[
    ("array16", "dc 0000"),
    ("array32", "dd 00000000"),
    ("bin8", "c4 00"),
    ("bin16", "c5 0000"),
    ("bin32", "c6 00000000"),
    ("bin8 of 1 byte", "c4 01 00"),
    ("fixstr", "a0"),
    ("str8", "d9 00"),
    ("str32", "db 00000000"),
    ("fixstr that is no UTF-8", "a1 ff"),
    ("map", "80"),
    ("map16", "de 0000"),
    ("map32", "df 00000000"),
    ("map of 1", "81 00 90"),
    ("nil", "c0"),
    ("never used", "c1"),
    ("false", "c2"),
    ("zero", "00"),
    ("float", "ca 00000000"),
    ("fixext1", "d4 01 90"),
    ("ext8 of nothing", "c7 00 01"),
    ("ext32 of nothing", "c9 00000000 01"),
    ("array of nil", "91 c0"),
    ("array of zero", "91 00"),
    ("array of a map", "91 80"),
    ("array of an empty array of an empty array", "91 91 90"),
    ("array without its elements", "91"),
    ("array32 of 4 Gi", "dd ffffffff"),
    ("array16 of 64 Ki", "dc ffff"),
    ("bin32 of 4 GiB", "c6 ffffffff"),
    ("str32 of 4 GiB", "db ffffffff"),
    ("map32 of 4 Gi", "df ffffffff"),
    ("ext32 of 4 GiB", "c9 ffffffff 01"),
];

/// What is no group, in the place of one that is atomic and has no envelope.
const NO_GROUPS: &[Named] = &[
    ("array16", "dc 0002 c3 90"),
    ("array32", "dd 00000002 c3 90"),
    ("map by names", "82 a6 61746f6d6963 c3 a9 656e76656c6f706573 90"),
    ("map by positions", "82 00 c3 01 90"),
    ("map16 by names", "de 0002 a6 61746f6d6963 c3 a9 656e76656c6f706573 90"),
    ("map without names", "81 c3 90"),
    ("nil", "c0"),
    ("true", "c3"),
    ("zero", "00"),
    ("fixstr", "a2 c390"),
    ("bin8", "c4 02 c390"),
    ("fixext2", "d5 01 c390"),
    ("no element", "90"),
    ("1 element", "91 c3"),
    ("3 elements", "93 c3 90 c0"),
    ("3 elements, the last a list", "93 c3 90 90"),
    ("2 elements in the other order", "92 90 c3"),
    ("one element cut off", "92 c3"),
    ("nil as the bool", "92 c0 90"),
    ("1 as the bool", "92 01 90"),
    ("0 as the bool", "92 00 90"),
    ("u8 as the bool", "92 cc01 90"),
    ("float as the bool", "92 ca3f800000 90"),
    ("fixstr as the bool", "92 a474727565 90"),
    ("array as the bool", "92 91c3 90"),
    ("bin8 as the bool", "92 c401c3 90"),
    ("fixext1 as the bool", "92 d401c3 90"),
    ("never used as the bool", "92 c1 90"),
    ("nil as the list", "92 c3 c0"),
];

/// What is no envelope, in the place of the bytes `{}`.
const NO_ENVELOPES: &[Named] = &[
    ("bin16", "c5 0002 7b7d"),
    ("bin32", "c6 00000002 7b7d"),
    ("fixstr", "a2 7b7d"),
    ("str8", "d9 02 7b7d"),
    ("str16", "da 0002 7b7d"),
    ("str32", "db 00000002 7b7d"),
    ("fixstr that is no UTF-8", "a2 ffff"),
    ("str8 that is no UTF-8", "d9 02 c080"),
    ("array of integers", "92 7b 7d"),
    ("array16 of integers", "dc 0002 7b 7d"),
    ("array of wide integers", "92 cc7b cc7d"),
    ("array of byte strings", "91 c4027b7d"),
    ("empty array", "90"),
    ("empty fixstr", "a0"),
    ("empty bin16", "c5 0000"),
    ("empty map", "80"),
    ("map", "81 7b 7d"),
    ("nil", "c0"),
    ("never used", "c1"),
    ("false", "c2"),
    ("integer", "7b"),
    ("float", "cb 3ff0000000000000"),
    ("fixext2", "d5 01 7b7d"),
    ("ext8", "c7 02 01 7b7d"),
    ("ext8 of nothing", "c7 00 01"),
    ("bin8 cut off", "c4 02 7b"),
    ("bin8 without its bytes", "c4 02"),
    ("bin32 of 4 GiB", "c6 ffffffff 7b7d"),
    ("str32 of 4 GiB", "db ffffffff 7b7d"),
    ("array32 of 4 Gi", "dd ffffffff 7b 7d"),
    ("ext32 of 4 GiB", "c9 ffffffff 01 7b7d"),
];

/// What is no command as a whole.
const NO_COMMANDS: &[Named] = &[
    ("no byte", ""),
    ("a version alone", "01"),
    ("the version twice", "01 01 92 00 90"),
    ("array16", "01 dc 0002 00 90"),
    ("array32", "01 dd 00000002 00 90"),
    ("array32 of 4 Gi", "01 dd ffffffff 00 90"),
    ("map by names", "01 82 ab 70726f706f7365645f6174 00 a6 67726f757073 90"),
    ("map by names in the other order", "01 82 a6 67726f757073 90 ab 70726f706f7365645f6174 00"),
    ("map by positions", "01 82 00 00 01 90"),
    ("map16 by names", "01 de 0002 ab 70726f706f7365645f6174 00 a6 67726f757073 90"),
    ("map32 of 4 Gi", "01 df ffffffff"),
    ("empty map", "01 80"),
    ("nil", "01 c0"),
    ("never used", "01 c1"),
    ("true", "01 c3"),
    ("integer", "01 00"),
    ("float", "01 ca 00000000"),
    ("fixstr", "01 a2 0090"),
    ("bin8", "01 c4 02 0090"),
    ("bin32 of 4 GiB", "01 c6 ffffffff 00 90"),
    ("fixext2", "01 d5 01 0090"),
    ("ext32 of 4 GiB", "01 c9 ffffffff 01 00 90"),
    ("no element", "01 90"),
    ("1 element", "01 91 00"),
    ("3 elements", "01 93 00 90 c0"),
    ("3 elements, the last a list", "01 93 00 90 90"),
    ("1 element, cut off", "01 92 00"),
    ("in an array", "01 91 92 00 90"),
    ("groups first", "01 92 90 00"),
    ("a zero left over", "01 92 00 90 00"),
    ("a nil left over", "01 92 00 90 c0"),
    ("a newline left over", "01 92 00 90 0a"),
    ("another command left over", "01 92 00 90 01 92 00 90"),
    ("another body left over", "01 92 00 90 92 00 90"),
];

/// The bytes of hex with spaces.
fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).unwrap()
}

/// Groups, each atomic or not, of envelopes that have so many bytes.
fn command(proposed_at: i64, groups: &[(bool, &[usize])]) -> Command {
    let group = |(atomic, sizes): &(bool, &[usize])| {
        let envelopes = sizes.iter().map(|size| vec![b'a'; *size].into()).collect();
        Group { atomic: *atomic, envelopes }
    };
    Command { proposed_at: Millis(proposed_at), groups: groups.iter().map(group).collect() }
}

/// Groups without envelopes.
fn empty_groups(number: usize) -> Vec<(bool, &'static [usize])> {
    let none: &'static [usize] = &[];
    vec![(false, none); number]
}

/// The bytes that are commands of version 1, and which.
fn accepted() -> Vec<(String, Command)> {
    // `a` so many times.
    let letters = |number: usize| "61".repeat(number);
    let mut accepted: Vec<(String, Command)> =
        TIMES.iter().map(|(time, value)| (format!("01 92 {time} 90"), command(*value, &[]))).collect();
    accepted.extend([
        ("01 92 00 91 92 c2 90".to_owned(), command(0, &[(false, &[])])),
        ("01 92 00 91 92 c3 90".to_owned(), command(0, &[(true, &[])])),
        ("01 92 00 92 92 c2 90 92 c3 91 c400".to_owned(), command(0, &[(false, &[]), (true, &[0])])),
        ("01 92 00 91 92 c2 92 c40161 c4026161".to_owned(), command(0, &[(false, &[1, 2])])),
        (format!("01 92 00 91 92 c2 91 c4ff{}", letters(255)), command(0, &[(false, &[255])])),
        (format!("01 92 00 91 92 c2 91 c50100{}", letters(256)), command(0, &[(false, &[256])])),
        (format!("01 92 00 91 92 c2 91 c5ffff{}", letters(65_535)), command(0, &[(false, &[65_535])])),
        (format!("01 92 00 91 92 c2 91 c600010000{}", letters(65_536)), command(0, &[(false, &[65_536])])),
        (format!("01 92 00 91 92 c2 9f {}", "c400".repeat(15)), command(0, &[(false, &[0; 15])])),
        (format!("01 92 00 91 92 c2 dc0010 {}", "c400".repeat(16)), command(0, &[(false, &[0; 16])])),
        (format!("01 92 00 9f {}", "92c290".repeat(15)), command(0, &empty_groups(15))),
        (format!("01 92 00 dc0010 {}", "92c290".repeat(16)), command(0, &empty_groups(16))),
        (format!("01 92 00 dcffff {}", "92c290".repeat(65_535)), command(0, &empty_groups(65_535))),
        (format!("01 92 00 dd00010000 {}", "92c290".repeat(65_536)), command(0, &empty_groups(65_536))),
    ]);
    let golden = Group { atomic: true, envelopes: vec![b"{}".to_vec().into()] };
    accepted.push((GOLDEN.to_owned(), Command { proposed_at: Millis(1), groups: vec![golden] }));
    accepted
}

/// The bytes that are garbage to every build that knows version 1.
fn refused() -> Vec<(String, String)> {
    let places: [(&str, &str, &str, &[Named]); 6] = [
        ("command", "", "", NO_COMMANDS),
        ("time", "01 92", "90", NO_TIMES),
        ("groups", "01 92 00", "", NO_LISTS),
        ("group", "01 92 00 91", "", NO_GROUPS),
        ("envelopes", "01 92 00 91 92 c3", "", NO_LISTS),
        ("envelope", "01 92 00 91 92 c3 91", "", NO_ENVELOPES),
    ];
    let mut refused = Vec::new();
    for (place, before, after, given) in places {
        for (name, hex) in given {
            refused.push((format!("{place}: {name}"), format!("{before} {hex} {after}")));
        }
    }
    // Lists and byte strings that are long enough for the wider lengths, with yet wider ones.
    let letters = "61".repeat(256);
    refused.extend([
        ("envelope: 256 bytes in bin32".to_owned(), format!("01 92 00 91 92 c2 91 c600000100{letters}")),
        ("envelope: 256 bytes in str16".to_owned(), format!("01 92 00 91 92 c2 91 da0100{letters}")),
        ("groups: 16 in array32".to_owned(), format!("01 92 00 dd00000010 {}", "92c290".repeat(16))),
        ("groups: 15 in array16".to_owned(), format!("01 92 00 dc000f {}", "92c290".repeat(15))),
        (
            "envelopes: 16 in array32".to_owned(),
            format!("01 92 00 91 92 c2 dd00000010 {}", "c400".repeat(16)),
        ),
        ("groups: 200,000 deep".to_owned(), format!("01 92 00 {}", "91".repeat(200_000))),
        ("command: 200,000 deep".to_owned(), format!("01 {}", "91".repeat(200_000))),
        ("command: 200,000 deep in maps".to_owned(), format!("01 {}", "81".repeat(200_000))),
    ]);
    refused
}

#[test]
fn a_command_has_one_encoding() {
    for (hex, command) in accepted() {
        let shown: String = hex.chars().take(60).collect();
        let bytes = bytes(&hex);
        assert!(Command::decode(&bytes).as_ref() == Ok(&command), "{shown} is not read as it was");
        assert!(command.encode(Rules::GENESIS) == bytes, "{shown} is not written as it was");
    }
    let golden = include_str!("../src/golden/command.hex").trim();
    assert_eq!(hex::encode(bytes(GOLDEN)), golden, "one of the commands is the golden one");
}

#[test]
fn everything_else_is_garbage() {
    // The codec says why. Every node only skips it.
    for (name, hex) in refused() {
        let result = Command::decode(&bytes(&hex));
        assert!(
            matches!(&result, Err(error) if !matches!(error, CodecError::Version(_))),
            "{name}: {result:?}"
        );
    }
    let golden = bytes(GOLDEN);
    for length in 0..golden.len() {
        let result = Command::decode(&golden[..length]);
        assert!(
            matches!(&result, Err(error) if !matches!(error, CodecError::Version(_))),
            "cut to {length} bytes: {result:?}"
        );
    }
}

#[test]
fn another_version_is_never_garbage() {
    for found in [0, 3, 0x91, 0xff] {
        for body in [&b""[..], &bytes("92 00 90"), b"\xc1"] {
            let result = Command::decode(&[&[found][..], body].concat());
            assert!(matches!(result, Err(CodecError::Version(_))), "{found}: {result:?}");
        }
    }
}

#[test]
fn every_version_of_a_release_is_pinned() {
    let written: std::collections::BTreeSet<u8> = (1..=RulesVersion::NEWEST.0)
        .map(|version| command(0, &[]).encode(Rules::of(RulesVersion(version)).unwrap())[0])
        .collect();
    assert!(written.iter().eq(VERSIONS), "pin the bytes of every version that is written: {written:?}");
}
