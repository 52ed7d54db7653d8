//! The step in which a decision is verified without any node: a real deny, and the same deny forged into an allow.

use assent_proof::verify_decision;
use serde_json::json;
use tokio::time::Instant;

use super::demo_cluster::{Answer, DemoCluster};
use super::report::{Report, Step, fields};
use crate::exit::CliError;

/// Verifies the first of these answers against the nodes' keys, and sees a forged one refused.
pub(super) fn verify(cluster: &DemoCluster, report: &mut Report, answers: &[Answer]) -> Result<(), CliError> {
    let kept = answers.iter().find_map(|answer| Some((answer.node, answer.outcome.as_ref().ok()?)));
    let Some((node, decision)) = kept else {
        return Err(CliError::new("decision_missing", "no node gave a decision", "see the steps above"));
    };
    let started = Instant::now();
    let genuine = verify_decision(decision.bytes(), cluster.trusted())?;
    let text = String::from_utf8_lossy(decision.bytes());
    let forged = text.replacen("\"decision\":\"deny\"", "\"decision\":\"allow\"", 1);
    let refused = verify_decision(forged.as_bytes(), cluster.trusted()).err();
    let took = started.elapsed();
    let ok = !genuine.allow && refused.is_some();
    let lines = vec![
        format!("node {node}'s deny is signed by {}…", short(&genuine.signer.to_string())),
        match &refused {
            Some(refusal) => format!("the same bytes, edited to say allow: refused, {}", refusal.code),
            None => "the same bytes, edited to say allow: BELIEVED".to_owned(),
        },
    ];
    let fields = fields([
        ("signer", json!(genuine.signer.to_string())),
        ("forged", json!(refused.map(|refusal| refusal.code.as_str()))),
    ]);
    let title = "The deny from above is verified offline, against the nodes' keys".to_owned();
    report.add(Step { name: "verify", title, ok, took, lines, fields })
}

fn short(key: &str) -> &str {
    key.get(..24).unwrap_or(key)
}
