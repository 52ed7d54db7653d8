//! What this node checks of envelopes before they are proposed: whether the sender may submit them, whether the
//! registry knows their issuers, whether it may grow by them (`growth.rs`), and whether their signatures are good.
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

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use assent_proof::{
    Code, EvidenceId, EvidenceKind, History, ParsedEnvelope, PublicKey, Refusal, Rules, RulesVersion,
    Statement, VerifiedEnvelope,
};
use assent_registry::{Checked, RowError, Rows, View, admits, query, refuses_unknown_issuers};

use super::barrier::BarrierError;
use super::growth::{Charge, Growth, Judged, TooMuch};
use super::service::Inner;
use super::shed::Shed;
use super::urgency::HeldPlaces;
use super::{Parts, Service};
use crate::env::blocking;
use crate::raft::verifier::{Precheck, Verifier};

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

    /// Whether this node charges the issuers of such a statement of the sender, if it may be charged at all.
    ///
    /// The node that takes a statement from a client charges its issuers, and the leader charges them too, so that an
    /// issuer gets no more by submitting to several nodes. Restrictions and governance statements are never charged a
    /// second time.
    fn charges(self, kind: EvidenceKind) -> bool {
        // A permit is a node's own statement, and its places bound how many there are.
        let is_permit = kind == EvidenceKind::Permit;
        match self {
            Sender::Client => true,
            Sender::Node => false,
            Sender::Peer => !kind.is_restriction() && !kind.is_governance() && !is_permit,
        }
    }
}

/// Why an envelope is not proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) refusal: Refusal,
    /// The history in force where it was judged, if it was compared with the registry.
    pub(super) history: Option<History>,
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, history: None }
    }
}

impl From<Shed> for Unfit {
    fn from(shed: Shed) -> Self {
        shed.refusal().into()
    }
}

/// What was found about one envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// It was not looked at yet.
    Open,
    /// It may be proposed.
    Fit,
    /// It may not be proposed.
    Unfit(Unfit),
    /// It names issuers that this node's registry does not know. The registry of another node may know more.
    UnknownIssuer(Unfit),
}

/// The findings so far about the envelopes of one call.
#[derive(Debug)]
struct Findings {
    /// One finding for each envelope.
    all: Vec<Finding>,
    /// The keys that envelopes of this call admit, each with the place of the first envelope that does.
    newcomers: BTreeMap<PublicKey, usize>,
    /// The largest number of signatures that may have been computed.
    signatures: usize,
    /// What the issuers of envelopes were charged, by the place of the envelope.
    charges: BTreeMap<usize, Charge>,
}

/// What was found about the envelopes of one call.
pub(super) struct Looked {
    /// Why each envelope is not proposed, or none if it may be proposed.
    pub(super) unfit: Vec<Option<Unfit>>,
    /// What the issuers of envelopes were charged, by the place of the envelope. If this is dropped, they get it back.
    pub(super) charges: BTreeMap<usize, Charge>,
}

impl Findings {
    fn of(envelopes: usize) -> Self {
        Self {
            all: vec![Finding::Open; envelopes],
            newcomers: BTreeMap::new(),
            signatures: 0,
            charges: BTreeMap::new(),
        }
    }

    fn has_unknown_issuers(&self) -> bool {
        self.all.iter().any(|finding| matches!(finding, Finding::UnknownIssuer(_)))
    }

    /// Marks envelopes by unknown issuers to be looked at again.
    fn look_again(&mut self) {
        for finding in &mut self.all {
            if matches!(finding, Finding::UnknownIssuer(_)) {
                *finding = Finding::Open;
            }
        }
    }

    fn next_open(&self) -> Option<usize> {
        self.all.iter().position(|finding| matches!(finding, Finding::Open))
    }

    fn found(&mut self, place: usize, found: Finding) {
        if let Some(finding) = self.all.get_mut(place) {
            *finding = found;
        }
    }

    /// Refuses everything that is open, or by unknown issuers, for this reason. The refusal is not final.
    fn close(&mut self, refusal: &Refusal) {
        for finding in &mut self.all {
            if matches!(finding, Finding::Open | Finding::UnknownIssuer(_)) {
                *finding = Finding::Unfit(refusal.clone().into());
            }
        }
    }

    /// Makes sure that nothing is proposed, for this reason, which is not final. What is refused already stays
    /// refused for its own reason.
    fn close_all(&mut self, refusal: &Refusal) {
        for finding in &mut self.all {
            match finding {
                Finding::Open | Finding::Fit | Finding::UnknownIssuer(_) => {
                    *finding = Finding::Unfit(refusal.clone().into());
                }
                Finding::Unfit(_) => {}
            }
        }
    }

    fn looked(self) -> Looked {
        let why = |finding| match finding {
            Finding::Fit => None,
            Finding::Unfit(why) | Finding::UnknownIssuer(why) => Some(why),
            Finding::Open => Some(Shed::Lost.into()),
        };
        Looked { unfit: self.all.into_iter().map(why).collect(), charges: self.charges }
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
        if findings.has_unknown_issuers() {
            findings = self.look_once_more(how, held_places, &given, findings).await;
        }
        let unknown_issuers =
            findings.all.iter().filter(|finding| matches!(finding, Finding::UnknownIssuer(_))).count();
        self.parts().metrics.looked_at(findings.signatures, unknown_issuers);
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
            findings = match blocking(&*self.parts().env.blocking, piece).await {
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
    /// The registry may not grow by it.
    TooMuch(TooMuch),
    /// The registry cannot be read.
    Unread(RowError),
}

impl Here<'_> {
    /// Looks at one envelope. Returns how many signatures that may have cost.
    fn look_at(&self, how: How, place: usize, envelope: &[u8], findings: &mut Findings) -> usize {
        // Whether its issuers are charged, once that was judged.
        let charges = Cell::new(None);
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
            match self.charges(how.sender, parsed.statement(), parsed.id()) {
                Ok(found) => {
                    charges.set(Some(found));
                    None
                }
                Err(withheld) => Some(withheld),
            }
        };
        let looked = admitted(&self.parts.verifier, self.known, envelope, &held);
        let (finding, signatures) = match looked {
            Precheck::Checked { checked: Checked::Verified(envelope), signatures } => {
                (self.verified(how.sender, place, &envelope, charges.get(), findings), signatures)
            }
            Precheck::Checked { checked: Checked::Refused(refusal), signatures } => {
                (Finding::Unfit(refusal.into()), signatures)
            }
            Precheck::Held(withheld) => (self.withheld(withheld), 0),
        };
        findings.found(place, finding);
        signatures
    }

    /// Whether the issuers of a statement are charged for it here.
    ///
    /// # Errors
    /// Why it is not proposed.
    fn charges(&self, sender: Sender, statement: &Statement, id: EvidenceId) -> Result<bool, Withheld> {
        let charged_here = sender.charges(statement.kind);
        let is_known = || query::receipt(self.rows, &id).map(|receipt| receipt.is_some());
        match self.growth.judge(self.rows, statement, charged_here, is_known) {
            Ok(Judged::Chargeable) => Ok(true),
            Ok(Judged::Free) => Ok(false),
            Ok(Judged::TooMuch(too_much)) => Err(Withheld::TooMuch(too_much)),
            Err(error) => Err(Withheld::Unread(error)),
        }
    }

    /// What is found about an envelope whose signatures do not matter.
    fn withheld(&self, withheld: Withheld) -> Finding {
        match withheld {
            Withheld::Sender(refusal) => Finding::Unfit(refusal.into()),
            Withheld::UnknownIssuer(refusal) => {
                Finding::UnknownIssuer(Unfit { refusal, history: self.history })
            }
            Withheld::TooMuch(TooMuch { bound, refusal }) => {
                self.parts.metrics.refused_growth(bound);
                Finding::Unfit(Unfit { refusal, history: self.history })
            }
            Withheld::Unread(error) => {
                let problem = self.parts.unread(&error);
                tracing::warn!(%problem, "an envelope was not looked at: the registry cannot be read");
                Finding::Unfit(Shed::Lost.into())
            }
        }
    }

    /// What is found about an envelope whose signatures are good, by a check now or before. If they were checked
    /// before, `charges` is not known yet.
    fn verified(
        &self,
        sender: Sender,
        place: usize,
        envelope: &VerifiedEnvelope,
        charges: Option<bool>,
        findings: &mut Findings,
    ) -> Finding {
        let statement = envelope.statement();
        if let Some(refusal) = sender.refuses(statement.kind) {
            return Finding::Unfit(refusal.into());
        }
        let charges = charges.map_or_else(|| self.charges(sender, statement, envelope.id()), Ok);
        // Only now, because everybody can write a statement in the name of a key, and only its holder can sign it.
        let charged = match charges {
            Ok(true) => self.growth.charge(statement).map(Some).map_err(Withheld::TooMuch),
            Ok(false) => Ok(None),
            Err(withheld) => Err(withheld),
        };
        match charged {
            Ok(Some(charge)) => {
                findings.charges.insert(place, charge);
            }
            Ok(None) => {}
            Err(withheld) => return self.withheld(withheld),
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
    use assent_proof::{Claims, Envelope, Sha256, SigningKey, Statement};

    use super::*;
    use crate::raft::verifier::VerifierLimits;

    /// An envelope of this payload type, whose signature has its key id or not.
    fn envelope(payload_type: &str, keyid: bool) -> Vec<u8> {
        let key = SigningKey::from_seed([1; 32]);
        let claims = Claims::RuntimeIntegrity { measured: "m".to_owned() };
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(b"program"),
            kind: claims.kind(),
            registry: "registry.test/1".to_owned(),
            domain: "prod.eu".parse().unwrap(),
            lineage: "exec-1".parse().unwrap(),
            issuers: vec![key.public()],
            sequence: Some(0),
            parent: None,
            references: Vec::new(),
            issued_at: assent_proof::Seconds(0),
            expires_at: None,
            claims: claims.to_json(),
        };
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
    fn envelopes_by_unknown_issuers_are_checked_again_and_those_left_open_are_refused() {
        let mut findings = Findings::of(3);
        findings.found(0, Finding::UnknownIssuer(Shed::Lost.into()));
        findings.found(1, Finding::Fit);
        assert_eq!(findings.next_open(), Some(2));
        findings.look_again();
        assert_eq!(findings.next_open(), Some(0));
        findings.close(&late());
        let codes: Vec<Option<Code>> =
            findings.looked().unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal.code)).collect();
        assert_eq!(codes, [Some(Code::DeadlineExceeded), None, Some(Code::DeadlineExceeded)]);
    }

    #[test]
    fn a_call_that_gets_no_place_after_its_barrier_proposes_nothing_and_keeps_its_refusals() {
        let mut findings = Findings::of(4);
        findings.found(0, Finding::UnknownIssuer(Shed::Lost.into()));
        findings.found(1, Finding::Fit);
        findings.found(2, Finding::Unfit(late().into()));
        findings.close_all(&Shed::Overloaded("full".to_owned()).refusal());
        let codes: Vec<Option<Code>> =
            findings.looked().unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal.code)).collect();
        let (full, late) = (Some(Code::Overloaded), Some(Code::DeadlineExceeded));
        assert_eq!(codes, [full, full, late, full]);
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
            assert_eq!(Sender::Peer.charges(kind), !is_free, "{kind}");
            assert!(Sender::Client.charges(kind) && !Sender::Node.charges(kind), "{kind}");
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
