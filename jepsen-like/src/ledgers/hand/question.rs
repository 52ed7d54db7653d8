//! Requests for decisions and permits.

use assent_proof::{AuthorizeRequest, History, Sha256};
use assent_registry::query;

use super::super::draft::Act;
use super::super::profile::Profile;
use super::Hand;

impl Hand<'_> {
    /// A decision or a permit that is asked for.
    pub(in super::super) fn question(&mut self, profile: Profile) -> Option<Act> {
        let permits = match profile {
            Profile::Wide => self.once_in(3),
            Profile::Slots => self.once_in(2),
            Profile::Words | Profile::Governance | Profile::Holds | Profile::Peers => self.once_in(12),
        };
        let both = self.both;
        if permits
            && self.once_in(2)
            && let Some(request) = self.dice.pick(&both.permits)
        {
            return Some(Act::Permit(request.clone()));
        }
        let request = match profile {
            Profile::Wide => self.wide_request(permits)?,
            Profile::Words | Profile::Slots | Profile::Governance | Profile::Holds => {
                let with_host = self.once_in(6);
                self.small_request(permits, with_host)?
            }
            // Statements about other registries are required of the host.
            Profile::Peers => {
                let with_host = !self.once_in(4);
                self.small_request(permits, with_host)?
            }
        };
        Some(if permits { Act::Permit(request) } else { Act::Ask(request) })
    }

    /// The history in force, or sometimes another epoch or another cluster.
    fn any_history(&mut self) -> Option<History> {
        let in_force = query::history(&self.both.rows).ok()??;
        let (cluster, epoch) = (*in_force.cluster(), in_force.epoch());
        match self.dice.below(6) {
            0 => History::new(cluster, epoch.saturating_add(1)),
            // Before the first epoch there is none.
            1 => History::new(cluster, epoch.saturating_sub(1).max(1)),
            2 => History::new([0xee; 32], epoch),
            _ => Some(in_force),
        }
    }

    /// A request about the one lineage of a small ledger.
    fn small_request(&mut self, permits: bool, with_host: bool) -> Option<AuthorizeRequest> {
        let runtime = match (self.once_in(40), with_host) {
            // The execution's own lineage, which is not a runtime's.
            (true, _) => Some("exec-1".parse().ok()?),
            (false, true) => Some("host-1".parse().ok()?),
            (false, false) => None,
        };
        Some(AuthorizeRequest {
            domain: "prod".parse().ok()?,
            lineage: Some("exec-1".parse().ok()?),
            runtime,
            action: "run".to_owned(),
            subject: Sha256::of(b"exec-1"),
            audience: None,
            environment: None,
            nonce: permits.then(|| format!("n{}", self.dice.below(4))),
            expected_head: None,
            min_revision: None,
            history: if self.once_in(15) { self.any_history() } else { None },
        })
    }

    fn wide_request(&mut self, permits: bool) -> Option<AuthorizeRequest> {
        let lineage = self.any_lineage();
        let domain = if self.once_in(40) { "else" } else { self.any_domain() };
        let subject = if self.once_in(20) { "another" } else { lineage };
        let named = permits || !self.once_in(6);
        let both = self.both;
        let head = if self.once_in(12) { self.dice.pick(&both.known) } else { None };
        // A head has a meaning in one history only, so it never comes without one.
        let history = if head.is_some() || self.once_in(12) { self.any_history() } else { None };
        Some(AuthorizeRequest {
            domain: domain.parse().ok()?,
            lineage: if named { Some(lineage.parse().ok()?) } else { None },
            runtime: if self.once_in(2) { Some("host-1".parse().ok()?) } else { None },
            action: if self.once_in(9) { "jump" } else { "run" }.to_owned(),
            subject: Sha256::of(subject.as_bytes()),
            audience: self.once_in(4).then(|| "edge".to_owned()),
            environment: self.once_in(4).then(|| "blue".to_owned()),
            nonce: permits.then(|| format!("n{}", self.dice.below(6))),
            expected_head: head.filter(|_| history.is_some()).map(|known| known.id),
            min_revision: None,
            history,
        })
    }
}
