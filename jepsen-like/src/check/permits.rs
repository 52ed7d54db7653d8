//! S15: an authorization with n uses is good for n permits.
//!
//! The permits of a lineage are those that its ledger holds and those that clients were allowed. Each request counts
//! once, however often it was asked. A permit does not say whose use it took. It took one use of each counted
//! authorization that covered it, and none of an authorization that is not counted. So, in a lineage whose
//! authorizations are all counted:
//! - There are no more permits than all authorizations have uses together.
//! - If one issuer signed all authorizations, each in a slot of its own, then the ledger has, between one
//!   authorization and the next, no more permits than the first of the two has uses.
//!
//! In every lineage, a nonce has one permit in a ledger, and every permit that was allowed is in the ledger: an allow
//! is recorded before it is answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::book::longest_ledger;
use super::read::{StatementContent, number, request, text};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// Permits of one lineage.
#[derive(Default)]
struct Lineage {
    /// The authorizations, with their indexes.
    authorizations: Vec<(u64, StatementContent)>,
    /// The requests of the permits that the ledger holds, with their indexes.
    recorded: Vec<(u64, Value)>,
    /// The requests that were allowed, each with the record of its answer.
    allowed: Vec<(usize, Value)>,
}

/// Looks at permits, recorded and allowed.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(ledger) = longest_ledger(history) else { return verdict };
    let mut lineages: BTreeMap<(String, String), Lineage> = BTreeMap::new();
    for leaf in &ledger.leaves {
        let Some(said) = StatementContent::of(leaf.envelope) else { continue };
        let lineage = lineages.entry((said.domain.clone(), said.lineage.clone())).or_default();
        match said.kind.as_str() {
            "execution-authorization" => lineage.authorizations.push((leaf.index, said)),
            "permit" => {
                let permitted = said.claims.get("request").map(request).unwrap_or_default();
                lineage.recorded.push((leaf.index, permitted));
            }
            _ => {}
        }
    }
    for (at, asked) in history.of(Op::Permit).filter(|(_, asked)| asked.is_allow()) {
        let asked = request(&asked.input);
        let (Some(domain), Some(name)) = (text(&asked, "domain"), text(&asked, "lineage")) else { continue };
        let key = (domain.to_owned(), name.to_owned());
        lineages.entry(key).or_default().allowed.push((at, asked));
    }
    for ((domain, name), lineage) in lineages {
        let looked_at = lineage.recorded.len().saturating_add(lineage.allowed.len());
        verdict.looked_at = verdict.looked_at.saturating_add(u64::try_from(looked_at).unwrap_or(0));
        let found = [lineage.twice(), lineage.unrecorded(), lineage.together(), lineage.each()];
        for (what, shown_by) in found.into_iter().flatten() {
            let what = format!("lineage `{name}` of `{domain}`: {what}");
            let shown_by = shown_by.into_iter().chain([ledger.at]).collect();
            verdict.violations.push(Violation { what, shown_by });
        }
    }
    verdict
}

type Found = Option<(String, Vec<usize>)>;

impl Lineage {
    /// A nonce with two permits.
    fn twice(&self) -> Found {
        let mut nonces = BTreeSet::new();
        let again = self.recorded.iter().find(|(_, permitted)| !nonces.insert(text(permitted, "nonce")));
        again.map(|(index, _)| (format!("leaf {index} is a second permit for its nonce"), vec![]))
    }

    /// An allowed permit that was not recorded.
    fn unrecorded(&self) -> Found {
        let missing = self
            .allowed
            .iter()
            .find(|(_, asked)| !self.recorded.iter().any(|(_, recorded)| recorded == asked));
        missing.map(|(at, _)| ("an allowed permit is not in the ledger".to_owned(), vec![*at]))
    }

    /// More permits than all authorizations have uses together.
    fn together(&self) -> Found {
        let uses: Option<Vec<u64>> = self.authorizations.iter().map(|(_, said)| uses(said)).collect();
        let uses: u64 = uses.filter(|uses| !uses.is_empty())?.iter().sum();
        let mut permits: Vec<&Value> = Vec::new();
        let mut shown_by = Vec::new();
        for (_, recorded) in &self.recorded {
            if !permits.contains(&recorded) {
                permits.push(recorded);
            }
        }
        for (at, allowed) in &self.allowed {
            if !permits.contains(&allowed) {
                permits.push(allowed);
                shown_by.push(*at);
            }
        }
        let count = u64::try_from(permits.len()).unwrap_or(u64::MAX);
        (count > uses).then(|| (format!("{count} permits of {uses} uses"), shown_by))
    }

    /// More permits than the one authorization under which they were recorded has uses.
    fn each(&self) -> Found {
        let slots: BTreeSet<_> =
            self.authorizations.iter().map(|(_, said)| (&said.issuers, said.sequence)).collect();
        let issuers: BTreeSet<_> = self.authorizations.iter().map(|(_, said)| &said.issuers).collect();
        if issuers.len() != 1 || slots.len() != self.authorizations.len() {
            return None;
        }
        let nexts = self.authorizations.iter().skip(1).map(|(index, _)| *index).chain([u64::MAX]);
        self.authorizations.iter().zip(nexts).find_map(|((index, said), next)| {
            let uses = uses(said)?;
            let within = self.recorded.iter().filter(|(at, _)| at > index && *at < next).count();
            let count = u64::try_from(within).unwrap_or(u64::MAX);
            let what = format!("{count} permits of the {uses} uses of leaf {index}");
            (count > uses).then_some((what, vec![]))
        })
    }
}

fn uses(authorization: &StatementContent) -> Option<u64> {
    number(&authorization.claims, "uses")
}
