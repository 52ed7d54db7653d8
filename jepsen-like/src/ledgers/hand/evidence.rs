//! Evidence about executions and runtimes.

use assent_proof::{
    AttestationStatus, Claims, EvidenceId, EvidenceKind, LineageName, PolicyVerdict, Seconds,
};

use super::super::both::T0;
use super::super::draft::Draft;
use super::super::draw::{OTHER, Pool};
use super::{Hand, NOTHING};

/// What issuers state in random ledgers, where they often state something bad.
pub(super) const POOL: Pool = Pool { measurement: "m1", digest: "d1", bad_one_in: 4 };

impl Hand<'_> {
    /// An authorization. One time in `uses_one_in` it counts its uses.
    pub(super) fn authorization(&mut self, uses_one_in: u64) -> Claims {
        let actions = if self.once_in(7) { vec!["stop"] } else { vec!["run", "stop"] };
        let from = if self.once_in(12) { self.now().saturating_add(15) } else { Seconds(T0 - 60) };
        let lasts = if self.once_in(6) { 20 } else { 5000 };
        Claims::ExecutionAuthorization {
            actions: actions.into_iter().map(str::to_owned).collect(),
            audience: self.once_in(12).then(|| vec!["edge".to_owned()]),
            environment: self.once_in(12).then(|| "blue".to_owned()),
            not_before: from,
            not_after: self.now().saturating_add(lasts),
            uses: self.once_in(uses_one_in).then(|| if self.once_in(2) { 1 } else { 2 }),
            runtimes: self.once_in(8).then(|| self.bound_runtimes()),
        }
    }

    /// The runtimes that an authorization is for: mostly the one that requests name, sometimes another one or none.
    fn bound_runtimes(&mut self) -> Vec<LineageName> {
        let names: &[&str] = match self.dice.below(6) {
            0 => &[],
            1 => &["host-2"],
            2 => &["host-2", "host-1"],
            _ => &["host-1"],
        };
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// An attester's claims, from a pool so small that it makes the same claims again and again.
    pub(super) fn word(&mut self) -> Claims {
        let attestation = |status, measurement: &str| Claims::RuntimeAttestation {
            verifier: "v".to_owned(),
            status,
            measurement: measurement.to_owned(),
        };
        let measured = |measured: &str| Claims::RuntimeIntegrity { measured: measured.to_owned() };
        match self.dice.below(12) {
            0..=3 => attestation(AttestationStatus::Affirming, "m1"),
            4..=6 => attestation(AttestationStatus::Contraindicated, "m1"),
            7 => attestation(AttestationStatus::Warning, "m1"),
            8 => attestation(AttestationStatus::Affirming, OTHER),
            9 | 10 => measured("m1"),
            _ => measured(OTHER),
        }
    }

    /// A policy check.
    pub(super) fn validation(&mut self) -> Claims {
        let verdict = if self.once_in(4) { PolicyVerdict::Fail } else { PolicyVerdict::Pass };
        let policy_digest = if self.once_in(6) { "d2" } else { POOL.digest }.to_owned();
        Claims::PolicyValidation { policy_digest, verdict }
    }

    /// An audit event.
    pub(super) fn event(&mut self) -> Claims {
        let event = match self.dice.below(10) {
            0 => "completed",
            1 => "failed",
            _ => "started",
        };
        let detail = self.once_in(2).then(|| "why".to_owned());
        Claims::AuditLineage { event: event.to_owned(), detail }
    }

    /// Makes a statement rest on one or two others of its domain, mostly of its lineage.
    pub(super) fn rest(&mut self, draft: &mut Draft) {
        let anywhere = self.once_in(3);
        let near: Vec<EvidenceId> = self
            .both
            .known
            .iter()
            .filter(|known| known.kind() != EvidenceKind::Policy && known.draft.domain == draft.domain)
            .filter(|known| anywhere || known.draft.lineage == draft.lineage)
            .map(|known| known.id)
            .collect();
        for _ in 0..=self.dice.below(2) {
            let id = if self.once_in(20) { None } else { self.dice.pick(&near).copied() };
            let id = id.unwrap_or(NOTHING);
            if !draft.references.contains(&id) {
                draft.references.push(id);
            }
        }
    }
}

/// An authorization that covers every request of a small ledger.
pub(super) fn plain_authorization() -> Claims {
    Claims::ExecutionAuthorization {
        actions: vec!["run".to_owned()],
        audience: None,
        environment: None,
        not_before: Seconds(T0 - 60),
        not_after: Seconds(T0 + 80_000),
        uses: None,
        runtimes: None,
    }
}
