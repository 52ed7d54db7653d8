//! The rows as types. Each is versioned: a change of shape needs a new version with new golden bytes, as
//! `codec.rs` says.

#[cfg(feature = "test-rules")]
use assent_proof::Rules;
use serde::{Deserialize, Serialize};
#[cfg(feature = "test-rules")]
use serde::{Deserializer, Serializer};

use assent_proof::{
    Claims, Containment, DomainName, EvidenceId, EvidenceKind, LineageName, Millis, PolicyBody, PublicKey,
    RevocationReason, Role, Seconds, Sha256,
};

#[cfg(feature = "test-rules")]
use crate::codec::Versioned;
use crate::codec::of_one_version;

of_one_version!(
    MetaRow,
    EvidenceRow,
    AuthorityRow,
    DomainRow,
    PolicyRow,
    LineageRow,
    IssuerRow,
    SlotRow,
    OpenSubjectRow,
    PeerRow,
    PeerListRow,
    PeerListsRow,
    CheckpointRow,
    PermitRow,
    ReleaseRow,
    RestrictionRow,
    TrustRow,
);

#[cfg(not(feature = "test-rules"))]
of_one_version!(LeafRow);

/// Under the test rules, which are in no release, leaves have a second version: time first.
#[cfg(feature = "test-rules")]
impl Versioned for LeafRow {
    const NEWEST: u8 = 2;

    fn version_under(rules: Rules) -> u8 {
        if rules == Rules::TEST { 2 } else { 1 }
    }

    fn write<S: Serializer>(&self, version: u8, to: S) -> Result<S::Ok, S::Error> {
        match version {
            1 => self.serialize(to),
            _ => (self.accepted_at, self.evidence_id).serialize(to),
        }
    }

    fn read<'de, D: Deserializer<'de>>(version: u8, from: D) -> Result<Self, D::Error> {
        match version {
            1 => Self::deserialize(from),
            _ => <(Millis, EvidenceId)>::deserialize(from)
                .map(|(accepted_at, evidence_id)| Self { evidence_id, accepted_at }),
        }
    }
}

/// The epoch in which every registry is founded.
pub(crate) const FIRST_EPOCH: u64 = 1;

/// The registry as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetaRow {
    /// The ledger's size: the number that names this state.
    pub revision: u64,
    /// The largest time of acceptance so far.
    pub registry_time: Millis,
    /// The version of the rules that `apply` follows.
    pub rules_version: u32,
    /// The epoch: 1 for a founded cluster, and one more after each recovery.
    pub epoch: u64,
    /// The origin of the registry that evidence must be meant for.
    pub origin: String,
    /// The genesis file's digest.
    #[serde(with = "serde_bytes")]
    pub cluster_id: [u8; 32],
    /// The key that signs checkpoints, named by `root`.
    pub registry_key: PublicKey,
}

/// One leaf of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeafRow {
    /// The evidence that it stands for.
    pub evidence_id: EvidenceId,
    /// When the registry accepted it.
    pub accepted_at: Millis,
}

/// What the rules need to know of an accepted envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EvidenceRow {
    /// Its place in the ledger.
    pub index: u64,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// The version of the rules that it was verified and accepted under.
    pub rules: u32,
    /// What kind of statement it is.
    pub kind: EvidenceKind,
    /// Its domain.
    pub domain: DomainName,
    /// Its lineage.
    pub lineage: LineageName,
    /// Every issuer named, as written.
    pub issuers: Vec<PublicKey>,
    /// The issuers that count towards the threshold: all except the keys that it admits.
    pub counted: Vec<CountedSigner>,
    /// How many of `counted` must stay unvoided. With fewer, it is void.
    pub threshold: u32,
    /// Its slot; none for restrictions.
    pub sequence: Option<u64>,
    /// What it rests on.
    pub references: Vec<EvidenceId>,
    /// Whether it is the second statement of its issuer for one slot.
    pub equivocation: bool,
    /// What it restricts, if it is a containment.
    pub containment: Option<Containment>,
    /// The containment that invalidated it: it is void for good.
    pub invalidated_by: Option<EvidenceId>,
    /// The reconciliation that chose the other half of an equivocation. While that reconciliation stands,
    /// this evidence is void.
    pub rejected_by: Option<EvidenceId>,
    /// The release that lifted it. While that release stands, this evidence restricts nothing.
    pub released_by: Option<EvidenceId>,
    /// How many uses permits have taken of it, if it is an execution-authorization that counts its uses.
    pub consumed: u32,
}

/// An issuer that counts, with the admission that it signed under. A later grant neither revives nor voids
/// what it signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountedSigner {
    /// Its key.
    pub key: PublicKey,
    /// The statement that had admitted it last when it signed.
    pub admitted_by: EvidenceId,
}

/// A key, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorityRow {
    /// A name for people.
    pub name: String,
    /// Its one role.
    pub role: Role,
    /// Its one domain.
    pub domain: DomainName,
    /// The time from which it is valid.
    pub not_before: Seconds,
    /// The time at which its validity ends, exclusive; root and governance keys have no end.
    pub not_after: Option<Seconds>,
    /// The statement that admitted it last.
    pub admitted_by: EvidenceId,
    /// Set once it is revoked, and never cleared.
    pub revoked: Option<RevokedMark>,
    /// Everything that it signed and the registry accepted at or after this time is void.
    pub invalid_since: Option<Seconds>,
}

/// How an authority was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevokedMark {
    /// The revocation that did it.
    pub by: EvidenceId,
    /// The reason that its first revocation gives.
    pub reason: RevocationReason,
}

/// The governance of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DomainRow {
    /// Its governance keys; in `_root` the root keys.
    pub governance: Vec<PublicKey>,
    /// How many of them must sign together.
    pub threshold: u32,
    /// The statement that set both.
    pub admitted_by: EvidenceId,
    /// Its isolations.
    pub isolations: Contained,
}

/// A domain's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    /// The statement that set it.
    pub evidence_id: EvidenceId,
    /// What it asks for.
    pub body: PolicyBody,
}

/// A lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineageRow {
    /// The digests that it is about: one or, if its first slot was equivocated, each that was named, in
    /// order. Empty for `_governance`.
    pub subjects: Vec<Sha256>,
    /// The issuer whose slot 0 fixed the subject; `None` for `_governance`.
    pub founder: Option<PublicKey>,
    /// The newest slotted evidence.
    pub head: Option<EvidenceId>,
    /// The next slot of the shared chain. It means something only in `_governance`.
    pub next_sequence: u64,
    /// How many issuers it has.
    pub issuers: u32,
    /// The event that closed it.
    pub closed_by: Option<EvidenceId>,
    /// The slots that were signed twice, by issuer. A slot that is not reconciled quarantines the lineage.
    pub conflicts: Vec<Conflict>,
    /// Its quarantines by containment.
    pub quarantines: Contained,
}

/// The quarantines or isolations of one target: where those that hold are found, and how many there must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contained {
    /// How many were never released. There must be this many rows, so the loss of a row is noticed.
    pub unreleased: u64,
    /// The releases, grouped by their signers.
    pub released: Vec<ReleasedBy>,
}

/// The releases of one target by the same signers at the same threshold. If the newest of them stands, all
/// do, because a revocation voids everything that was accepted from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleasedBy {
    /// A digest of the signers and the threshold.
    #[serde(with = "serde_bytes")]
    pub signers: [u8; 32],
    /// The ledger index of the newest of these releases.
    pub newest: u64,
}

/// The newest release of one quarantine or isolation. The releases of a target by the same signers are
/// linked, in the order of the ledger. If another release of the same containment overtakes one, that one is
/// taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseRow {
    /// The release.
    pub evidence_id: EvidenceId,
    /// What it released.
    pub containment: EvidenceId,
    /// The release before it in the list, by ledger index.
    pub before: Option<u64>,
    /// The release after it in the list, by ledger index.
    pub after: Option<u64>,
}

/// The number of open lineages of one digest, so that the loss of a row is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenSubjectRow {
    /// How many there are.
    pub open: u64,
}

/// A slot that one issuer filled twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Conflict {
    /// The issuer that signed both.
    pub issuer: PublicKey,
    /// The slot.
    pub sequence: u64,
    /// Its last reconciliation.
    pub reconciled: Option<Reconciled>,
}

/// The half of an equivocation that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Reconciled {
    /// The reconciliation. A void one resolves nothing.
    pub by: EvidenceId,
    /// The chosen half.
    pub canonical: EvidenceId,
}

/// One issuer's hash chain in a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuerRow {
    /// Its next free slot.
    pub next_sequence: u64,
    /// Its newest evidence.
    pub head: EvidenceId,
    /// The newest slot of each kind, by first halves, ordered by kind.
    pub newest: Vec<KindSlot>,
}

/// The newest slot whose first half is of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KindSlot {
    /// The kind.
    pub kind: EvidenceKind,
    /// The slot.
    pub sequence: u64,
}

/// One statement of a slot, as an authorize needs it. Written once, with the statement, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRow {
    /// Its id.
    pub evidence_id: EvidenceId,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// The time at which its issuer says that it signed it. This proves nothing.
    pub issued_at: Seconds,
    /// The time at which it stops counting, exclusive.
    pub expires_at: Option<Seconds>,
    /// What it rests on.
    pub references: Vec<EvidenceId>,
    /// What it claims.
    pub claims: Claims,
    /// If this is a first half: the slot before this one whose first half is of the same kind.
    pub before: Option<u64>,
}

/// What a `sovereign-trust` says, by its evidence id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrustRow {
    /// The other registry's origin.
    pub peer: String,
    /// The key that signs its checkpoints.
    pub registry_key: PublicKey,
    /// The keys of its nodes.
    pub node_keys: Vec<PublicKey>,
    /// The time at which the trust ends, exclusive.
    pub not_after: Seconds,
}

/// A slot in which an issuer brought a checkpoint of another registry under a trust, by the time at which it
/// was taken. The slots of one issuer under one trust are linked in that order, so that the loss of a row is
/// noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    /// The lineage of the statement that brought it.
    pub lineage: LineageName,
    /// Its slot.
    pub sequence: u64,
    /// The slot before it in the list, which is older.
    pub before: Option<TakenAt>,
    /// The slot after it in the list, which is newer.
    pub after: Option<TakenAt>,
}

/// When a slot was taken. This orders slots, older first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TakenAt {
    /// When its first statement was accepted.
    pub accepted_at: Millis,
    /// That statement's ledger index.
    pub index: u64,
}

/// The ends of the list of slots in which an issuer brought checkpoints of another registry under a trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerListRow {
    /// The oldest of them.
    pub oldest: TakenAt,
    /// The newest of them.
    pub newest: TakenAt,
}

/// The number of lists of what a domain was told of another registry, so that the loss of a row is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerListsRow {
    /// How many there are.
    pub lists: u64,
}

/// A checkpoint of another registry, by the statement that brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointRow {
    /// That registry's origin.
    pub origin: String,
    /// The trust under which it was verified.
    pub trust: EvidenceId,
    /// The size of the peer's ledger.
    pub size: u64,
    /// Its root.
    #[serde(with = "serde_bytes")]
    pub root: [u8; 32],
}

/// A permit, by its nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PermitRow {
    /// The permit.
    pub evidence_id: EvidenceId,
    /// The request that it permits: BLAKE3-256 of the bytes of its JSON.
    #[serde(with = "serde_bytes")]
    pub request: [u8; 32],
    /// The authorizations that lost a use by it.
    pub consumed: Vec<EvidenceId>,
}

/// A restriction that stands, by which a later one that adds nothing to it is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestrictionRow {
    /// The statement.
    pub evidence_id: EvidenceId,
    /// Its `invalidSince`.
    pub invalid_since: Option<Seconds>,
}
