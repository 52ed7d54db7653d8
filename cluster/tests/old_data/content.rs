//! The content of a fixture: evidence of every kind that decisions rest on, in lineages that each end in another way,
//! and the questions that are asked about it.
//!
//! - `prod.eu`, whose policy requires an attestation: an isolation that was released; lineages with an allow
//!   (`plain`), counted uses (`counted`), a bound runtime (`bound`, on `runtime-1`), a quarantine in force (`held`)
//!   and one that was released (`released`), an equivocation (`twice`) and a reconciled one (`settled`), an
//!   attestation that was invalidated (`invalid`), and one by a key that was revoked since (`revoked`).
//! - `open.eu`, whose policy requires an attestation, a policy validation and a checkpoint of another registry, and
//!   states `null` for every list and every age: a lineage (`nulls`), and one with a trust and two checkpoints under
//!   it (`peer`).
//! - `frozen.eu`, which is isolated: an authorization from before the isolation (`frozen`).

use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_fixtures::claims::Authorization;
use assent_fixtures::policy::{open_policy, requirement};
use assent_proof::{
    AttestationStatus, AuthorizeRequest, Checkpoint, Claims, Code, Containment, DomainName, EvidenceId,
    EvidenceKind, LineageName, Of, PolicyBody, PolicyVerdict, Role, Seconds, SigningKey,
    merkle::{BatchTree, consistency_proof, leaf_hash},
};
use assent_registry::query;
use bytes::Bytes;

use crate::cluster_support::*;

/// The origin of the other registry.
const PEER: &str = "registry.test/peer";
/// When its nodes cosigned, in seconds since 1970.
const COSIGNED_AT: u64 = 1_795_374_000;

/// Until when everything holds that can end.
pub(crate) fn far() -> Seconds {
    "2200-01-01T00:00:00Z".parse().unwrap()
}

fn prod() -> DomainName {
    "prod.eu".parse().unwrap()
}

fn open() -> DomainName {
    "open.eu".parse().unwrap()
}

fn frozen() -> DomainName {
    "frozen.eu".parse().unwrap()
}

/// Attests in `prod.eu`.
fn attester() -> SigningKey {
    key(20)
}

async fn accepted(node: &Node, envelope: Vec<u8>) -> EvidenceId {
    match node.service().submit(Caller::local(), Bytes::from(envelope)).await {
        Submitted::Accepted { receipt, .. } => receipt.evidence_id,
        other => panic!("{other:?}"),
    }
}

/// In the next slot of its domain's governance.
async fn governed(node: &Node, draft: Draft, keys: &[&SigningKey]) -> EvidenceId {
    let domain = draft.0.domain.clone();
    let slot =
        node.service().read(Caller::local(), move |rows, _| query::governance_slot(rows, &domain)).await;
    let (sequence, parent) = slot.unwrap();
    accepted(node, draft.slot(sequence, parent).sign(keys)).await
}

/// A new domain with one governance key.
async fn found(node: &Node, domain: &DomainName, governance: &SigningKey) {
    let draft = in_root().draft(&claims::domain(domain.clone(), &[governance.public()], 1));
    governed(node, draft, &[&key(1), governance]).await;
}

async fn grant_role(node: &Node, domain: &DomainName, governance: &SigningKey, of: &SigningKey, role: Role) {
    let draft = grant_until(&place_in(domain.as_ref()), of.public(), role, far());
    governed(node, draft, &[governance, of]).await;
}

/// A policy that approves any measurement, any policy digest and any age, and these attestation statuses, or any.
async fn set_policy(
    node: &Node,
    domain: &DomainName,
    governance: &SigningKey,
    require: &[(EvidenceKind, Of)],
    attestation_status: Option<Vec<AttestationStatus>>,
) {
    let require = require.iter().map(|(kind, of)| requirement(*kind, *of)).collect();
    let body = PolicyBody { require, attestation_status, ..open_policy() };
    governed(node, place_in(domain.as_ref()).draft(&Claims::Policy(body)), &[governance]).await;
}

/// A statement about the program, for the first slot of a lineage.
fn first_slot(domain: &DomainName, lineage: &str, claims: &Claims) -> Draft {
    place_in(domain.as_ref()).draft(claims).lineage(lineage)
}

fn authorization_in(domain: &DomainName, lineage: &str, runtimes: Option<Vec<LineageName>>) -> Draft {
    let authorized = Authorization::of(&["run"], Seconds(now().0 - 60), far());
    first_slot(domain, lineage, &Authorization { runtimes, ..authorized }.claims())
}

fn attestation(domain: &DomainName, lineage: &str, measurement: &str, signer: &SigningKey) -> Vec<u8> {
    let claims = claims::attestation("verifier-1", AttestationStatus::Affirming, measurement);
    first_slot(domain, lineage, &claims).sign(&[signer])
}

/// All that an execution in `prod.eu` needs; returns the attestation.
async fn grounds_by(node: &Node, lineage: &str, uses: Option<u32>, attester: &SigningKey) -> EvidenceId {
    accepted(node, authorization_until(lineage, far(), uses)).await;
    accepted(node, attestation(&prod(), lineage, "m1", attester)).await
}

/// All that one more execution in `prod.eu` needs.
pub(crate) async fn grounds(node: &Node, lineage: &str) {
    grounds_by(node, lineage, None, &attester()).await;
}

async fn contain(
    node: &Node,
    domain: &DomainName,
    containment: Containment,
    signer: &SigningKey,
) -> EvidenceId {
    let draft = place_in(domain.as_ref()).draft(&Claims::Containment(containment));
    accepted(node, draft.sign(&[signer])).await
}

async fn release(node: &Node, domain: &DomainName, containment: EvidenceId, governance: &SigningKey) {
    governed(node, place_in(domain.as_ref()).draft(&claims::release(containment)), &[governance]).await;
}

/// A second statement for the first slot of the attester; it is kept as proof.
async fn equivocate(node: &Node, lineage: &str) -> EvidenceId {
    let second = attestation(&prod(), lineage, "m2", &attester());
    match node.service().submit(Caller::local(), Bytes::from(second.clone())).await {
        Submitted::Refused(problem) if problem.code == Code::AuthorityInconsistent => {}
        other => panic!("{other:?}"),
    }
    id_of(&second)
}

/// Everything that lies in the fixture.
pub(crate) async fn hand_in(node: &Node) {
    hand_in_prod(node).await;
    hand_in_open(node).await;
    hand_in_frozen(node).await;
}

async fn hand_in_prod(node: &Node) {
    let (domain, governance) = (prod(), key(3));
    // The second one attested until its key was revoked.
    let (attester, revoked) = (attester(), key(21));
    for attester in [&attester, &revoked] {
        grant_role(node, &domain, &governance, attester, Role::Attestation).await;
    }
    let attested = (EvidenceKind::RuntimeAttestation, Of::Execution);
    set_policy(node, &domain, &governance, &[attested], Some(vec![AttestationStatus::Affirming])).await;
    let isolation = contain(node, &domain, Containment::Isolate(domain.clone()), &governance).await;
    release(node, &domain, isolation, &governance).await;

    grounds(node, "plain").await;
    grounds_by(node, "counted", Some(2), &attester).await;
    accepted(node, attestation(&domain, "runtime-1", "m1", &attester)).await;
    let bound = authorization_in(&domain, "bound", Some(vec!["runtime-1".parse().unwrap()]));
    accepted(node, bound.sign(&[&governance])).await;
    accepted(node, attestation(&domain, "bound", "m1", &attester)).await;

    let quarantine = |lineage: &str| Containment::Quarantine(lineage.parse().unwrap());
    grounds(node, "held").await;
    contain(node, &domain, quarantine("held"), &governance).await;
    grounds(node, "released").await;
    let held = contain(node, &domain, quarantine("released"), &governance).await;
    release(node, &domain, held, &governance).await;

    grounds(node, "twice").await;
    equivocate(node, "twice").await;
    let canonical = grounds_by(node, "settled", None, &attester).await;
    let conflict = [canonical, equivocate(node, "settled").await];
    let reconciled = in_prod().draft(&claims::reconciliation(conflict, canonical));
    governed(node, reconciled, &[&governance]).await;

    let void = grounds_by(node, "invalid", None, &attester).await;
    contain(node, &domain, Containment::Invalidate(void), &governance).await;

    grounds_by(node, "revoked", None, &revoked).await;
    let revocation = in_prod().draft(&claims::revocation(revoked.public(), None));
    accepted(node, revocation.sign(&[&governance])).await;
}

async fn hand_in_open(node: &Node) {
    let (domain, governance, zone, attester) = (open(), key(5), key(22), key(24));
    found(node, &domain, &governance).await;
    grant_role(node, &domain, &governance, &attester, Role::Attestation).await;
    grant_role(node, &domain, &governance, &zone, Role::Zone).await;
    let require = [
        (EvidenceKind::RuntimeAttestation, Of::Execution),
        (EvidenceKind::PolicyValidation, Of::Execution),
        (EvidenceKind::SynchronizationContinuity, Of::Runtime),
    ];
    set_policy(node, &domain, &governance, &require, None).await;

    let artifact = accepted(node, authorization_in(&domain, "nulls", None).sign(&[&governance])).await;
    let validated = first_slot(&domain, "nulls", &claims::validation("p1", PolicyVerdict::Pass));
    accepted(node, validated.slot(1, Some(artifact)).sign(&[&governance])).await;
    accepted(node, attestation(&domain, "nulls", "m1", &attester)).await;

    let peer = Peer::new();
    let trust = accepted(node, first_slot(&domain, "peer", &peer.trust()).sign(&[&zone])).await;
    let mut parent = trust;
    for (sequence, before, size) in [(1, 0, 7), (2, 7, 12)] {
        let continued = first_slot(&domain, "peer", &peer.continuity(before, size)).references(&[trust]);
        parent = accepted(node, continued.slot(sequence, Some(parent)).sign(&[&zone])).await;
    }
}

async fn hand_in_frozen(node: &Node) {
    let (domain, governance) = (frozen(), key(4));
    found(node, &domain, &governance).await;
    set_policy(node, &domain, &governance, &[], None).await;
    accepted(node, authorization_in(&domain, "frozen", None).sign(&[&governance])).await;
    contain(node, &domain, Containment::Isolate(domain.clone()), &governance).await;
}

/// Another registry: its keys and a ledger.
struct Peer {
    registry: SigningKey,
    nodes: Vec<SigningKey>,
    leaves: Vec<[u8; 32]>,
}

impl Peer {
    fn new() -> Self {
        Self {
            registry: key(80),
            nodes: (81..84).map(key).collect(),
            leaves: (0..12_u8).map(|leaf| leaf_hash(&[leaf])).collect(),
        }
    }

    fn trust(&self) -> Claims {
        let nodes: Vec<_> = self.nodes.iter().map(SigningKey::public).collect();
        claims::trust(PEER, self.registry.public(), &nodes, far())
    }

    /// Its checkpoint of so many leaves, signed by it and cosigned by two of its three nodes; it had `before` leaves in the last
    /// one.
    fn continuity(&self, before: usize, size: usize) -> Claims {
        let leaves = &self.leaves[..size];
        let root = BatchTree::new(leaves.to_vec()).root();
        let text = Checkpoint { origin: PEER.to_owned(), size: size as u64, root }.to_text();
        let note = signed_note(&text, PEER, &self.registry, &self.nodes[..2], COSIGNED_AT);
        claims::continuity(note.to_string(), consistency_proof(leaves, before))
    }
}

pub(crate) fn request_for(lineage: &str) -> AuthorizeRequest {
    AuthorizeRequest { lineage: Some(lineage.parse().unwrap()), ..request() }
}

/// What is asked of every build, and whether the answer is an allow.
pub(crate) fn requests() -> Vec<(AuthorizeRequest, bool)> {
    let on = |runtime: &str, request: AuthorizeRequest| AuthorizeRequest {
        runtime: Some(runtime.parse().unwrap()),
        ..request
    };
    let nulls = AuthorizeRequest { domain: open(), ..request_for("nulls") };
    vec![
        (request_for("plain"), true),
        // It takes a permit.
        (request_for("counted"), false),
        (on("runtime-1", request_for("bound")), true),
        (on("plain", request_for("bound")), false),
        (request_for("bound"), false),
        (request_for("held"), false),
        (request_for("released"), true),
        (request_for("twice"), false),
        (request_for("settled"), true),
        (request_for("invalid"), false),
        (request_for("revoked"), false),
        (request_for("unheard-of"), false),
        (AuthorizeRequest { action: "stop".to_owned(), ..request_for("plain") }, false),
        (on("peer", nulls.clone()), true),
        (nulls, false),
        (AuthorizeRequest { domain: frozen(), ..request_for("frozen") }, false),
    ]
}
