//! `crates/proof/vectors/hostile.json`: what each version of the rules says of hostile input, for good.
//!
//! Replicas agree only while each gives the same verdict on the same bytes, so a dependency's new version must not
//! change a verdict. The test reads the file and nothing else: the code below only makes new cases, each with the
//! verdict that its author expects. `UPDATE_FIXTURES=1 cargo test -p assent-proof --test all pinned` adds the cases
//! and versions that the file lacks, if the build gives the expected verdict on them. It changes no verdict that is in
//! the file, and nothing else may: what was accepted once must be accepted for as long as there are ledgers that hold
//! it.
//!
//! An accepted case is pinned together with what was read from it, since replicas that read different statements from
//! the same bytes have diverged as well: see [`judge`]. The code expects no more than `accepted`.

use assent_proof::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

mod build;
mod checkpoints;
mod consistency;
mod forge;
mod signatures;
mod texts;
mod values;

/// The versions of the rules that this build knows, without the one that only tests have (`RulesVersion::TEST`): it is
/// in no release, so nothing that it says is for good.
const VERSIONS: &[u32] = &[1];

/// Verdicts that a later version of the rules changed: from that version on, of this case, to this.
const CHANGED: &[(u32, &str, &str)] = &[];

/// What begins the names of the file's cases, and how many there are at least.
const KINDS: &[(&str, usize)] = &[
    ("signature/s-", 12),
    ("signature/r-", 18),
    ("signature/a-", 30),
    ("signature/ed25519", 3),
    ("envelope-signature/a-low-order", 14),
    ("envelope-signature/a-of-order-", 6),
    ("envelope-signature/", 40),
    ("json/surrogate", 10),
    ("json/overlong", 4),
    ("json/number-", 35),
    ("json/depth-", 6),
    ("json/keys-", 10),
    ("json/", 110),
    ("payload-frame/", 20),
    ("envelope-frame/", 20),
    ("duplicate/", 18),
    ("base64-payload/", 35),
    ("base64-signature/", 13),
    ("keys/", 9),
    ("keyid/", 10),
    ("envelope/", 17),
    ("payload-type/", 13),
    ("statement/time-", 30),
    ("statement/", 130),
    ("statement/subject-name-u+", 30),
    ("payload-number/", 34),
    ("numbers/", 12),
    ("size/", 2),
    ("claims/", 75),
    ("checkpoint/registry-", 12),
    ("checkpoint/node-", 12),
    ("checkpoint/majority-", 14),
    ("checkpoint/line-", 35),
    ("checkpoint/base64-", 10),
    ("checkpoint/frame-", 15),
    ("checkpoint/dash-", 8),
    ("checkpoint/name-", 12),
    ("checkpoint/origin-", 12),
    ("checkpoint/size-", 18),
    ("checkpoint/root-", 9),
    ("checkpoint/empty-", 4),
    ("checkpoint/time-", 5),
    ("checkpoint/", 220),
    ("consistency/right-", 14),
    ("consistency/wrong-", 26),
    ("consistency/equal-", 6),
    ("consistency/nothing-", 4),
    ("consistency/shrunk-", 3),
    ("consistency/", 45),
];

/// Most bytes that the file may have.
const FILE_BYTES_MAX: usize = 700_000;

/// The file's lists.
const LISTS: [&str; 4] = ["cases", "signatures", "checkpoints", "consistency"];

/// What is said of a checkpoint that is to be verified under bytes that are no key.
const NO_KEY: &str = "no_key";

/// How far an envelope is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Until it is verified.
    Verify,
    /// Until its claims are read.
    Claims,
}

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An envelope, for the registry of this origin.
    Envelope {
        origin: String,
        bytes: Vec<u8>,
        /// Spaces follow the bytes until there are so many of them.
        pad_to: Option<usize>,
        stage: Stage,
    },
    /// A signature that is to be one of this key over this message.
    Signature { key: Vec<u8>, message: Vec<u8>, signature: Vec<u8> },
    /// A checkpoint that is to be one of the registry with this origin and these keys.
    Checkpoint {
        origin: String,
        registry_key: [u8; 32],
        node_keys: Vec<[u8; 32]>,
        note: Vec<u8>,
        /// Spaces follow the note until it has so many bytes.
        pad_to: Option<usize>,
    },
    /// A proof that one tree is a prefix of another.
    Consistency { old_size: u64, old_root: [u8; 32], new_size: u64, new_root: [u8; 32], proof: Vec<[u8; 32]> },
}

impl Input {
    /// The list of the file that it is in.
    fn list(&self) -> &'static str {
        match self {
            Input::Envelope { .. } => "cases",
            Input::Signature { .. } => "signatures",
            Input::Checkpoint { .. } => "checkpoints",
            Input::Consistency { .. } => "consistency",
        }
    }
}

/// A case that this build makes, and what its author expects of the first version of the rules.
pub struct Case {
    pub name: String,
    pub input: Input,
    pub expect: String,
}

impl Case {
    /// What is expected of this version.
    fn expected(&self, version: u32) -> &str {
        let changed = CHANGED.iter().filter(|(since, name, _)| *since <= version && *name == self.name);
        changed.max_by_key(|(since, _, _)| *since).map_or(self.expect.as_str(), |(_, _, verdict)| *verdict)
    }
}

fn made() -> Vec<Case> {
    let made =
        [signatures::cases(), texts::cases(), values::cases(), checkpoints::cases(), consistency::cases()];
    made.into_iter().flatten().collect()
}

/// Whether a verdict is the one that is expected. What was read from what is accepted is the file's to say.
fn agrees(said: &str, expected: &str) -> bool {
    let rest = said.strip_prefix(expected);
    rest.is_some_and(|rest| rest.is_empty() || (expected == "accepted" && rest.starts_with(' ')))
}

fn padded(bytes: &[u8], pad_to: Option<usize>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(pad_to.unwrap_or(bytes.len()), b' ');
    bytes
}

/// The first 16 hex digits of the BLAKE3 hash: enough to tell by, not to prove anything.
fn digest(bytes: &[u8]) -> String {
    hex::encode(&blake3_256(bytes)[..8])
}

/// What was read from an envelope: the first 16 hex digits of its id, and the digests of the statement and, if they
/// are read, of the claims.
fn read_from(envelope: &VerifiedEnvelope, stage: Stage, rules: Rules) -> Result<String, Refusal> {
    let statement = envelope.statement();
    let id = hex::encode(&envelope.id().0[..8]);
    let read = format!("{id} {}", digest(&statement.to_json().to_vec()));
    match stage {
        Stage::Verify => Ok(read),
        Stage::Claims => {
            let claims = Claims::parse(rules, statement.kind, &statement.claims)?;
            Ok(format!("{read} {}", digest(&claims.to_json().to_vec())))
        }
    }
}

/// What was read from a checkpoint: the digest of its text and of who cosigned it when.
fn read_from_checkpoint(verified: &VerifiedCheckpoint) -> String {
    let cosigned = verified.cosigned().iter().map(|(key, time)| format!("{key} {time}\n"));
    let text = verified.checkpoint().to_text();
    digest([text].into_iter().chain(cosigned).collect::<String>().as_bytes())
}

/// What this version of the rules says: `accepted` and what was read, or the code and where; of a signature, whether it
/// is one.
fn judge(version: u32, input: &Input) -> String {
    let rules = Rules::of(RulesVersion(version)).expect("this build knows the version");
    let result = match input {
        Input::Envelope { origin, bytes, pad_to, stage } => {
            let verified = verify(&padded(bytes, *pad_to), origin, rules);
            verified.and_then(|verified| read_from(&verified, *stage, rules))
        }
        Input::Signature { key, message, signature } => {
            let key = <[u8; 32]>::try_from(&key[..]).ok().and_then(|key| PublicKey::from_bytes(&key).ok());
            return key.is_some_and(|key| key.verify(message, signature)).to_string();
        }
        Input::Checkpoint { origin, registry_key, node_keys, note, pad_to } => {
            let registry_key = PublicKey::from_bytes(registry_key);
            let node_keys: Result<Vec<PublicKey>, KeyError> =
                node_keys.iter().map(PublicKey::from_bytes).collect();
            let (Ok(registry_key), Ok(node_keys)) = (registry_key, node_keys) else {
                return NO_KEY.to_owned();
            };
            let note = padded(note, *pad_to);
            let verified = verify_checkpoint(rules, &note, origin, &registry_key, &node_keys);
            verified.map(|verified| read_from_checkpoint(&verified))
        }
        Input::Consistency { old_size, old_root, new_size, new_root, proof } => {
            verify_consistency(rules, *old_size, old_root, *new_size, new_root, proof).map(|()| String::new())
        }
    };
    match result {
        Ok(read) => format!("accepted {read}").trim_end().to_owned(),
        Err(Refusal { code, field: Some(field), .. }) => format!("{code} at {field}"),
        Err(Refusal { code, field: None, .. }) => code.to_string(),
    }
}

/// A case as the file has it.
struct Entry {
    name: String,
    input: Input,
    verdicts: BTreeMap<u32, String>,
}

impl Entry {
    fn read(list: &str, json: &Json) -> Entry {
        let text = |name: &str| json.get(name).map(|value| value.as_str().unwrap().to_owned());
        let base64 = |text: &str| decode_base64(text).unwrap();
        let bytes = |name: &str| hex::decode(text(name).unwrap()).unwrap();
        let to_hash = |text: &str| <[u8; 32]>::try_from(base64(text)).unwrap();
        let hash = |name: &str| to_hash(&text(name).unwrap());
        let items = |name: &str| json.get(name).unwrap().as_array().unwrap().iter();
        let hashes = |name: &str| -> Vec<[u8; 32]> {
            items(name).map(|item| to_hash(item.as_str().unwrap())).collect()
        };
        let size = |name: &str| text(name).unwrap().parse::<u64>().unwrap();
        let pad_to = json.get("padTo").map(|size| usize::try_from(size.as_i64().unwrap()).unwrap());
        let input = match list {
            "signatures" => Input::Signature {
                key: bytes("key"),
                message: bytes("message"),
                signature: bytes("signature"),
            },
            "checkpoints" => Input::Checkpoint {
                origin: text("origin").unwrap(),
                registry_key: hash("registryKey"),
                node_keys: hashes("nodeKeys"),
                note: match text("note") {
                    Some(note) => note.into_bytes(),
                    None => base64(&text("noteBase64").unwrap()),
                },
                pad_to,
            },
            "consistency" => Input::Consistency {
                old_size: size("oldSize"),
                old_root: hash("oldRoot"),
                new_size: size("newSize"),
                new_root: hash("newRoot"),
                proof: hashes("proof"),
            },
            _ => Input::Envelope {
                origin: text("origin").unwrap(),
                bytes: match text("envelope") {
                    Some(envelope) => base64(&envelope),
                    None => {
                        let signatures: Vec<Vec<u8>> =
                            items("signatures").map(|s| base64(s.as_str().unwrap())).collect();
                        build::enclosed(text("payload").unwrap().as_bytes(), &signatures)
                    }
                },
                pad_to,
                stage: match text("stage").unwrap().as_str() {
                    "verify" => Stage::Verify,
                    "claims" => Stage::Claims,
                    other => panic!("`{other}` is no stage"),
                },
            },
        };
        let verdict = |verdict: &Json| match verdict.as_bool() {
            Some(holds) => holds.to_string(),
            None => verdict.as_str().unwrap().to_owned(),
        };
        let verdicts = json.get("verdicts").unwrap().as_object().unwrap().iter();
        let verdicts: BTreeMap<u32, String> =
            verdicts.map(|(version, said)| (version.parse().unwrap(), verdict(said))).collect();
        Entry { name: text("name").unwrap(), input, verdicts }
    }

    fn to_json(&self) -> Json {
        let mut fields = vec![("name".to_owned(), Json::text(&self.name))];
        let mut put = |name: &str, value: Json| fields.push((name.to_owned(), value));
        let padding = |size: usize| Json::Int(i64::try_from(size).unwrap());
        match &self.input {
            Input::Envelope { origin, bytes, pad_to, stage } => {
                put("origin", Json::text(origin));
                put("stage", Json::text(if *stage == Stage::Verify { "verify" } else { "claims" }));
                match plain(bytes) {
                    Some((payload, signatures)) => {
                        put("payload", Json::Text(payload));
                        put("signatures", Json::texts(signatures.iter().map(|s| encode_base64(s))));
                    }
                    None => put("envelope", Json::Text(encode_base64(bytes))),
                }
                if let Some(size) = pad_to {
                    put("padTo", padding(*size));
                }
            }
            Input::Signature { key, message, signature } => {
                put("key", Json::Text(hex::encode(key)));
                put("message", Json::Text(hex::encode(message)));
                put("signature", Json::Text(hex::encode(signature)));
            }
            Input::Checkpoint { origin, registry_key, node_keys, note, pad_to } => {
                put("origin", Json::text(origin));
                put("registryKey", Json::Text(encode_base64(registry_key)));
                put("nodeKeys", Json::texts(node_keys.iter().map(|item| encode_base64(item))));
                match std::str::from_utf8(note) {
                    Ok(note) => put("note", Json::text(note)),
                    Err(_) => put("noteBase64", Json::Text(encode_base64(note))),
                }
                if let Some(size) = pad_to {
                    put("padTo", padding(*size));
                }
            }
            Input::Consistency { old_size, old_root, new_size, new_root, proof } => {
                put("oldSize", Json::Text(old_size.to_string()));
                put("oldRoot", Json::Text(encode_base64(old_root)));
                put("newSize", Json::Text(new_size.to_string()));
                put("newRoot", Json::Text(encode_base64(new_root)));
                put("proof", Json::texts(proof.iter().map(|item| encode_base64(item))));
            }
        }
        let verdict = |said: &String| match &self.input {
            Input::Signature { .. } => Json::Bool(said == "true"),
            Input::Envelope { .. } | Input::Checkpoint { .. } | Input::Consistency { .. } => Json::text(said),
        };
        let verdicts = self.verdicts.iter().map(|(version, said)| (version.to_string(), verdict(said)));
        put("verdicts", Json::object(verdicts));
        Json::object(fields)
    }
}

/// The payload as text and the signatures of an envelope that says no more than these and says it without frills. The
/// file has those instead of its bytes, which would take twice the space and tell a reader nothing.
fn plain(bytes: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let envelope = Envelope::parse(bytes).ok()?;
    let signatures: Vec<Vec<u8>> = envelope.signatures.into_iter().map(|signature| signature.sig).collect();
    let is_plain = build::enclosed(&envelope.payload, &signatures) == bytes;
    let payload = String::from_utf8(envelope.payload).ok()?;
    is_plain.then_some((payload, signatures))
}

fn path() -> String {
    format!("{}/vectors/hostile.json", env!("CARGO_MANIFEST_DIR"))
}

fn read() -> Vec<Entry> {
    let Ok(bytes) = std::fs::read(path()) else { return Vec::new() };
    let file = json::parse(&bytes).unwrap();
    let entries = |list: &'static str| {
        file.get(list).unwrap().as_array().unwrap().iter().map(move |entry| Entry::read(list, entry))
    };
    LISTS.into_iter().flat_map(entries).collect()
}

/// One line for each case, so that a change is one as well.
fn write(entries: &[Entry]) {
    let lists = LISTS.map(|list| {
        let chosen = entries.iter().filter(|entry| entry.input.list() == list);
        let lines: Vec<String> = chosen.map(|entry| entry.to_json().to_text()).collect();
        format!("\"{list}\":[\n{}\n]", lines.join(",\n"))
    });
    std::fs::write(path(), format!("{{{}}}\n", lists.join(","))).unwrap();
}

/// Where the file and this build differ.
fn differences(entries: &[Entry]) -> Vec<String> {
    let mut found = Vec::new();
    for Entry { name, input, verdicts } in entries {
        for (version, pinned) in verdicts.iter().filter(|(version, _)| VERSIONS.contains(version)) {
            let said = judge(*version, input);
            if said != *pinned {
                found.push(format!("{name}: version {version} said `{pinned}` and this build says `{said}`"));
            }
        }
    }
    found
}

/// Adds what is lacking, or says what is not as expected.
fn add(entries: &mut Vec<Entry>) -> Vec<String> {
    let mut found = Vec::new();
    for case in made() {
        let at = entries.iter().position(|entry| entry.name == case.name).unwrap_or_else(|| {
            let (name, input) = (case.name.clone(), case.input.clone());
            entries.push(Entry { name, input, verdicts: BTreeMap::new() });
            entries.len() - 1
        });
        let entry = &mut entries[at];
        if entry.input != case.input {
            found.push(format!("{}: is made otherwise than it was; give the new case a new name", case.name));
            continue;
        }
        for version in VERSIONS {
            let expected = case.expected(*version);
            let said = entry.verdicts.entry(*version).or_insert_with(|| judge(*version, &case.input));
            if !agrees(said, expected) {
                found.push(format!("{}: version {version} says `{said}`, expected `{expected}`", case.name));
            }
        }
    }
    found
}

/// The file, with what was to be added to it.
static PINNED: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = read();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let mut found = differences(&entries);
        found.extend(add(&mut entries));
        assert!(found.is_empty(), "nothing was written:\n{}", found.join("\n"));
        write(&entries);
    }
    entries
});

#[test]
fn every_version_of_the_rules_says_what_it_always_said() {
    let found = differences(&PINNED);
    assert!(found.is_empty(), "{}", found.join("\n"));
    for Entry { name, verdicts, .. } in PINNED.iter() {
        let versions: Vec<u32> = verdicts.keys().copied().collect();
        assert_eq!(versions, VERSIONS, "{name}: the versions that are pinned; see this file's head");
    }
}

#[test]
fn every_version_of_a_release_is_pinned() {
    let known: Vec<u32> = (1..=RulesVersion::NEWEST.0).collect();
    assert_eq!(known, VERSIONS);
    for version in known.into_iter().map(RulesVersion) {
        assert_eq!(Rules::of(version).map(Rules::version), Some(version));
    }
    assert_eq!(Rules::NEWEST.version(), RulesVersion::NEWEST);
    assert_eq!(Rules::GENESIS.version(), RulesVersion::GENESIS);
    // The version that only tests have comes after all of these.
    #[cfg(feature = "test-rules")]
    assert!(RulesVersion::TEST > RulesVersion::NEWEST);
    #[cfg(not(feature = "test-rules"))]
    assert_eq!(Rules::of(RulesVersion(RulesVersion::NEWEST.0 + 1)), None);
}

#[test]
fn nothing_that_was_pinned_is_lost() {
    let names: BTreeSet<&str> = PINNED.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names.len(), PINNED.len(), "two cases have one name");
    for (kind, least) in KINDS {
        let count = names.iter().filter(|name| name.starts_with(*kind)).count();
        assert!(count >= *least, "`{kind}`: {count} cases, of at least {least}; see this file's head");
    }
    let missing: Vec<String> =
        made().into_iter().map(|case| case.name).filter(|name| !names.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in the file, see this file's head: {missing:?}");
    // Both verdicts of every kind of question: a judge that says the same of everything pins nothing.
    let said: Vec<&str> =
        PINNED.iter().flat_map(|entry| entry.verdicts.values()).map(String::as_str).collect();
    for (verdict, least) in [
        ("accepted", 160),
        ("true", 6),
        ("false", 60),
        ("malformed", 140),
        (build::SIGNATURE_INVALID, 50),
        ("unsigned_evidence at signatures", 15),
        ("registry_diverged", 20),
    ] {
        let count = said.iter().filter(|said| agrees(said, verdict)).count();
        assert!(count >= least, "`{verdict}`: {count} times, of at least {least}");
    }
    let size = std::fs::metadata(path()).unwrap().len();
    assert!(size < u64::try_from(FILE_BYTES_MAX).unwrap(), "the file has {size} bytes");
}
