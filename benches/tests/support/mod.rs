//! One node without a cluster: the registry's real rules over rows in memory, behind the API's real bodies. It
//! suffices to test that the load is right; it measures nothing.

use assent_api::{
    AuthoritiesBody, AuthorityBody, AuthorityStatus, BatchResponse, BatchResult, Call, ClockBody,
    DecisionBody, JudgedByBody, LogBody, NodeRole, Problem, ReasonBody, ReceiptBody, SelfBody, StatusBody,
    Verdict, status_of,
};
use assent_fixtures::policy::attested_policy;
use assent_fixtures::{Chain, Genesis, Place, claims, key};
use assent_proof::{
    AuthorizeRequest, Claims, DomainName, History, Millis, PolicyBody, PublicKey, Role, SigningKey,
    sign_batch,
};
use assent_registry::{
    GenesisFile, Group, MemoryRows, Outcome, RulesVersion, Unverified, View, apply, authorize, bootstrap,
    query,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const ORIGIN: &str = "dev.local/registry";
const DOMAIN: &str = "dev.local";

#[expect(clippy::disallowed_methods, reason = "the program under test lives in real time")]
fn now() -> Millis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Millis(elapsed.as_millis() as i64)
}

/// A running node; `dir` holds its `dev.json`.
pub(crate) struct OneNode {
    pub(crate) rows: Arc<Mutex<MemoryRows>>,
    pub(crate) dev_json: PathBuf,
}

impl OneNode {
    pub(crate) fn start(dir: &Path) -> OneNode {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        for (name, seed) in [("governance", 3), ("attestation", 4)] {
            std::fs::write(dir.join(format!("{name}.pem")), key(seed).to_pem()).unwrap();
        }
        let dev = json!({
            "origin": ORIGIN, "domain": DOMAIN, "endpoints": [endpoint],
            "nodes": [{ "id": 1, "pid": std::process::id(), "client": "", "peer": "", "data": "" }],
            "keys": { "governance": "governance.pem", "attestation": dir.join("attestation.pem") },
        });
        let dev_json = dir.join("dev.json");
        std::fs::write(&dev_json, dev.to_string()).unwrap();
        let rows = Arc::new(Mutex::new(founded()));
        let served = Arc::clone(&rows);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, served));
        });
        OneNode { rows, dev_json }
    }
}

/// A registry as `assent dev` founds it, with the authorities that the load needs.
fn founded() -> MemoryRows {
    let (governance, attestation, node) = (key(3), key(4), key(5));
    let at = now().to_seconds().saturating_add(-10);
    let grant = |key: &SigningKey, role| claims::grant(key.public(), role, at, at.saturating_add(86_400));
    let place = Place::new(ORIGIN, DOMAIN.parse().unwrap(), at);
    let mut genesis = Genesis::new(ORIGIN, at, &[key(1)], 1, &key(2));
    genesis.node(&node, place.draft(&grant(&node, Role::Registry)).domain("_root"));
    genesis.domain(&place.domain, std::slice::from_ref(&governance), 1);
    let genesis = GenesisFile::parse(&genesis.bytes()).unwrap();
    let mut rows = MemoryRows::new();
    bootstrap(&mut rows, &genesis).unwrap();

    let mut chain = Chain::new();
    let granted = place.draft(&grant(&attestation, Role::Attestation));
    let granted = chain.sign(granted, &[&governance, &attestation]);
    let policy = PolicyBody { decision_ttl_seconds: 30, ..attested_policy() };
    let policy = chain.sign(place.draft(&Claims::Policy(policy)), &[&governance]);
    for bytes in [granted, policy] {
        assert!(matches!(submit(&mut rows, &bytes), Outcome::Accepted { .. }));
    }
    rows
}

fn submit(rows: &mut MemoryRows, bytes: &[u8]) -> Outcome {
    let group = Group { atomic: false, envelopes: vec![Unverified { bytes, origin: ORIGIN }] };
    apply(rows, RulesVersion::NEWEST, now(), &[group]).unwrap().remove(0).remove(0)
}

fn result(outcome: Outcome, history: History) -> BatchResult {
    match outcome {
        Outcome::Accepted { receipt, fresh } => {
            let receipt = ReceiptBody {
                evidence_id: receipt.evidence_id,
                ledger_index: receipt.ledger_index,
                revision: receipt.revision,
                accepted_at: receipt.accepted_at,
                history,
            };
            BatchResult::accepted(receipt, fresh)
        }
        Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
            BatchResult::refused(Problem::from_refusal(&refusal, status_of(refusal.code, Call::Submission)))
        }
    }
}

async fn serve(listener: std::net::TcpListener, rows: Arc<Mutex<MemoryRows>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let rows = Arc::clone(&rows);
        let service = service_fn(move |request| answer(request, Arc::clone(&rows)));
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    rows: Arc<Mutex<MemoryRows>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut rows = rows.lock().unwrap();
    let (status, bytes) = match path.as_str() {
        "/livez" | "/readyz" => (200, b"ok\n".to_vec()),
        "/v1/cluster/status" => (200, status(&rows).to_vec()),
        "/v1/authorities" => (200, serde_json::to_vec(&node_authorities(&rows)).unwrap()),
        "/v1/envelopes" => {
            let result = result(submit(&mut rows, &body), history(&rows));
            let bytes = result.receipt.map(|receipt| receipt.to_vec());
            (result.status, bytes.unwrap_or_else(|| result.problem.unwrap().to_vec()))
        }
        "/v1/envelopes:batch" => {
            let (_, envelopes) = assent_api::parse_batch(&body).unwrap();
            let results =
                envelopes.iter().map(|bytes| result(submit(&mut rows, bytes), history(&rows))).collect();
            (200, BatchResponse { results }.to_vec())
        }
        "/v1/authorize" => decide(&rows, &AuthorizeRequest::parse(&body).unwrap()),
        _ => (404, Vec::new()),
    };
    Ok(Response::builder().status(status).body(Full::new(bytes.into())).unwrap())
}

fn decide(rows: &MemoryRows, request: &AuthorizeRequest) -> (u16, Vec<u8>) {
    let decision = authorize(&View::new(rows), request, now());
    let reason = |reason: &assent_registry::Reason| {
        ReasonBody::new(reason.code, reason.detail.clone(), reason.evidence)
    };
    let body = DecisionBody {
        decision: if decision.is_allow() { Verdict::Allow } else { Verdict::Deny },
        request: request.to_json(),
        history: history(rows),
        node_id: 1,
        revision: decision.revision,
        head: decision.head,
        policy: decision.policy.map(|policy| JudgedByBody::new(policy.evidence_id, &policy.unchecked)),
        evaluated_at: decision.evaluated_at,
        valid_until: decision.valid_until,
        reasons: decision.reasons.iter().map(reason).collect(),
        more_reasons: 0,
        permit: None,
        receipt: None,
    };
    let receipts = sign_batch(vec![body.to_leaf(&[0; 16])], &key(5));
    (body.status(), body.signed(&receipts[0]).to_vec())
}

fn history(rows: &MemoryRows) -> History {
    query::history(rows).unwrap().unwrap()
}

fn node_authorities(rows: &MemoryRows) -> AuthoritiesBody {
    let (found, _) = query::authorities(rows, &DomainName::root(), None::<&PublicKey>, 100, now()).unwrap();
    let body = |entry: query::AuthorityEntry| AuthorityBody {
        id: entry.key,
        name: entry.name,
        role: entry.role,
        domain: entry.domain,
        not_before: entry.not_before,
        not_after: entry.not_after,
        status: AuthorityStatus::Active,
        grant: entry.admitted_by,
        revoked_by: entry.revoked_by,
        invalid_since: entry.invalid_since,
    };
    AuthoritiesBody { authorities: found.into_iter().map(body).collect(), next: None }
}

fn status(rows: &MemoryRows) -> StatusBody {
    StatusBody {
        cluster_id: "blake3:00".to_owned(),
        history: history(rows),
        origin: ORIGIN.to_owned(),
        node_id: 1,
        role: NodeRole::Leader,
        leader: Some(1),
        term: 1,
        revision: query::revision(rows).unwrap(),
        last_log: None,
        applied: None,
        voters: vec![1],
        learners: vec![],
        clock: ClockBody {
            sure: true,
            bound_ms: 500,
            readings: vec![],
            standing: None,
            detail: None,
            remedy: None,
            anchored: true,
            wall: None,
            registry_time: None,
            registry_time_ahead_ms: None,
            settle_left_ms: None,
            confirmed: None,
        },
        node: SelfBody {
            peer: "a:1".to_owned(),
            client: "a:2".to_owned(),
            store_id: "00".to_owned(),
            key: key(1).public(),
            peer_certificate_end: None,
            client_certificate_end: None,
            peer_revocation_list_end: None,
            client_revocation_list_end: None,
        },
        member: true,
        removed: None,
        silenced: None,
        rules: 1,
        rules_known: 1,
        peers: vec![],
        log: LogBody { first: None, last: None, bytes: 0 },
        snapshots: vec![],
        process: None,
        disk: None,
        refused_callers: Default::default(),
        version: "0".to_owned(),
        uptime_ms: None,
    }
}
