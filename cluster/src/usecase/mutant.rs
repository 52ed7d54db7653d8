//! Defects that take more than a line. Nothing here runs in a node but under a mutant; see `assent_registry::mutant`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use assent_proof::AuthorizeRequest;
use assent_registry::mutant::{Mutant, is_active};
use assent_registry::{Outcomes, RulesVersion};

use super::{Answered, Parts};
use crate::env::blocking;
use crate::raft::commands::foretell;
use crate::raft::types::Proposal;

/// How long an allow is repeated.
const REPEATED_FOR: Duration = Duration::from_secs(1);

type Allowed = BTreeMap<Vec<u8>, (Instant, Vec<Answered>)>;

/// What a node allowed. It ends with the node's process, as a cache in memory does.
#[derive(Default)]
pub(super) struct Repeated(Mutex<Allowed>);

impl Repeated {
    /// What this node allowed a moment ago, whatever has happened since.
    pub(super) fn allowed_before(&self, requests: &[AuthorizeRequest]) -> Option<Vec<Answered>> {
        if !is_active(Mutant::CacheAllow) {
            return None;
        }
        let allowed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answers) = allowed.get(&key(requests))?;
        (at.elapsed() < REPEATED_FOR).then(|| answers.clone())
    }

    /// Keeps what was allowed.
    pub(super) fn remember(&self, requests: &[AuthorizeRequest], answers: &[Answered]) {
        if is_active(Mutant::CacheAllow) && answers.iter().all(|answer| answer.status == 200) {
            let mut allowed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            allowed.retain(|_, (at, _)| at.elapsed() < REPEATED_FOR);
            allowed.insert(key(requests), (Instant::now(), answers.to_vec()));
        }
    }
}

fn key(requests: &[AuthorizeRequest]) -> Vec<u8> {
    requests.iter().flat_map(|request| request.to_json().to_vec()).collect()
}

impl Parts {
    /// Proposes, and does not wait: what applying would give right now is the answer.
    pub(super) async fn acknowledge_ahead(&self, command: Bytes) -> Option<Outcomes> {
        let (registry, verifier) = (self.registry.clone(), self.verifier.clone());
        let mut voters = self.voters_now();
        let (known, looked_at) = (RulesVersion(self.rules_known()), command.clone());
        let foretold = blocking(&*self.env.blocking, move || {
            foretell(&registry, &verifier, known, &mut voters, &looked_at)
        })
        .await;
        let raft = self.raft.clone();
        self.tasks.passing("proposal ahead", async move { raft.client_write(Proposal(command)).await });
        foretold.ok().flatten()
    }
}
