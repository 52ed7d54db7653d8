//! The command line against a live cluster, where its answers depend on what the cluster knows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::process::{Command, Output};

use assent_jepsen::{Cluster, binary};

fn assent(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(binary().unwrap())
        .args(arguments)
        .env("ASSENT_ENDPOINTS", format!("http://{}", cluster.nodes[0].client))
        .env("ASSENT_ORIGIN", &cluster.origin)
        .env("ASSENT_DOMAIN", &cluster.domain)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_twice_says_that_it_is_in_force_already() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let audit = cluster.key("audit").unwrap().public().to_string();
    let governance = cluster.key_path("governance").unwrap().to_str().unwrap().to_owned();
    let revoke = ["revoke", "--authority", &audit, "--reason", "superseded", "--key", &governance];
    let first = assent(&cluster, &revoke);
    assert!(first.status.success(), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stdout).starts_with("accepted blake3:"), "{first:?}");
    // Signed anew a second later it is another statement, which adds nothing.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = assent(&cluster, &revoke);
    assert!(second.status.success(), "{second:?}");
    assert!(
        String::from_utf8_lossy(&second.stdout).starts_with("in force already, by blake3:"),
        "{second:?}"
    );

    // Who cannot be asked cannot know.
    for id in 1..=3 {
        cluster.kill(id).unwrap();
    }
    let authorize = [
        "authorize",
        "--lineage",
        "exec",
        "--action",
        "run",
        "--subject",
        &format!("sha256:{}", "0".repeat(64)),
    ];
    for arguments in [&revoke[..], &["lineage", "show", "exec"], &authorize] {
        let output = assent(&cluster, arguments);
        assert_eq!(output.status.code(), Some(11), "{arguments:?}: {output:?}");
    }
}
