//! Evidence about executions and runtimes.

use assent_proof::{EvidenceId, Seconds};
use serde_json::{Value, json};

use super::{Both, DOMAINS, T0, base, name};

impl Both {
    /// One piece of it, mostly such that it is accepted.
    pub(super) fn evidence(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let (domain, lineage) = (DOMAINS[d], self.dice.lineage());
        let text = |at: i64| Seconds(at).to_string();
        let now = self.now_ms / 1000;
        let (kind, claims, roles): (&str, Value, &[usize]) = match self.dice.below(9) {
            0..=2 => {
                let mut claims = json!({"actions": if self.dice.once_in(5) { json!(["stop"]) } else { json!(["run", "stop"]) },
                    "notBefore": text(if self.dice.once_in(9) { now + 15 } else { T0 - 60 }),
                    "notAfter": text(now + if self.dice.once_in(5) { 20 } else { 5000 })});
                if self.dice.once_in(4) {
                    claims["uses"] = json!(1 + self.dice.below(2));
                }
                if self.dice.once_in(8) {
                    claims["audience"] = json!(["edge"]);
                }
                if self.dice.once_in(8) {
                    claims["environment"] = json!("blue");
                }
                ("execution-authorization", claims, &[0, 1, 2])
            }
            3 | 4 => {
                let status = if self.dice.once_in(4) { "warning" } else { "affirming" };
                let measurement = if self.dice.once_in(4) { "m9" } else { "m1" };
                (
                    "runtime-attestation",
                    json!({"verifier": "v", "status": status, "measurement": measurement}),
                    &[5, 6],
                )
            }
            5 => {
                let verdict = if self.dice.once_in(4) { "fail" } else { "pass" };
                let digest = if self.dice.once_in(4) { "d2" } else { "d1" };
                ("policy-validation", json!({"policyDigest": digest, "verdict": verdict}), &[9, 10, 0, 1])
            }
            6 | 7 => {
                let measured = if self.dice.once_in(4) { "m9" } else { "m2" };
                ("runtime-integrity", json!({"measured": measured}), &[7, 8, 5])
            }
            _ => {
                let event = if self.dice.once_in(5) { "completed" } else { "started" };
                let mut claims = json!({"event": event});
                if self.dice.once_in(2) {
                    claims["detail"] = json!("why");
                }
                ("audit-lineage", claims, &[13, 11, 9])
            }
        };
        let seed = match self.dice.below(40) {
            0 => base(d) + self.dice.below(24),
            1 => base(1 - d) + self.dice.below(20),
            _ => base(d) + *self.dice.pick(roles),
        };
        let subject = if self.dice.once_in(30) { "another" } else { lineage };
        let mut statement = self.draft(kind, domain, lineage, subject, &claims);
        if kind == "audit-lineage" || self.dice.once_in(4) {
            for _ in 0..=self.dice.below(2) {
                let known: Vec<_> =
                    self.known.iter().filter(|(_, kind, ..)| kind != "policy").cloned().collect();
                let near =
                    known.iter().filter(|(_, _, d, l)| d == domain && (l == lineage || self.now_ms % 3 == 0));
                let near: Vec<EvidenceId> = near.map(|known| known.0).collect();
                let id = if self.dice.once_in(20) || near.is_empty() {
                    EvidenceId([7; 32])
                } else {
                    *self.dice.pick(&near)
                };
                if !statement.references.contains(&id) {
                    statement.references.push(id);
                }
            }
        }
        if self.dice.once_in(8) {
            statement.expires_at = Some(Seconds(now - 3 + i64::try_from(self.dice.below(40)).unwrap()));
        }
        let chain = self
            .chains
            .get(&(domain.to_owned(), lineage.to_owned(), name(seed)))
            .cloned()
            .unwrap_or_default();
        let mut next = chain.len();
        if self.dice.once_in(9) {
            next = self.dice.below(chain.len() + 2);
        }
        statement.sequence = Some(u64::try_from(next).unwrap());
        statement.parent =
            next.checked_sub(1).map(|before| chain.get(before).copied().unwrap_or(EvidenceId([9; 32])));
        let second_half = self.pairs.iter().find(|[first, _]| Some(*first) == statement.parent);
        if let Some([_, second]) = second_half.filter(|_| self.now_ms % 2 == 0) {
            statement.parent = Some(*second);
        }
        if self.dice.once_in(40) {
            statement.parent = Some(EvidenceId([8; 32]));
        }
        Self::sign(statement, &[seed])
    }
}
