//! The bounds of one node, and what they say of a statement.

use std::sync::Arc;

use tokio::time::Instant;

use assent_proof::{Code, EvidenceKind, Refusal, Statement};
use assent_registry::{RowError, Rows, query};

use super::disk_reserve::DiskReserve;
use super::domain_years::DomainYears;
use super::issuer_rates::{Charge, IssuerRates};
use crate::config::LimitConfig;
use crate::metrics::GrowthBound;

/// One mebibyte, in bytes.
const MIB: u64 = 1 << 20;

/// The bounds of one node, and what they have counted.
pub(in crate::usecase) struct Growth {
    /// The statements of each issuer.
    issuers: Arc<IssuerRates>,
    /// The space on the disk.
    pub(in crate::usecase) disk: DiskReserve,
    /// What each domain has taken in a year.
    pub(in crate::usecase) domains: DomainYears,
    /// The most execution evidence of one lineage; 0 is no bound.
    lineage_statements: u64,
}

/// Why a statement is refused that would make the registry grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usecase) struct TooMuch {
    /// The bound.
    pub(in crate::usecase) bound: GrowthBound,
    /// The refusal, which names the bound and what to do.
    pub(in crate::usecase) refusal: Refusal,
}

impl TooMuch {
    fn new(bound: GrowthBound, detail: String) -> Self {
        let code = match bound {
            // It may be taken later, or by another node.
            GrowthBound::IssuerRate | GrowthBound::DiskReserve => Code::Overloaded,
            // Every node with the same bound refuses it, however often it is submitted.
            GrowthBound::LineageStatements | GrowthBound::DomainBytes => Code::TooLarge,
        };
        Self { bound, refusal: Refusal::new(code, detail) }
    }
}

/// What the bounds say of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// It may be taken. If its signatures are good, each of its issuers is charged.
    Chargeable,
    /// It may be taken, and nobody is charged.
    Free,
    /// It is refused.
    TooMuch(TooMuch),
}

impl Growth {
    /// The bounds that the configuration sets.
    pub(in crate::usecase) fn new(limits: &LimitConfig) -> Self {
        Self {
            issuers: Arc::new(IssuerRates::new(limits.issuer_rate, limits.issuer_burst)),
            disk: DiskReserve::new(limits.disk_reserve_mib.saturating_mul(MIB)),
            domains: DomainYears::new(limits.domain_mib_per_year.saturating_mul(MIB)),
            lineage_statements: limits.lineage_statements,
        }
    }

    /// Judges a statement before its signatures are checked, by this state of the registry. `charges` is whether its
    /// issuers are charged here, `is_known` whether it is in the ledger already, which makes nothing grow.
    ///
    /// A statement whose issuer has no tokens left is refused without a check of its signatures. If somebody else has
    /// made it in the issuer's name, nothing is lost, because nobody is charged for it.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub(super) fn judge(
        &self,
        rows: &dyn Rows,
        statement: &Statement,
        charges: bool,
        is_known: impl FnOnce() -> Result<bool, RowError>,
    ) -> Result<Judged, RowError> {
        let kind = statement.kind;
        if kind.is_restriction() {
            return Ok(Judged::Free);
        }
        if !kind.is_governance()
            && let Some(detail) = self.disk.refuses()
        {
            // Even a repetition takes an entry of the log.
            return Ok(Judged::TooMuch(TooMuch::new(GrowthBound::DiskReserve, detail)));
        }
        if is_known()? {
            return Ok(Judged::Free);
        }
        if let Some(too_much) = self.grown(rows, statement)? {
            return Ok(Judged::TooMuch(too_much));
        }
        if !charges {
            return Ok(Judged::Free);
        }
        match self.issuers.look(&statement.issuers, kind.is_governance(), Instant::now()) {
            Ok(()) => Ok(Judged::Chargeable),
            Err(detail) => Ok(Judged::TooMuch(TooMuch::new(GrowthBound::IssuerRate, detail))),
        }
    }

    /// Why the statement's lineage or domain takes no more.
    fn grown(&self, rows: &dyn Rows, statement: &Statement) -> Result<Option<TooMuch>, RowError> {
        if statement.kind.is_governance() {
            return Ok(None);
        }
        if let Some(detail) = self.domains.refuses(&statement.domain) {
            let mut too_much = TooMuch::new(GrowthBound::DomainBytes, detail);
            if statement.kind == EvidenceKind::Permit {
                // Its caller asked for a permit, and is told that there is none now. With a final refusal the caller
                // would be told what the rules say without a permit.
                too_much.refusal.code = Code::Overloaded;
            }
            return Ok(Some(too_much));
        }
        if self.lineage_statements == 0 || !statement.kind.is_execution() {
            return Ok(None);
        }
        let has = query::lineage_statements(rows, &statement.domain, &statement.lineage)?;
        if has < self.lineage_statements {
            return Ok(None);
        }
        let detail = format!(
            "lineage `{}` has `{has}` statements, and this node takes at most {} (`limits.lineage_statements`): start a new lineage",
            statement.lineage, self.lineage_statements
        );
        Ok(Some(TooMuch::new(GrowthBound::LineageStatements, detail)))
    }

    /// Charges the issuers of a statement whose signatures are good. They get it back when the charge is dropped.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn charge(&self, statement: &Statement) -> Result<Charge, TooMuch> {
        let governs = statement.kind.is_governance();
        self.issuers
            .charge(&statement.issuers, governs, Instant::now())
            .map_err(|detail| TooMuch::new(GrowthBound::IssuerRate, detail))
    }
}

/// Whether the bytes of this kind of statement count against its domain's year.
pub(in crate::usecase) fn counts_in_a_year(kind: EvidenceKind) -> bool {
    !kind.is_restriction() && !kind.is_governance()
}

#[cfg(test)]
mod tests {
    use assent_fixtures::{Place, claims, key};
    use assent_proof::Seconds;
    use assent_registry::MemoryRows;

    use super::*;

    fn statement(kind: EvidenceKind) -> Statement {
        let place = Place::new("registry.test/1", "prod.eu".parse().unwrap(), Seconds(0));
        place.raw(kind, claims::integrity("m").to_json()).by(&[&key(1)])
    }

    fn judged(growth: &Growth, kind: EvidenceKind, charges: bool, known: bool) -> Judged {
        growth.judge(&MemoryRows::default(), &statement(kind), charges, || Ok(known)).unwrap()
    }

    fn bound(judged: Judged) -> Option<(GrowthBound, Code)> {
        match judged {
            Judged::TooMuch(TooMuch { bound, refusal }) => Some((bound, refusal.code)),
            Judged::Chargeable | Judged::Free => None,
        }
    }

    #[test]
    fn a_full_disk_takes_restrictions_and_governance_statements_only_and_refuses_even_what_is_known() {
        let growth = Growth::new(&LimitConfig { disk_reserve_mib: 1, ..LimitConfig::default() });
        growth.disk.found(Some(MIB - 1));
        for kind in EvidenceKind::ALL.iter().copied() {
            let takes = kind.is_restriction() || kind.is_governance();
            let wanted = (!takes).then_some((GrowthBound::DiskReserve, Code::Overloaded));
            for known in [false, true] {
                assert_eq!(bound(judged(&growth, kind, false, known)), wanted, "{kind}");
            }
        }
    }

    #[test]
    fn a_domain_that_has_taken_its_year_is_refused_for_good_and_a_permit_in_it_for_now() {
        let growth = Growth::new(&LimitConfig { domain_mib_per_year: 1, ..LimitConfig::default() });
        growth.domains.begin(0);
        let leaf = assent_registry::query::LeafSize {
            kind: EvidenceKind::RuntimeIntegrity,
            domain: "prod.eu".parse().unwrap(),
            accepted_at: assent_proof::Millis(0),
            bytes: MIB,
        };
        growth.domains.count(&[leaf], |leaf| counts_in_a_year(leaf.kind));
        growth.domains.caught_up(0);
        for kind in EvidenceKind::ALL.iter().copied() {
            let code = if kind == EvidenceKind::Permit { Code::Overloaded } else { Code::TooLarge };
            let wanted = counts_in_a_year(kind).then_some((GrowthBound::DomainBytes, code));
            assert_eq!(bound(judged(&growth, kind, true, false)), wanted, "{kind}");
            assert_eq!(bound(judged(&growth, kind, true, true)), None, "{kind}: it is there already");
        }
    }

    #[test]
    fn restrictions_are_free_and_all_else_is_charged_unless_it_is_known_or_another_node_charges() {
        let growth = Growth::new(&LimitConfig::default());
        for kind in EvidenceKind::ALL.iter().copied() {
            let charged = judged(&growth, kind, true, false) == Judged::Chargeable;
            assert_eq!(charged, !kind.is_restriction(), "{kind}");
            assert_eq!(judged(&growth, kind, true, true), Judged::Free, "{kind}");
            assert_eq!(judged(&growth, kind, false, false), Judged::Free, "{kind}");
        }
    }

    #[test]
    fn an_issuer_without_tokens_is_refused_and_can_still_restrict_and_govern() {
        let limits = LimitConfig { issuer_rate: 1, issuer_burst: 1, ..LimitConfig::default() };
        let growth = Growth::new(&limits);
        let evidence = EvidenceKind::RuntimeIntegrity;
        let charge = growth.charge(&statement(evidence)).unwrap();
        let refused = Some((GrowthBound::IssuerRate, Code::Overloaded));
        assert_eq!(bound(judged(&growth, evidence, true, false)), refused);
        assert_eq!(judged(&growth, EvidenceKind::Revocation, true, false), Judged::Free);
        assert_eq!(judged(&growth, EvidenceKind::Policy, true, false), Judged::Chargeable);
        drop(charge);
        assert_eq!(judged(&growth, evidence, true, false), Judged::Chargeable);
    }
}
