//! Audit events with and without detail: the only statements that the newer rules of an upgrade judge differently.

use assent_proof::{Claims, EvidenceKind, Role};
use serde_json::Value;

use super::book::Lineage;
use super::client::Client;
use super::evidence::{chain, draft};
use super::submit::Submitted;

impl Client {
    /// Reports a step of an execution, mostly without detail. If that is refused for lack of detail, the issuer adds
    /// it in the same slot. Sometimes it sends again an event that was accepted without detail: raised rules do not
    /// take that back.
    pub(super) async fn report(&mut self) {
        let at = self.any_domain();
        let bare: Vec<Vec<u8>> = self
            .book()
            .domains
            .get(at)
            .map(|domain| domain.bare.iter().cloned().collect())
            .unwrap_or_default();
        if self.dice.chance(1, 4)
            && let Some(envelope) = self.dice.pick(&bare).cloned()
        {
            let node = self.any_node();
            let _ = self.submit_once(at, &envelope, node, true).await;
            return;
        }
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let open: Vec<Lineage> =
            lineages.into_iter().rev().filter(|lineage| !lineage.closed).take(8).collect();
        let Some(lineage) = self.dice.pick(&open).cloned() else { return };
        let detailed = self.dice.chance(1, 4);
        let refused = self.report_step(at, &lineage, detailed).await;
        if !detailed && refused.as_deref() == Some("claims_invalid") && self.dice.chance(2, 3) {
            self.report_step(at, &lineage, true).await;
        }
    }

    /// Reports one step. Returns the code of its refusal, if it was refused.
    async fn report_step(&mut self, at: usize, lineage: &Lineage, detailed: bool) -> Option<String> {
        let (domain, key) = self.anybody(at, Role::Audit)?;
        let claims = Claims::AuditLineage {
            event: "step".to_owned(),
            detail: detailed.then(|| "as planned".to_owned()),
        };
        let mut draft = draft(&domain, lineage, EvidenceKind::AuditLineage, claims)?;
        draft.references = lineage.first.into_iter().collect();
        let mut signed = Vec::new();
        let sign = |next, parent| {
            let envelope = draft.sign(&[&key], Some((next, parent)));
            signed.clone_from(&envelope);
            envelope
        };
        let (submitted, id) = self.submit_to_chain(&chain(at, lineage, &key), sign).await?;
        match submitted {
            Submitted::Accepted => {
                if let Some(domain) = self.book().domains.get_mut(at) {
                    domain.evidence.push(id);
                    if !detailed && !signed.is_empty() {
                        domain.was_bare(signed);
                    }
                }
                None
            }
            Submitted::Refused(problem) => problem.get("code").and_then(Value::as_str).map(str::to_owned),
            Submitted::Equivocation | Submitted::Unknown => None,
        }
    }
}
