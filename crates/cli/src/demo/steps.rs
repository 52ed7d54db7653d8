//! The steps of the story, in order.

use std::future::Future;
use std::time::Duration;

use assent_api::{ReceiptBody, StatusBody};
use assent_proof::{AttestationStatus, Claims, EvidenceKind, RevocationReason, Role, Seconds, SigningKey};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::demo_cluster::{Answer, DemoCluster};
use super::leaderless;
use super::offline;
use super::report::{Report, Step, fields, millis, ms};
use crate::exit::CliError;
use crate::{edge, keys};

/// What the first attestation authority is called.
const VERIFIER: &str = "dev attestation";
/// What the second one is called.
const NEW_VERIFIER: &str = "fresh attestation";
const HOUR: i64 = 3600;

/// Tells the whole story; the nodes were started at `started`. Steps that go otherwise than they should are reported and the story goes on; an error ends it.
pub(crate) async fn run(
    cluster: &mut DemoCluster,
    report: &mut Report,
    started: Instant,
) -> Result<(), CliError> {
    report.say("Assent: may this execute, now? Three real nodes on this machine, one story.")?;
    report.say("They speak plain HTTP on loopback; `assent dev --tls` has certificates and callers.\n \n")?;
    let all = cluster.ids();
    let leader = form(cluster, report, &all, started).await?;
    let (governance, attestation) = (cluster.key("governance")?, cluster.key("attestation")?);
    submit(cluster, report, &all, &governance, &attestation).await?;
    allow(cluster, report, &all).await?;
    revoke(cluster, report, &all, &governance, &attestation).await?;
    let denied = deny(cluster, report, &all).await?;
    let fresh = keys::generate()?;
    renew(cluster, report, &all, &governance, &fresh).await?;
    let survivors: Vec<u64> = all.iter().copied().filter(|id| *id != leader.node_id).collect();
    leaderless::kill_the_leader(cluster, report, leader.node_id, &survivors).await?;
    let receipt = new_leader(cluster, report, &survivors, &fresh).await?;
    restart(cluster, report, leader.node_id, receipt.revision).await?;
    offline::verify(cluster, report, &denied)
}

async fn form(
    cluster: &DemoCluster,
    report: &mut Report,
    all: &[u64],
    started: Instant,
) -> Result<StatusBody, CliError> {
    let leader = cluster.leader(all).await?;
    let mut lines = picture(cluster, all, leader.node_id);
    lines.push(format!("* leads in term {}; every node has answered a quorum read", leader.term));
    let fields = fields([("leader", json!(leader.node_id)), ("nodes", json!(all))]);
    let title = format!("{} node processes form a cluster", all.len());
    report.add(Step { name: "form", title, ok: true, took: started.elapsed(), lines, fields })?;
    Ok(leader)
}

/// The nodes as boxes, the leader marked.
fn picture(cluster: &DemoCluster, all: &[u64], leader: u64) -> Vec<String> {
    let join = |link: &str, part: &dyn Fn(u64) -> String| {
        all.iter().map(|id| part(*id)).collect::<Vec<_>>().join(link)
    };
    let mark = |id: u64| if id == leader { " *" } else { "" };
    vec![
        join("     ", &|_| "┌─────────────────┐".to_owned()),
        join("─────", &|id| format!("│ {:<15} │", format!("node {id}{}", mark(id)))),
        join("     ", &|id| format!("│ {:<15} │", cluster.address(id))),
        join("     ", &|_| "└─────────────────┘".to_owned()),
    ]
}

async fn submit(
    cluster: &DemoCluster,
    report: &mut Report,
    all: &[u64],
    governance: &SigningKey,
    attestation: &SigningKey,
) -> Result<(), CliError> {
    let now = edge::now_seconds().0;
    let authorization = Claims::ExecutionAuthorization {
        actions: vec!["run".to_owned()],
        audience: None,
        environment: None,
        not_before: Seconds(now.saturating_sub(HOUR)),
        not_after: Seconds(now.saturating_add(HOUR)),
        uses: None,
        runtimes: None,
    };
    let kind = EvidenceKind::ExecutionAuthorization;
    let (first, took) = timed(cluster.submit(all, &authorization, kind, &[governance])).await?;
    let (second, took2) = timed(attest(cluster, all, VERIFIER, attestation)).await?;
    let lines = vec![
        format!("governance authorizes `run` for a program   ledger {:<3} {}", first.ledger_index, ms(took)),
        format!(
            "a verifier attests that it is affirming     ledger {:<3} {}",
            second.ledger_index,
            ms(took2)
        ),
    ];
    let fields = fields([("evidence", json!([first.evidence_id, second.evidence_id]))]);
    let title = "Signed evidence goes in".to_owned();
    let took = took.saturating_add(took2);
    report.add(Step { name: "submit", title, ok: true, took, lines, fields })
}

async fn attest(
    cluster: &DemoCluster,
    ids: &[u64],
    verifier: &str,
    key: &SigningKey,
) -> Result<ReceiptBody, CliError> {
    let claims = Claims::RuntimeAttestation {
        verifier: verifier.to_owned(),
        status: AttestationStatus::Affirming,
        measurement: "none".to_owned(),
    };
    cluster.submit(ids, &claims, EvidenceKind::RuntimeAttestation, &[key]).await
}

async fn allow(cluster: &DemoCluster, report: &mut Report, all: &[u64]) -> Result<(), CliError> {
    let (answers, took) = timed(cluster.ask(all)).await?;
    let ok = answers.iter().all(Answer::is_allow);
    let title = "May it run? Every node is asked: allow".to_owned();
    report.add(asked("allow", title, ok, took, &answers))
}

async fn revoke(
    cluster: &DemoCluster,
    report: &mut Report,
    all: &[u64],
    governance: &SigningKey,
    attestation: &SigningKey,
) -> Result<(), CliError> {
    let claims = Claims::Revocation {
        authority: attestation.public(),
        reason: RevocationReason::KeyCompromise,
        invalid_since: None,
    };
    let (receipt, took) =
        timed(cluster.submit(all, &claims, EvidenceKind::Revocation, &[governance])).await?;
    let lines = vec![format!("the key is compromised: acknowledged at revision {}", receipt.revision)];
    let fields = fields([("evidence", json!([receipt.evidence_id])), ("revision", json!(receipt.revision))]);
    let title = "Governance revokes the verifier's key".to_owned();
    report.add(Step { name: "revoke", title, ok: true, took, lines, fields })
}

async fn deny(cluster: &DemoCluster, report: &mut Report, all: &[u64]) -> Result<Vec<Answer>, CliError> {
    let (answers, took) = timed(cluster.ask(all)).await?;
    let ok = answers.iter().all(Answer::is_deny_by_rule);
    let title = "May it run? From that moment on every node denies".to_owned();
    let mut step = asked("deny", title, ok, took, &answers);
    let reason = answers.first().and_then(|answer| answer.outcome.as_ref().ok());
    for reason in reason.iter().flat_map(|decision| &decision.body().reasons) {
        step.lines.extend(wrapped("why:", &reason.detail));
        step.lines.extend(wrapped("fix:", &reason.remedy));
    }
    report.add(step)?;
    Ok(answers)
}

async fn renew(
    cluster: &DemoCluster,
    report: &mut Report,
    all: &[u64],
    governance: &SigningKey,
    fresh: &SigningKey,
) -> Result<(), CliError> {
    let started = Instant::now();
    let now = edge::now_seconds().0;
    let grant = Claims::AuthorityGrant {
        authority: fresh.public(),
        name: NEW_VERIFIER.to_owned(),
        role: Role::Attestation,
        not_before: Seconds(now.saturating_sub(HOUR)),
        not_after: Seconds(now.saturating_add(HOUR)),
    };
    cluster.submit(all, &grant, EvidenceKind::AuthorityGrant, &[governance, fresh]).await?;
    attest(cluster, all, NEW_VERIFIER, fresh).await?;
    let answers = cluster.ask(all).await?;
    let ok = answers.iter().all(Answer::is_allow);
    let title = "A fresh key is granted the role and attests again: allow".to_owned();
    report.add(asked("renew", title, ok, started.elapsed(), &answers))
}

async fn new_leader(
    cluster: &DemoCluster,
    report: &mut Report,
    survivors: &[u64],
    fresh: &SigningKey,
) -> Result<ReceiptBody, CliError> {
    let started = Instant::now();
    let leader = cluster.leader(survivors).await?;
    let receipt = attest(cluster, survivors, NEW_VERIFIER, fresh).await?;
    let answers = cluster.ask(survivors).await?;
    let ok = answers.iter().all(Answer::is_allow);
    let title =
        format!("Node {} leads in term {}, takes new evidence, and both allow", leader.node_id, leader.term);
    let mut step = asked("new-leader", title, ok, started.elapsed(), &answers);
    step.fields.insert("leader".to_owned(), json!(leader.node_id));
    report.add(step)?;
    Ok(receipt)
}

async fn restart(
    cluster: &mut DemoCluster,
    report: &mut Report,
    id: u64,
    revision: u64,
) -> Result<(), CliError> {
    let started = Instant::now();
    cluster.nodes.restart(id)?;
    cluster.caught_up(id, revision).await?;
    let answers = cluster.ask(&[id]).await?;
    let ok = answers.iter().all(Answer::is_allow);
    let title = format!("Node {id} starts again, catches up to revision {revision} and allows");
    let mut step = asked("restart", title, ok, started.elapsed(), &answers);
    step.fields.insert("node".to_owned(), json!(id));
    report.add(step)
}

/// A step that asked nodes: one line and one entry a node.
fn asked(name: &'static str, title: String, ok: bool, took: Duration, answers: &[Answer]) -> Step {
    let line = |answer: &Answer| {
        let verdict = if answer.is_allow() { "allow" } else { "DENY" };
        let again = match answer.again {
            0 => String::new(),
            times => format!(" (could not know {times} times before)"),
        };
        format!(
            "node {}: {verdict:<5} {}  {}{again}",
            answer.node,
            ms(answer.took),
            answer.codes().join(", ")
        )
        .trim_end()
        .to_owned()
    };
    let entry = |answer: &Answer| {
        json!({
            "node": answer.node,
            "decision": if answer.is_allow() { "allow" } else { "deny" },
            "codes": answer.codes(),
            "ms": millis(answer.took),
            "askedAgain": answer.again,
        })
    };
    let decisions: Vec<Value> = answers.iter().map(entry).collect();
    let fields = fields([("decisions", json!(decisions))]);
    Step { name, title, ok, took, lines: answers.iter().map(line).collect(), fields }
}

/// A text in lines of at most 90 columns, where its words allow that; the first begins with `label`.
fn wrapped(label: &str, text: &str) -> Vec<String> {
    const COLUMNS: usize = 90;
    let mut lines = Vec::new();
    let mut line = label.to_owned();
    for word in text.split_whitespace() {
        if line.chars().count().saturating_add(word.chars().count()) >= COLUMNS {
            lines.push(std::mem::replace(&mut line, " ".repeat(label.chars().count())));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}

async fn timed<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<(T, Duration), CliError> {
    let started = Instant::now();
    let done = work.await?;
    Ok((done, started.elapsed()))
}
