//! Batches of good envelopes with one among them by a stranger: what is wrong with one must not be held against the others.
//!
//! Whoever is asked refuses a stranger itself, except a learner, which can pass no read barrier and forwards the whole batch to the leader. So
//! a batch goes to a learner more often than chance would have it, as long as there is one.
//!
//! Each envelope is written down as a submission of its own, with the batch that it is of, its mode, and whether it is the stranger's. A client
//! does one thing at a time, so each place of a caller's batch has a client's number of its own.

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

/// How many envelopes are drawn beside the stranger's; those whose chain somebody else is at are left out.
const GOOD: (u64, u64) = (2, 5);
/// From how many executions, the newest of a domain.
const NEWEST: usize = 8;
/// How long an answer may take; a node answers within two seconds.
const WITHIN: Duration = Duration::from_millis(2_500);
/// The numbers of the clients that batches are written down by begin here, and each caller has so many: more than a batch has envelopes.
const CLIENTS_FROM: u64 = 1_000;
const CLIENTS_EACH: u64 = 10;

/// An envelope of a batch.
struct Element {
    envelope: Vec<u8>,
    id: EvidenceId,
    /// What it does if it is accepted; nothing, if it is the stranger's.
    good: Option<Good>,
}

/// A good envelope's place.
struct Good {
    chain: ChainId,
    slots: Chain,
    issuer: PublicKey,
    negative: bool,
}

impl Client {
    /// Submits good envelopes together: in mode `each` with a stranger's among them, or now and then in mode `all`, with one or without.
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

    /// Evidence by a key that nobody granted anything.
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

    /// Evidence by somebody who has a role, for the next slot of a chain that nobody else is at.
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

    /// Posts them as one batch. One answer each, in order; none if nothing was sent.
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

    /// Writes down that each is submitted, as one of this batch.
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

    /// Learns what became of one, and gives its chain back.
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
            // To be sent again, by itself, before anything else is signed for that slot.
            Some((Submitted::Unknown, _)) => slots.pending = Some(element.envelope),
        }
        self.book().give(&chain, slots);
    }
}
