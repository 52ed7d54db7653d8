//! The README's snippets run as they stand: what a newcomer pastes works.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::process::Command;

use assent_jepsen::{Cluster, binary};

const README: &str = include_str!("../../README.md");

/// The fenced blocks marked `sh`, in order. Those without a mark show how to build and start.
fn snippets() -> Vec<&'static str> {
    README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn the_readmes_five_minutes_work_as_written() {
    let snippets = snippets();
    assert!(snippets.len() >= 5, "the README has lost its snippets");
    let cluster = Cluster::start(3).await.unwrap();
    let exports: Vec<String> =
        cluster.log().lines().filter(|line| line.starts_with("export ")).map(str::to_owned).collect();
    assert!(!exports.is_empty(), "`assent dev` printed no export lines:\n{}", cluster.log());
    let home = tempfile::tempdir().unwrap();
    let path = binary().unwrap();
    let path = path.parent().unwrap().to_str().unwrap().to_owned();
    // One shell for all of it, like the newcomer's, that stops at the first failure.
    let mut script = format!("set -euo pipefail\nexport PATH=\"{path}:$PATH\"\n{}\n", exports.join("\n"));
    for (number, snippet) in snippets.iter().enumerate() {
        script.push_str(&format!("echo '== snippet {number}'\n{snippet}"));
    }
    let output = tokio::task::spawn_blocking(move || {
        Command::new("bash").arg("-c").arg(script).current_dir(home.path()).output().unwrap()
    })
    .await
    .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("\nhello\n"), "the job did not run on allow:\n{stdout}\n{stderr}");
    assert!(stdout.contains("denied, exit code 10"), "the revocation did not deny:\n{stdout}\n{stderr}");
}
