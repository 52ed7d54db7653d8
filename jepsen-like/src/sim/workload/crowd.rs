//! A crowd: callers that post batches of questions or of envelopes all at once, while the other callers continue.
//!
//! One element of each batch is recorded and judged like any other. The other questions have no effect, nor have the
//! other envelopes. Some envelopes are signed by a key that was never granted anything, or are not envelopes, and the
//! check of their issuers refuses them. Some are signed correctly and dated far ahead, and some were accepted before:
//! their signatures are verified, they are proposed, and the rules refuse them or answer with the existing receipt. If
//! one were newly accepted, the ledgers would hold a statement that was not submitted, or hold one twice (S4).

use std::ops::RangeInclusive;
use std::time::Duration;

use assent_proof::{Claims, DomainName, Envelope, EvidenceKind, Role};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::dice::Dice;
use super::super::http::{Answer, Http, NoAnswer};
use super::super::recorder::Begun;
use super::super::setup::key;
use super::asking::said;
use super::book::Lineage;
use super::client::{Client, Shared};
use super::evidence::draft;
use super::submit::{batch_body, of_place, read, write_down};
use crate::history::{Op, Outcome};

/// The numbers of the crowd's clients, one for each batch.
pub(in crate::sim) const CROWD: RangeInclusive<u64> = 201..=216;
/// How often, in milliseconds, it is drawn whether the crowd comes; it comes once in so many draws.
const EVERY_MS: u64 = 250;
const COMES_ONE_IN: u64 = 50;
/// The number of elements of a batch: mostly some, sometimes many.
const SOME: (u64, u64) = (16, 64);
const MANY: (u64, u64) = (65, 200);
/// How far ahead a statement is dated that is not due: further than any clock is ever wrong here, so that it is never
/// accepted.
const FAR_AHEAD_MS: i64 = 100 * 365 * 24 * 3_600_000;
/// The deadline of an answer: more than a node's own deadline for these questions.
const QUESTIONS_WITHIN: Duration = Duration::from_millis(1_500);
const ENVELOPES_WITHIN: Duration = Duration::from_millis(2_500);

/// Whether a seed has a crowd. The dice are the seed's own.
pub fn comes(dice: &Dice) -> bool {
    dice.fork("crowd").chance(1, 3)
}

/// One batch of a crowd.
struct Batch {
    path: &'static str,
    body: Vec<u8>,
    within: Duration,
    op: Op,
    /// The domain's name.
    key: String,
    /// The recorded element, and its place.
    input: Value,
    place: u64,
}

impl Client {
    /// Waits, and sometimes posts a batch for each client of the crowd, all at once.
    pub async fn crowd(mut self) -> turmoil::Result {
        while self.shared.go_on.get() {
            sleep(Duration::from_millis(EVERY_MS)).await;
            if self.dice.chance(1, COMES_ONE_IN) && !self.shared.only_ask.get() {
                self.post_batches().await;
            }
        }
        self.shared.leave();
        Ok(())
    }

    async fn post_batches(&mut self) {
        let submits = self.dice.chance(1, 2);
        let (least, most) = if self.dice.chance(1, 4) { MANY } else { SOME };
        let size = self.dice.between(least, most);
        let one = self.dice.chance(1, 2).then(|| self.any_node());
        let mut posts = Vec::new();
        for id in CROWD {
            let node = one.unwrap_or_else(|| self.any_node());
            let batch = if submits { self.envelopes(size) } else { self.questions(size) };
            if let Some(batch) = batch {
                posts.push(post(self.shared.clone(), id, node, batch));
            }
        }
        join_all(posts).await;
    }

    /// A batch of questions about one domain.
    fn questions(&mut self, size: u64) -> Option<Batch> {
        let domain = self.any_domain();
        let requests: Vec<Value> = (0..size).map(|_| self.request(domain)).collect::<Option<_>>()?;
        let place = self.dice.below(size);
        let input = requests.get(usize::try_from(place).ok()?)?.clone();
        let key = self.book().domains.get(domain)?.name.to_string();
        let body = json!({"requests": requests}).to_string().into_bytes();
        Some(Batch {
            path: "/v1/authorize:batch",
            body,
            within: QUESTIONS_WITHIN,
            op: Op::Authorize,
            key,
            input,
            place,
        })
    }

    /// A batch of envelopes. Mostly no signature must be verified for it. Correctly signed envelopes go through the
    /// log, so there are fewer of them.
    fn envelopes(&mut self, size: u64) -> Option<Batch> {
        let few = size.min(SOME.1);
        match self.dice.below(8) {
            0 => self.not_due(few),
            1 => self.again(few),
            2 => self.strangers(size, false),
            _ => self.strangers(size, true),
        }
    }

    /// A batch of envelopes of an unknown issuer, some of them mixed with bytes that are not envelopes.
    fn strangers(&mut self, size: u64, garbage_too: bool) -> Option<Batch> {
        let (domain, lineage) = self.any_lineage()?;
        let name = self.book().name("garbage");
        let stranger = key(&name, 1);
        let place = self.dice.below(size);
        let mut envelopes = Vec::new();
        for number in 0..size {
            if garbage_too && number != place && self.dice.chance(1, 4) {
                envelopes.push(json!({"garbage": number}).to_string().into_bytes());
                continue;
            }
            let claims = Claims::RuntimeIntegrity { measured: format!("sha256:{name}-{number}") };
            let draft = draft(&domain, &lineage, EvidenceKind::RuntimeIntegrity, claims)?;
            envelopes.push(draft.sign(&[&stranger], Some((0, None))));
        }
        of_envelopes(&domain, &envelopes, place)
    }

    /// A batch of envelopes by a key that has a role, dated so far ahead that no rules accept them.
    fn not_due(&mut self, size: u64) -> Option<Batch> {
        let at = self.any_domain();
        let (domain, issuer) = self.anybody(at, Role::Runtime)?;
        let lineage = self.lineage_of(at)?;
        let name = self.book().name("early");
        let place = self.dice.below(size);
        let mut envelopes = Vec::new();
        for number in 0..size {
            let claims = Claims::RuntimeIntegrity { measured: format!("sha256:{name}-{number}") };
            let mut draft = draft(&domain, &lineage, EvidenceKind::RuntimeIntegrity, claims)?;
            draft.dated_ms = FAR_AHEAD_MS;
            envelopes.push(draft.sign(&[&issuer], Some((0, None))));
        }
        of_envelopes(&domain, &envelopes, place)
    }

    /// A batch of envelopes that were accepted before, byte for byte, some of them more than once.
    fn again(&mut self, size: u64) -> Option<Batch> {
        let at = self.any_domain();
        let (domain, again) = {
            let book = self.shared.book.borrow();
            let domain = book.domains.get(at)?;
            (domain.name.clone(), domain.again.iter().cloned().collect::<Vec<_>>())
        };
        let envelopes: Vec<Vec<u8>> =
            (0..size).map(|_| self.dice.pick(&again).cloned()).collect::<Option<_>>()?;
        let place = self.dice.below(size);
        of_envelopes(&domain, &envelopes, place)
    }

    /// An execution of any domain, and the domain's name.
    fn any_lineage(&mut self) -> Option<(DomainName, Lineage)> {
        let at = self.any_domain();
        let lineage = self.lineage_of(at)?;
        let domain = self.shared.book.borrow().domains.get(at)?.name.clone();
        Some((domain, lineage))
    }

    /// An execution of a domain.
    fn lineage_of(&mut self, at: usize) -> Option<Lineage> {
        let book = self.shared.book.borrow();
        let lineages = &book.domains.get(at)?.lineages;
        self.dice.pick(lineages).cloned()
    }
}

/// A batch of these envelopes about a domain; the envelope in this place is recorded.
fn of_envelopes(domain: &DomainName, envelopes: &[Vec<u8>], place: u64) -> Option<Batch> {
    let own = envelopes.get(usize::try_from(place).ok()?)?;
    let id = Envelope::parse(own).ok()?.id().to_string();
    let all: Vec<&[u8]> = envelopes.iter().map(Vec::as_slice).collect();
    Some(Batch {
        path: "/v1/envelopes:batch",
        body: batch_body("each", &all),
        within: ENVELOPES_WITHIN,
        op: Op::Submit,
        key: domain.to_string(),
        input: json!({"id": id, "envelope": String::from_utf8_lossy(own)}),
        place,
    })
}

/// Posts a batch on a connection of its own.
async fn post(shared: Shared, id: u64, node: u64, batch: Batch) {
    let mut http = Http::new(shared.boots.clone());
    let begun = shared.recorder.begin(batch.op, id, node, &batch.key, batch.input);
    match http.ask(node, Method::POST, batch.path, batch.body, batch.within).await {
        Ok(answer) if batch.op == Op::Submit => {
            let (submitted, output) = read(of_place(&answer, batch.place));
            write_down(begun, &submitted, output);
        }
        Ok(answer) => decided(begun, answer, batch.place),
        Err(NoAnswer::NotSent) => begun.forget(),
        Err(NoAnswer::MaybeSent) => begun.unknown(Value::Null),
    }
}

/// Records the decision on the request in this place; if there was none on any request, records the reason.
fn decided(begun: Begun, mut answer: Answer, place: u64) {
    let decision = answer.body.pointer_mut(&format!("/decisions/{place}")).map(Value::take);
    match decision {
        Some(decision) if said(&decision) == Some("allow") => begun.end(Outcome::Ok, decision),
        Some(decision) if said(&decision) == Some("deny") => begun.end(Outcome::Deny, decision),
        Some(decision) => begun.unknown(decision),
        None if answer.body.get("code").is_some() => begun.end(Outcome::Deny, answer.body),
        None => begun.unknown(answer.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_seeds_has_a_crowd_and_each_has_it_every_time() {
        let seeds = || (0..3_000).filter(|seed| comes(&Dice::new(*seed)));
        assert!((850..1_150).contains(&seeds().count()), "{}", seeds().count());
        assert!(seeds().eq(seeds()));
    }
}
