//! The state that follows from all accepted statements: which keys may sign, what is void, what is contained
//! (docs/protocol.md, "What counts").

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
    /// The time since which its signatures are void.
    pub invalid_since_ms: Option<i64>,
}

/// The governance of a domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Governance {
    pub keys: BTreeSet<String>,
    pub threshold: u64,
}

/// The state that follows from the leaves.
#[derive(Debug, Default)]
pub(super) struct LedgerState {
    pub authorities: BTreeMap<String, Authority>,
    pub domains: BTreeMap<String, Governance>,
    /// The ids of what is void.
    pub void: BTreeSet<String>,
    /// The ids of what was invalidated by name.
    pub invalidated: BTreeSet<String>,
    /// The ids of the containments and negatives that a release lifts.
    pub released: BTreeSet<String>,
    /// Equivocations that were reconciled: the pair, and the half that stands.
    pub reconciled: Vec<(BTreeSet<String>, String)>,
}

/// The signatures that a governance statement needed when it was accepted.
struct Needed {
    counted: Vec<String>,
    threshold: u64,
}

impl LedgerState {
    /// Computes the state from the beginning.
    pub(super) fn of(leaves: &[Arc<Leaf>]) -> Self {
        let mut ledger_state = Self::default();
        let mut needed = Vec::with_capacity(leaves.len());
        let mut grants = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            needed.push(ledger_state.needed(leaf));
            grants.push(ledger_state.grants(leaf));
            ledger_state.admit(leaf);
        }
        let invalidates = leaves.iter().filter(|leaf| leaf.statement.claim("action") == "invalidate");
        ledger_state.invalidated =
            invalidates.map(|leaf| leaf.statement.claim("target").to_owned()).collect();
        // Governance rests only on earlier governance, so it goes first; then follows what it decides about the rest.
        for governance in [true, false] {
            for ((leaf, needed), grants) in leaves.iter().zip(&needed).zip(&grants) {
                if (leaf.statement.class == Some(Class::Governance)) == governance {
                    ledger_state.judge(leaf, needed, grants);
                }
            }
        }
        ledger_state
    }

    /// The keys that count for a statement. The keys that it admits do not count, and the first root stands on its own
    /// keys.
    fn needed(&self, leaf: &Leaf) -> Needed {
        let statement = &leaf.statement;
        if statement.class != Some(Class::Governance) {
            return Needed { counted: statement.issuers.clone(), threshold: 1 };
        }
        let admitted = statement.admits();
        match self.domains.get(&statement.domain) {
            None => Needed { counted: admitted.into_iter().collect(), threshold: threshold(leaf) },
            Some(governance) => {
                let counts = |key: &&String| !admitted.contains(*key) && governance.keys.contains(*key);
                let mut counted: Vec<String> = statement.issuers.iter().filter(counts).cloned().collect();
                if statement.kind == "release" {
                    // A statement rests on no more keys than it needs.
                    counted.sort_unstable();
                    counted.truncate(usize::try_from(governance.threshold).unwrap_or(usize::MAX));
                }
                Needed { counted, threshold: governance.threshold }
            }
        }
    }

    /// The statements that had admitted its issuers when it was accepted.
    fn grants(&self, leaf: &Leaf) -> BTreeMap<String, String> {
        let grant = |key: &String| Some((key.clone(), self.authorities.get(key)?.grant.clone()));
        leaf.statement.issuers.iter().filter_map(grant).collect()
    }

    /// The keys that it admits and the keys that it revokes.
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
        // The keys that stay rest on the new statement too: if it were void, its predecessor would not return.
        for key in &keys {
            self.put(key, leaf, domain, "governance", (i64::MIN, i64::MAX));
        }
        let threshold = threshold(leaf);
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

    /// Decides whether a leaf is void, and what it changes if it stands.
    fn judge(&mut self, leaf: &Leaf, needed: &Needed, grants: &BTreeMap<String, String>) {
        let statement = &leaf.statement;
        if statement.class == Some(Class::Restriction) || matches!(statement.kind.as_str(), "root" | "domain")
        {
            return;
        }
        let stands = |key: &&String| !self.voids(key, leaf.accepted_ms, grants);
        let unvoided = u64::try_from(needed.counted.iter().filter(stands).count()).unwrap_or(0);
        let lost = |(pair, canonical): &(BTreeSet<String>, String)| {
            pair.contains(&statement.id) && *canonical != statement.id
        };
        let void = unvoided < needed.threshold
            || self.invalidated.contains(&statement.id)
            || self.reconciled.iter().any(lost)
            || statement.references.iter().any(|id| self.void.contains(id));
        if void {
            self.void.insert(statement.id.clone());
        } else if statement.kind == "release" {
            self.released.insert(statement.claim("containment").to_owned());
        } else if statement.kind == "reconciliation" {
            let pair = super::statement::texts(statement.claims.get("conflict")).into_iter().collect();
            self.reconciled.push((pair, statement.claim("canonical").to_owned()));
        }
    }

    /// Whether a key's signature on a statement of this time is void: by its revocation, or with the grant that the
    /// key had.
    fn voids(&self, key: &String, accepted_ms: i64, grants: &BTreeMap<String, String>) -> bool {
        let since = self.authorities.get(key).and_then(|authority| authority.invalid_since_ms);
        since.is_some_and(|since| accepted_ms >= since)
            || grants.get(key).is_some_and(|grant| self.void.contains(grant))
    }

    /// A key's authority in a domain.
    pub(super) fn authority(&self, key: &str, domain: &str) -> Option<&Authority> {
        self.authorities.get(key).filter(|authority| authority.domain == domain)
    }

    /// Every reason for which a key may not sign now.
    pub(super) fn silenced(&self, key: &str, domain: &str, now_ms: i64) -> Vec<&'static str> {
        let Some(authority) = self.authority(key, domain) else { return vec!["authority_unknown"] };
        let mut codes = Vec::new();
        if authority.revoked {
            codes.push("authority_revoked");
        } else if now_ms < authority.from_ms || now_ms >= authority.to_ms {
            codes.push("authority_expired");
        }
        if self.void.contains(&authority.grant) {
            codes.push("inheritance_unverifiable");
        }
        codes
    }
}

fn threshold(leaf: &Leaf) -> u64 {
    leaf.statement.claims.get("threshold").and_then(serde_json::Value::as_u64).unwrap_or(1)
}
