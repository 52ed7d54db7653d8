//! A registry in memory, founded with real keys and signatures, and replayed.

use std::sync::Arc;

use assent_fixtures::usual::*;
use assent_fixtures::{Genesis, Keys, key};
use assent_proof::{EvidenceId, History, Millis, PolicyBody, PublicKey, Role, SigningKey};
use assent_registry::{GenesisFile, MemoryRows, Receipt, RulesVersion, apply, bootstrap, query};

use super::submitting::{accepted, group_of, unverified};

/// A registry in memory.
#[derive(Clone)]
pub struct World {
    pub rows: MemoryRows,
    pub keys: Arc<Keys>,
    /// The newest rules that the applying build knows.
    pub known: RulesVersion,
    pub(super) governance_head: (u64, Option<EvidenceId>),
}

impl World {
    /// A registry whose domain has one governance key and the given policy.
    pub fn with_policy(body: PolicyBody) -> Self {
        Self::founded(1, 1, Some(body))
    }

    /// A registry whose domain requires one fresh affirming attestation.
    pub fn new() -> Self {
        Self::with_policy(attested_policy())
    }

    /// A registry whose domain has `governance` keys of which `threshold` must sign.
    pub fn founded(governance: u8, threshold: u32, body: Option<PolicyBody>) -> Self {
        let keys = Keys::new(governance);
        let file = GenesisFile::parse(&genesis_bytes(&keys, threshold)).unwrap();
        let mut rows = MemoryRows::new();
        bootstrap(&mut rows, &file).unwrap();
        let mut world =
            World { rows, keys: Arc::new(keys), known: RulesVersion::NEWEST, governance_head: (0, None) };
        let grants = [
            (world.keys.attestation.public(), Role::Attestation, 20),
            (world.keys.attestation2.public(), Role::Attestation, 21),
            (world.keys.runtime.public(), Role::Runtime, 22),
            (world.keys.orchestration.public(), Role::Orchestration, 23),
            (world.keys.gateway.public(), Role::Gateway, 24),
            (world.keys.audit.public(), Role::Audit, 25),
            (world.keys.zone.public(), Role::Zone, 26),
        ];
        for (authority, role, seed) in grants {
            world.govern(grant(authority, role), &[&key(seed)]);
        }
        if let Some(body) = body {
            world.govern(policy(body), &[]);
        }
        world
    }

    /// The history in force.
    pub fn history(&self) -> Option<History> {
        query::history(&self.rows).unwrap()
    }

    /// Root recovers the registry by its one node: the next epoch begins.
    pub fn recover(&mut self) -> Receipt {
        let (keys, epoch) = (self.keys.clone(), query::summary(&self.rows).unwrap().unwrap().epoch + 1);
        accepted(&self.submit_to_root(0, recovery(epoch, &[keys.node.public()]), &[&keys.root]))
    }

    /// What an empty registry holds after the ledger is replayed into it, at most `per_command` leaves at a time.
    pub fn replayed(&self, per_command: usize) -> MemoryRows {
        let genesis = GenesisFile::parse(&genesis_bytes(&self.keys, 1)).unwrap();
        let mut rows = MemoryRows::new();
        bootstrap(&mut rows, &genesis).unwrap();
        let first = query::revision(&rows).unwrap();
        let leaves: Vec<(Millis, Vec<u8>)> = (first..self.revision())
            .map(|index| {
                let (id, accepted_at) = query::leaf(&self.rows, index).unwrap().unwrap();
                (accepted_at, query::envelope(&self.rows, &id).unwrap().unwrap())
            })
            .collect();
        let mut rest = leaves.as_slice();
        while let Some((time, _)) = rest.first() {
            let same_time = rest.iter().take_while(|(at, _)| at == time).count().min(per_command);
            let envelopes = rest[..same_time].iter().map(|(_, bytes)| unverified(bytes)).collect();
            apply(&mut rows, self.known, *time, &[group_of(false, envelopes)]).unwrap();
            rest = &rest[same_time..];
        }
        rows
    }

    pub fn revision(&self) -> u64 {
        query::revision(&self.rows).unwrap()
    }
}

/// The genesis file's bytes of these keys.
pub fn genesis_bytes(keys: &Keys, threshold: u32) -> Vec<u8> {
    let root = std::slice::from_ref(&keys.root);
    let mut genesis = Genesis::new(ORIGIN, at(0), root, 1, &keys.checkpoint);
    genesis.node(&keys.node, grant(keys.node.public(), Role::Registry).domain("_root"));
    genesis.domain(&domain(), &keys.governance, threshold);
    genesis.bytes()
}

/// A registry whose root keys are three, of which two must sign; the first is `keys.root`.
pub fn two_of_three() -> (World, [SigningKey; 3]) {
    let mut world = World::new();
    let keys = world.keys.clone();
    let root = [keys.root.clone(), key(61), key(62)];
    let all: Vec<PublicKey> = root.iter().map(SigningKey::public).collect();
    let next = root_statement(&all, 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(0, next, &[&root[0], &root[1], &root[2]]));
    (world, root)
}
