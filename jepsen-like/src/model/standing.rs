//! What follows from all that was accepted: who may sign, what is void, what is contained (docs/protocol.md, "What counts").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Leaf;
use super::statement::Class;

/// A key that was admitted.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    pub domain: String,
    pub role: String,
    pub from_ms: i64,
    pub to_ms: i64,
    /// The statement that admitted it.
    pub grant: String,
    pub revoked: bool,
    /// From when on what it signed is void.
    pub invalid_since_ms: Option<i64>,
}

/// Who governs a domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Governance {
    pub keys: BTreeSet<String>,
    pub threshold: u64,
}

/// Why something is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Void {
    /// Itself: by invalidation, by its issuer's revocation, as the half that does not stand.
    Itself,
    /// By what it rests on: a grant, or a reference.
    Inherited,
}

/// What follows from the leaves.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub authorities: BTreeMap<String, Authority>,
    pub domains: BTreeMap<String, Governance>,
    /// What is void, by id.
    pub void: BTreeMap<String, Void>,
    /// The containments and negatives that a release lifts, by id.
    pub released: BTreeSet<String>,
    /// Equivocations that were reconciled: the pair, and the half that stands.
    pub reconciled: Vec<(BTreeSet<String>, String)>,
}

/// The signatures that a governance statement needed when it was accepted.
struct Needed {
    counted: Vec<String>,
    threshold: u64,
}

impl Standing {
    /// Works it out from the beginning.
    pub(super) fn of(leaves: &[Arc<Leaf>]) -> Self {
        let mut standing = Self::default();
        let mut needed = Vec::with_capacity(leaves.len());
        let mut grants = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            needed.push(standing.needed(leaf));
            grants.push(standing.grants(leaf));
            standing.admit(leaf);
        }
        let invalidated = leaves.iter().filter(|leaf| leaf.statement.claim("action") == "invalidate");
        let invalidated: BTreeSet<&str> = invalidated.map(|leaf| leaf.statement.claim("target")).collect();
        // Governance rests on nothing but governance before it, so it goes first; then what it decides about the rest.
        for governance in [true, false] {
            for ((leaf, needed), grants) in leaves.iter().zip(&needed).zip(&grants) {
                if (leaf.statement.class() == Some(Class::Governance)) == governance {
                    standing.judge(leaf, needed.as_ref(), grants, &invalidated);
                }
            }
        }
        standing
    }

    fn needed(&self, leaf: &Leaf) -> Option<Needed> {
        if leaf.statement.class() != Some(Class::Governance) {
            return None;
        }
        let governance = self.domains.get(&leaf.statement.domain)?;
        let counted = leaf.statement.issuers.iter().filter(|key| governance.keys.contains(*key)).cloned();
        Some(Needed { counted: counted.collect(), threshold: governance.threshold })
    }

    /// The statements that had admitted its issuers when it was accepted.
    fn grants(&self, leaf: &Leaf) -> BTreeMap<String, String> {
        let grant = |key: &String| Some((key.clone(), self.authorities.get(key)?.grant.clone()));
        leaf.statement.issuers.iter().filter_map(grant).collect()
    }

    /// Whom it admits and whom it revokes.
    fn admit(&mut self, leaf: &Leaf) {
        let statement = &leaf.statement;
        match statement.kind.as_str() {
            "root" => self.govern(leaf, "_root"),
            "domain" => self.govern(leaf, statement.claim("domain")),
            "authority-grant" => {
                let key = statement.claim("authority");
                let from_ms = statement.claim_ms("notBefore").unwrap_or(i64::MAX);
                let to_ms = statement.claim_ms("notAfter").unwrap_or(i64::MIN);
                self.put(key, leaf, &statement.domain, statement.claim("role"), (from_ms, to_ms));
            }
            "revocation" => {
                if let Some(authority) = self.authorities.get_mut(statement.claim("authority")) {
                    authority.revoked = true;
                    let since = statement.claim_ms("invalidSince");
                    authority.invalid_since_ms = authority.invalid_since_ms.into_iter().chain(since).min();
                }
            }
            _ => {}
        }
    }

    fn govern(&mut self, leaf: &Leaf, domain: &str) {
        let keys = leaf.statement.admits();
        let before = self.domains.get(domain).map(|governance| governance.keys.clone()).unwrap_or_default();
        for left_out in before.difference(&keys) {
            if let Some(authority) = self.authorities.get_mut(left_out) {
                authority.revoked = true;
            }
        }
        for key in keys.difference(&before) {
            self.put(key, leaf, domain, "governance", (i64::MIN, i64::MAX));
        }
        let threshold =
            leaf.statement.claims.get("threshold").and_then(serde_json::Value::as_u64).unwrap_or(1);
        self.domains.insert(domain.to_owned(), Governance { keys, threshold });
    }

    fn put(&mut self, key: &str, leaf: &Leaf, domain: &str, role: &str, (from_ms, to_ms): (i64, i64)) {
        let authority = Authority {
            domain: domain.to_owned(),
            role: role.to_owned(),
            from_ms,
            to_ms,
            grant: leaf.statement.id.clone(),
            revoked: false,
            invalid_since_ms: None,
        };
        self.authorities.insert(key.to_owned(), authority);
    }

    /// Whether a leaf is void, and what it changes if it stands.
    fn judge(
        &mut self,
        leaf: &Leaf,
        needed: Option<&Needed>,
        grants: &BTreeMap<String, String>,
        invalidated: &BTreeSet<&str>,
    ) {
        let statement = &leaf.statement;
        if statement.class() == Some(Class::Restriction) {
            return;
        }
        let by = |key: &String| self.voids(key, leaf.accepted_ms, grants);
        let by_issuers = match needed {
            Some(needed) => {
                let whys: Vec<Void> = needed.counted.iter().filter_map(by).collect();
                let left = needed.counted.len().saturating_sub(whys.len());
                whys.into_iter().min().filter(|_| u64::try_from(left).unwrap_or(0) < needed.threshold)
            }
            None => statement.issuers.iter().filter_map(by).min(),
        };
        let lost = self
            .reconciled
            .iter()
            .any(|(pair, canonical)| pair.contains(&statement.id) && *canonical != statement.id);
        let itself = lost || invalidated.contains(statement.id.as_str());
        let rests = statement.references.iter().any(|id| self.void.contains_key(id));
        let why = if itself { Some(Void::Itself) } else { by_issuers.or(rests.then_some(Void::Inherited)) };
        if let Some(why) = why {
            self.void.insert(statement.id.clone(), why);
            return;
        }
        if statement.kind == "release" {
            self.released.insert(statement.claim("containment").to_owned());
        }
        if statement.kind == "reconciliation" {
            let pair = super::statement::texts(statement.claims.get("conflict")).into_iter().collect();
            self.reconciled.push((pair, statement.claim("canonical").to_owned()));
        }
    }

    /// Why a key's signature on what was accepted then is void.
    fn voids(&self, key: &String, accepted_ms: i64, grants: &BTreeMap<String, String>) -> Option<Void> {
        let since = self.authorities.get(key).and_then(|authority| authority.invalid_since_ms);
        if since.is_some_and(|since| accepted_ms >= since) {
            return Some(Void::Itself);
        }
        grants.get(key).filter(|grant| self.void.contains_key(*grant)).map(|_| Void::Inherited)
    }

    /// Why a key may not sign now.
    pub(super) fn silenced(&self, key: &str, domain: &str, now_ms: i64) -> Option<&'static str> {
        let Some(authority) = self.authorities.get(key).filter(|authority| authority.domain == domain) else {
            return Some("authority_unknown");
        };
        if authority.revoked {
            Some("authority_revoked")
        } else if self.void.contains_key(&authority.grant) {
            Some("inheritance_unverifiable")
        } else if now_ms < authority.from_ms || now_ms >= authority.to_ms {
            Some("authority_expired")
        } else {
            None
        }
    }

    /// The role that a key has in a domain.
    pub(super) fn role(&self, key: &str, domain: &str) -> Option<&str> {
        self.authorities
            .get(key)
            .filter(|authority| authority.domain == domain)
            .map(|authority| authority.role.as_str())
    }

    /// The key is dead or its grant is void: it will never sign again.
    pub(super) fn dead(&self, key: &str) -> bool {
        self.authorities
            .get(key)
            .is_none_or(|authority| authority.revoked || self.void.contains_key(&authority.grant))
    }
}
