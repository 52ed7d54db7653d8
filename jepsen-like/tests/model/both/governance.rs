//! What governance says, and who may restrict.

use assent_proof::{EvidenceId, Millis, Seconds};
use assent_registry::query;
use serde_json::{Value, json};

use super::{Both, DOMAINS, LINEAGES, base, key, name};

impl Both {
    /// A policy's claims.
    pub(super) fn policy(&mut self) -> Value {
        let kinds = [
            "runtime-attestation",
            "runtime-integrity",
            "policy-validation",
            "audit-lineage",
            "execution-authorization",
        ];
        let require: Vec<Value> = (0..self.dice.below(3))
            .map(|_| {
                let mut one = json!({"kind": self.dice.pick(&kinds),
                    "of": if self.dice.once_in(4) { "runtime" } else { "execution" }, "minIssuers": 1 + self.dice.below(2)});
                if self.dice.once_in(2) {
                    one["maxAgeSeconds"] = json!(20 + self.dice.below(60));
                }
                one
            })
            .collect();
        let mut policy = json!({"require": require, "decisionTtlSeconds": 10});
        if self.dice.once_in(2) {
            policy["attestationStatus"] = if self.dice.once_in(8) { json!([]) } else { json!(["affirming"]) };
        }
        if self.dice.once_in(3) {
            policy["measurements"] = json!(["m1", "m2"]);
        }
        if self.dice.once_in(3) {
            policy["policyDigests"] = json!(["d1"]);
        }
        if self.dice.once_in(8) {
            policy["permitAlways"] = json!(true);
        }
        policy
    }

    /// Some of a domain's governance keys, mostly enough.
    fn governors(&mut self, d: usize) -> Vec<usize> {
        let standing: Vec<usize> = match d {
            2 if self.dice.once_in(2) => vec![1, 2, 3],
            2 => vec![3, 2, 1],
            _ => (base(d)..base(d) + 5).collect(),
        };
        let domain = [DOMAINS[0], DOMAINS[1], "_root"][d];
        let governing: Vec<usize> = standing
            .iter()
            .copied()
            .filter(|seed| self.governs_now(domain, *seed) || self.dice.once_in(40))
            .collect();
        let mut few: Vec<usize> = Vec::new();
        for seed in governing {
            if few.len() < 2 || self.dice.once_in(3) {
                few.push(seed);
            }
        }
        if self.dice.once_in(20) {
            few.pop();
        }
        if self.dice.once_in(30) {
            few.push(base(d % 2) + self.dice.below(24));
        }
        if few.is_empty() {
            few.push(standing[0]);
        }
        few
    }

    fn governs_now(&self, domain: &str, seed: usize) -> bool {
        let key = key(seed).public();
        let view = query::authority(&self.rows, &key, Millis(self.now_ms));
        view.is_ok_and(|authority| authority.is_some_and(|authority| authority.revoked_by.is_none()))
            || domain == "_root"
    }

    /// A grant, a policy, a release, a reconciliation or another governance.
    pub(super) fn governance(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let domain = DOMAINS[d];
        let text = |at: i64| Seconds(at).to_string();
        let now = self.now_ms / 1000;
        let mut signers = self.governors(d);
        match self.dice.below(12) {
            0 | 1 => {
                let seed = base(d) + self.dice.below(26);
                let role = self.dice.pick(&["attestation", "audit", "runtime", "orchestration"]);
                let to = now + if self.dice.once_in(3) { 25 } else { 4000 };
                let claims = json!({"authority": name(seed), "name": "n", "role": role,
                    "notBefore": text(now - 30), "notAfter": text(to)});
                if !self.dice.once_in(15) {
                    signers.push(seed);
                }
                self.governs("authority-grant", domain, &name(seed), claims, &signers)
            }
            2 | 3 => {
                let policy = self.policy();
                self.governs("policy", domain, domain, policy, &signers)
            }
            4..=6 => {
                let all: Vec<EvidenceId> =
                    self.known.iter().filter(|known| known.2 == domain).map(|known| known.0).collect();
                let contained: Vec<EvidenceId> = self
                    .known
                    .iter()
                    .filter(|known| known.2 == domain && known.1 == "containment")
                    .map(|known| known.0)
                    .collect();
                let newest: Vec<EvidenceId> = contained.iter().rev().take(2).copied().collect();
                let list = match self.dice.below(6) {
                    0 => all,
                    1 => contained,
                    _ => newest,
                };
                let id = if list.is_empty() { EvidenceId([6; 32]) } else { *self.dice.pick(&list) };
                self.governs(
                    "release",
                    domain,
                    &id.to_string(),
                    json!({"containment": id.to_string()}),
                    &signers,
                )
            }
            7..=10 if !self.pairs.is_empty() => {
                let mut pair = *self.dice.pick(&self.pairs.clone());
                if self.dice.once_in(3) {
                    pair.reverse();
                }
                if self.dice.once_in(12) && !self.known.is_empty() {
                    pair[1] = self.known[self.dice.below(self.known.len())].0;
                }
                if pair[0] == pair[1] {
                    pair[1] = EvidenceId([5; 32]);
                }
                let canonical = pair[self.dice.below(2)].to_string();
                let claims =
                    json!({"conflict": [pair[0].to_string(), pair[1].to_string()], "canonical": canonical});
                self.governs("reconciliation", domain, &canonical, claims, &signers)
            }
            _ if self.dice.once_in(3) => {
                let mut seeds: Vec<usize> =
                    (base(d)..base(d) + 5).filter(|seed| self.governs_now(domain, *seed)).collect();
                if self.dice.once_in(2) && seeds.len() > 2 {
                    seeds.remove(self.dice.below(seeds.len()));
                }
                let fresh = base(d) + self.dice.below(5);
                if !seeds.contains(&fresh) {
                    seeds.push(fresh);
                }
                let governance: Vec<String> = seeds.iter().map(|seed| name(*seed)).collect();
                let claims = json!({"domain": domain, "governance": governance, "threshold": 1 + d});
                let mut signers = self.governors(2);
                if !self.dice.once_in(8) {
                    signers.push(fresh);
                }
                self.governs("domain", "_root", domain, claims, &signers)
            }
            _ => {
                let policy = self.policy();
                self.governs("policy", domain, domain, policy, &signers)
            }
        }
    }

    /// A revocation or a containment.
    pub(super) fn restriction(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let domain = DOMAINS[d];
        let now = self.now_ms / 1000;
        let text = |at: i64| Seconds(at).to_string();
        if self.dice.once_in(40) {
            let mut claims = json!({"authority": name(3), "reason": "cessation"});
            if self.dice.once_in(2) {
                claims["invalidSince"] = json!(text(now - 20));
            }
            let signers = self.governors(2);
            let statement = self.draft("revocation", "_root", "_governance", &name(3), &claims);
            return Self::sign(statement, &signers);
        }
        if self.dice.once_in(2) {
            let target = if self.dice.once_in(4) {
                base(d) + self.dice.below(5)
            } else {
                base(d) + 5 + self.dice.below(20)
            };
            let mut claims = json!({"authority": name(target), "reason": "keyCompromise"});
            if self.dice.once_in(2) {
                let ago = i64::try_from(self.dice.below(60)).unwrap() - 2;
                claims["invalidSince"] = json!(text(now - ago));
            }
            let signers = if self.dice.once_in(4) { vec![target] } else { self.governors(d) };
            let statement = self.draft("revocation", domain, "_governance", &name(target), &claims);
            return Self::sign(statement, &signers);
        }
        let mine: Vec<EvidenceId> =
            self.known.iter().filter(|known| known.2 == domain).map(|known| known.0).collect();
        let (action, target) = match self.dice.below(8) {
            0 if self.dice.once_in(2) => {
                ("isolate", if self.dice.once_in(6) { DOMAINS[1 - d].to_owned() } else { domain.to_owned() })
            }
            1 => (
                "quarantine",
                if self.dice.once_in(9) { "nowhere" } else { *self.dice.pick(&LINEAGES) }.to_owned(),
            ),
            _ if mine.is_empty() || self.dice.once_in(15) => ("invalidate", EvidenceId([4; 32]).to_string()),
            _ => ("invalidate", self.dice.pick(&mine).to_string()),
        };
        let signer = match self.dice.below(3) {
            0 => base(d) + 13,
            1 => base(d) + self.dice.below(20),
            _ => base(d),
        };
        let statement = self.draft(
            "containment",
            domain,
            "_governance",
            &target,
            &json!({"action": action, "target": target}),
        );
        Self::sign(statement, &[signer])
    }
}
