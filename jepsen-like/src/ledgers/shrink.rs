//! Shrinks a ledger: leaves out every step that it does not need to show, for example, a finding.
//!
//! Statements name one another by id, and a chain has no gaps. So the remaining statements are signed again, with new
//! ids in place of old ones and in the slots that are left.

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::EvidenceId;

use super::both::{Both, LedgerError, Step};
use super::draft::{Act, ChainId, Draft, Renamed, Slot, renamed_request};
use super::ledger::caught;

/// The largest number of ledgers that are tried for one finding.
const TRIES_MAX: usize = 3_000;

/// The smallest ledger that this search finds; `None` if all steps, taken again, do not show the finding.
pub(super) fn shrink(founded: &Both, steps: &[Step], is_shown: impl Fn(&Both) -> bool) -> Option<Both> {
    let shows = |kept: &[usize]| {
        let both = replay(founded, steps, kept);
        is_shown(&both).then_some(both)
    };
    let mut kept: Vec<usize> = (0..steps.len()).collect();
    let mut smallest = shows(&kept)?;
    let mut width = kept.len().div_ceil(2).max(1);
    let mut tries = 0_usize;
    loop {
        let (mut at, mut smaller) = (0_usize, false);
        while at < kept.len() && tries < TRIES_MAX {
            tries = tries.saturating_add(1);
            let out = at..at.saturating_add(width);
            let places = kept.iter().enumerate().filter(|(place, _)| !out.contains(place));
            let trial: Vec<usize> = places.map(|(_, step)| *step).collect();
            match shows(&trial) {
                Some(both) => (smallest, kept, smaller) = (both, trial, true),
                None => at = out.end,
            }
        }
        if tries >= TRIES_MAX || (width == 1 && !smaller) {
            return Some(smallest);
        }
        width = width.div_ceil(2);
    }
}

/// What is missing because steps were left out.
#[derive(Default)]
struct Gaps {
    /// The ids of the statements that are missing.
    made: BTreeSet<EvidenceId>,
    /// The slots that are not taken, by chain.
    slots: BTreeMap<ChainId, BTreeSet<u64>>,
}

/// Takes some of the steps again.
fn replay(founded: &Both, steps: &[Step], kept: &[usize]) -> Both {
    let kept: Vec<&Step> = kept.iter().filter_map(|at| steps.get(*at)).collect();
    let gaps = Gaps::between(steps, &kept);
    let mut both = founded.clone();
    if let Some(finding) = caught(|| replay_into(&mut both, &kept, &gaps)) {
        both.finding.get_or_insert(finding);
    }
    both
}

fn replay_into(both: &mut Both, kept: &[&Step], gaps: &Gaps) -> Result<(), LedgerError> {
    let mut ids = Renamed::new();
    for step in kept {
        both.now_ms = step.at_ms;
        let act = match &step.act {
            Act::Submit(draft) => Act::Submit(gaps.fit(draft, &ids, both)),
            Act::Raise(draft) => Act::Raise(gaps.fit(draft, &ids, both)),
            Act::Ask(request) => Act::Ask(renamed_request(request, &ids)),
            Act::Permit(request) => Act::Permit(renamed_request(request, &ids)),
        };
        let made = both.take(act)?;
        if let (Some(old), Some(new)) = (step.made, made) {
            ids.insert(old, new);
        }
        if both.finding.is_some() {
            break;
        }
    }
    Ok(())
}

impl Gaps {
    fn between(steps: &[Step], kept: &[&Step]) -> Self {
        let mut gaps = Gaps::default();
        for step in steps {
            gaps.made.extend(step.made);
            if let Some((chain, sequence)) = taken(step) {
                gaps.slots.entry(chain).or_default().insert(sequence);
            }
        }
        for step in kept {
            if let Some(id) = step.made {
                gaps.made.remove(&id);
            }
            if let Some((chain, sequence)) = taken(step)
                && let Some(slots) = gaps.slots.get_mut(&chain)
            {
                slots.remove(&sequence);
            }
        }
        gaps
    }

    /// The draft with references to statements that exist, in the slot that is left for it.
    fn fit(&self, draft: &Draft, ids: &Renamed, both: &Both) -> Draft {
        let mut fitting = draft.renamed(ids);
        if let Some(slot) = draft.slot {
            fitting.slot = Some(self.slot(&draft.chain(), slot, ids, both));
        }
        fitting
    }

    fn slot(&self, chain: &ChainId, slot: Slot, ids: &Renamed, both: &Both) -> Slot {
        let below = self.slots.get(chain).map_or(0, |left| left.range(..slot.sequence).count());
        let sequence = slot.sequence.saturating_sub(u64::try_from(below).unwrap_or(0));
        let before = sequence.checked_sub(1).and_then(|before| usize::try_from(before).ok());
        let parent = match (before, slot.parent) {
            (None, _) | (_, None) => None,
            (Some(before), Some(parent)) if self.made.contains(&parent) => {
                both.chain(chain).get(before).and_then(|halves| halves.first()).copied()
            }
            (_, Some(parent)) => Some(ids.get(&parent).copied().unwrap_or(parent)),
        };
        Slot { sequence, parent }
    }
}

/// The slot that a step took, or added a second half to.
fn taken(step: &Step) -> Option<(ChainId, u64)> {
    step.made?;
    let draft = step.act.draft()?;
    Some((draft.chain(), draft.slot?.sequence))
}

#[cfg(test)]
mod tests {
    use assent_proof::EvidenceKind;

    use super::super::founding::FoundedRegistries;
    use super::super::ledger::Ledger;
    use super::super::profile::Profile;
    use super::*;

    fn grown(seed: u64, profile: Profile) -> (Both, Both) {
        let founded = FoundedRegistries::default().of(profile).unwrap();
        let mut ledger = Ledger::new(founded.clone(), seed, profile);
        ledger.run().unwrap();
        (founded, ledger.into_both())
    }

    #[test]
    fn the_same_steps_again_are_answered_in_the_same_way() {
        for profile in Profile::ALL {
            let (founded, both) = grown(3, *profile);
            let all: Vec<usize> = (0..both.steps.len()).collect();
            let again = replay(&founded, &both.steps, &all);
            assert!(both.steps.len() > 10, "{profile:?}");
            assert_eq!(again.shown(), both.shown(), "{profile:?}");
        }
    }

    #[test]
    fn a_finding_about_a_released_negative_shrinks_to_the_negative_revocation_and_release() {
        const RELEASED: &str = "a negative was released";
        let shows = |both: &Both| both.events.contains_key(RELEASED);
        let (founded, both) =
            (0..).map(|seed| grown(seed, Profile::Words)).find(|(_, both)| shows(both)).unwrap();
        let smallest = shrink(&founded, &both.steps, shows).unwrap();
        let kinds: Vec<EvidenceKind> = smallest.known.iter().map(|known| known.kind()).collect();
        assert!(kinds.ends_with(&[EvidenceKind::Revocation, EvidenceKind::Release]), "{kinds:?}");
        // The negative may rest on other evidence.
        assert!((3..=5).contains(&smallest.steps.len()), "{:#?}", smallest.shown());
    }
}
