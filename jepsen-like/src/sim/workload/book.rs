//! What the callers of one run know together: which key has which role, which slot is next, what is contained.
//!
//! The callers know it from receipts only, so it may be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use assent_proof::{
    DomainName, Envelope, EvidenceId, LineageName, Millis, PublicKey, Role, Seconds, Sha256, SigningKey,
    Statement,
};
use serde_json::Value;

use super::super::setup::DomainPlan;
use super::peer_statements::{PeerStatements, is_peer_statement};

/// The key of a chain: a domain's place, a lineage, and the issuer's key (empty for the one chain of `_governance`).
pub(super) type ChainId = (usize, String, String);

/// How many audit events without detail a domain remembers.
const BARE_MAX: usize = 4;
/// How many accepted envelopes about executions a domain remembers byte for byte.
const AGAIN_MAX: usize = 16;
/// How many acceptances a domain remembers.
const ACCEPTED_MAX: usize = 256;
/// How many allowed requests are remembered.
const ALLOWED_MAX: usize = 8;

/// What the callers know.
pub struct Book {
    pub(super) domains: Vec<DomainBook>,
    chains: BTreeMap<ChainId, Chain>,
    /// Chains that a caller is using.
    busy: BTreeSet<ChainId>,
    /// How many names were given out.
    named: u64,
    /// The requests that were allowed lately: the domain's place, and the request.
    allowed: VecDeque<(usize, Value)>,
}

/// A domain.
pub(super) struct DomainBook {
    pub(super) name: DomainName,
    pub(super) governance: Vec<SigningKey>,
    pub(super) threshold: usize,
    /// The keys that probably have a role.
    pub(super) authorities: Vec<(SigningKey, Role)>,
    pub(super) lineages: Vec<Lineage>,
    /// Quarantines and isolations that are probably in force.
    pub(super) contained: Vec<EvidenceId>,
    /// Keys that were revoked.
    pub(super) revoked: Vec<PublicKey>,
    /// Statements that a policy may treat as negatives, each with the key that signed it.
    pub(super) negatives: Vec<(PublicKey, EvidenceId)>,
    /// When statements of a key were accepted.
    accepted: VecDeque<(PublicKey, Millis)>,
    /// Equivocations that are probably open: lineage, issuer's key, both halves.
    pub(super) conflicts: Vec<(String, String, [EvidenceId; 2])>,
    /// Permit requests that were made, for others to repeat.
    pub(super) permits: Vec<Value>,
    /// Execution evidence that was accepted.
    pub(super) evidence: Vec<EvidenceId>,
    /// Audit events without detail that were accepted, byte for byte.
    pub(super) bare: VecDeque<Vec<u8>>,
    /// Statements about executions that were accepted lately, byte for byte: a repetition has the same receipt.
    pub(super) again: VecDeque<Vec<u8>>,
    /// The statements about other registries.
    pub(super) peer_statements: PeerStatements,
}

impl DomainBook {
    /// Notes that an audit event without detail was accepted.
    pub(super) fn was_bare(&mut self, envelope: Vec<u8>) {
        if self.bare.len() >= BARE_MAX {
            self.bare.pop_front();
        }
        self.bare.push_back(envelope);
    }

    /// The times at which statements of a key were accepted.
    pub(super) fn accepted_of(&self, key: &PublicKey) -> Vec<Millis> {
        self.accepted.iter().filter(|(of, _)| of == key).map(|(_, at)| *at).collect()
    }

    /// The negatives of keys that were revoked.
    pub(super) fn negatives_of_revoked(&self) -> Vec<EvidenceId> {
        let dead = self.negatives.iter().filter(|(key, _)| self.revoked.contains(key));
        dead.map(|(_, id)| *id).collect()
    }
}

/// One execution.
#[derive(Clone)]
pub(super) struct Lineage {
    pub(super) name: String,
    pub(super) subject: Sha256,
    pub(super) action: &'static str,
    pub(super) until: Seconds,
    pub(super) closed: bool,
    /// Evidence in it that others may reference.
    pub(super) first: Option<EvidenceId>,
    /// The one runtime to which its authorization is bound, if it is bound.
    pub(super) runtime: Option<LineageName>,
}

/// One issuer's chain.
#[derive(Clone, Default)]
pub(super) struct Chain {
    pub(super) next: u64,
    pub(super) parent: Option<EvidenceId>,
    /// The statements in its slots, from the first one on, as far as they are known.
    taken: Vec<EvidenceId>,
    /// A statement that was signed and sent, with an unknown outcome: it must be sent again before anything else is
    /// signed.
    pub(super) pending: Option<Vec<u8>>,
}

impl Chain {
    /// Notes that a statement took the next slot.
    pub(super) fn took(&mut self, id: EvidenceId) {
        if self.older().is_some() {
            self.taken.push(id);
        }
        self.next = self.next.saturating_add(1);
        self.parent = Some(id);
    }

    /// The statement in each of its slots, if all of them are known.
    pub(super) fn older(&self) -> Option<&[EvidenceId]> {
        (u64::try_from(self.taken.len()) == Ok(self.next)).then_some(self.taken.as_slice())
    }
}

impl Book {
    /// The book at the beginning, from the genesis file.
    pub fn new(plans: &[DomainPlan], heads: &[(u64, EvidenceId)]) -> Self {
        let mut chains = BTreeMap::new();
        for (at, (next, head)) in heads.iter().enumerate() {
            let chain = Chain { next: *next, parent: Some(*head), ..Chain::default() };
            chains.insert((at, "_governance".to_owned(), String::new()), chain);
        }
        let domains = plans
            .iter()
            .map(|plan| DomainBook {
                name: plan.name.clone(),
                governance: plan.governance.clone(),
                threshold: usize::try_from(plan.threshold).unwrap_or(1),
                authorities: plan.authorities.clone(),
                lineages: Vec::new(),
                contained: Vec::new(),
                revoked: Vec::new(),
                negatives: Vec::new(),
                accepted: VecDeque::new(),
                conflicts: Vec::new(),
                permits: Vec::new(),
                evidence: Vec::new(),
                bare: VecDeque::new(),
                again: VecDeque::new(),
                peer_statements: PeerStatements::under(&plan.policy),
            })
            .collect();
        Self { domains, chains, busy: BTreeSet::new(), named: 0, allowed: VecDeque::new() }
    }

    /// Notes that a statement was accepted, with this receipt.
    pub(super) fn was_accepted(&mut self, domain: usize, bytes: &[u8], receipt: &Value) {
        let Ok(envelope) = Envelope::parse(bytes) else { return };
        let at = receipt.get("acceptedAt").and_then(Value::as_i64);
        let (Some(at), Ok(statement), Some(domain)) =
            (at, Statement::parse(&envelope.payload), self.domains.get_mut(domain))
        else {
            return;
        };
        if let Some(index) = receipt.get("ledgerIndex").and_then(Value::as_u64) {
            domain.peer_statements.learn((index, Millis(at)), envelope.id(), &statement);
        }
        if statement.kind.is_execution() {
            if domain.again.len() >= AGAIN_MAX {
                domain.again.pop_front();
            }
            domain.again.push_back(bytes.to_vec());
        }
        for issuer in statement.issuers {
            if domain.accepted.len() >= ACCEPTED_MAX {
                domain.accepted.pop_front();
            }
            domain.accepted.push_back((issuer, Millis(at)));
        }
    }

    /// Notes that a request was allowed.
    pub(super) fn was_allowed(&mut self, domain: usize, request: &Value) {
        if self.allowed.len() >= ALLOWED_MAX {
            self.allowed.pop_front();
        }
        self.allowed.push_back((domain, request.clone()));
    }

    /// The requests that were allowed lately.
    pub(super) fn allowed_lately(&self) -> Vec<(usize, Value)> {
        self.allowed.iter().cloned().collect()
    }

    /// A new name.
    pub(super) fn name(&mut self, what: &str) -> String {
        self.named = self.named.saturating_add(1);
        format!("{what}-{}", self.named)
    }

    /// Takes a chain, unless another caller has it.
    pub(super) fn take(&mut self, id: &ChainId) -> Option<Chain> {
        self.busy.insert(id.clone()).then(|| self.chains.get(id).cloned().unwrap_or_default())
    }

    /// A chain of a domain that no caller has, and in which a statement about another registry is still pending.
    pub(super) fn unsure_statement(&self, domain: usize) -> Option<ChainId> {
        let says_word = |envelope: &[u8]| {
            let statement =
                Envelope::parse(envelope).and_then(|envelope| Statement::parse(&envelope.payload));
            statement.is_ok_and(|statement| is_peer_statement(statement.kind))
        };
        let mut free = self.chains.iter().filter(|(id, _)| id.0 == domain && !self.busy.contains(*id));
        let unsure = free.find(|(_, chain)| chain.pending.as_deref().is_some_and(says_word));
        unsure.map(|(id, _)| id.clone())
    }

    /// The present state of a chain, whichever caller has it.
    pub(super) fn peek(&self, id: &ChainId) -> Chain {
        self.chains.get(id).cloned().unwrap_or_default()
    }

    /// Gives a chain back in its new state.
    pub(super) fn give(&mut self, id: &ChainId, chain: Chain) {
        self.busy.remove(id);
        self.chains.insert(id.clone(), chain);
    }
}
