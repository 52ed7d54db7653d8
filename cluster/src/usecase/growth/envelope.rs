//! The bounds on growth as they meet one envelope: before its signatures are checked, and after.
//!
//! The bounds judge its statement before, so that a refusal costs no signature. The issuers are charged only after,
//! because everybody can write a statement in the name of a key, and only its holder can sign it.

use std::cell::Cell;

use assent_proof::{EvidenceId, EvidenceKind, Statement};
use assent_registry::{RowError, Rows, query};

use super::bounds::{Growth, Judged, TooMuch};
use super::issuer_rates::Charge;

/// The bounds, by one state of the registry, for one envelope.
pub(in crate::usecase) struct EnvelopeBounds<'a> {
    growth: &'a Growth,
    rows: &'a dyn Rows,
    charged_here: ChargedHere,
    /// Whether the issuers are to be charged, once that was judged.
    chargeable: Cell<Option<bool>>,
}

/// Whose issuers a node charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::usecase) enum ChargedHere {
    /// Those of every statement.
    Every,
    /// Those of statements that may wait: neither restrictions nor governance statements, and no permits.
    WhatMayWait,
    /// No one's.
    None,
}

impl ChargedHere {
    /// Whether the issuers of a statement of this kind are charged.
    pub(in crate::usecase) fn covers(self, kind: EvidenceKind) -> bool {
        match self {
            ChargedHere::Every => true,
            ChargedHere::WhatMayWait => {
                !kind.is_restriction() && !kind.is_governance() && kind != EvidenceKind::Permit
            }
            ChargedHere::None => false,
        }
    }
}

/// Why the bounds do not let an envelope pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usecase) enum GrowthError {
    /// The registry may not grow by it.
    TooMuch(TooMuch),
    /// The registry cannot be read.
    Unread(RowError),
}

impl Growth {
    /// The bounds for one envelope, by this state of the registry. `charged_here` is whose issuers this
    /// node charges.
    pub(in crate::usecase) fn of_envelope<'a>(
        &'a self,
        rows: &'a dyn Rows,
        charged_here: ChargedHere,
    ) -> EnvelopeBounds<'a> {
        EnvelopeBounds { growth: self, rows, charged_here, chargeable: Cell::new(None) }
    }
}

impl EnvelopeBounds<'_> {
    /// Judges the envelope of this statement and this id, before its signatures are checked.
    ///
    /// # Errors
    /// Why it is not proposed.
    pub(in crate::usecase) fn judge(&self, statement: &Statement, id: EvidenceId) -> Result<(), GrowthError> {
        self.judged(statement, id).map(|chargeable| self.chargeable.set(Some(chargeable)))
    }

    /// Charges the issuers of the envelope of this statement and this id, whose signatures are good, if they are to be
    /// charged here. If its signatures were checked earlier, for another call, it is judged only now.
    ///
    /// # Errors
    /// Why it is not proposed.
    pub(in crate::usecase) fn charge(
        &self,
        statement: &Statement,
        id: EvidenceId,
    ) -> Result<Option<Charge>, GrowthError> {
        let chargeable = match self.chargeable.get() {
            Some(chargeable) => chargeable,
            None => self.judged(statement, id)?,
        };
        if !chargeable {
            return Ok(None);
        }
        self.growth.charge(statement).map(Some).map_err(GrowthError::TooMuch)
    }

    /// Whether the issuers are to be charged.
    fn judged(&self, statement: &Statement, id: EvidenceId) -> Result<bool, GrowthError> {
        let is_known = || query::receipt(self.rows, &id).map(|receipt| receipt.is_some());
        match self.growth.judge(self.rows, statement, self.charged_here.covers(statement.kind), is_known) {
            Ok(Judged::Chargeable) => Ok(true),
            Ok(Judged::Free) => Ok(false),
            Ok(Judged::TooMuch(too_much)) => Err(GrowthError::TooMuch(too_much)),
            Err(error) => Err(GrowthError::Unread(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use assent_fixtures::{Place, claims, key};
    use assent_proof::Seconds;
    use assent_registry::MemoryRows;

    use super::*;
    use crate::config::LimitConfig;
    use crate::metrics::GrowthBound;

    const ID: EvidenceId = EvidenceId([7; 32]);

    fn statement() -> Statement {
        let place = Place::new("registry.test/1", "prod.eu".parse().unwrap(), Seconds(0));
        place.draft(&claims::integrity("m")).by(&[&key(1)])
    }

    fn growth() -> Growth {
        Growth::new(&LimitConfig { issuer_rate: 1, issuer_burst: 1, ..LimitConfig::default() })
    }

    fn is_of_rate<T>(result: Result<T, GrowthError>) -> bool {
        matches!(result, Err(GrowthError::TooMuch(TooMuch { bound: GrowthBound::IssuerRate, .. })))
    }

    /// It fails if the look before the signatures takes a token, which a stranger could then spend.
    #[test]
    fn an_envelope_is_judged_before_its_signatures_and_its_issuer_charged_after() {
        let (growth, rows) = (growth(), MemoryRows::default());
        let before: Vec<EnvelopeBounds<'_>> =
            (0..3).map(|_| growth.of_envelope(&rows, ChargedHere::Every)).collect();
        for bounds in &before {
            assert_eq!(bounds.judge(&statement(), ID), Ok(()));
        }
        let charge = before[0].charge(&statement(), ID).unwrap();
        assert!(charge.is_some());
        // What was judged while there was a token does not pass without one.
        assert!(is_of_rate(before[1].charge(&statement(), ID)));
        drop(charge);
        assert!(before[2].charge(&statement(), ID).unwrap().is_some());
    }

    #[test]
    fn an_envelope_whose_signatures_were_checked_earlier_is_judged_when_its_issuer_is_charged() {
        let (growth, rows) = (growth(), MemoryRows::default());
        growth.disk.found(Some(0));
        let refused = growth.of_envelope(&rows, ChargedHere::Every).charge(&statement(), ID);
        let of_disk = |error: &GrowthError| {
            matches!(error, GrowthError::TooMuch(TooMuch { bound: GrowthBound::DiskReserve, .. }))
        };
        assert!(refused.is_err_and(|error| of_disk(&error)));
        growth.disk.found(Some(u64::MAX));
        assert!(growth.of_envelope(&rows, ChargedHere::Every).charge(&statement(), ID).unwrap().is_some());
    }

    #[test]
    fn where_another_node_charges_nobody_is_charged() {
        let (growth, rows) = (growth(), MemoryRows::default());
        for _ in 0..3 {
            let bounds = growth.of_envelope(&rows, ChargedHere::None);
            assert_eq!(bounds.judge(&statement(), ID), Ok(()));
            assert!(bounds.charge(&statement(), ID).unwrap().is_none());
        }
        let charge = growth.of_envelope(&rows, ChargedHere::Every).charge(&statement(), ID).unwrap();
        assert!(charge.is_some(), "the token is still there");
    }
}
