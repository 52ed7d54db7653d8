//! Asks a registry in memory for decisions.

use assent_fixtures::usual::{ms, request};
use assent_proof::{AuthorizeRequest, Code};
use assent_registry::{Decision, View, authorize};

use super::world::World;

impl World {
    /// Decides at `T0` plus seconds.
    pub fn decide_at(&self, seconds: i64, request: &AuthorizeRequest) -> Decision {
        authorize(&View::new(&self.rows), request, ms(seconds))
    }

    /// Decides the usual request at `T0`.
    pub fn decide(&self) -> Decision {
        self.decide_at(0, &request())
    }
}

/// The codes of a decision's reasons.
pub fn codes(decision: &Decision) -> Vec<Code> {
    decision.reasons.iter().map(|reason| reason.code).collect()
}
