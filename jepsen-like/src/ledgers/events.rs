//! The events that must have occurred for the ledgers to show anything, each counted where it is seen.

use std::collections::BTreeSet;

use assent_proof::{Claims, EvidenceId, EvidenceKind, PublicKey, Seconds};

use super::both::{Both, Known};
use super::draft::Draft;
use super::draw::is_negative;
use super::{keys, peer};

/// Every event. If one of them never occurs, the ledgers have tested less than they claim.
pub const EVENTS: &[&str] = &[
    "a statement was submitted again",
    "a negative said the same as the one before it",
    "what replaced a repeated negative became void",
    "a second half was of an older slot",
    "a second half was of another kind",
    "a second half had another subject",
    "a key had a second conflict in one lineage",
    "a statement went on from a second half",
    "the second half was made canonical",
    "a conflict in an older slot was reconciled",
    "a conflict was reconciled again",
    "a reconciliation became void",
    "a negative was released",
    "a containment was released",
    "a release was refused, for it released what was released",
    "a release became void",
    "a containment was made again after its release",
    "void from the second before an acceptance",
    "void from the second of an acceptance",
    "void from the second after an acceptance",
    "a key was revoked again, further back",
    "a key revoked itself",
    "a key revoked itself with invalidSince",
    "a governance key was revoked",
    "a root key was revoked",
    "a domain's governance was replaced",
    "the root was replaced",
    "a policy was replaced",
    "a key was granted again",
    "a statement rested on what rests on another",
    "a statement rested on another lineage",
    "a trust was renewed",
    "a checkpoint extended a smaller one",
    "a checkpoint was as large as the one before it",
    "a checkpoint came from a key of the role registry",
    "a checkpoint passed over a larger one",
    "a checkpoint was refused, for it diverged",
    "a recovery began an epoch",
    "an allow after a negative was released",
    "an allow after a containment was released",
    "an allow after a reconciliation",
    "an allow after something became void",
    "a permit on a reconciled authorization",
    "a deny, for the authorization was for other runtimes",
];

impl Both {
    fn saw(&mut self, events: Vec<&'static str>) {
        for event in events {
            let count = self.events.entry(event).or_insert(0);
            *count = count.saturating_add(1);
        }
    }

    /// The newest statement was accepted.
    pub(super) fn saw_accepted(&mut self) {
        let Some((new, before)) = self.known.split_last() else { return };
        let mut events = Vec::new();
        match &new.draft.claims {
            Claims::Reconciliation { conflict, canonical } => {
                self.saw_reconciliation(before, *conflict, canonical, &mut events);
            }
            Claims::Release { containment } => {
                if let Some(of) = self.find(containment) {
                    events.push(match of.kind() {
                        EvidenceKind::Containment => "a containment was released",
                        _ => "a negative was released",
                    });
                }
            }
            Claims::Revocation { authority, invalid_since, .. } => {
                saw_revocation(before, &new.draft, authority, *invalid_since, &mut events);
            }
            Claims::Containment(_) => {
                let same = |old: &Known| {
                    old.draft.claims == new.draft.claims && old.draft.signers == new.draft.signers
                };
                if before.iter().any(same) {
                    events.push("a containment was made again after its release");
                }
            }
            Claims::Domain { .. } => events.push("a domain's governance was replaced"),
            Claims::Root { .. } => events.push("the root was replaced"),
            Claims::AuthorityGrant { .. } => events.push("a key was granted again"),
            Claims::Recovery { .. } => events.push("a recovery began an epoch"),
            Claims::Policy(_) => {
                let policy = |old: &Known| old.kind() == EvidenceKind::Policy;
                if before.iter().any(|old| policy(old) && old.draft.domain == new.draft.domain) {
                    events.push("a policy was replaced");
                }
            }
            _ => {
                saw_peer(before, new, &mut events);
                self.saw_evidence(before, new, &mut events);
            }
        }
        self.saw(events);
    }

    fn saw_evidence(&self, before: &[Known], new: &Known, events: &mut Vec<&'static str>) {
        let chain = new.draft.chain();
        if new.second {
            let first = self.pairs.last().and_then(|pair| self.find(&pair.halves[0]));
            if first.is_some_and(|first| first.kind() != new.kind()) {
                events.push("a second half was of another kind");
            }
            if first.is_some_and(|first| first.draft.subject != new.draft.subject) {
                events.push("a second half had another subject");
            }
            if new.late {
                events.push("a second half was of an older slot");
            }
            if self.pairs.iter().filter(|pair| pair.chain == chain).count() > 1 {
                events.push("a key had a second conflict in one lineage");
            }
        } else {
            let of_kind = |old: &&Known| old.kind() == new.kind() && old.draft.chain() == chain;
            let last = before.iter().rev().find(of_kind);
            if is_negative(&new.draft.claims)
                && last.is_some_and(|last| last.draft.claims == new.draft.claims)
            {
                events.push("a negative said the same as the one before it");
            }
            let parent = new.draft.slot.and_then(|slot| slot.parent);
            if parent.is_some() && self.pairs.iter().any(|pair| Some(pair.halves[1]) == parent) {
                events.push("a statement went on from a second half");
            }
        }
        let rests_on: Vec<&Known> = new.draft.references.iter().filter_map(|id| self.find(id)).collect();
        if rests_on.iter().any(|of| !of.draft.references.is_empty()) {
            events.push("a statement rested on what rests on another");
        }
        if rests_on.iter().any(|of| of.draft.lineage != new.draft.lineage) {
            events.push("a statement rested on another lineage");
        }
    }

    fn saw_reconciliation(
        &self,
        before: &[Known],
        conflict: [EvidenceId; 2],
        canonical: &EvidenceId,
        events: &mut Vec<&'static str>,
    ) {
        if self.find(canonical).is_some_and(|half| half.second) {
            events.push("the second half was made canonical");
        }
        if conflict.iter().any(|half| self.find(half).is_some_and(|half| half.second && half.late)) {
            events.push("a conflict in an older slot was reconciled");
        }
        let same = |old: &Known| match &old.draft.claims {
            Claims::Reconciliation { conflict: pair, .. } => pair.iter().all(|half| conflict.contains(half)),
            _ => false,
        };
        if before.iter().any(same) {
            events.push("a conflict was reconciled again");
        }
    }

    /// A statement got any answer except that it is new.
    pub(super) fn saw_refusal(&mut self, draft: &Draft, said: &str) {
        let released = self.known.iter().any(|known| known.draft.claims == draft.claims);
        if said == "again" {
            self.saw(vec!["a statement was submitted again"]);
        } else if said == "registry_diverged" {
            self.saw(vec!["a checkpoint was refused, for it diverged"]);
        } else if released && draft.claims.kind() == EvidenceKind::Release && said == "claims_invalid" {
            self.saw(vec!["a release was refused, for it released what was released"]);
        }
    }

    /// Something was allowed.
    pub(super) fn saw_allow(&mut self) {
        let mut events = Vec::new();
        for known in &self.known {
            let event = match &known.draft.claims {
                Claims::Release { containment } => match self.find(containment).map(Known::kind) {
                    Some(EvidenceKind::Containment) => "an allow after a containment was released",
                    _ => "an allow after a negative was released",
                },
                Claims::Reconciliation { .. } => "an allow after a reconciliation",
                Claims::Revocation { invalid_since: Some(_), .. } => "an allow after something became void",
                _ => continue,
            };
            if !events.contains(&event) {
                events.push(event);
            }
        }
        self.saw(events);
    }

    /// Something was denied, with these codes.
    pub(super) fn saw_deny(&mut self, codes: &BTreeSet<String>) {
        if codes.contains("runtime_mismatch") {
            self.saw(vec!["a deny, for the authorization was for other runtimes"]);
        }
    }

    /// A permit was recorded.
    pub(super) fn saw_permit(&mut self) {
        let Some(permit) = self.known.last() else { return };
        let reconciled = self.known.iter().any(|known| match &known.draft.claims {
            Claims::Reconciliation { canonical, .. } => self.find(canonical).is_some_and(|half| {
                half.kind() == EvidenceKind::ExecutionAuthorization
                    && half.draft.lineage == permit.draft.lineage
            }),
            _ => false,
        });
        if reconciled {
            self.saw(vec!["a permit on a reconciled authorization"]);
        }
    }
}

/// A statement about another registry was accepted.
fn saw_peer(before: &[Known], new: &Known, events: &mut Vec<&'static str>) {
    let mut of_domain = before.iter().filter(|old| old.draft.domain == new.draft.domain);
    match &new.draft.claims {
        Claims::SovereignTrust { peer, .. } => {
            let same = |old: &Known| match &old.draft.claims {
                Claims::SovereignTrust { peer: of, .. } => of == peer,
                _ => false,
            };
            if of_domain.any(same) {
                events.push("a trust was renewed");
            }
        }
        Claims::SynchronizationContinuity { checkpoint, .. } if !new.second => {
            let Some(found) = peer::said(checkpoint) else { return };
            let first_halves = of_domain.filter(|old| !old.second);
            let sizes: Vec<u64> = first_halves
                .filter_map(|old| match &old.draft.claims {
                    Claims::SynchronizationContinuity { checkpoint, .. } => peer::said(checkpoint),
                    _ => None,
                })
                .filter(|old| old.origin == found.origin)
                .map(|old| old.size)
                .collect();
            if sizes.last().is_some_and(|last| *last < found.size) {
                events.push("a checkpoint extended a smaller one");
            }
            if sizes.last() == Some(&found.size) {
                events.push("a checkpoint was as large as the one before it");
            }
            if sizes.iter().any(|old| *old > found.size) {
                events.push("a checkpoint passed over a larger one");
            }
            let base = keys::base(new.draft.domain.as_str());
            if new.draft.signers.iter().any(|number| matches!(number.checked_sub(base), Some(17 | 18 | 20))) {
                events.push("a checkpoint came from a key of the role registry");
            }
        }
        _ => {}
    }
}

fn saw_revocation(
    before: &[Known],
    revocation: &Draft,
    authority: &PublicKey,
    since: Option<Seconds>,
    events: &mut Vec<&'static str>,
) {
    let Some(number) = keys::number(authority) else { return };
    let domain = revocation.domain.as_str();
    if keys::governance(domain).contains(&number) {
        events.push(match domain {
            "_root" => "a root key was revoked",
            _ => "a governance key was revoked",
        });
    }
    if revocation.signers.iter().eq([&number]) {
        events.push(match since {
            Some(_) => "a key revoked itself with invalidSince",
            None => "a key revoked itself",
        });
    }
    let again = |old: &Known| match &old.draft.claims {
        Claims::Revocation { authority: of, .. } => of == authority,
        _ => false,
    };
    if before.iter().any(again) {
        events.push("a key was revoked again, further back");
    }
    let Some(since) = since else { return };
    let signed: Vec<&Known> = before.iter().filter(|old| old.draft.signers.contains(&number)).collect();
    for (after, event) in [
        (1, "void from the second before an acceptance"),
        (0, "void from the second of an acceptance"),
        (-1, "void from the second after an acceptance"),
    ] {
        if signed.iter().any(|old| since.saturating_add(after) == old.accepted.to_seconds()) {
            events.push(event);
        }
    }
    let void = |old: &Known| old.accepted >= since.to_millis();
    for (kind, event) in [
        (EvidenceKind::Reconciliation, "a reconciliation became void"),
        (EvidenceKind::Release, "a release became void"),
    ] {
        if signed.iter().any(|old| old.kind() == kind && void(old)) {
            events.push(event);
        }
    }
    let repeated = |pair: &[&Known]| match pair {
        [one, two, rest @ ..] => {
            is_negative(&one.draft.claims)
                && one.draft.claims == two.draft.claims
                && !void(two)
                && rest.iter().any(|old| void(old) && old.kind() == one.kind())
        }
        _ => false,
    };
    let says: Vec<&Known> = signed.iter().copied().filter(|old| old.kind().is_execution()).collect();
    if (0..says.len()).any(|from| says.get(from..).is_some_and(repeated)) {
        events.push("what replaced a repeated negative became void");
    }
}
