//! Revocations and containments.

use assent_proof::{Claims, Containment, EvidenceId, RevocationReason, Seconds};

use super::super::draft::{Act, Draft};
use super::super::draw;
use super::super::keys::{NODES, public};
use super::{Hand, NOTHING};

impl Hand<'_> {
    /// A revocation of a key.
    pub(super) fn revoke(
        &mut self,
        domain: &str,
        number: u8,
        invalid_since: Option<Seconds>,
        signers: &[u8],
    ) -> Option<Draft> {
        let reason = RevocationReason::KeyCompromise;
        self.restricts(
            domain,
            Claims::Revocation { authority: public(number), reason, invalid_since },
            signers,
        )
    }

    /// A time just before, at or just after something of this key was accepted.
    pub(super) fn since(&mut self, number: u8) -> Seconds {
        let (accepted, now) = (self.both.accepted_of(number), self.now());
        draw::invalid_since(self.dice, &accepted, now)
    }

    /// Such a time, or none.
    pub(super) fn maybe_since(&mut self, number: u8) -> Option<Seconds> {
        if self.once_in(4) { None } else { Some(self.since(number)) }
    }

    /// A containment: it quarantines a lineage, isolates the domain, or invalidates evidence.
    pub(super) fn contain(&mut self, domain: &str, lineage: &str, signer: u8) -> Option<Draft> {
        let containment = match self.dice.below(5) {
            0 => Containment::Isolate(domain.parse().ok()?),
            1 | 2 => Containment::Quarantine(lineage.parse().ok()?),
            _ => Containment::Invalidate(self.anything(domain)),
        };
        self.restricts(domain, Claims::Containment(containment), &[signer])
    }

    /// The id of something in a domain; rarely an id that nothing has.
    pub(super) fn anything(&mut self, domain: &str) -> EvidenceId {
        let known = self.both.known.iter().filter(|known| known.lies_in(domain));
        let known: Vec<EvidenceId> = known.map(|known| known.id).collect();
        if self.once_in(15) { NOTHING } else { self.dice.pick(&known).copied().unwrap_or(NOTHING) }
    }

    /// A containment that was made before, with a new date, so that it is another statement.
    pub(super) fn contain_again(&mut self) -> Option<Draft> {
        let both = self.both;
        let made: Vec<&Draft> = both
            .known
            .iter()
            .map(|known| &known.draft)
            .filter(|draft| matches!(draft.claims, Claims::Containment(_)))
            .collect();
        let old = self.dice.pick(&made).copied()?;
        Some(Draft { issued_at: self.issued_at(), ..old.clone() })
    }

    /// A submission of before, byte for byte.
    pub(super) fn again(&mut self) -> Option<Act> {
        let both = self.both;
        self.dice.pick(&both.sent).cloned().map(Act::Submit)
    }

    /// A node raises the rules; sometimes the version, a key or the time is wrong.
    pub(super) fn raise(&mut self, node: u8) -> Option<Act> {
        let next = u32::try_from(self.both.model.rules()).ok()?.saturating_add(1);
        let version = match self.dice.below(12) {
            0 => next.saturating_add(1),
            1 => next.saturating_sub(1).max(1),
            _ => next,
        };
        // A build that knows no version after 2 would have to stop.
        if version > assent_registry::RulesVersion::TEST.0 {
            return None;
        }
        let mut signers = vec![if self.once_in(6) { 60 } else { node }];
        for other in NODES {
            // Most of the time, only a key that may sign.
            if self.both.is_live(other) != self.once_in(12) {
                signers.push(other);
            }
        }
        let mut draft = self.restricts("_root", Claims::Rules { version }, &signers)?;
        if self.once_in(4) {
            // Just over a minute ago, or just under.
            draft.issued_at =
                Seconds((self.both.now_ms / 1000).saturating_sub(if self.once_in(2) { 60 } else { 61 }));
        }
        Some(Act::Raise(draft))
    }
}
