//! Checkpoints on which readers of notes are known to differ, and which keys of the registry and its nodes must have
//! signed.

use assent_proof::*;
use curve25519_dalek::scalar::Scalar;

use super::build::{ORIGIN, SIGNATURE_INVALID};
use super::forge::{Forger, ORDER, encoding, filled, plus_order};
use super::{Case, Input, NO_KEY};
use crate::keys::LOW_ORDER;
use crate::make::key;

const ACCEPTED: &str = "accepted";
const MALFORMED: &str = "malformed";
const UNSIGNED: &str = "unsigned_evidence at signatures";
const WRONG_REGISTRY: &str = "wrong_registry at origin";

/// The seed of the registry's key.
const REGISTRY: u8 = 1;

/// The seed of the first node's key; the others follow.
const NODE: u8 = 11;

/// When the nodes cosigned.
const TIME: u64 = 1_795_374_000;

/// A root of which the base64 has a `+` and a `/`.
const ROOT: [u8; 32] = [0xfb; 32];

/// The registry and the nodes under which a checkpoint is to be verified.
#[derive(Clone)]
struct Asked {
    origin: String,
    registry_key: [u8; 32],
    node_keys: Vec<[u8; 32]>,
    pad_to: Option<usize>,
}

impl Asked {
    /// The registry and one node.
    fn one() -> Self {
        Self::of(&[NODE])
    }

    /// The registry and the nodes of these seeds.
    fn of(nodes: &[u8]) -> Self {
        Asked {
            origin: ORIGIN.to_owned(),
            registry_key: public(REGISTRY),
            node_keys: nodes.iter().map(|seed| public(*seed)).collect(),
            pad_to: None,
        }
    }

    fn case(self, name: &str, note: impl Into<Vec<u8>>, expect: &str) -> Case {
        let Asked { origin, registry_key, node_keys, pad_to } = self;
        let input = Input::Checkpoint { origin, registry_key, node_keys, note: note.into(), pad_to };
        Case { name: format!("checkpoint/{name}"), input, expect: expect.to_owned() }
    }
}

fn public(seed: u8) -> [u8; 32] {
    *key(seed).public().as_bytes()
}

fn text_of(origin: &str, size: &str, root: &str) -> String {
    format!("{origin}\n{size}\n{root}\n")
}

/// The text that nothing is wrong with.
fn text() -> String {
    text_of(ORIGIN, "3", &encode_base64(&ROOT))
}

/// The registry's line.
fn registry_line(text: &str) -> NoteSignature {
    sign_note(text, ORIGIN, &key(REGISTRY))
}

/// The line of the node of this seed at this time.
fn node_line_at(text: &str, seed: u8, time: u64) -> NoteSignature {
    let node = key(seed);
    cosign(text, &cosigner_name(ORIGIN, &node.public()), &node, time)
}

/// The line of the node of this seed.
fn node_line(text: &str, seed: u8) -> NoteSignature {
    node_line_at(text, seed, TIME)
}

/// The text, an empty line and these lines.
fn note<L: std::fmt::Display>(text: &str, lines: impl IntoIterator<Item = L>) -> String {
    let lines: Vec<String> = lines.into_iter().map(|line| format!("{line}\n")).collect();
    format!("{text}\n{}", lines.concat())
}

/// The text, signed by the registry and cosigned by the one node.
fn signed(text: &str) -> String {
    note(text, [registry_line(text), node_line(text, NODE)])
}

/// The text that nothing is wrong with, signed by the registry and cosigned by the one node, and these lines.
fn signed_and(lines: &[NoteSignature]) -> String {
    let text = text();
    note(&text, [&[registry_line(&text), node_line(&text, NODE)][..], lines].concat())
}

/// A line by a key that nobody knows.
fn stranger(name: &str) -> NoteSignature {
    NoteSignature { name: name.to_owned(), key_id: [7; 4], signature: vec![7] }
}

/// `text` with the first `from`, which must be there, replaced.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in {text}");
    text.replacen(from, to, 1)
}

/// A key, how it signs, and what is made of both.
struct Trick {
    name: &'static str,
    key: [u8; 32],
    sign: fn(&[u8]) -> [u8; 64],
    expect: &'static str,
}

fn trick(name: &'static str, key: [u8; 32], sign: fn(&[u8]) -> [u8; 64], expect: &'static str) -> Trick {
    Trick { name, key, sign, expect }
}

/// The signature with another S.
fn with_s(mut signature: [u8; 64], s: [u8; 32]) -> [u8; 64] {
    signature[32..].copy_from_slice(&s);
    signature
}

fn tricks() -> Vec<Trick> {
    let honest = public(NODE);
    let forger = Forger::honest().public;
    let mixed = Forger::with_torsion(1).public;
    vec![
        trick("honest", honest, |message| key(NODE).sign(message), ACCEPTED),
        trick("s-plus-l", honest, |message| plus_order(key(NODE).sign(message), 1), SIGNATURE_INVALID),
        trick(
            "s-is-l",
            honest,
            |message| with_s(key(NODE).sign(message), encoding(ORDER)),
            SIGNATURE_INVALID,
        ),
        trick("s-zero", honest, |message| with_s(key(NODE).sign(message), [0; 32]), SIGNATURE_INVALID),
        trick("all-zero", honest, |_| [0; 64], SIGNATURE_INVALID),
        // With S = k a, R is the neutral point to whoever multiplies by the cofactor.
        trick(
            "r-neutral",
            forger,
            |message| Forger::honest().respond(Scalar::ZERO, encoding(LOW_ORDER[0]), message),
            SIGNATURE_INVALID,
        ),
        trick(
            "r-of-order-8",
            forger,
            |message| Forger::honest().respond(Scalar::ZERO, encoding(LOW_ORDER[4]), message),
            SIGNATURE_INVALID,
        ),
        trick(
            "r-not-canonical",
            forger,
            |message| Forger::honest().respond(Scalar::ZERO, filled(0xee, 0xff, 0x7f), message),
            SIGNATURE_INVALID,
        ),
        trick(
            "r-with-torsion",
            forger,
            |message| Forger::honest().search(message, 1, |_| true),
            SIGNATURE_INVALID,
        ),
        trick(
            "a-mixed-both",
            mixed,
            |message| Forger::with_torsion(1).search(message, 0, |k| k.reduced == 0),
            ACCEPTED,
        ),
        trick(
            "a-mixed-cofactored-only",
            mixed,
            |message| Forger::with_torsion(1).search(message, 0, |k| k.reduced != 0),
            SIGNATURE_INVALID,
        ),
        trick(
            "a-mixed-unreduced-only",
            mixed,
            |message| Forger::with_torsion(1).search(message, 0, |k| k.reduced != 0 && k.unreduced == 0),
            SIGNATURE_INVALID,
        ),
        trick(
            "a-mixed-reduced-only",
            mixed,
            |message| Forger::with_torsion(1).search(message, 0, |k| k.reduced == 0 && k.unreduced != 0),
            ACCEPTED,
        ),
        trick(
            "a-and-r-mixed-both",
            mixed,
            |message| Forger::with_torsion(1).search(message, 1, |k| k.reduced == 7),
            ACCEPTED,
        ),
    ]
}

/// Every trick as the registry's signature and as the one node's cosignature.
fn forged() -> Vec<Case> {
    let text = text();
    let mut cases = Vec::new();
    for Trick { name, key, sign, expect } in tricks() {
        let public = PublicKey::from_bytes(&key).unwrap();
        let own = NoteKey::ed25519(ORIGIN, public).unwrap();
        let line = NoteSignature {
            name: ORIGIN.to_owned(),
            key_id: own.key_id(),
            signature: sign(text.as_bytes()).to_vec(),
        };
        let by_registry = Asked { registry_key: key, ..Asked::one() };
        let noted = note(&text, [line, node_line(&text, NODE)]);
        cases.push(by_registry.case(&format!("registry-{name}"), noted, expect));

        let cosigner = NoteKey::cosigner(cosigner_name(ORIGIN, &public), public).unwrap();
        let message = format!("cosignature/v1\ntime {TIME}\n{text}");
        let line = NoteSignature {
            name: cosigner.name().to_owned(),
            key_id: cosigner.key_id(),
            signature: [&TIME.to_be_bytes()[..], &sign(message.as_bytes())[..]].concat(),
        };
        let by_node = Asked { node_keys: vec![key], ..Asked::one() };
        let noted = note(&text, [registry_line(&text), line]);
        cases.push(by_node.case(&format!("node-{name}"), noted, expect));
    }
    let noted = signed(&text);
    for (name, bytes) in [
        ("of-low-order", encoding(LOW_ORDER[4])),
        ("neutral", encoding(LOW_ORDER[0])),
        ("not-canonical", filled(0xf0, 0xff, 0x7f)),
        ("no-point", filled(0x02, 0x00, 0x00)),
    ] {
        let by_registry = Asked { registry_key: bytes, ..Asked::one() };
        cases.push(by_registry.case(&format!("registry-key-{name}"), noted.as_str(), NO_KEY));
        let by_node = Asked { node_keys: vec![public(NODE), bytes], ..Asked::one() };
        cases.push(by_node.case(&format!("node-key-{name}"), noted.as_str(), NO_KEY));
    }
    cases
}

/// How many of how many nodes cosigned.
fn majorities() -> Vec<Case> {
    let text = text();
    let by = |signers: &[u8]| {
        let cosigned = signers.iter().map(|seed| node_line(&text, *seed));
        note(&text, [registry_line(&text)].into_iter().chain(cosigned))
    };
    let nodes: Vec<u8> = (NODE..NODE + 7).collect();
    let mut cases = Vec::new();
    for (signers, voters, expect) in [
        (0, 0, UNSIGNED),
        (1, 0, UNSIGNED),
        (0, 1, UNSIGNED),
        (1, 1, ACCEPTED),
        (1, 2, UNSIGNED),
        (2, 2, ACCEPTED),
        (1, 3, UNSIGNED),
        (2, 3, ACCEPTED),
        (3, 3, ACCEPTED),
        (2, 4, UNSIGNED),
        (3, 4, ACCEPTED),
        (4, 4, ACCEPTED),
        (3, 7, UNSIGNED),
        (4, 7, ACCEPTED),
    ] {
        let name = format!("majority-{signers}-of-{voters}");
        cases.push(Asked::of(&nodes[..voters]).case(&name, by(&nodes[..signers]), expect));
    }
    let [a, b, c] = [NODE, NODE + 1, NODE + 2];
    let without_registry = note(&text, [node_line(&text, a)]);
    cases.extend([
        Asked::of(&[a, a, b]).case("majority-of-keys-listed-twice", by(&[a]), UNSIGNED),
        Asked::of(&[a, a]).case("majority-of-one-key-listed-twice", by(&[a]), ACCEPTED),
        Asked::of(&[a, b, c]).case("majority-in-another-order", by(&[c, a]), ACCEPTED),
        Asked::of(&[a, b, c]).case("majority-of-one-line-twice", by(&[a, a]), UNSIGNED),
        Asked::of(&[a, b, c]).case("majority-with-strangers", by(&[a, 99, 98]), UNSIGNED),
        Asked::of(&[REGISTRY]).case("majority-of-the-registry-itself", by(&[REGISTRY]), ACCEPTED),
        Asked::one().case("majority-without-the-registry", without_registry, UNSIGNED),
    ]);
    cases
}

/// Lines with one thing wrong with them, and lines that are there twice.
fn lines() -> Vec<Case> {
    let text = text();
    let (registry, node) = (registry_line(&text), node_line(&text, NODE));
    let with_id = |line: &NoteSignature, key_id: [u8; 4]| NoteSignature { key_id, ..line.clone() };
    let named = |line: &NoteSignature, name: &str| NoteSignature { name: name.to_owned(), ..line.clone() };
    let with = |line: &NoteSignature, signature: &[u8]| NoteSignature {
        signature: signature.to_vec(),
        ..line.clone()
    };
    let broken = |line: &NoteSignature| {
        let mut line = line.clone();
        *line.signature.last_mut().unwrap() ^= 1;
        line
    };
    let pair = |registry: &NoteSignature, node: &NoteSignature| note(&text, [registry, node]);
    let cosigner = NoteKey::cosigner(ORIGIN, key(REGISTRY).public()).unwrap();
    let node_name = cosigner_name(ORIGIN, &key(NODE).public());
    let plain_of_node = sign_note(&text, &node_name, &key(NODE));
    let undated = &node.signature[8..];
    let dated_plain = [&TIME.to_be_bytes()[..], &plain_of_node.signature[..]].concat();
    let longer = |line: &NoteSignature| [&line.signature[..], &[0]].concat();
    let shorter = |line: &NoteSignature| line.signature[..line.signature.len() - 1].to_vec();
    let mut redated = node.clone();
    redated.signature[7] ^= 1;
    let impostor = sign_note(&text, ORIGIN, &key(9));
    let given = [
        ("line-both", pair(&registry, &node), ACCEPTED),
        ("line-node-first", note(&text, [&node, &registry]), ACCEPTED),
        ("line-registry-broken", pair(&broken(&registry), &node), SIGNATURE_INVALID),
        ("line-node-broken", pair(&registry, &broken(&node)), SIGNATURE_INVALID),
        ("line-registry-of-another-id", pair(&with_id(&registry, [7; 4]), &node), UNSIGNED),
        ("line-node-of-another-id", pair(&registry, &with_id(&node, [7; 4])), UNSIGNED),
        ("line-registry-of-its-cosigner-id", pair(&with_id(&registry, cosigner.key_id()), &node), UNSIGNED),
        ("line-registry-of-another-name", pair(&named(&registry, "r.example/2"), &node), UNSIGNED),
        ("line-node-of-the-registrys-name", pair(&registry, &named(&node, ORIGIN)), UNSIGNED),
        ("line-registry-by-another", pair(&impostor, &node), UNSIGNED),
        (
            "line-registry-by-another-under-its-id",
            pair(&with_id(&impostor, registry.key_id), &node),
            SIGNATURE_INVALID,
        ),
        ("line-registry-63-bytes", pair(&with(&registry, &shorter(&registry)), &node), SIGNATURE_INVALID),
        ("line-registry-65-bytes", pair(&with(&registry, &longer(&registry)), &node), SIGNATURE_INVALID),
        ("line-registry-1-byte", pair(&with(&registry, &[0]), &node), SIGNATURE_INVALID),
        (
            "line-registry-cosigned",
            pair(&with_id(&cosign(&text, ORIGIN, &key(REGISTRY), TIME), registry.key_id), &node),
            SIGNATURE_INVALID,
        ),
        ("line-node-71-bytes", pair(&registry, &with(&node, &shorter(&node))), SIGNATURE_INVALID),
        ("line-node-73-bytes", pair(&registry, &with(&node, &longer(&node))), SIGNATURE_INVALID),
        ("line-node-undated", pair(&registry, &with(&node, undated)), SIGNATURE_INVALID),
        ("line-node-redated", pair(&registry, &redated), SIGNATURE_INVALID),
        ("line-node-plain", pair(&registry, &plain_of_node), UNSIGNED),
        (
            "line-node-plain-under-its-cosigner-id",
            pair(&registry, &with(&node, &plain_of_node.signature)),
            SIGNATURE_INVALID,
        ),
        ("line-node-plain-with-a-time", pair(&registry, &with(&node, &dated_plain)), SIGNATURE_INVALID),
        ("line-registry-twice", signed_and(std::slice::from_ref(&registry)), ACCEPTED),
        ("line-registry-twice-second-broken", signed_and(&[broken(&registry)]), SIGNATURE_INVALID),
        (
            "line-registry-twice-first-broken",
            note(&text, [&broken(&registry), &registry, &node]),
            SIGNATURE_INVALID,
        ),
        ("line-node-twice", signed_and(std::slice::from_ref(&node)), ACCEPTED),
        ("line-node-twice-at-two-times", signed_and(&[node_line_at(&text, NODE, TIME + 1)]), ACCEPTED),
        ("line-node-twice-the-older-last", signed_and(&[node_line_at(&text, NODE, TIME - 1)]), ACCEPTED),
        ("line-node-twice-second-broken", signed_and(&[broken(&node)]), SIGNATURE_INVALID),
        ("line-node-twice-first-broken", note(&text, [&registry, &broken(&node), &node]), SIGNATURE_INVALID),
        ("line-of-a-stranger", signed_and(&[stranger("a")]), ACCEPTED),
        ("line-of-a-stranger-of-the-registrys-name", signed_and(&[stranger(ORIGIN)]), ACCEPTED),
        ("line-of-a-stranger-of-a-nodes-name", signed_and(&[stranger(&node_name)]), ACCEPTED),
        ("line-of-another-node-broken", signed_and(&[broken(&node_line(&text, NODE + 1))]), ACCEPTED),
        ("line-of-strangers-alone", note(&text, [stranger("a")]), UNSIGNED),
    ];
    let mut cases: Vec<Case> =
        given.into_iter().map(|(name, noted, expect)| Asked::one().case(name, noted, expect)).collect();
    // With a majority beside it.
    let three = || Asked::of(&[NODE, NODE + 1, NODE + 2]);
    let [second, third] = [NODE + 1, NODE + 2].map(|seed| node_line(&text, seed));
    let beside = [registry.clone(), node.clone(), second, broken(&third)];
    cases.push(three().case("line-node-broken-beside-a-majority", note(&text, &beside), SIGNATURE_INVALID));
    let many = |number: usize| vec![stranger("a"); number];
    let unread = [many(64), vec![registry, node]].concat();
    cases.extend([
        Asked::one().case("line-64-of-them", signed_and(&many(62)), ACCEPTED),
        Asked::one().case("line-65-of-them", signed_and(&many(63)), "too_large"),
        Asked::one().case("line-66-of-them-the-known-last", note(&text, &unread), "too_large"),
    ]);
    cases
}

/// Times of cosignatures; each is signed as it stands.
fn times() -> Vec<Case> {
    let text = text();
    let given = [
        ("time-0", 0, ACCEPTED),
        ("time-1", 1, ACCEPTED),
        ("time-2-to-63-minus-1", i64::MAX.unsigned_abs(), ACCEPTED),
        ("time-2-to-63", 1u64 << 63, SIGNATURE_INVALID),
        ("time-2-to-64-minus-1", u64::MAX, SIGNATURE_INVALID),
    ];
    let case = |(name, time, expect): (&str, u64, &str)| {
        let noted = note(&text, [registry_line(&text), node_line_at(&text, NODE, time)]);
        Asked::one().case(name, noted, expect)
    };
    given.into_iter().map(case).collect()
}

/// Base64 in signature lines.
fn base64() -> Vec<Case> {
    // The first size at which the base64 of the registry's line has both letters.
    let of_size = |size: u64| text_of(ORIGIN, &size.to_string(), &encode_base64(&ROOT));
    let blob_of = |line: &NoteSignature| line.to_string().rsplit_once(' ').unwrap().1.to_owned();
    let (text, blob) = (1..1000)
        .map(|size| (of_size(size), blob_of(&registry_line(&of_size(size)))))
        .find(|(_, blob)| blob.contains('+') && blob.contains('/'))
        .unwrap();
    let node_blob = blob_of(&node_line(&text, NODE));
    // 68 bytes leave 2 bits of the last letter unused, 76 bytes 4.
    assert!(blob.ends_with('=') && !blob.ends_with("==") && node_blob.ends_with("=="));
    let dirty = |blob: &str| {
        let (body, padding) = blob.split_at(blob.trim_end_matches('=').len());
        let (body, last) = body.split_at(body.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        assert!(next.is_ascii_alphanumeric());
        format!("{body}{next}{padding}")
    };
    let (first, second) = blob.split_at(40);
    let given = [
        ("base64-standard", blob.clone(), ACCEPTED),
        ("base64-unpadded", blob.trim_end_matches('=').to_owned(), MALFORMED),
        ("base64-url-safe", blob.replace('+', "-").replace('/', "_"), MALFORMED),
        ("base64-mixed", blob.replace('+', "-"), MALFORMED),
        ("base64-pad-too-many", format!("{blob}="), MALFORMED),
        ("base64-trailing-bits", dirty(&blob), MALFORMED),
        ("base64-trailing-bits-unpadded", dirty(&blob).trim_end_matches('=').to_owned(), MALFORMED),
        ("base64-space-at-the-end", format!("{blob} "), MALFORMED),
        ("base64-two-spaces-before", format!(" {blob}"), MALFORMED),
        ("base64-space-inside", format!("{first} {second}"), MALFORMED),
        ("base64-tab-at-the-end", format!("{blob}\t"), MALFORMED),
        ("base64-newline-inside", format!("{first}\n{second}"), MALFORMED),
        ("base64-no-break-space-at-the-end", format!("{blob}\u{a0}"), MALFORMED),
        ("base64-zero-width-space-inside", format!("{first}\u{200b}{second}"), MALFORMED),
        ("base64-empty", String::new(), MALFORMED),
        ("base64-pads-alone", "====".to_owned(), MALFORMED),
        ("base64-key-id-alone", encode_base64(&[7; 4]), MALFORMED),
    ];
    let noted = signed(&text);
    let mut cases: Vec<Case> = given
        .into_iter()
        .map(|(name, given, expect)| Asked::one().case(name, replaced(&noted, &blob, &given), expect))
        .collect();
    let of_node = [
        ("base64-of-a-node-1-pad-of-2", node_blob[..node_blob.len() - 1].to_owned()),
        ("base64-of-a-node-unpadded", node_blob.trim_end_matches('=').to_owned()),
        ("base64-of-a-node-trailing-bits", dirty(&node_blob)),
    ];
    cases.extend(
        of_node
            .into_iter()
            .map(|(name, given)| Asked::one().case(name, replaced(&noted, &node_blob, &given), MALFORMED)),
    );
    // A line that nobody would look at counts as well.
    cases.push(Asked::one().case(
        "base64-of-a-stranger-unpadded",
        format!("{noted}— a AAAAAAA\n"),
        MALFORMED,
    ));
    cases
}

/// What stands around the text and the lines.
fn frames() -> Vec<Case> {
    let text = text();
    let noted = signed(&text);
    let lines = noted.strip_prefix(&text).unwrap().trim_start_matches('\n').to_owned();
    let (first, second) = lines.split_once('\n').unwrap();
    let root = encode_base64(&ROOT);
    let given: Vec<(&str, Vec<u8>, &str)> = vec![
        ("frame-as-it-is", noted.clone().into(), ACCEPTED),
        ("frame-no-empty-line", format!("{text}{lines}").into(), MALFORMED),
        ("frame-two-empty-lines", format!("{text}\n\n{lines}").into(), MALFORMED),
        ("frame-empty-line-at-the-start", format!("\n{noted}").into(), MALFORMED),
        ("frame-empty-line-at-the-end", format!("{noted}\n").into(), MALFORMED),
        ("frame-empty-line-between-lines", format!("{text}\n{first}\n\n{second}").into(), MALFORMED),
        ("frame-empty-line-with-a-space", format!("{text} \n{lines}").into(), MALFORMED),
        ("frame-no-newline-at-the-end", noted.trim_end().into(), MALFORMED),
        ("frame-no-lines", format!("{text}\n").into(), MALFORMED),
        ("frame-text-alone", text.clone().into(), MALFORMED),
        ("frame-lines-alone-after-an-empty-line", format!("\n{lines}").into(), MALFORMED),
        ("frame-empty", Vec::new(), MALFORMED),
        ("frame-carriage-returns", noted.replace('\n', "\r\n").into(), MALFORMED),
        ("frame-carriage-returns-signed", signed(&text.replace('\n', "\r\n")).into(), MALFORMED),
        ("frame-carriage-returns-in-the-lines", noted.replace("=\n— ", "=\r\n— ").into(), MALFORMED),
        ("frame-carriage-returns-alone", noted.replace('\n', "\r").into(), MALFORMED),
        ("frame-line-separators", noted.replace('\n', "\u{2028}").into(), MALFORMED),
        ("frame-tab", signed(&replaced(&text, "\n3\n", "\n3\t\n")).into(), MALFORMED),
        ("frame-nul-at-the-end", format!("{noted}\0").into(), MALFORMED),
        ("frame-byte-order-mark", signed(&format!("\u{feff}{text}")).into(), "malformed at origin"),
        (
            "frame-space-after-the-origin",
            signed(&text_of("r.example/1 ", "3", &root)).into(),
            "malformed at origin",
        ),
        ("frame-space-after-the-size", signed(&text_of(ORIGIN, "3 ", &root)).into(), "malformed at size"),
        (
            "frame-space-after-the-root",
            signed(&format!("{} \n", text.trim_end())).into(),
            "malformed at root",
        ),
        ("frame-space-after-a-line", replaced(&noted, "=\n— ", "= \n— ").into(), MALFORMED),
        ("frame-space-before-a-line", replaced(&noted, "— ", " — ").into(), MALFORMED),
        ("frame-two-lines", signed(&format!("{ORIGIN}\n3\n")).into(), MALFORMED),
        ("frame-extension", signed(&format!("{text}extension\n")).into(), MALFORMED),
        ("frame-extension-empty", signed(&format!("{text}\n")).into(), MALFORMED),
        ("frame-extension-of-a-space", signed(&format!("{text} \n")).into(), MALFORMED),
        ("frame-another-note-as-the-text", signed(&noted).into(), MALFORMED),
        ("frame-cosignatures-message", signed(&format!("cosignature/v1\ntime 7\n{text}")).into(), MALFORMED),
        (
            "frame-not-utf8",
            [noted.as_bytes(), "— \u{fffd}".as_bytes(), b"\xff AAAAAAA=\n"].concat(),
            MALFORMED,
        ),
        (
            "frame-surrogate",
            [noted.as_bytes(), "— ".as_bytes(), b"\xed\xa0\x80 AAAAAAA=\n"].concat(),
            MALFORMED,
        ),
        ("frame-utf-16", noted.encode_utf16().flat_map(u16::to_le_bytes).collect(), MALFORMED),
    ];
    let mut cases: Vec<Case> =
        given.into_iter().map(|(name, noted, expect)| Asked::one().case(name, noted, expect)).collect();
    for (name, pad_to, expect) in
        [("frame-512-kib", 512 * 1024, MALFORMED), ("frame-512-kib-and-1", 512 * 1024 + 1, "too_large")]
    {
        let asked = Asked { pad_to: Some(pad_to), ..Asked::one() };
        cases.push(asked.case(name, noted.as_str(), expect));
    }
    cases
}

/// What stands where a line has its dash.
fn dashes() -> Vec<Case> {
    let noted = signed(&text());
    let given = [
        ("dash-none", ""),
        ("dash-no-space", "—"),
        ("dash-two-spaces", "—  "),
        ("dash-twice", "—— "),
        ("dash-no-break-space", "—\u{a0}"),
        ("dash-hyphen", "- "),
        ("dash-hyphen-2010", "\u{2010} "),
        ("dash-en", "\u{2013} "),
        ("dash-horizontal-bar", "\u{2015} "),
        ("dash-two-em", "\u{2e3a} "),
        ("dash-small-em", "\u{fe58} "),
        ("dash-with-a-variation-selector", "—\u{fe0f} "),
        ("dash-after-a-byte-order-mark", "\u{feff}— "),
    ];
    let case = |(name, dash): (&str, &str)| Asked::one().case(name, replaced(&noted, "— ", dash), MALFORMED);
    let mut cases: Vec<Case> = given.into_iter().map(case).collect();
    // Windows-1252's byte for it.
    let at = noted.find('—').unwrap();
    let bytes = [&noted.as_bytes()[..at], b"\x97", &noted.as_bytes()[at + '—'.len_utf8()..]].concat();
    cases.push(Asked::one().case("dash-windows-1252", bytes, MALFORMED));
    cases
}

/// Names in a line by a key that nobody knows.
fn names() -> Vec<Case> {
    let (most, many) = ("n".repeat(512), "n".repeat(513));
    let given = [
        ("name-one-letter", "a", ACCEPTED),
        ("name-plus", "a+b", MALFORMED),
        ("name-full-width-plus", "a＋b", ACCEPTED),
        ("name-empty", "", MALFORMED),
        ("name-space", "a b", MALFORMED),
        ("name-tab", "a\tb", MALFORMED),
        ("name-nul", "a\0b", MALFORMED),
        ("name-control-1f", "a\u{1f}b", MALFORMED),
        ("name-delete", "a\u{7f}b", MALFORMED),
        ("name-next-line", "a\u{85}b", MALFORMED),
        ("name-no-break-space", "a\u{a0}b", MALFORMED),
        ("name-mongolian-vowel-separator", "a\u{180e}b", ACCEPTED),
        ("name-zero-width-space", "a\u{200b}b", ACCEPTED),
        ("name-line-separator", "a\u{2028}b", MALFORMED),
        ("name-ideographic-space", "a\u{3000}b", MALFORMED),
        ("name-byte-order-mark", "a\u{feff}b", MALFORMED),
        ("name-right-to-left", "a\u{202e}b", MALFORMED),
        ("name-em-dash", "—", ACCEPTED),
        ("name-last-code-point", "\u{10ffff}", ACCEPTED),
        ("name-512-bytes", most.as_str(), ACCEPTED),
        ("name-513-bytes", many.as_str(), MALFORMED),
    ];
    given
        .into_iter()
        .map(|(name, given, expect)| Asked::one().case(name, signed_and(&[stranger(given)]), expect))
        .collect()
}

/// The origin of the text and the one that is asked for. Where a line may bear its name, all of them do.
fn origins() -> Vec<Case> {
    let root = encode_base64(&ROOT);
    let noted_by = |origin: &str, signer: &str| {
        let text = text_of(origin, "3", &root);
        let cosigner = cosigner_name(signer, &key(NODE).public());
        let lines = [sign_note(&text, signer, &key(REGISTRY)), cosign(&text, &cosigner, &key(NODE), TIME)];
        note(&text, lines)
    };
    // A node's name is 22 bytes longer than the origin.
    let (most, many) = ("o".repeat(490), "o".repeat(491));
    let mut cases = Vec::new();
    for (name, origin, expect) in [
        ("origin-of-2-bytes", "é", ACCEPTED),
        ("origin-zero-width-space", "r\u{200b}1", ACCEPTED),
        ("origin-em-dash", "—", ACCEPTED),
        ("origin-cosignatures-first-line", "cosignature/v1", ACCEPTED),
        ("origin-490-bytes", most.as_str(), ACCEPTED),
        ("origin-491-bytes", many.as_str(), MALFORMED),
    ] {
        let asked = Asked { origin: origin.to_owned(), ..Asked::one() };
        cases.push(asked.case(name, noted_by(origin, origin), expect));
    }
    for (name, origin) in [
        ("origin-empty", ""),
        ("origin-space", "r 1"),
        ("origin-plus", "r+1"),
        ("origin-no-break-space", "r\u{a0}1"),
        ("origin-next-line", "r\u{85}1"),
        ("origin-delete", "r\u{7f}1"),
        ("origin-right-to-left", "r\u{202e}1"),
    ] {
        let asked = Asked { origin: origin.to_owned(), ..Asked::one() };
        cases.push(asked.case(name, noted_by(origin, ORIGIN), "malformed at origin"));
    }
    for (name, asked_for, origin) in [
        ("origin-another", ORIGIN, "r.example/2"),
        ("origin-upper-case", ORIGIN, "R.example/1"),
        ("origin-shorter", ORIGIN, "r.example/"),
        ("origin-composed-for-decomposed", "\u{e9}", "e\u{301}"),
        ("origin-decomposed-for-composed", "e\u{301}", "\u{e9}"),
        ("origin-look-alike", ORIGIN, "r.еxample/1"),
    ] {
        let asked = Asked { origin: asked_for.to_owned(), ..Asked::one() };
        cases.push(asked.clone().case(name, noted_by(origin, origin), WRONG_REGISTRY));
        // Signed under the name that is asked for.
        cases.push(asked.case(&format!("{name}-signed"), noted_by(origin, asked_for), WRONG_REGISTRY));
    }
    cases
}

/// Sizes and roots, each signed as it stands.
fn numbers() -> Vec<Case> {
    let root = encode_base64(&ROOT);
    let bare = root.trim_end_matches('=').to_owned();
    let dirty = {
        let (body, last) = bare.split_at(42);
        format!("{body}{}=", char::from(last.as_bytes()[0] + 1))
    };
    let (at_size, at_root) = ("malformed at size", "malformed at root");
    let sizes = [
        ("size-1", "1", ACCEPTED),
        ("size-2-to-63-minus-1", "9223372036854775807", ACCEPTED),
        ("size-2-to-63", "9223372036854775808", ACCEPTED),
        ("size-2-to-64-minus-1", "18446744073709551615", ACCEPTED),
        ("size-2-to-64", "18446744073709551616", at_size),
        ("size-2-to-64-plus-3", "18446744073709551619", at_size),
        ("size-empty", "", at_size),
        ("size-00", "00", at_size),
        ("size-03", "03", at_size),
        ("size-plus-3", "+3", at_size),
        ("size-minus-0", "-0", at_size),
        ("size-minus-1", "-1", at_size),
        ("size-space-before", " 3", at_size),
        ("size-no-break-space-after", "3\u{a0}", at_size),
        ("size-zero-width-space-after", "3\u{200b}", at_size),
        ("size-3.0", "3.0", at_size),
        ("size-3e0", "3e0", at_size),
        ("size-arabic", "٣", at_size),
        ("size-full-width", "３", at_size),
    ];
    let size = |(name, size, expect): (&str, &str, &str)| {
        Asked::one().case(name, signed(&text_of(ORIGIN, size, &root)), expect)
    };
    let roots = [
        ("root-as-it-is", root.clone(), ACCEPTED),
        ("root-zeros", encode_base64(&[0; 32]), ACCEPTED),
        ("root-31-bytes", encode_base64(&[0xfb; 31]), at_root),
        ("root-33-bytes", encode_base64(&[0xfb; 33]), at_root),
        ("root-no-bytes", String::new(), at_root),
        ("root-unpadded", bare.clone(), at_root),
        ("root-pad-too-many", format!("{root}="), at_root),
        ("root-url-safe", root.replace('+', "-").replace('/', "_"), at_root),
        ("root-mixed", root.replace('+', "-"), at_root),
        ("root-trailing-bits", dirty, at_root),
        ("root-hex", hex::encode(ROOT), at_root),
    ];
    let root_of = |(name, root, expect): (&str, String, &str)| {
        Asked::one().case(name, signed(&text_of(ORIGIN, "3", &root)), expect)
    };
    let empty = encode_base64(Sha256::of(b"").as_bytes());
    let empties = [
        ("empty-tree", "0", empty.clone(), ACCEPTED),
        ("empty-tree-of-zeros", "0", encode_base64(&[0; 32]), at_root),
        ("empty-tree-of-an-empty-leaf", "0", encode_base64(&leaf_hash(b"")), at_root),
        ("empty-tree-of-another-root", "0", root.clone(), at_root),
        ("empty-trees-root-of-size-1", "1", empty.clone(), ACCEPTED),
        ("empty-tree-of-size-00", "00", empty, at_size),
    ];
    let empty_of = |(name, size, root, expect): (&str, &str, String, &str)| {
        Asked::one().case(name, signed(&text_of(ORIGIN, size, &root)), expect)
    };
    let sized = sizes.into_iter().map(size);
    sized.chain(roots.into_iter().map(root_of)).chain(empties.into_iter().map(empty_of)).collect()
}

pub fn cases() -> Vec<Case> {
    let cases = [
        forged(),
        majorities(),
        lines(),
        times(),
        base64(),
        frames(),
        dashes(),
        names(),
        origins(),
        numbers(),
    ];
    cases.into_iter().flatten().collect()
}
