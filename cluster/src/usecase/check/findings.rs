//! What was found so far about the envelopes of one call, while they are looked at in turns.
//!
//! Each envelope ends with one finding, and an envelope that was not looked at is never proposed.

use std::collections::BTreeMap;

use assent_proof::{History, PublicKey, Refusal};

use crate::usecase::growth::Charge;
use crate::usecase::shed::Shed;

/// Why an envelope is not proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usecase) struct Unfit {
    pub(in crate::usecase) refusal: Refusal,
    /// The history in force where it was judged, if it was compared with the registry.
    pub(in crate::usecase) history: Option<History>,
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, history: None }
    }
}

impl From<Shed> for Unfit {
    fn from(shed: Shed) -> Self {
        shed.refusal().into()
    }
}

/// What was found about one envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It was not looked at yet.
    Open,
    /// It may be proposed.
    Fit,
    /// It may not be proposed.
    Unfit(Unfit),
    /// It names issuers that this node's registry does not know. The registry of another node may know more.
    UnknownIssuer(Unfit),
}

/// The findings so far about the envelopes of one call.
#[derive(Debug)]
pub(super) struct Findings {
    /// One finding for each envelope.
    all: Vec<Finding>,
    /// The keys that envelopes of this call admit, each with the place of the first envelope that does.
    pub(super) newcomers: BTreeMap<PublicKey, usize>,
    /// The largest number of signatures that may have been computed.
    pub(super) signatures: usize,
    /// What the issuers of envelopes were charged, by the place of the envelope.
    pub(super) charges: BTreeMap<usize, Charge>,
}

/// What was found about the envelopes of one call.
pub(in crate::usecase) struct Looked {
    /// Why each envelope is not proposed, or none if it may be proposed.
    pub(in crate::usecase) unfit: Vec<Option<Unfit>>,
    /// What the issuers of envelopes were charged, by the place of the envelope. If this is dropped, they get it back.
    pub(in crate::usecase) charges: BTreeMap<usize, Charge>,
}

impl Findings {
    /// Nothing was found yet about so many envelopes.
    pub(super) fn of(envelopes: usize) -> Self {
        Self {
            all: vec![Finding::Open; envelopes],
            newcomers: BTreeMap::new(),
            signatures: 0,
            charges: BTreeMap::new(),
        }
    }

    /// How many envelopes are by unknown issuers.
    pub(super) fn unknown_issuers(&self) -> usize {
        self.all.iter().filter(|finding| matches!(finding, Finding::UnknownIssuer(_))).count()
    }

    /// Marks envelopes by unknown issuers to be looked at again.
    pub(super) fn look_again(&mut self) {
        for finding in &mut self.all {
            if matches!(finding, Finding::UnknownIssuer(_)) {
                *finding = Finding::Open;
            }
        }
    }

    /// The place of the first envelope that is to be looked at.
    pub(super) fn next_open(&self) -> Option<usize> {
        self.all.iter().position(|finding| matches!(finding, Finding::Open))
    }

    /// Notes what was found about the envelope at this place.
    pub(super) fn found(&mut self, place: usize, found: Finding) {
        if let Some(finding) = self.all.get_mut(place) {
            *finding = found;
        }
    }

    /// Refuses everything that is open, or by unknown issuers, for this reason. The refusal is not final.
    pub(super) fn close(&mut self, refusal: &Refusal) {
        for finding in &mut self.all {
            if matches!(finding, Finding::Open | Finding::UnknownIssuer(_)) {
                *finding = Finding::Unfit(refusal.clone().into());
            }
        }
    }

    /// Makes sure that nothing is proposed, for this reason, which is not final. What is refused already stays
    /// refused for its own reason.
    pub(super) fn close_all(&mut self, refusal: &Refusal) {
        for finding in &mut self.all {
            match finding {
                Finding::Open | Finding::Fit | Finding::UnknownIssuer(_) => {
                    *finding = Finding::Unfit(refusal.clone().into());
                }
                Finding::Unfit(_) => {}
            }
        }
    }

    /// What the whole call is told.
    pub(super) fn looked(self) -> Looked {
        let why = |finding| match finding {
            Finding::Fit => None,
            Finding::Unfit(why) | Finding::UnknownIssuer(why) => Some(why),
            Finding::Open => Some(Shed::Lost.into()),
        };
        Looked { unfit: self.all.into_iter().map(why).collect(), charges: self.charges }
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::Code;

    use super::*;

    fn late() -> Refusal {
        Refusal::new(Code::DeadlineExceeded, "late")
    }

    #[test]
    fn envelopes_by_unknown_issuers_are_checked_again_and_those_left_open_are_refused() {
        let mut findings = Findings::of(3);
        findings.found(0, Finding::UnknownIssuer(Shed::Lost.into()));
        findings.found(1, Finding::Fit);
        assert_eq!(findings.next_open(), Some(2));
        findings.look_again();
        assert_eq!(findings.next_open(), Some(0));
        findings.close(&late());
        let codes: Vec<Option<Code>> =
            findings.looked().unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal.code)).collect();
        assert_eq!(codes, [Some(Code::DeadlineExceeded), None, Some(Code::DeadlineExceeded)]);
    }

    #[test]
    fn a_call_that_gets_no_place_after_its_barrier_proposes_nothing_and_keeps_its_refusals() {
        let mut findings = Findings::of(4);
        findings.found(0, Finding::UnknownIssuer(Shed::Lost.into()));
        findings.found(1, Finding::Fit);
        findings.found(2, Finding::Unfit(late().into()));
        findings.close_all(&Shed::Overloaded("full".to_owned()).refusal());
        let codes: Vec<Option<Code>> =
            findings.looked().unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal.code)).collect();
        let (full, late) = (Some(Code::Overloaded), Some(Code::DeadlineExceeded));
        assert_eq!(codes, [full, full, late, full]);
    }
}
