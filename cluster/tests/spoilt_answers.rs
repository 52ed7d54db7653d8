//! Whatever happens to real nodes' answers on their way, a client never takes an allow after a deny. It accepts an
//! allow only if the allow is a node's own, for exactly its request, and not over. An allow of a permit has the
//! permit's receipt.
//!
//! Each case is drawn from its number. By default the first 500 are run. `ASSENT_SPOILT_FIRST` and
//! `ASSENT_SPOILT_DRAWS` select other ones, and a failure names both values for the case that failed.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster_support::members::stop;
use crate::cluster_support::*;
use crate::spoilt::case::{Case, DrawnClock, Kind, Time};
use crate::spoilt::endpoint::{AllTold, Endpoint, Told};
use crate::spoilt::judge::Called;
use crate::spoilt::round::{Round, nonces};
use crate::spoilt::wire::BYTES_MAX;
use assent_client::{Client, ClientConfig, ClientError, Decision, FirstEndpoint, Trust};
use assent_fixtures::policy::open_policy;
use assent_proof::{AuthorizeRequest, PolicyBody, PublicKey, Seconds};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::timeout;

const DRAWS: u64 = 500;
/// Cases whose lineages are founded together.
const ROUND: usize = 50;
/// Cases that are run at the same time. Most of a case is waiting.
const AT_ONCE: usize = 6;
/// The share of one of three endpoints is 2 s.
const DEADLINE: Duration = Duration::from_secs(6);
/// By how much a call may end after its deadline on a machine that is busy.
const MARGIN: Duration = Duration::from_secs(5);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn node_keys() -> Vec<PublicKey> {
    (11..14).map(|seed| key(seed).public()).collect()
}

fn client(endpoints: &[String], time: Time, hedged: bool) -> Client {
    let mut config = ClientConfig::new(endpoints.to_vec(), Trust::keys(node_keys()).unwrap());
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = DEADLINE;
    config.attempt_timeout = Duration::from_secs(2);
    config.hedge_after = Some(if hedged { Duration::from_millis(60) } else { DEADLINE });
    config.response_bytes_max = BYTES_MAX;
    config.clock = Arc::new(DrawnClock::new(time));
    Client::new(config).unwrap()
}

/// How a call ended.
enum Ended {
    /// With a decision for each request: the bytes of an allow, or none for a deny.
    Decided(Vec<Option<Bytes>>),
    /// With an error.
    Failed {
        code: &'static str,
        said: String,
        remedy: String,
        /// Of a permit, the nonce to ask again with.
        nonce: Option<String>,
    },
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        Ended::Failed { code: error.code(), said: error.to_string(), remedy: error.remedy(), nonce: None }
    }
}

fn allowed(decision: &Decision) -> Option<Bytes> {
    decision.is_allow().then(|| decision.bytes().clone())
}

/// Makes one call.
async fn call(client: &Client, kind: Kind, requests: &[AuthorizeRequest]) -> Ended {
    match kind {
        Kind::Authorize | Kind::Watch => match client.authorize(&requests[0]).await {
            Ok(decision) => Ended::Decided(vec![allowed(&decision)]),
            Err(error) => error.into(),
        },
        Kind::Permit => match client.permit(&requests[0]).await {
            Ok(decision) => Ended::Decided(vec![allowed(&decision)]),
            Err(error) => Ended::Failed {
                code: error.code(),
                said: error.to_string(),
                remedy: error.remedy(),
                nonce: error.nonce().map(str::to_owned),
            },
        },
        Kind::Batch => match client.authorize_batch(requests).await {
            Ok(decisions) => {
                let allows = decisions.iter().map(|decision| allowed(decision.as_ref().ok()?));
                Ended::Decided(allows.collect())
            }
            Err(error) => error.into(),
        },
    }
}

/// What the cases have shown. If there were too few of one of these, the test would prove little.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    allows: usize,
    /// Calls that ended without an allow after a deny that is final, with an endpoint left that was not asked.
    ended_by_a_deny: usize,
    errors: usize,
    /// Permits of which an endpoint told an allow that lacks nothing but the permit's receipt.
    without_a_permit: usize,
}

/// Runs a case.
///
/// # Errors
/// Says what must not be.
async fn run(case: &Case, round: &Arc<Round>, nodes: &[SocketAddr]) -> Result<Shown, String> {
    let told = AllTold::default();
    let mut endpoints = Vec::new();
    for (number, plans) in case.endpoints.iter().enumerate() {
        let (plans, round, told) = (plans.clone(), Arc::clone(round), Arc::clone(&told));
        endpoints.push(Endpoint::start(number, nodes[number], plans, round, told).await);
    }
    let urls: Vec<String> = endpoints.iter().map(|endpoint| endpoint.url.clone()).collect();
    let client = client(&urls, case.time, case.hedged);
    let mut shown = Shown::default();
    let all = round.requests(case);
    let questions = if case.kind == Kind::Batch { vec![&all[..]] } else { all.chunks(1).collect() };
    for requests in questions {
        let wall = client.config().clock.wall();
        let Ok(ended) = timeout(DEADLINE + MARGIN, call(&client, case.kind, requests)).await else {
            return Err(format!("the call did not end\n{}", told_of(&told, requests).1));
        };
        let (told, text) = told_of(&told, requests);
        let (allows, failed, again_with) = match ended {
            Ended::Decided(allows) => (allows, false, None),
            Ended::Failed { code, said, remedy, nonce } => {
                if code.is_empty() || said.is_empty() || remedy.is_empty() {
                    return Err(format!(
                        "an error that does not say enough: `{code}`, `{said}`, `{remedy}`\n{text}"
                    ));
                }
                (vec![None; requests.len()], true, nonce)
            }
        };
        let called = Called {
            kind: case.kind,
            requests,
            hedged: case.hedged && matches!(case.kind, Kind::Authorize | Kind::Watch),
            may_allow: case.time == Time::Right,
            wall,
            node_keys: &node_keys(),
            allows,
            again_with,
        };
        called.judge(&told).map_err(|wrong| format!("{wrong}\n{text}"))?;
        let allows = called.allows.iter().flatten().count();
        let denied = told.iter().any(|told| called.is_final_deny(told));
        shown.allows += allows;
        shown.errors += usize::from(failed);
        let without_a_permit = told.iter().any(|told| called.is_allow_without_its_permit(told));
        shown.without_a_permit += usize::from(without_a_permit);
        shown.ended_by_a_deny += usize::from(denied && allows == 0 && told.len() < endpoints.len());
        if !failed && allows < requests.len() {
            // A watched execution is stopped.
            break;
        }
    }
    Ok(shown)
}

/// What was told in answer to this question, and the same for people.
fn told_of(all: &Mutex<Vec<Told>>, requests: &[AuthorizeRequest]) -> (Vec<Told>, String) {
    let asked: Vec<String> =
        requests.iter().flat_map(|request| nonces(&request.to_json().to_vec())).collect();
    let all = all.lock().unwrap();
    let told: Vec<Told> = all.iter().filter(|told| told.nonces == asked).cloned().collect();
    let text: Vec<String> = told.iter().map(Told::shown).collect();
    (told, text.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spoilt_answer_of_a_node_brings_an_allow_after_a_deny_or_one_that_is_not_the_nodes_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    // What the nodes said before the quarantine is not over while the cases are run.
    let policy = PolicyBody { decision_ttl_seconds: 60, ..open_policy() };
    std::fs::write(folder.path().join("genesis.json"), genesis_with(Seconds(now().0 + 3600), policy))
        .unwrap();
    for config in &mut configs {
        config.deadlines.authorize_ms = 1_000;
        config.deadlines.submit_ms = 10_000;
    }
    let nodes = start_all(&configs).await;
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.client_addr()).collect();
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let submitter = client(&urls, Time::Right, false);

    let first = number("ASSENT_SPOILT_FIRST", 0);
    let draws = number("ASSENT_SPOILT_DRAWS", DRAWS);
    let seeds: Vec<u64> = (first..first + draws).collect();
    let mut shown = Shown::default();
    for seeds in seeds.chunks(ROUND) {
        let cases: Vec<Case> = seeds.iter().map(|seed| Case::draw(*seed)).collect();
        let round = Arc::new(Round::begin(&cases, &submitter, addresses[0]).await);
        let running = cases.into_iter().map(|case| {
            let (round, addresses) = (Arc::clone(&round), addresses.clone());
            async move {
                let seed = case.seed;
                // In a task of its own, so that a panic names its case too.
                let task = tokio::spawn(async move {
                    let result = run(&case, &round, &addresses).await;
                    result.map_err(|wrong| format!("{wrong}\n{case:#?}"))
                });
                let result = task.await.unwrap_or_else(|panicked| Err(panicked.to_string()));
                result.map_err(|wrong| (seed, wrong))
            }
        });
        let mut running = stream::iter(running).buffer_unordered(AT_ONCE);
        while let Some(result) = running.next().await {
            match result {
                Ok(case) => {
                    shown.allows += case.allows;
                    shown.ended_by_a_deny += case.ended_by_a_deny;
                    shown.errors += case.errors;
                    shown.without_a_permit += case.without_a_permit;
                }
                Err((seed, wrong)) => panic!(
                    "{wrong}\nREPRODUCE WITH: ASSENT_SPOILT_FIRST={seed} ASSENT_SPOILT_DRAWS=1 \
                     cargo test -p assent-cluster --test all spoilt_answers"
                ),
            }
        }
    }
    eprintln!("{draws} cases: {shown:?}");
    if draws >= DRAWS {
        let (draws, few) = (usize::try_from(draws).unwrap(), 20);
        assert!(shown.allows > draws / few, "{shown:?}");
        assert!(shown.ended_by_a_deny > draws / few, "{shown:?}");
        assert!(shown.errors > draws / few, "{shown:?}");
        // One call in seven asks for a permit.
        assert!(shown.without_a_permit > draws / 200, "{shown:?}");
    }
    stop(nodes).await;
}
