//! The true answers for some cases: lineages of their own, and what the nodes answered before one of them was
//! quarantined.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use assent_api::authorize_batch_body;
use assent_client::Client;
use assent_proof::{AuthorizeRequest, Json, json};

use super::case::{Case, Kind, Lineage};
use super::content::{batch, decisions};
use crate::cluster_support::http::{ask, status};
use crate::cluster_support::{authorization_for, quarantine, request};

pub const AUTHORIZE: &str = "POST /v1/authorize";
const BATCH: &str = "POST /v1/authorize:batch";
const PERMIT: &str = "POST /v1/permits";

pub struct Round {
    name: String,
    /// The decision of before, by the nonce that was asked with.
    earlier: BTreeMap<String, Vec<u8>>,
    /// The decision of before on a permit's request, if that came as an authorize.
    earlier_as_authorize: BTreeMap<String, Vec<u8>>,
    /// An allow for a request that no case has.
    pub other: Vec<u8>,
}

impl Round {
    /// Founds the lineages of these cases, has the nodes decide all that they ask, and then quarantines one of the lineages.
    pub async fn begin(cases: &[Case], client: &Client, node: SocketAddr) -> Self {
        let name = format!("r{}", cases[0].seed);
        let (earlier, earlier_as_authorize) = (BTreeMap::new(), BTreeMap::new());
        let mut round = Round { name, earlier, earlier_as_authorize, other: Vec::new() };
        for lineage in [Lineage::Open, Lineage::Turned] {
            client.submit(authorization_for(&round.lineage(lineage))).await.unwrap();
        }
        let other = round.request(Lineage::Open, format!("other-{}", round.name));
        round.other = decided(node, AUTHORIZE, &other.to_json().to_vec()).await;
        for case in cases {
            let requests = round.requests(case);
            let answers = if case.kind == Kind::Permit {
                let question = requests[0].to_json().to_vec();
                let read = decided(node, AUTHORIZE, &question).await;
                round.earlier_as_authorize.insert(case.nonce(0), read);
                vec![decided(node, PERMIT, &question).await]
            } else {
                decisions(&decided(node, BATCH, &authorize_batch_body(&requests)).await).unwrap()
            };
            round.earlier.extend(requests.into_iter().map(|request| request.nonce.unwrap()).zip(answers));
        }
        client.submit(quarantine(&round.lineage(Lineage::Turned))).await.unwrap();
        round
    }

    fn lineage(&self, lineage: Lineage) -> String {
        let name = &self.name;
        match lineage {
            Lineage::Open => format!("open-{name}"),
            Lineage::Turned => format!("turned-{name}"),
            Lineage::Nowhere => format!("nowhere-{name}"),
        }
    }

    fn request(&self, lineage: Lineage, nonce: String) -> AuthorizeRequest {
        let lineage = self.lineage(lineage).parse().unwrap();
        AuthorizeRequest { lineage: Some(lineage), nonce: Some(nonce), ..request() }
    }

    /// What a case asks.
    pub fn requests(&self, case: &Case) -> Vec<AuthorizeRequest> {
        let about = case.about.iter().enumerate();
        about.map(|(place, lineage)| self.request(*lineage, case.nonce(place))).collect()
    }

    /// What the nodes said of this question before; of a permit, if so asked, what they said of it as an authorize.
    pub fn earlier(&self, question: &[u8], as_authorize: bool) -> (u16, Vec<u8>) {
        let earlier = if as_authorize { &self.earlier_as_authorize } else { &self.earlier };
        let decisions: Vec<Vec<u8>> = nonces(question).iter().map(|nonce| earlier[nonce].clone()).collect();
        if is_batch(question) {
            return (200, batch(&decisions));
        }
        let decision = decisions.concat();
        let allows = json::parse(&decision).unwrap().get("decision").and_then(Json::as_str) == Some("allow");
        (if allows { 200 } else { 403 }, decision)
    }
}

/// The body of a node's answer; a busy node is asked again.
async fn decided(node: SocketAddr, what: &str, question: &[u8]) -> Vec<u8> {
    for _ in 0..20 {
        let answer = ask(node, what, question).await.unwrap();
        if status(&answer) < 500 {
            return answer.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec();
        }
    }
    panic!("the node is too busy to decide");
}

fn is_batch(question: &[u8]) -> bool {
    json::parse(question).unwrap().get("requests").is_some()
}

/// The nonces in a question: of its one request, or of each one in a batch.
pub fn nonces(question: &[u8]) -> Vec<String> {
    let question = json::parse(question).unwrap();
    let of_one = |request: &Json| request.get("nonce").unwrap().as_str().unwrap().to_owned();
    match question.get("requests") {
        Some(requests) => requests.as_array().unwrap().iter().map(of_one).collect(),
        None => vec![of_one(&question)],
    }
}
