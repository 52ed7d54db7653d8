//! Prometheus itself, as Debian packages it (`apt-get install prometheus`).

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::page::get;

/// Longest wait for anything that Prometheus does: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The rules file that operators copy.
pub(crate) fn rules() -> PathBuf {
    here("../docs/alerts.yml")
}

/// A path from this crate's folder.
pub(crate) fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether this machine has Prometheus. Where it must have it, as in CI, its lack is a failure.
pub(crate) fn is_installed() -> bool {
    let runs = |tool: &str| {
        let ran = Command::new(tool).arg("--version").output();
        ran.is_ok_and(|output| output.status.success())
    };
    if runs("prometheus") && runs("promtool") {
        return true;
    }
    let lacks = "`prometheus` and `promtool` are not installed (`apt-get install prometheus`)";
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{lacks}, and CI=true demands them");
    // Past what the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: the alerts were not tried: {lacks}");
    false
}

/// Runs `promtool` with these arguments and this input.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without having read what it does not need.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A Prometheus that scrapes nodes every second and applies the rules file. Dropping it ends it.
pub(crate) struct Prometheus {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(targets: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules()],
            "scrape_configs": [{"job_name": "assent-test", "static_configs": [{"targets": targets}]}],
        });
        // JSON is YAML too.
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{free}");
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { process, address, folder };
        let until = Instant::now() + PATIENCE;
        while !get(&started.address, "/-/ready", "1.0", None).await.0.contains(" 200 ") {
            let ended = started.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {}", started.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        started
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it answers at a path of its API.
    async fn ask(&self, path: &str) -> Value {
        let (_, body) = get(&self.address, &format!("/api/v1/{path}"), "1.0", None).await;
        serde_json::from_str::<Value>(&body).map_or(Value::Null, |answer| answer["data"].clone())
    }

    /// The alerts that fire, by name and node.
    pub(crate) async fn firing(&self) -> Vec<(String, String)> {
        let alerts = self.alerts().await.into_iter();
        alerts.filter(|(_, _, fires)| *fires).map(|(name, node, _)| (name, node)).collect()
    }

    /// The alerts that are pending or fire: name, node, and whether it fires.
    async fn alerts(&self) -> Vec<(String, String, bool)> {
        let answer = self.ask("alerts").await;
        let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        alerts
            .iter()
            .map(|alert| {
                let labels = &alert["labels"];
                (text(&labels["alertname"]), text(&labels["instance"]), alert["state"] == "firing")
            })
            .collect()
    }

    /// Waits until each target is up, and none but these.
    pub(crate) async fn all_up(&self, targets: &[String]) {
        self.until("all targets are up", async || {
            let answer = self.ask("query?query=up").await;
            let found = answer["result"].as_array().cloned().unwrap_or_default();
            let up = |target: &String| {
                found.iter().any(|one| one["metric"]["instance"] == target.as_str() && one["value"][1] == "1")
            };
            found.len() == targets.len() && targets.iter().all(up)
        })
        .await;
    }

    /// Waits until each rule was evaluated without an error. Answers how many there are.
    pub(crate) async fn all_evaluated(&self) -> usize {
        self.until("all rules are evaluated", async || {
            let rules = self.rules().await;
            !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
        })
        .await;
        self.rules().await.len()
    }

    async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules").await;
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() >= until {
                let (alerts, log) = (self.alerts().await, self.log());
                panic!("after {} s it is not so that {what}: {alerts:?}\n{log}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}
