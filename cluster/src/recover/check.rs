//! Everything that a recovery is checked for before anything is written.

use bytes::Bytes;

use assent_proof::{Claims, Code, Millis, Refusal, Seconds, VerifiedEnvelope, verify};
use assent_registry::would_accept;

use super::error::RecoverError;
use super::look::look;
use super::opened::Opened;
use crate::env::Environment;
use crate::node::{NodeError, with_text};
use crate::peer::claim_max;
use crate::usecase::{CLOCK_AHEAD_MS_MAX, CLOCK_NAMED_WITHIN_MS};

/// A recovery with which nothing is wrong.
pub(super) struct Checked {
    /// Root's statement, as it was signed.
    pub(super) envelope: Bytes,
    /// The term of the vote and of both entries. Its next start elects the node in the term after.
    pub(super) term: u64,
    /// What the recovery is stamped with.
    pub(super) now: Millis,
}

impl Opened {
    /// Checks the statement against what the node holds. Writes nothing.
    pub(super) async fn check(
        &self,
        env: &Environment,
        envelope: &[u8],
        confirmed: Option<Seconds>,
    ) -> Result<Checked, RecoverError> {
        self.key_is_its_own()?;
        let term = self.next_term(env)?;
        let verified = verify(envelope, &self.survivor.origin, self.survivor.rules);
        let verified = verified.map_err(RecoverError::Statement)?;
        self.names_this_node(&verified).map_err(RecoverError::Statement)?;
        let (now, known) = (env.clock.now(), self.known);
        self.stamps(now, confirmed)?;
        let accepted = look(env, &self.store, &self.verifier, known, &self.tail, move |rows| {
            would_accept(rows, known, now, &verified)
        });
        let accepted = accepted.await.map_err(with_text(NodeError::Registry))?;
        accepted.map_err(RecoverError::Statement)?;
        Ok(Checked { envelope: Bytes::copy_from_slice(envelope), term, now })
    }

    /// Whether the recovery may be stamped with `now`. No quorum is there to agree with this machine's clock, so only its distance
    /// from registry time tells.
    ///
    /// Rule R148 (RFC-EG-033 §6, timestamp-bound proof continuity): A `recovery` is stamped offline only if
    /// the machine's clock is at most 31 days ahead of registry time or an operator has named the present
    /// time.
    fn stamps(&self, now: Millis, confirmed: Option<Seconds>) -> Result<(), RecoverError> {
        let refuse = |problem: String| Err(RecoverError::Clock(problem));
        let shows = now.to_seconds();
        if let Some(time) = confirmed {
            let away_ms = now.since(time.to_millis()).unsigned_abs();
            return match away_ms <= CLOCK_NAMED_WITHIN_MS {
                true => Ok(()),
                false => refuse(format!("it shows `{shows}`, and `{time}` is not within a minute of that")),
            };
        }
        if now.since(self.survivor.registry_time) <= CLOCK_AHEAD_MS_MAX {
            return Ok(());
        }
        refuse(format!(
            "it shows `{shows}`, more than 31 days ahead of registry time, `{}`: set it right, or name the present time with \
             `--confirm-clock` if it is right; nothing was changed",
            self.survivor.registry_time.to_seconds()
        ))
    }

    /// The term of what is written. It is written down for good, and the nodes that join later take no term and no log
    /// index over the bound that every message of a peer is held against.
    fn next_term(&self, env: &Environment) -> Result<u64, RecoverError> {
        let most = claim_max(env.clock.now());
        let (term, index) = (self.survivor.term, self.last.index);
        // Two entries are written, and the node begins with one more when it leads.
        if term < most && index.saturating_add(3) <= most {
            return Ok(term.saturating_add(1));
        }
        Err(RecoverError::NoTerm { term, index, most })
    }

    /// A former member with the key that the statement names would take itself for the voter that goes on, and not end.
    fn key_is_its_own(&self) -> Result<(), RecoverError> {
        let Some(twin) = self.twin else { return Ok(()) };
        Err(RecoverError::SharedKey { twin, key: self.survivor.key })
    }

    /// The registry looks whether the voter is granted; that it is this very node, and not done yet, is for this node to
    /// say.
    fn names_this_node(&self, verified: &VerifiedEnvelope) -> Result<(), Refusal> {
        let statement = verified.statement();
        let claims = Claims::parse(verified.rules(), statement.kind, &statement.claims)?;
        match claims {
            // The registry would take the same statement again for what it is, and nothing would be recovered.
            Claims::Recovery { epoch, .. } if epoch <= self.survivor.epoch => {
                let current = self.survivor.epoch;
                let detail =
                    format!("names epoch {epoch}, and this node is in epoch {current} already: start it");
                Err(Refusal::at(Code::ClaimsInvalid, "predicate.claims.epoch", detail))
            }
            Claims::Recovery { voters, .. } if voters == [self.survivor.key] => Ok(()),
            Claims::Recovery { .. } => Err(Refusal::at(
                Code::ClaimsInvalid,
                "predicate.claims.voters",
                format!("must be this node's key alone, `{}`", self.survivor.key),
            )),
            _ => Err(Refusal::at(Code::ClaimsInvalid, "predicateType", "must be a `recovery` statement")),
        }
    }
}
