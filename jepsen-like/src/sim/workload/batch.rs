//! Batches of good envelopes with one envelope of an unknown issuer: a fault of one must not be held against the
//! others.
//!
//! The node that is asked refuses an unknown issuer itself, except a learner, which can pass no read barrier and
//! forwards the whole batch to the leader. So as long as there is a learner, it gets a batch more often than by
//! chance.
//!
//! Each envelope is recorded as a submission of its own, with its batch, its mode, and whether its issuer is unknown.
//! A client does one thing at a time, so each place of a caller's batch has a client number of its own.

use std::time::Duration;

use assent_proof::{Claims, Envelope, EvidenceId, EvidenceKind, PublicKey, Role};
use http::Method;
use serde_json::{Value, json};

use super::super::http::NoAnswer;
use super::super::recorder::Begun;
use super::super::setup::key;
use super::book::{Chain, ChainId, Lineage};
use super::client::Client;
use super::evidence::{chain, draft};
use super::submit::{Submitted, batch_body, learn, of_place, read, write_down};
use crate::history::Op;
use crate::ledgers::draw::is_negative;

/// How many good envelopes are drawn; those are left out whose chain another caller is using.
const GOOD: (u64, u64) = (2, 5);
/// How many executions they are drawn from, the newest of a domain.
const NEWEST: usize = 8;
/// The deadline of an answer; a node answers within two seconds.
const WITHIN: Duration = Duration::from_millis(2_500);
/// The client numbers of batches begin here, and each caller has so many of them: more than a batch has envelopes.
const CLIENTS_FROM: u64 = 1_000;
const CLIENTS_EACH: u64 = 10;

/// An envelope of a batch.
struct Element {
    envelope: Vec<u8>,
    id: EvidenceId,
    /// What a good envelope does if it is accepted; `None` for the one of an unknown issuer.
    good: Option<Good>,
}

/// The place of a good envelope.
struct Good {
    chain: ChainId,
    slots: Chain,
    issuer: PublicKey,
    negative: bool,
}

impl Client {
    /// Submits good envelopes together: in mode `each` with one of an unknown issuer among them, or sometimes in mode
    /// `all`, with one or without.
    pub(super) async fn submit_batch(&mut self) {
        let at = self.any_domain();
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let newest: Vec<Lineage> = lineages.into_iter().rev().take(NEWEST).collect();
        let count = self.dice.between(GOOD.0, GOOD.1);
        let mut elements: Vec<Element> = (0..count).filter_map(|_| self.good(at, &newest)).collect();
        let mode = if self.dice.chance(1, 3) { "all" } else { "each" };
        if (mode == "each" || self.dice.chance(1, 2))
            && let Some(stranger) = self.by_a_stranger(at, &newest)
        {
            let place = self.dice.below(u64::try_from(elements.len()).unwrap_or(0).saturating_add(1));
            elements.insert(usize::try_from(place).unwrap_or(0), stranger);
        }
        if elements.is_empty() {
            return;
        }
        let node = self.a_learner_or_any_node();
        let answers = self.post_elements(at, node, mode, &elements).await;
        for (element, answer) in elements.into_iter().zip(answers) {
            self.settle(at, element, answer);
        }
    }

    fn a_learner_or_any_node(&mut self) -> u64 {
        match self.shared.learner.get() {
            Some(learner) if self.dice.chance(1, 2) => learner,
            _ => self.any_node(),
        }
    }

    /// Evidence by a key that was never granted anything.
    fn by_a_stranger(&mut self, at: usize, among: &[Lineage]) -> Option<Element> {
        let lineage = self.dice.pick(among)?;
        let domain = self.book().domains.get(at)?.name.clone();
        let name = self.book().name("stranger");
        let claims = Claims::RuntimeIntegrity { measured: format!("sha256:{name}") };
        let draft = draft(&domain, lineage, EvidenceKind::RuntimeIntegrity, claims)?;
        let envelope = draft.sign(&[&key(&name, 1)], Some((0, None)));
        let id = Envelope::parse(&envelope).ok()?.id();
        Some(Element { envelope, id, good: None })
    }

    /// Evidence by a key that has a role, for the next slot of a chain that no other caller is using.
    fn good(&mut self, at: usize, among: &[Lineage]) -> Option<Element> {
        let lineage = self.dice.pick(among)?;
        let roles = [Role::Attestation, Role::Runtime, Role::Orchestration];
        let role = self.dice.pick(&roles).copied()?;
        let (domain, issuer) = self.anybody(at, role)?;
        let claims = self.claims(role);
        let negative = is_negative(&claims);
        let draft = draft(&domain, lineage, claims.kind(), claims)?;
        let chain = chain(at, lineage, &issuer);
        let slots = self.book().take(&chain)?;
        let envelope = draft.sign(&[&issuer], Some((slots.next, slots.parent)));
        let parsed = Envelope::parse(&envelope).ok().filter(|_| slots.pending.is_none());
        let Some(id) = parsed.map(|envelope| envelope.id()) else {
            self.book().give(&chain, slots);
            return None;
        };
        let good = Good { chain, slots, issuer: issuer.public(), negative };
        Some(Element { envelope, id, good: Some(good) })
    }

    /// Posts them as one batch. Returns one answer for each, in order; `None` if nothing was sent.
    async fn post_elements(
        &mut self,
        at: usize,
        node: u64,
        mode: &str,
        elements: &[Element],
    ) -> Vec<Option<(Submitted, Value)>> {
        let begun = self.begin_each(at, node, mode, elements);
        let envelopes: Vec<&[u8]> = elements.iter().map(|element| element.envelope.as_slice()).collect();
        let body = batch_body(mode, &envelopes);
        match self.http.ask(node, Method::POST, "/v1/envelopes:batch", body, WITHIN).await {
            Ok(answer) => {
                let each = (0..).zip(begun).map(|(place, begun)| {
                    let (submitted, output) = read(of_place(&answer, place));
                    write_down(begun, &submitted, output.clone());
                    Some((submitted, output))
                });
                each.collect()
            }
            Err(NoAnswer::NotSent) => begun.into_iter().map(Begun::forget).map(|()| None).collect(),
            Err(NoAnswer::MaybeSent) => {
                let unknown = |begun: Begun| {
                    begun.unknown(Value::Null);
                    Some((Submitted::Unknown, Value::Null))
                };
                begun.into_iter().map(unknown).collect()
            }
        }
    }

    /// Records that each is submitted, as a part of this batch.
    fn begin_each(&self, at: usize, node: u64, mode: &str, elements: &[Element]) -> Vec<Begun> {
        let key = self.book().domains.get(at).map(|domain| domain.name.to_string()).unwrap_or_default();
        let name = self.book().name("batch");
        let first = self.id.saturating_mul(CLIENTS_EACH).saturating_add(CLIENTS_FROM);
        let begin = |(place, element): (u64, &Element)| {
            let input = json!({"id": element.id.to_string(),
                "envelope": String::from_utf8_lossy(&element.envelope),
                "batch": {"name": name, "mode": mode, "place": place, "stranger": element.good.is_none()}});
            self.shared.recorder.begin(Op::Submit, first.saturating_add(place), node, &key, input)
        };
        (0..).zip(elements).map(begin).collect()
    }

    /// Records the outcome of one, and gives its chain back.
    fn settle(&self, at: usize, element: Element, answer: Option<(Submitted, Value)>) {
        let Some(Good { chain, mut slots, issuer, negative }) = element.good else { return };
        match answer {
            None | Some((Submitted::Equivocation, _)) => {}
            Some((Submitted::Accepted, receipt)) => {
                slots.took(element.id);
                let mut book = self.book();
                book.was_accepted(at, &element.envelope, &receipt);
                if let Some(domain) = book.domains.get_mut(at) {
                    domain.evidence.push(element.id);
                    if negative {
                        domain.negatives.push((issuer, element.id));
                    }
                }
            }
            Some((Submitted::Refused(problem), _)) => learn(&mut slots, &problem),
            // It must be sent again, by itself, before anything else is signed for that slot.
            Some((Submitted::Unknown, _)) => slots.pending = Some(element.envelope),
        }
        self.book().give(&chain, slots);
    }
}
