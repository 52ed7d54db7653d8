//! What the clients of these clusters submit: the genesis file, statements by its keys, and the question that they ask.
//!
//! Root's key is 1, key 2 signs checkpoints, key 3 governs the domain `prod.eu`, and the nodes' keys are 11 to 13.

use assent_fixtures::claims::Authorization;
use assent_fixtures::policy::open_policy;
use assent_proof::{
    AuthorizeRequest, Claims, Envelope, EnvelopeSignature, PolicyBody, PolicyVerdict, PublicKey,
    RevocationReason, Role, Seconds,
};

pub use assent_fixtures::{Chain, Draft, Genesis, Place, claims, id_of, key, signed_note};

pub const ORIGIN: &str = "registry.test/cluster";

#[expect(clippy::disallowed_methods, reason = "a genesis file is made with the present time")]
pub fn now() -> Seconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Seconds(i64::try_from(since.as_secs()).unwrap())
}

/// The lineage `exec-1`, which executes `program`, in the domain of this name; what is said there is issued now.
pub fn place_in(domain: &str) -> Place {
    Place::new(ORIGIN, domain.parse().unwrap(), now()).about("program")
}

/// The domain of the genesis file.
pub fn in_prod() -> Place {
    place_in("prod.eu")
}

/// The domain of root.
pub fn in_root() -> Place {
    place_in("_root")
}

/// A role in `prod.eu`, for an hour.
pub fn grant(authority: PublicKey, role: Role) -> Draft {
    grant_until(&in_prod(), authority, role, Seconds(now().0 + 3600))
}

/// A role in a domain from a minute ago until then.
pub fn grant_until(place: &Place, authority: PublicKey, role: Role, not_after: Seconds) -> Draft {
    place.draft(&claims::grant(authority, role, Seconds(now().0 - 60), not_after))
}

/// Root, three node grants, a domain with a policy that requires nothing but an authorization.
pub fn genesis() -> Vec<u8> {
    genesis_until(Seconds(now().0 + 3600))
}

/// The same, with grants until then.
pub fn genesis_until(not_after: Seconds) -> Vec<u8> {
    genesis_with(not_after, open_policy())
}

/// The same, with grants until then and this policy.
pub fn genesis_with(not_after: Seconds, policy: PolicyBody) -> Vec<u8> {
    let mut genesis = Genesis::new(ORIGIN, now(), &[key(1)], 1, &key(2));
    for node in 11..14 {
        let grant = grant_until(&in_root(), key(node).public(), Role::Registry, not_after);
        genesis.node(&key(node), grant);
    }
    genesis.domain(&in_prod().domain, &[key(3)], 1);
    let policy = in_prod().draft(&Claims::Policy(policy));
    genesis.govern(&Chain::new().sign(policy, &[&key(3)]));
    genesis.bytes()
}

pub fn authorization() -> Vec<u8> {
    authorization_for("exec-1")
}

pub fn authorization_for(lineage: &str) -> Vec<u8> {
    authorization_until(lineage, Seconds(now().0 + 600), None)
}

/// An authorization that holds until then, and for so many permits if that is counted.
pub fn authorization_until(lineage: &str, not_after: Seconds, uses: Option<u32>) -> Vec<u8> {
    let authorized = Authorization { uses, ..Authorization::of(&["run"], Seconds(now().0 - 60), not_after) };
    in_prod().draft(&authorized.claims()).lineage(lineage).sign(&[&key(3)])
}

/// An authorization in governance's name, with so many signatures that are somebody else's.
pub fn forged(lineage: &str, signatures: usize) -> Vec<u8> {
    let mut envelope = Envelope::parse(&authorization_for(lineage)).unwrap();
    let signature = EnvelopeSignature {
        keyid: Some(key(3).public().keyid()),
        sig: key(99).sign(&envelope.pae()).to_vec(),
    };
    envelope.signatures = vec![signature; signatures];
    envelope.to_vec()
}

/// The question whether what is authorized may run.
pub fn request() -> AuthorizeRequest {
    in_prod().request("run")
}

/// A policy validation in a lineage of its own, which no policy here asks for.
pub fn validation() -> Vec<u8> {
    let claims = claims::validation("p", PolicyVerdict::Pass);
    in_prod().draft(&claims).lineage("later").sign(&[&key(3)])
}

/// A quarantine of a lineage in `prod.eu`.
pub fn quarantine(lineage: &str) -> Vec<u8> {
    in_prod().draft(&claims::quarantine(lineage.parse().unwrap())).sign(&[&key(3)])
}

/// Governance's revocation of a key in `prod.eu`.
pub fn revocation_of(authority: PublicKey) -> Vec<u8> {
    in_prod().draft(&claims::revocation(authority, None)).sign(&[&key(3)])
}

/// Root's revocation of a node's key.
pub fn node_revocation(authority: PublicKey) -> Vec<u8> {
    let claims = Claims::Revocation { authority, reason: RevocationReason::Unspecified, invalid_since: None };
    in_root().draft(&claims).sign(&[&key(1)])
}
