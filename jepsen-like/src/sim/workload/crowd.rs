//! A crowd: callers that post batches at once, of questions or of garbage, while the others go about their business.
//!
//! Of each batch one element is written down and judged like any other. Nothing happens by the other questions. The other envelopes are
//! signed by a key that nobody granted anything, or are none: were one accepted, the ledgers would hold what nobody submitted (S4).

use std::ops::RangeInclusive;
use std::time::Duration;

use assent_proof::{Claims, Envelope, EvidenceKind};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::dice::Dice;
use super::super::ground::key;
use super::super::http::{Answer, Http, NoAnswer};
use super::super::recorder::Begun;
use super::asking::said;
use super::client::{Client, Shared};
use super::evidence::draft;
use super::submit::{read, write_down};
use crate::history::{Op, Outcome};

/// The clients that are a crowd, one a batch.
pub(in crate::sim) const CROWD: RangeInclusive<u64> = 201..=216;
/// How often it is asked whether they come, in milliseconds, and that they do once in so many times.
const EVERY_MS: u64 = 250;
const COMES_ONE_IN: u64 = 50;
/// Elements of a batch: mostly some, now and then many.
const SOME: (u64, u64) = (16, 64);
const MANY: (u64, u64) = (65, 200);
/// How long an answer may take: more than a node's own deadline for what is asked.
const QUESTIONS_WITHIN: Duration = Duration::from_millis(1_500);
const ENVELOPES_WITHIN: Duration = Duration::from_millis(2_500);

/// Whether a seed has a crowd. The dice are the seed's own.
pub fn comes(dice: &Dice) -> bool {
    dice.fork("crowd").chance(1, 3)
}

/// What one of a crowd posts.
struct Batch {
    path: &'static str,
    body: Vec<u8>,
    within: Duration,
    op: Op,
    /// The domain's name.
    key: String,
    /// What is written down of it, and its place.
    input: Value,
    place: u64,
}

impl Client {
    /// Waits, and now and then posts a batch for each of the crowd, all at once.
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
        let garbage = self.dice.chance(1, 2);
        let (least, most) = if self.dice.chance(1, 4) { MANY } else { SOME };
        let size = self.dice.between(least, most);
        let one = self.dice.chance(1, 2).then(|| self.any_node());
        let mut posts = Vec::new();
        for id in CROWD {
            let node = one.unwrap_or_else(|| self.any_node());
            let batch = if garbage { self.garbage(size) } else { self.questions(size) };
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

    /// A batch of envelopes by a stranger, and of what is no envelope.
    fn garbage(&mut self, size: u64) -> Option<Batch> {
        let at = self.any_domain();
        let (domain, lineages) = {
            let book = self.shared.book.borrow();
            let domain = book.domains.get(at)?;
            (domain.name.clone(), domain.lineages.clone())
        };
        let lineage = self.dice.pick(&lineages)?;
        let name = self.book().name("garbage");
        let stranger = key(&name, 1);
        let place = self.dice.below(size);
        let mut input = Value::Null;
        let mut envelopes = Vec::new();
        for number in 0..size {
            if number != place && self.dice.chance(1, 4) {
                envelopes.push(json!({"garbage": number}).to_string().into_bytes());
                continue;
            }
            let claims = Claims::RuntimeIntegrity { measured: format!("sha256:{name}-{number}") };
            let draft = draft(&domain, lineage, EvidenceKind::RuntimeIntegrity, claims)?;
            let envelope = draft.sign(&[&stranger], Some((0, None)));
            if number == place {
                let id = Envelope::parse(&envelope).ok()?.id().to_string();
                input = json!({"id": id, "envelope": String::from_utf8_lossy(&envelope)});
            }
            envelopes.push(envelope);
        }
        let list = envelopes.join(&b',');
        let body = [&b"{\"mode\":\"each\",\"envelopes\":["[..], list.as_slice(), &b"]}"[..]].concat();
        Some(Batch {
            path: "/v1/envelopes:batch",
            body,
            within: ENVELOPES_WITHIN,
            op: Op::Submit,
            key: domain.to_string(),
            input,
            place,
        })
    }
}

/// Posts a batch on a connection of its own.
async fn post(shared: Shared, id: u64, node: u64, batch: Batch) {
    let mut http = Http::new(shared.boots.clone());
    let begun = shared.recorder.begin(batch.op, id, node, &batch.key, batch.input);
    match http.ask(node, Method::POST, batch.path, batch.body, batch.within).await {
        Ok(answer) if batch.op == Op::Submit => submitted(begun, answer, batch.place),
        Ok(answer) => decided(begun, answer, batch.place),
        Err(NoAnswer::NotSent) => begun.forget(),
        Err(NoAnswer::MaybeSent) => begun.unknown(Value::Null),
    }
}

/// Writes down what was decided on the request in this place; if nothing was decided on any, why not.
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

/// Writes down what became of the envelope in this place; if none was looked at, why not.
fn submitted(begun: Begun, mut answer: Answer, place: u64) {
    if let Some(result) = answer.body.pointer_mut(&format!("/results/{place}")).map(Value::take) {
        let status = result.get("status").and_then(Value::as_u64);
        answer.status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
        answer.body = result.get("receipt").or_else(|| result.get("problem")).cloned().unwrap_or(Value::Null);
    }
    let (submitted, output) = read(answer);
    write_down(begun, &submitted, output);
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
