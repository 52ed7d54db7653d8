//! Everything that is checked before a recovery writes anything.

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

/// A recovery that has passed all checks.
pub(super) struct Checked {
    /// Root's statement, as it was signed.
    pub(super) envelope: Bytes,
    /// The term of the vote and of both entries. At its next start the node is elected in the following term.
    pub(super) term: u64,
    /// The time with which the recovery is stamped.
    pub(super) now: Millis,
}

impl Opened {
    /// Compares the statement with what the node holds. It writes nothing.
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

    /// Whether the recovery may be stamped with `now`. There is no quorum that could agree with this machine's clock,
    /// so only its distance from registry time counts.
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

    /// The term of what is written. It is written for good, and nodes that join later accept no term and no log index
    /// over the bound for peers' messages.
    fn next_term(&self, env: &Environment) -> Result<u64, RecoverError> {
        let most = claim_max(env.clock.now());
        let (term, index) = (self.survivor.term, self.last.index);
        // Two entries are written, and the node starts with one more when it leads.
        if term < most && index.saturating_add(3) <= most {
            return Ok(term.saturating_add(1));
        }
        Err(RecoverError::NoTerm { term, index, most })
    }

    /// Refuses a key that another member has too. A former member with the key that the statement names would take
    /// itself for the voter that goes on, and would not end.
    fn key_is_its_own(&self) -> Result<(), RecoverError> {
        let Some(twin) = self.twin else { return Ok(()) };
        Err(RecoverError::SharedKey { twin, key: self.survivor.key })
    }

    /// The registry checks that the voter is granted. This node checks that the voter is this very node, and that the
    /// recovery is not done yet.
    fn names_this_node(&self, verified: &VerifiedEnvelope) -> Result<(), Refusal> {
        let statement = verified.statement();
        let claims = Claims::parse(verified.rules(), statement.kind, &statement.claims)?;
        match claims {
            // The registry would accept the same statement again, and nothing would be recovered.
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
