//! Restrictions that race the questions. Each round has a fresh authority and lineage that are allowed at first; then
//! the authority is revoked or the lineage is quarantined.

use std::sync::Arc;
use std::time::Duration;

use assent_proof::{EvidenceId, SigningKey};
use tokio::time::{Instant, sleep};

use super::load::Keys;
use super::shared::Shared;
use crate::error::HarnessError;
use crate::evidence::{Evidence, id_of};

/// How long a round waits for its question to be allowed, so that the restriction changes an answer.
const ALLOWED_WITHIN: Duration = Duration::from_secs(5);
/// How long a question stays allowed before its restriction.
const ALLOWED_FOR: Duration = Duration::from_millis(150);
/// How long the round asks its question alone afterwards; later rounds ask it too.
const ASKED_FOR: Duration = Duration::from_millis(200);
/// The client that submits the rounds' evidence.
const CLIENT: u64 = 100;
/// An attestation is too old for the development policy after five minutes; question 0 gets a new one in time.
const ATTESTS_EVERY_SECONDS: i64 = 90;

/// Runs one round after the other as long as the load runs.
pub(super) async fn run(
    shared: Arc<Shared>,
    steady: Evidence,
    mut keys: Keys,
    mut attested: Option<EvidenceId>,
) -> Result<(), HarnessError> {
    let client = shared.client(0)?;
    let (mut sequence, mut attested_at) = (0, shared.now());
    let mut round: u64 = 0;
    while !shared.stopped() {
        round += 1;
        let now = shared.now();
        if now.0 - attested_at.0 >= ATTESTS_EVERY_SECONDS {
            sequence += 1;
            let evidence = steady.clone().issued_at(now);
            let bytes = evidence.attestation(&keys.attestation, (sequence, attested), "affirming", "m");
            attested = id_of(&bytes);
            if !shared.submit(CLIENT, &client, bytes).await {
                return Ok(());
            }
            attested_at = now;
        }
        let evidence = steady.clone().issued_at(now).in_lineage(&format!("round-{round}"));
        let fresh = fresh_key(shared.seed(), round);
        let grant = evidence.grant(&fresh, "attestation", &keys.governance, keys.governance_slot);
        keys.governance_slot = (keys.governance_slot.0 + 1, id_of(&grant));
        for bytes in [
            grant,
            evidence.authorization(&keys.governance, (0, None)),
            evidence.attestation(&fresh, (0, None), "affirming", "m"),
        ] {
            if !shared.submit(CLIENT, &client, bytes).await {
                // The history has its outcome.
                return Ok(());
            }
        }
        let question = shared.pose(evidence.request());
        let until = Instant::now() + ALLOWED_WITHIN;
        while !shared.was_allowed(question) && Instant::now() < until && !shared.stopped() {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(ALLOWED_FOR).await;
        let bytes = if round.is_multiple_of(2) {
            evidence.quarantine(&keys.audit)
        } else {
            evidence.revocation(&fresh, &keys.governance)
        };
        if !shared.submit(CLIENT, &client, bytes).await {
            return Ok(());
        }
        sleep(ASKED_FOR).await;
    }
    Ok(())
}

/// A key that no other round and no other seed has.
fn fresh_key(seed: u64, round: u64) -> SigningKey {
    let mut bytes = [0x63; 32];
    for (byte, from) in bytes.iter_mut().zip(seed.to_be_bytes().into_iter().chain(round.to_be_bytes())) {
        *byte = from;
    }
    SigningKey::from_seed(bytes)
}
