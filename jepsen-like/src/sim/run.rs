//! smoke
use std::time::Duration;
use super::dice::Dice;
use super::disk::SimDisk;
use super::ground::{DomainPlan, Ground, key, node_name};
use super::host::Machine;
use super::http::Http;
use assent_proof::PolicyBody;

#[allow(clippy::all, missing_docs, clippy::unwrap_used)]
pub fn smoke(seed: u64, seconds: u64) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("assent-sim-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let dice = Dice::new(seed);
    assent_cluster::raft::runtime::seed_this_thread(seed);
    let plan = DomainPlan { name: "prod".parse().unwrap(), governance: vec![key("governance", 1)], threshold: 1, authorities: vec![], policy: PolicyBody { require: vec![], attestation_status: None, measurements: None, policy_digests: None, decision_ttl_seconds: 10, permit_always: false } };
    let ground = Ground::lay(&folder, 3, &[plan]).unwrap();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(std::time::UNIX_EPOCH + Duration::from_millis(super::clock::BEGIN_MS as u64))
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_micros(100))
        .max_message_latency(Duration::from_millis(3))
        .tcp_capacity(4096)
        .build();
    let machines: Vec<Machine> = (1..=3).map(|id| Machine::new(id, ground.config(id), SimDisk::default(), dice.fork(&format!("node {id}")))).collect();
    for machine in &machines {
        let machine = machine.clone();
        sim.host(node_name(machine.id), move || machine.clone().run());
    }
    let out = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let o = out.clone();
    sim.client("client-1", async move {
        let mut http = Http::default();
        let body = serde_json::json!({"domain":"prod","lineage":"x","action":"run","subject":{"digest":{"sha256":"00".repeat(32)}}}).to_string();
        for n in 0..seconds * 20 {
            let answer = http.ask(1 + n % 3, http::Method::POST, "/v1/authorize", body.clone().into_bytes(), Duration::from_secs(1)).await;
            let now = super::clock::elapsed_ms();
            o.borrow_mut().push(match answer { Ok(a) => format!("{now} {} {}", a.status, a.body["reasons"][0]["code"]), Err(e) => format!("{now} {e:?}") });
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        Ok(())
    });
    loop {
        if sim.step().unwrap() { break; }
    }
    for m in &machines { out.borrow_mut().push(format!("{:?} {:?}", m.observe(), m.take_exit())); }
    out.take()
}
