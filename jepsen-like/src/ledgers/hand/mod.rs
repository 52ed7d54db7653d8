//! Draws the next statement or question of a ledger, from what the ledger holds.
//!
//! The parts (`evidence`, `govern`, `restrict`, `question`) draw one statement each; a profile (`small`, `wide`,
//! `peers`) decides how often each of them is drawn. Nothing here applies the rules: what is drawn may well be
//! refused.

mod evidence;
mod govern;
mod peers;
mod question;
mod restrict;
mod small;
mod wide;

use assent_proof::{Claims, DomainName, EvidenceId, LineageName, Seconds};

use super::both::Both;
use super::draft::{Act, Draft, Slot};
use super::draw::{self, NOTHING};
use super::keys::NODE;
use super::profile::Profile;
use crate::sim::dice::Dice;

/// The ledger as it is, and the dice that draw the next step.
pub(super) struct Hand<'a> {
    pub(super) both: &'a Both,
    pub(super) dice: &'a mut Dice,
}

impl Hand<'_> {
    /// The statement with this number among those that open a ledger; `None` after the last.
    pub(super) fn opening(&mut self, profile: Profile, number: u64) -> Option<Act> {
        match profile {
            Profile::Wide => self.open_wide(number),
            Profile::Words | Profile::Slots | Profile::Governance | Profile::Holds => {
                self.open_small(profile, number)
            }
            Profile::Peers => self.open_peers(number),
        }
        .map(Act::Submit)
    }

    /// The next statement.
    pub(super) fn act(&mut self, profile: Profile) -> Option<Act> {
        let draft = match profile {
            Profile::Wide => return self.wide(),
            _ if self.once_in(20) => return self.again(),
            Profile::Words => self.words(),
            Profile::Slots => self.slots(),
            Profile::Governance => self.governance(),
            Profile::Holds => self.holds(),
            Profile::Peers if self.once_in(30) => return self.raise(NODE),
            Profile::Peers => self.peers(),
        };
        draft.map(Act::Submit)
    }

    fn once_in(&mut self, bound: u64) -> bool {
        self.dice.chance(1, bound)
    }

    fn now(&self) -> Seconds {
        Seconds(self.both.now_ms / 1000)
    }

    /// Some seconds ago, fewer than `bound`.
    fn ago(&mut self, bound: u64) -> Seconds {
        let ago = i64::try_from(self.dice.below(bound)).unwrap_or(0);
        self.now().saturating_add(ago.saturating_neg())
    }

    /// A time of issue: mostly in the past, sometimes as far ahead as is accepted, rarely further.
    fn issued_at(&mut self) -> Seconds {
        match self.dice.below(80) {
            0 => self.now().saturating_add(40),
            1..=26 => Seconds(self.both.now_ms.saturating_add(500) / 1000),
            _ => self.ago(30),
        }
    }

    /// A statement in an issuer's chain: in its next slot or, one time in `older_one_in`, in any taken slot.
    fn says(
        &mut self,
        (domain, lineage): (&str, &str),
        issuer: u8,
        claims: Claims,
        older_one_in: u64,
    ) -> Option<Draft> {
        let (domain, lineage) = (domain.parse::<DomainName>().ok()?, lineage.parse::<LineageName>().ok()?);
        let mut draft = Draft::new(domain, lineage, claims, [issuer], self.issued_at());
        let both = self.both;
        let chain = both.chain(&draft.chain());
        let sequence = draw::sequence(self.dice, u64::try_from(chain.len()).ok()?, older_one_in);
        draft.slot = Some(Slot { sequence, parent: self.parent(chain, sequence) });
        Some(draft)
    }

    /// The statement before a slot; either half if there are two.
    fn parent(&mut self, chain: &[Vec<EvidenceId>], sequence: u64) -> Option<EvidenceId> {
        let before = usize::try_from(sequence.checked_sub(1)?).ok()?;
        if self.once_in(80) {
            return Some(NOTHING);
        }
        let halves = chain.get(before).map(Vec::as_slice).unwrap_or_default();
        Some(self.dice.pick(halves).copied().unwrap_or(NOTHING))
    }

    /// A statement in a domain's one governance chain, rarely not in its next slot.
    fn governs(&mut self, domain: &str, claims: Claims, signers: &[u8]) -> Option<Draft> {
        let mut draft = self.restricts(domain, claims, signers)?;
        let both = self.both;
        let chain = both.chain(&draft.chain());
        let next = u64::try_from(chain.len()).ok()?;
        let sequence = if self.once_in(40) { self.dice.below(next.saturating_add(2)) } else { next };
        draft.slot = Some(Slot { sequence, parent: self.parent(chain, sequence) });
        Some(draft)
    }

    /// A statement about governance that takes no slot.
    fn restricts(&mut self, domain: &str, claims: Claims, signers: &[u8]) -> Option<Draft> {
        let domain = domain.parse().ok()?;
        let issued_at = self.issued_at();
        Some(Draft::new(domain, LineageName::governance(), claims, signers.iter().copied(), issued_at))
    }
}
