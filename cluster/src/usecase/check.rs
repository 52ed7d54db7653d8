//! What this node checks of envelopes before they are proposed: whether the sender may submit them, whether the
//! registry knows their issuers, whether it may grow by them (`growth/`), and whether their signatures are good.
//!
//! One signature costs as much as hundreds of look-ups. So the node refuses an envelope whose issuers the registry
//! does not know, without checking its signatures. This keeps out only keys that were never granted. Public keys are
//! public, so a client that holds no key can name known ones, and the node must check such signatures before it
//! refuses them. The places and the turns of each urgency bound that cost.
//!
//! This node may be behind, and must not refuse for good what the leader would accept. Before it refuses an envelope
//! for its issuers, it passes a read barrier and looks again. The envelope waits for the barrier aside, without the
//! places of its urgency. The node works in pieces of a few milliseconds, each in its turn. Between two pieces, more
//! urgent work goes first.

mod findings;

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use assent_proof::{
    Code, EvidenceKind, History, ParsedEnvelope, PublicKey, Refusal, Rules, RulesVersion, VerifiedEnvelope,
};
use assent_registry::{Checked, RowError, Rows, View, admits, query, refuses_unknown_issuers};

use super::barrier::BarrierError;
use super::growth::{ChargedHere, EnvelopeBounds, Growth, GrowthError, TooMuch};
use super::service::Inner;
use super::shed::Shed;
use super::urgency::{HeldPlaces, Urgency};
use super::{Parts, Service};
use crate::env::blocking;
use crate::raft::verifier::{Precheck, Verifier};
use findings::{Finding, Findings};

pub(super) use findings::{Looked, Unfit};

/// A turn ends once it may have computed this many signatures, or looked at this many envelopes, which takes some
/// milliseconds. The last envelope of a turn may add 96 signatures.
const SIGNATURES_A_TURN: usize = 64;

/// The sender of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// A client.
    Client,
    /// This node itself.
    Node,
    /// Another node, which took the envelope from a client or states it itself.
    Peer,
}

impl Sender {
    /// Refuses what a sender must not submit. Only the nodes submit permits, on a path of their own. Only the leader
    /// proposes rules, and never through a queue or another node. A recovery is for a cluster that has lost its
    /// quorum, and such a cluster can accept nothing.
    ///
    /// Rule R68 (RFC-EG-033 §8, synchronization registries): A client cannot submit a `permit`, and nobody
    /// can submit a `rules` or a `recovery`, not even another node (`caller_not_permitted`).
    fn refuses(self, kind: EvidenceKind) -> Option<Refusal> {
        let detail = match (self, kind) {
            (Sender::Client, EvidenceKind::Permit) => "permits are recorded by `POST /v1/permits` only",
            (_, EvidenceKind::Rules) => {
                "the nodes raise the rules themselves, once every voter knows the next version"
            }
            (_, EvidenceKind::Recovery) => {
                "a recovery is applied offline, by `assent recover` on the node that is left"
            }
            _ => return None,
        };
        Some(Refusal::at(Code::CallerNotPermitted, "predicateType", detail))
    }

    /// Whose issuers this node charges, of the statements of this sender.
    ///
    /// The node that takes a statement from a client charges its issuers, and the leader charges them too, so that an
    /// issuer gets no more by submitting to several nodes.
    fn charged_here(self) -> ChargedHere {
        match self {
            Sender::Client => ChargedHere::Every,
            // A permit is this node's own statement, and its places bound how many there are.
            Sender::Node => ChargedHere::None,
            Sender::Peer => ChargedHere::WhatMayWait,
        }
    }
}

/// How envelopes are to be looked at.
#[derive(Debug, Clone, Copy)]
struct How {
    sender: Sender,
    /// Whether envelopes by unknown issuers are refused without a check of their signatures.
    refuses_unknown_issuers: bool,
    until: Instant,
}

impl Service {
    /// Checks each envelope of the call that holds these places, off the async threads. Returns why each is not to be
    /// proposed, if it is not. The verifier keeps the checked signatures for `apply`. If the call holds no places of
    /// its urgency afterwards, nothing of it is to be proposed.
    pub(super) async fn check(
        &self,
        sender: Sender,
        held_places: &mut HeldPlaces<'_>,
        envelopes: &[Bytes],
        until: Instant,
    ) -> Looked {
        let given: Arc<[Bytes]> = envelopes.into();
        let how = How { sender, refuses_unknown_issuers: true, until };
        let mut findings = self.look(how, held_places, &given, Findings::of(given.len())).await;
        if findings.unknown_issuers() > 0 {
            findings = self.look_once_more(how, held_places, &given, findings).await;
        }
        self.parts().metrics.looked_at(findings.signatures, findings.unknown_issuers());
        findings.looked()
    }

    /// Passes a read barrier, and looks again at envelopes by unknown issuers. Any client can make a call wait for a
    /// barrier. So the call waits aside, and takes its places anew.
    ///
    /// Rule R70 (RFC-EG-033 §5, governance registries): A voter refuses unknown issuers only after it has
    /// passed a read barrier and looked again, and a learner leaves that to the leader.
    async fn look_once_more(
        &self,
        how: How,
        held_places: &mut HeldPlaces<'_>,
        given: &Arc<[Bytes]>,
        mut findings: Findings,
    ) -> Findings {
        if let Err(full) = held_places.step_aside() {
            findings.close(&not_known_elsewhere(Code::Overloaded, &full));
            return findings;
        }
        let again = match self.pass(how.until).await {
            // Everything that was acknowledged before the envelopes came is applied here now.
            Ok(()) => Some(how),
            // A learner passes no barrier, so it leaves the judgement to the leader.
            Err(BarrierError::NotVoter) => Some(How { refuses_unknown_issuers: false, ..how }),
            Err(error) => {
                findings.close(&not_known_elsewhere(error.code(), &error));
                None
            }
        };
        // Other calls may have taken the places by now. An envelope that may be proposed needs a place too, and is
        // not proposed without one.
        if let Err(full) = held_places.come_back() {
            findings.close_all(&Shed::Overloaded(full).refusal());
            return findings;
        }
        let Some(how) = again else { return findings };
        findings.look_again();
        self.look(how, held_places, given, findings).await
    }

    /// Looks at everything that is open, one piece in each turn.
    async fn look(
        &self,
        how: How,
        held_places: &HeldPlaces<'_>,
        given: &Arc<[Bytes]>,
        mut findings: Findings,
    ) -> Findings {
        while findings.next_open().is_some() {
            let (account, urgency) = (held_places.account(), held_places.urgency());
            let Some(turn) = self.inner.turns.turn(account, urgency, how.until).await else {
                let busy = Shed::Overloaded("too many envelopes wait to be verified".to_owned());
                findings.close(&busy.refusal());
                break;
            };
            let (inner, given, mut under_way) = (self.inner.clone(), given.clone(), findings);
            let envelopes = given.len();
            let piece = move || {
                let _turn = turn;
                inner.look_at_some(how, &given, &mut under_way);
                under_way
            };
            let env = &self.parts().env;
            let runner = match urgency {
                Urgency::Restriction | Urgency::Governance | Urgency::Single => &env.blocking,
                Urgency::Batch => &env.long,
            };
            findings = match blocking(&**runner, piece).await {
                Ok(findings) => findings,
                Err(lost) => {
                    let mut none = Findings::of(envelopes);
                    none.close(&Shed::from(lost).refusal());
                    none
                }
            };
        }
        findings
    }
}

/// Why an envelope by unknown issuers is neither refused for good nor accepted.
fn not_known_elsewhere(code: Code, why: &dyn Display) -> Refusal {
    let detail = format!("this node does not know all of its issuers, and others may know more: {why}");
    Refusal::new(code, detail)
}

impl Inner {
    /// Looks at open envelopes, in order, for one turn, and at least at one.
    fn look_at_some(&self, how: How, given: &[Bytes], findings: &mut Findings) {
        let rows = match self.parts.storage.registry.view() {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "envelopes were not looked at: the registry cannot be read");
                return findings.close(&Shed::Lost.refusal());
            }
        };
        let (view, history) = (View::new(&rows), query::history(&rows).ok().flatten());
        let known = RulesVersion(self.parts.rules_known());
        let (parts, growth) = (&self.parts, &self.growth);
        let at = Here { parts, growth, rows: &rows, view: &view, history, known };
        let mut spent: usize = 0;
        while spent < SIGNATURES_A_TURN
            && let Some(place) = findings.next_open()
        {
            let Some(envelope) = given.get(place) else { return findings.close(&Shed::Lost.refusal()) };
            // Envelopes that take long to verify must not occupy a core after their caller's deadline.
            if Instant::now() >= how.until {
                return findings.close(&late());
            }
            let signatures = at.look_at(how, place, envelope, findings);
            findings.signatures = findings.signatures.saturating_add(signatures);
            spent = spent.saturating_add(signatures.max(1));
        }
    }
}

/// The state that envelopes are compared with.
struct Here<'a> {
    parts: &'a Parts,
    growth: &'a Growth,
    rows: &'a dyn Rows,
    view: &'a View<'a>,
    history: Option<History>,
    /// The newest rules that this build knows.
    known: RulesVersion,
}

/// Why the signatures of an envelope were not checked.
enum Withheld {
    /// The sender must not submit it.
    Sender(Refusal),
    /// It names issuers that this node's registry does not know.
    UnknownIssuer(Refusal),
    /// The bounds on growth do not let it pass.
    Growth(GrowthError),
    /// The registry cannot be read.
    Unread(RowError),
}

impl Here<'_> {
    /// Looks at one envelope. Returns how many signatures that may have cost.
    fn look_at(&self, how: How, place: usize, envelope: &[u8], findings: &mut Findings) -> usize {
        let bounds = self.growth.of_envelope(self.rows, how.sender.charged_here());
        let newcomer = |key: &PublicKey| findings.newcomers.get(key).is_some_and(|at| *at < place);
        let held = |parsed: &ParsedEnvelope<'_>| {
            if let Some(refusal) = how.sender.refuses(parsed.statement().kind) {
                return Some(Withheld::Sender(refusal));
            }
            if how.refuses_unknown_issuers {
                match refuses_unknown_issuers(self.view, parsed, newcomer) {
                    Ok(Some(refusal)) => return Some(Withheld::UnknownIssuer(refusal)),
                    Ok(None) => {}
                    Err(error) => return Some(Withheld::Unread(error)),
                }
            }
            bounds.judge(parsed.statement(), parsed.id()).err().map(Withheld::Growth)
        };
        let looked = admitted(&self.parts.verifier, self.known, envelope, &held);
        let (finding, signatures) = match looked {
            Precheck::Checked { checked: Checked::Verified(envelope), signatures } => {
                (self.verified(how.sender, place, &envelope, &bounds, findings), signatures)
            }
            Precheck::Checked { checked: Checked::Refused(refusal), signatures } => {
                (Finding::Unfit(refusal.into()), signatures)
            }
            Precheck::Held(withheld) => (self.withheld(withheld), 0),
        };
        findings.found(place, finding);
        signatures
    }

    /// What is found about an envelope whose signatures do not matter.
    fn withheld(&self, withheld: Withheld) -> Finding {
        match withheld {
            Withheld::Sender(refusal) => Finding::Unfit(refusal.into()),
            Withheld::UnknownIssuer(refusal) => {
                Finding::UnknownIssuer(Unfit { refusal, history: self.history })
            }
            Withheld::Growth(GrowthError::TooMuch(TooMuch { bound, refusal })) => {
                self.parts.metrics.refused_growth(bound);
                Finding::Unfit(Unfit { refusal, history: self.history })
            }
            Withheld::Growth(GrowthError::Unread(error)) | Withheld::Unread(error) => {
                let problem = self.parts.unread(&error);
                tracing::warn!(%problem, "an envelope was not looked at: the registry cannot be read");
                Finding::Unfit(Shed::Lost.into())
            }
        }
    }

    /// What is found about an envelope whose signatures are good, by a check now or before.
    fn verified(
        &self,
        sender: Sender,
        place: usize,
        envelope: &VerifiedEnvelope,
        bounds: &EnvelopeBounds<'_>,
        findings: &mut Findings,
    ) -> Finding {
        let statement = envelope.statement();
        if let Some(refusal) = sender.refuses(statement.kind) {
            return Finding::Unfit(refusal.into());
        }
        match bounds.charge(statement, envelope.id()) {
            Ok(Some(charge)) => {
                findings.charges.insert(place, charge);
            }
            Ok(None) => {}
            Err(error) => return self.withheld(Withheld::Growth(error)),
        }
        for key in admits(envelope) {
            findings.newcomers.entry(key).or_insert(place);
        }
        Finding::Fit
    }
}

fn late() -> Refusal {
    Refusal::new(
        Code::DeadlineExceeded,
        "the signatures were not verified within the deadline; nothing was proposed",
    )
}

/// Checks an envelope that a caller submits. An envelope passes if it verifies under any rules that this build knows.
/// Applying it decides by the rules in force at its place in the log, since this node may be behind a raise, or the
/// envelope may have been accepted before one. If `held` returns a reason, no signature is computed.
fn admitted<T>(
    verifier: &Verifier,
    known: RulesVersion,
    envelope: &[u8],
    held: &dyn Fn(&ParsedEnvelope<'_>) -> Option<T>,
) -> Precheck<T> {
    let in_force = verifier.in_force();
    let (refusal, mut spent) = match verifier.check_unless(envelope, in_force, held) {
        Precheck::Checked { checked: Checked::Refused(refusal), signatures } => (refusal, signatures),
        verified_or_held @ (Precheck::Checked { .. } | Precheck::Held(_)) => return verified_or_held,
    };
    for rules in Rules::all().filter(|rules| *rules != in_force && rules.version() <= known) {
        match verifier.check_unless(envelope, rules, held) {
            Precheck::Checked { checked: Checked::Refused(_), signatures } => {
                spent = spent.saturating_add(signatures);
            }
            Precheck::Checked { checked, signatures } => {
                return Precheck::Checked { checked, signatures: spent.saturating_add(signatures) };
            }
            held @ Precheck::Held(_) => return held,
        }
    }
    Precheck::Checked { checked: Checked::Refused(refusal), signatures: spent }
}

#[cfg(test)]
mod tests {
    use assent_fixtures::{Place, claims, key};
    use assent_proof::{Envelope, Seconds};

    use super::*;
    use crate::raft::verifier::VerifierLimits;

    /// An envelope of this payload type, whose signature has its key id or not.
    fn envelope(payload_type: &str, keyid: bool) -> Vec<u8> {
        let key = key(1);
        let place = Place::new("registry.test/1", "prod.eu".parse().unwrap(), Seconds(0));
        let statement = place.draft(&claims::integrity("m")).by(&[&key]);
        let mut envelope = Envelope::unsigned(payload_type, statement.to_vec());
        envelope.sign_with(&key);
        if !keyid {
            envelope.signatures[0].keyid = None;
        }
        envelope.to_vec()
    }

    fn verifier() -> Arc<Verifier> {
        let run: assent_store::RunBlocking = Arc::new(|work| {
            work();
            Box::pin(std::future::ready(()))
        });
        Verifier::new("registry.test/1".to_owned(), run, VerifierLimits::default())
    }

    #[test]
    fn an_envelope_refused_before_its_signatures_is_still_verified_when_it_is_applied() {
        let (verifier, rules) = (verifier(), Rules::GENESIS);
        let bytes = envelope("application/vnd.in-toto+json", true);
        let look = |held: bool| verifier.check_unless(&bytes, rules, |_| held.then_some("strangers"));
        assert!(matches!(look(true), Precheck::Held("strangers")));
        assert!(matches!(verifier.check(&bytes, rules), Checked::Verified(_)), "that depends on no registry");
        // What was verified costs no signature again, and has its answer.
        let cost = |looked| match looked {
            Precheck::Checked { checked: Checked::Verified(_), signatures } => Some(signatures),
            Precheck::Checked { .. } | Precheck::Held(_) => None,
        };
        assert_eq!(cost(look(true)), Some(0));
        let other = envelope("application/vnd.in-toto+json", false);
        assert_eq!(cost(verifier.check_unless(&other, rules, |_| None)), Some(1));
    }

    #[test]
    fn a_node_that_may_be_behind_does_not_finally_refuse_what_other_rules_would_verify() {
        let verifier = verifier();
        let by = |known, bytes: &[u8]| match admitted(&verifier, known, bytes, &|_| None::<()>) {
            Precheck::Checked { checked: Checked::Verified(envelope), .. } => Ok(envelope.rules()),
            Precheck::Checked { checked: Checked::Refused(refusal), .. } => Err(refusal.code),
            Precheck::Held(()) => unreachable!("nothing is held"),
        };
        let (usual, to_come) = ("application/vnd.in-toto+json", "application/vnd.in-toto.test+json");
        let (old, new) = (RulesVersion::GENESIS, RulesVersion::TEST);
        // Before the raise: what the next rules take is let in by a build that knows them, and by no other.
        assert_eq!(by(new, &envelope(to_come, true)), Ok(Rules::TEST));
        assert_eq!(by(old, &envelope(to_come, true)), Err(Code::Malformed));
        assert_eq!(by(new, &envelope(usual, true)), Ok(Rules::GENESIS));
        assert_eq!(by(new, &envelope(to_come, false)), Err(Code::Malformed), "no rules take it");
        // After it: what the rules before took may have been accepted then.
        verifier.set_in_force(Rules::TEST);
        assert_eq!(by(new, &envelope(usual, false)), Ok(Rules::GENESIS));
        assert_eq!(by(new, &envelope(usual, true)), Ok(Rules::TEST));
    }

    /// Fails if an issuer gets a burst of each node, or if the leader charges for what must never wait.
    #[test]
    fn the_leader_charges_for_what_peers_forward_except_restrictions_governance_and_permits() {
        for kind in EvidenceKind::ALL.iter().copied() {
            let is_free = kind.is_restriction() || kind.is_governance() || kind == EvidenceKind::Permit;
            assert_eq!(Sender::Peer.charged_here().covers(kind), !is_free, "{kind}");
            assert!(Sender::Client.charged_here().covers(kind), "{kind}");
            assert!(!Sender::Node.charged_here().covers(kind), "{kind}");
        }
    }

    /// Rule R68.
    #[test]
    fn clients_may_not_submit_permits_and_neither_clients_nor_peers_rules_or_recoveries() {
        for kind in EvidenceKind::ALL.iter().copied() {
            let refused = |sender: Sender| sender.refuses(kind).is_some();
            let never = matches!(kind, EvidenceKind::Rules | EvidenceKind::Recovery);
            assert_eq!(refused(Sender::Client), kind == EvidenceKind::Permit || never, "{kind}");
            assert_eq!(refused(Sender::Node), never, "{kind}");
            assert_eq!(refused(Sender::Peer), never, "{kind}");
        }
        let refusal = Sender::Client.refuses(EvidenceKind::Rules).map(|refusal| refusal.code);
        assert_eq!(refusal, Some(Code::CallerNotPermitted));
    }
}
