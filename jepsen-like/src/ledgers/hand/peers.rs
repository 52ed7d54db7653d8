//! Draws statements about other registries, for the profile `peers` and for a part of wide ledgers: trusts in them,
//! their checkpoints, and what revokes or voids both. It also draws recoveries, which name the node by which this
//! registry continues.

use assent_proof::{
    Checkpoint, Claims, Containment, EvidenceId, EvidenceKind, Of, PolicyBody, Requirement, Role,
};

use super::super::both::{Both, Known};
use super::super::draft::{Draft, ORIGIN};
use super::super::draw;
use super::super::keys::{self, CHECKPOINTS, NODE, NODES, public};
use super::super::peer;
use super::evidence::plain_authorization;
use super::{Hand, NOTHING};

const DOMAIN: &str = "prod";
const EXECUTION: (&str, &str) = (DOMAIN, "exec-1");
const HOST: (&str, &str) = (DOMAIN, "host-1");

/// The numbers of the zones' keys, counted from the domain's first key. The last one is granted later, if at all.
const ZONES: [u8; 3] = [15, 16, 19];
/// The same for keys with the role `registry`.
const REGISTRIES: [u8; 3] = [17, 18, 20];

/// How long a `recovery` is usable, in seconds.
const RECOVERY_SECONDS: i64 = 7 * 24 * 3600;

impl<'a> Hand<'a> {
    /// A policy, an authorization, and the first trust.
    pub(super) fn open_peers(&mut self, number: u64) -> Option<Draft> {
        match number {
            0 => {
                let policy = Claims::Policy(self.policy_about_peers());
                self.governs(DOMAIN, policy, &[60])
            }
            1 => self.says(EXECUTION, 60, plain_authorization(), 1_000),
            2 => self.trust(HOST),
            _ => None,
        }
    }

    /// Trusts and checkpoints, and statements that revoke or void them.
    pub(super) fn peers(&mut self) -> Option<Draft> {
        let governor = self.governor();
        let place = if self.once_in(5) { EXECUTION } else { HOST };
        match self.dice.below(34) {
            0..=3 => self.trust(place),
            4..=18 => self.checkpoint(place),
            19..=21 => self.reconcile(DOMAIN, &[governor]),
            22 | 23 => self.revoke_speaker(governor),
            24 => self.invalidate_word(governor),
            25..=27 => self.recovery(),
            28 => self.change_nodes(),
            29 => {
                let policy = Claims::Policy(self.policy_about_peers());
                self.governs(DOMAIN, policy, &[governor])
            }
            30 | 31 => {
                let (away, role) =
                    if self.once_in(2) { (ZONES, Role::Zone) } else { (REGISTRIES, Role::Registry) };
                let number = keys::base(DOMAIN).saturating_add(self.dice.pick(&away).copied()?);
                self.grant(DOMAIN, number, role, &[governor])
            }
            32 => self.says(EXECUTION, governor, plain_authorization(), 9),
            _ if self.once_in(2) => self.revoke_root(),
            _ => {
                let number = if governor == 60 { 61 } else { 60 };
                let since = self.maybe_since(number);
                self.revoke(DOMAIN, number, since, &[governor])
            }
        }
    }

    /// A policy that requires statements about peers.
    fn policy_about_peers(&mut self) -> PolicyBody {
        let requirement = Requirement {
            kind: self.kind_about_peers(),
            of: if self.once_in(6) { Of::Execution } else { Of::Runtime },
            min_issuers: if self.once_in(6) { 2 } else { 1 },
            max_age_seconds: self.once_in(4).then_some(30),
        };
        PolicyBody {
            require: if self.once_in(4) { Vec::new() } else { vec![requirement] },
            attestation_status: None,
            measurements: None,
            policy_digests: None,
            decision_ttl_seconds: 10,
            permit_always: self.once_in(12),
        }
    }

    /// The evidence kind of a trust or of a checkpoint.
    pub(super) fn kind_about_peers(&mut self) -> EvidenceKind {
        peer::kind(self.dice)
    }

    /// A key that may make statements about other registries, if it is one of these; mostly it is admitted and not
    /// revoked.
    fn speaker(&mut self, domain: &str, away: &[u8]) -> Option<u8> {
        let all: Vec<u8> = away.iter().map(|away| keys::base(domain).saturating_add(*away)).collect();
        let able: Vec<u8> = all.iter().copied().filter(|number| self.both.is_live(*number)).collect();
        let among = if able.is_empty() || self.once_in(20) { all } else { able };
        self.dice.pick(&among).copied()
    }

    /// A trust in another registry. Sometimes it ends soon or has ended, or names keys that are not that registry's.
    pub(super) fn trust(&mut self, (domain, lineage): (&str, &str)) -> Option<Draft> {
        let roles = if self.once_in(15) { REGISTRIES } else { ZONES };
        let issuer = self.speaker(domain, &roles)?;
        let now = self.now();
        let mut claims = peer::trust(self.dice, now);
        if self.once_in(15) {
            self.confuse(&mut claims);
        }
        let mut draft = self.says((domain, lineage), issuer, claims, 12)?;
        self.maybe_expires(&mut draft);
        if self.once_in(15) {
            self.rest(&mut draft);
        }
        Some(draft)
    }

    /// Changes the trust so that it is in this registry, in one of its keys, in a key of a node that it has or may
    /// get, or in one key for two roles.
    fn confuse(&mut self, trust: &mut Claims) {
        let Claims::SovereignTrust { peer, registry_key, node_keys, .. } = trust else { return };
        let [one, other] = NODES;
        let own = self.dice.pick(&[NODE, CHECKPOINTS, one, other]).copied().unwrap_or(NODE);
        match self.dice.below(4) {
            0 => ORIGIN.clone_into(peer),
            1 => *registry_key = public(own),
            2 => node_keys.push(public(own)),
            _ => node_keys.push(*registry_key),
        }
    }

    /// A checkpoint of another registry under a trust in it; a trust, if no trust can carry a checkpoint.
    pub(super) fn checkpoint(&mut self, place: (&str, &str)) -> Option<Draft> {
        let (domain, _) = place;
        let Some(trust) = self.some_trust(domain) else { return self.trust(place) };
        let Claims::SovereignTrust { peer: name, registry_key, node_keys, .. } = &trust.draft.claims else {
            return None;
        };
        let (both, now) = (self.both, self.now());
        let said = checkpoints(both, domain, name);
        let stands = |known: &&Known| !is_void(both, known);
        let next = peer::next(self.dice, peer::number(name)?, &said, stands, peer::SIZE_MAX);
        let claims = next.claims(self.dice, registry_key, node_keys, now)?;
        let issuer = match self.dice.below(40) {
            0 => NODE,
            1 => keys::base(domain).saturating_add(5),
            _ => self.speaker(domain, &[ZONES, REGISTRIES].concat())?,
        };
        let mut draft = self.says(place, issuer, claims, 9)?;
        draft.references = self.references_to(domain, trust.id);
        self.maybe_expires(&mut draft);
        Some(draft)
    }

    /// Sometimes makes the draft expire, soon or already.
    fn maybe_expires(&mut self, draft: &mut Draft) {
        if self.once_in(10) {
            let lasts = i64::try_from(self.dice.below(40)).unwrap_or(0);
            draft.expires_at = Some(self.now().saturating_add(lasts).saturating_add(-3));
        }
    }

    /// A trust of a domain, mostly one that may still carry a checkpoint.
    fn some_trust(&mut self, domain: &str) -> Option<&'a Known> {
        let both = self.both;
        let trusts: Vec<&'a Known> = both
            .known
            .iter()
            .filter(|known| known.kind() == EvidenceKind::SovereignTrust && known.lies_in(domain))
            .collect();
        let now = self.now();
        let carries = |known: &&Known| {
            let lasts = match &known.draft.claims {
                Claims::SovereignTrust { not_after, .. } => *not_after > now,
                _ => false,
            };
            let dead = known.draft.signers.iter().any(|number| both.is_revoked(*number));
            lasts && !dead && !is_void(both, known)
        };
        let able: Vec<&'a Known> = trusts.iter().copied().filter(carries).collect();
        peer::one_trust(self.dice, &trusts, &able)
    }

    /// What a checkpoint rests on: its trust; sometimes something else, or that as well.
    fn references_to(&mut self, domain: &str, trust: EvidenceId) -> Vec<EvidenceId> {
        let both = self.both;
        let known = both.known.iter().filter(|known| known.lies_in(domain) && known.kind().is_execution());
        let any: Vec<&Known> = known.collect();
        let trusts = any.iter().filter(|known| known.kind() == EvidenceKind::SovereignTrust);
        let trusts: Vec<EvidenceId> = trusts.map(|known| known.id).collect();
        let any: Vec<EvidenceId> = any.iter().map(|known| known.id).collect();
        peer::references(self.dice, trust, &trusts, &any)
    }

    /// Revokes a key that makes statements about other registries, sometimes by the key itself.
    fn revoke_speaker(&mut self, governor: u8) -> Option<Draft> {
        let number = self.speaker(DOMAIN, &[ZONES, REGISTRIES].concat())?;
        let since = self.maybe_since(number);
        let by = if self.once_in(4) { number } else { governor };
        self.revoke(DOMAIN, number, since, &[by])
    }

    /// Makes a trust or a checkpoint void by name.
    fn invalidate_word(&mut self, governor: u8) -> Option<Draft> {
        let kinds = [EvidenceKind::SovereignTrust, EvidenceKind::SynchronizationContinuity];
        let known =
            self.both.known.iter().filter(|known| known.lies_in(DOMAIN) && kinds.contains(&known.kind()));
        let words: Vec<EvidenceId> = known.map(|known| known.id).collect();
        let target = draw::one_of(self.dice, &words).unwrap_or(NOTHING);
        self.restricts(DOMAIN, Claims::Containment(Containment::Invalidate(target)), &[governor])
    }

    /// A recovery; sometimes of another epoch, with other voters, or too old.
    pub(super) fn recovery(&mut self) -> Option<Draft> {
        let next = self.both.model.epoch().saturating_add(1);
        let epoch = match self.dice.below(14) {
            0 => next.saturating_add(1),
            1 => next.saturating_sub(1),
            _ => next,
        };
        let other = self.dice.pick(&NODES).copied()?;
        let voters = match self.dice.below(16) {
            0 => vec![NODE, other],
            1 => vec![60],
            2 => vec![peer::registry_key(0)],
            3..=7 => vec![other],
            _ => vec![NODE],
        };
        let voters = voters.iter().map(|number| public(*number)).collect();
        let signers = self.governors("_root", 2);
        let domain = if self.once_in(30) { DOMAIN } else { "_root" };
        let mut draft = self.governs(domain, Claims::Recovery { epoch, voters }, &signers)?;
        if self.once_in(3) {
            let off = i64::try_from(self.dice.below(3)).ok()?.saturating_sub(1);
            draft.issued_at = self.now().saturating_add(off.saturating_sub(RECOVERY_SECONDS));
        }
        Some(draft)
    }

    /// Grants or revokes another node's key; sometimes makes the key that signs checkpoints a node's key too.
    fn change_nodes(&mut self) -> Option<Draft> {
        let number = if self.once_in(20) { CHECKPOINTS } else { self.dice.pick(&NODES).copied()? };
        let signers = self.governors("_root", 2);
        if self.both.is_live(number) && self.once_in(2) {
            let since = self.maybe_since(number);
            return self.revoke("_root", number, since, &signers);
        }
        self.grant("_root", number, Role::Registry, &signers)
    }
}

/// The checkpoints of a peer that a domain has accepted, in order.
fn checkpoints<'a>(both: &'a Both, domain: &str, origin: &str) -> Vec<(&'a Known, Checkpoint)> {
    both.known
        .iter()
        .filter(|known| known.lies_in(domain))
        .filter_map(|known| match &known.draft.claims {
            Claims::SynchronizationContinuity { checkpoint, .. } => Some((known, peer::said(checkpoint)?)),
            _ => None,
        })
        .filter(|(_, checkpoint)| checkpoint.origin == origin)
        .collect()
}

/// Whether something seems to be void: by its key, by name, by a reconciliation, or through what it rests on.
fn is_void(both: &Both, known: &Known) -> bool {
    let voids = |other: &Known| match &other.draft.claims {
        Claims::Revocation { authority, invalid_since: Some(since), .. } => {
            let signed = known.draft.signers.iter().any(|number| public(*number) == *authority);
            signed && known.accepted >= since.to_millis()
        }
        Claims::Containment(Containment::Invalidate(id)) => *id == known.id,
        Claims::Reconciliation { conflict, canonical } => {
            conflict.contains(&known.id) && *canonical != known.id
        }
        _ => false,
    };
    let mut rests_on = known.draft.references.iter().filter_map(|id| both.find(id));
    both.known.iter().any(voids) || rests_on.any(|of| is_void(both, of))
}
