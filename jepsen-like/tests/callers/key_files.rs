//! What `assent node` prints about a key file that it does not take, and that it takes a key file that the file's
//! group can read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use super::*;

/// A PEM block. Nothing reads what is in it.
fn block(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
}

fn put(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a node that should not start. One that does start ends at once, since its stdin has ended, and with another exit code.
fn started(config: &Path) -> Output {
    let mut node = Command::new(binary().unwrap());
    node.args(["node", "--exit-with-parent", "--config"]).arg(config).stdin(Stdio::null()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_is_wrong_with_its_key_file_and_starts_with_one_that_its_group_can_read() {
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.kill(1).unwrap();
    let (config, path) = (cluster.config_path(1), cluster.dev_directory().join("keys/node-1.pem"));
    let pem = fs::read_to_string(&path).unwrap();
    // PKCS#8 (RFC 5958) around the algorithm's number of RSA (RFC 8017), with an empty key.
    let rsa = "-----BEGIN PRIVATE KEY-----\nMBQCAQAwDQYJKoZIhvcNAQEBBQAEAA==\n-----END PRIVATE KEY-----\n";
    for (text, mode, says, remedy) in [
        (String::new(), 0o600, "it is empty", "assent key generate"),
        (block("ENCRYPTED PRIVATE KEY"), 0o600, "it holds an encrypted private key", "openssl pkey -in FILE"),
        (block("RSA PRIVATE KEY"), 0o600, "it holds an RSA private key", "assent key generate"),
        (rsa.to_owned(), 0o600, "it holds an RSA key", "assent key generate"),
        (block("CERTIFICATE"), 0o600, "it holds a certificate", "assent key generate"),
        (pem.clone(), 0o644, "every user of this machine may use it", "chmod 600"),
        (pem.clone(), 0o604, "(mode 0604)", "chmod 600"),
    ] {
        put(&path, &text, mode);
        let output = started(&config);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{says}: {said}");
        assert!(said.contains("error: node_not_started: "), "{says}: {said}");
        assert!(said.contains(says) && said.contains(remedy), "{says}: {said}");
        assert!(said.contains(&format!("`{}`", path.display())), "{says}: {said}");
    }
    put(&path, &pem, 0o640);
    cluster.restart(1).unwrap();
    cluster.node_ready(1, SURELY).await.unwrap();
    let log = cluster.dev_directory().join("node-1.log");
    let told = async {
        while !fs::read_to_string(&log).unwrap().contains("the file's group may use the node's key too") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, told).await.expect("it says that the group has access");
}
