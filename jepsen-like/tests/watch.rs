//! `assent watch` over real clusters and real processes: a command is stopped when it may run no longer, and not
//! before.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, binary};
use assent_proof::{EvidenceKind, Sha256};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Far above what anything here takes, for machines that are busy.
const SURELY: Duration = Duration::from_secs(60);

/// A watched command that writes a line into a file again and again.
struct Watched {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assent(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    command
        .args(arguments)
        .env("ASSENT_ENDPOINTS", endpoints.join(","))
        .env("ASSENT_ORIGIN", &cluster.origin)
        .env("ASSENT_DOMAIN", &cluster.domain)
        .env("ASSENT_NODE_KEYS", cluster.dev_directory().join("node-keys.pem"));
    command
}

/// Beats into `beats` every 20 ms, and says in `last` that it got a SIGTERM.
const POLITE: &str = "trap 'echo term > last; exit 3' TERM; while :; do echo x >> beats; sleep 0.02; done";
/// The same, but it takes no notice, and neither does what it started.
const STUBBORN: &str = "trap '' TERM; (while :; do echo x >> inner; sleep 0.02; done) & while :; do echo x >> beats; sleep 0.02; done";

impl Watched {
    fn start(cluster: &Cluster, lineage: &str, options: &[&str], script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let subject = format!("sha256:{}", Sha256::of(lineage.as_bytes()));
        let question = ["watch", "--lineage", lineage, "--action", "run", "--subject", &subject];
        let log = std::fs::File::create(directory.path().join("said")).unwrap();
        let child = assent(cluster, &question)
            .args(options)
            .args(["--", "sh", "-c", script])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until the command beats, and beats on.
    async fn beats(&mut self) {
        let from = self.file("beats").len();
        let until = Instant::now() + SURELY;
        while self.file("beats").len() < from + 10 {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {}", self.file("said"));
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The exit code, once it has ended.
    async fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + SURELY;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it goes on: {}", self.file("said"));
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether nothing of it writes any more.
    async fn is_still(&self, names: &[&str]) -> bool {
        let sizes = || names.iter().map(|name| self.file(name).len()).collect::<Vec<_>>();
        let before = sizes();
        sleep(Duration::from_millis(400)).await;
        before == sizes()
    }
}

async fn allowed(cluster: &Cluster, lineage: &str) -> Evidence {
    let evidence = Evidence::new(cluster, lineage).await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    assert!(cluster.decide(1, &evidence.request()).await.is_allow());
    evidence
}

fn key(cluster: &Cluster, role: &str) -> PathBuf {
    cluster.key_path(role).map(Path::to_owned).unwrap()
}

/// Decisions hold so many seconds from here on.
fn decisions_hold(cluster: &Cluster, seconds: u32) {
    let ttl = format!("decisionTtlSeconds={seconds}");
    let require = "require=[{\"kind\":\"runtime-attestation\",\"maxAgeSeconds\":null}]";
    let claims = [require, "attestationStatus=[\"affirming\"]", "measurements=null", &ttl];
    let mut policy = vec!["statement", "new", "policy", "--submit"];
    policy.extend(claims.iter().flat_map(|claim| ["--claim", *claim]));
    let set = assent(cluster, &policy).arg("--key").arg(key(cluster, "governance")).output().unwrap();
    assert!(set.status.success(), "{set:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_while_it_is_allowed_and_stops_when_its_grounds_are_revoked() {
    let cluster = Cluster::start(3).await.unwrap();
    decisions_hold(&cluster, 4);
    let evidence = allowed(&cluster, "exec").await;
    allowed(&cluster, "other").await;
    let mut polite = Watched::start(&cluster, "exec", &[], POLITE);
    let mut stubborn = Watched::start(&cluster, "exec", &["--grace", "1"], STUBBORN);
    polite.beats().await;
    stubborn.beats().await;
    // Beyond the end of the decision that started them, and whatever becomes of others.
    sleep(Duration::from_millis(4500)).await;
    let quarantine = ["contain", "quarantine", "other", "--key"];
    let contained = assent(&cluster, &quarantine).arg(key(&cluster, "audit")).output().unwrap();
    assert!(contained.status.success(), "{contained:?}");
    polite.beats().await;
    stubborn.beats().await;

    // This one's decision holds for a minute: only the event can stop it so soon.
    decisions_hold(&cluster, 60);
    let mut prompt = Watched::start(&cluster, "exec", &[], POLITE);
    prompt.beats().await;
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    let revoked = Instant::now();
    cluster.accept(2, &evidence.revocation(&attestation, &governance)).await.unwrap();
    assert_eq!(prompt.ended().await, Some(12), "{}", prompt.file("said"));
    assert!(revoked.elapsed() < Duration::from_secs(15), "{:?}", revoked.elapsed());
    assert_eq!(polite.ended().await, Some(12), "{}", polite.file("said"));
    assert_eq!(polite.file("last"), "term\n");
    assert!(polite.file("said").contains("authority_revoked"), "{}", polite.file("said"));
    assert_eq!(stubborn.ended().await, Some(12), "{}", stubborn.file("said"));
    assert!(stubborn.is_still(&["beats", "inner"]).await, "something of it goes on");

    // And nothing starts any more.
    let mut late = Watched::start(&cluster, "exec", &[], POLITE);
    assert_eq!(late.ended().await, Some(10));
    assert_eq!(late.file("beats"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_stops_when_nobody_can_say_any_more_that_it_may_go_on() {
    let mut cluster = Cluster::start(3).await.unwrap();
    decisions_hold(&cluster, 4);
    allowed(&cluster, "exec").await;
    let mut strict = Watched::start(&cluster, "exec", &[], POLITE);
    let mut patient = Watched::start(&cluster, "exec", &["--unknown-grace", "600"], POLITE);
    strict.beats().await;
    patient.beats().await;
    // One node less is nothing to it; without a quorum it goes on only to the end of the last allow.
    let leader = cluster.leader().await.unwrap();
    cluster.kill(leader).unwrap();
    sleep(Duration::from_millis(4500)).await;
    strict.beats().await;
    let other = (1..=3).find(|id| *id != leader).unwrap();
    cluster.kill(other).unwrap();
    let lost = Instant::now();
    assert_eq!(strict.ended().await, Some(13), "{}", strict.file("said"));
    assert!(lost.elapsed() < Duration::from_secs(20), "{:?}", lost.elapsed());
    assert_eq!(strict.file("last"), "term\n");
    assert!(strict.file("said").contains("execution_unconfirmed"), "{}", strict.file("said"));
    patient.beats().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_as_it_likes_and_with_the_program_that_watches_it() {
    let cluster = Cluster::start(3).await.unwrap();
    allowed(&cluster, "exec").await;
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("cat > got; test ! -s got", 0)] {
        assert_eq!(Watched::start(&cluster, "exec", &[], script).ended().await, Some(code), "{script}");
    }
    let mut leaves = Watched::start(&cluster, "exec", &["--grace", "0"], &format!("({POLITE}) & sleep 0.3"));
    assert_eq!(leaves.ended().await, Some(0));
    assert!(leaves.is_still(&["beats"]).await, "what it left behind goes on");

    let mut told = Watched::start(&cluster, "exec", &[], POLITE);
    told.beats().await;
    told.signal(Signal::SIGTERM);
    assert_eq!((told.ended().await, told.file("last").as_str()), (Some(3), "term\n"));

    let mut orphaned = Watched::start(&cluster, "exec", &[], STUBBORN);
    orphaned.beats().await;
    orphaned.signal(Signal::SIGKILL);
    assert_eq!(orphaned.ended().await, None);
    let until = Instant::now() + SURELY;
    while !orphaned.is_still(&["beats", "inner"]).await {
        assert!(Instant::now() < until, "it survived the program that watched it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_keeps_its_permit_and_stops_when_a_negative_is_said_of_it() {
    let cluster = Cluster::start(3).await.unwrap();
    decisions_hold(&cluster, 4);
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    let claims = json!({"actions": ["run"], "notBefore": "2020-01-01T00:00:00Z", "notAfter": "2090-01-01T00:00:00Z",
        "uses": 1});
    let artifact = evidence.execution(EvidenceKind::ExecutionAuthorization, &claims, &governance, (0, None));
    cluster.accept(1, &artifact).await.unwrap();
    let good = evidence.attestation(&attestation, (0, None), "affirming", "m");
    cluster.accept(1, &good).await.unwrap();

    let mut without = Watched::start(&cluster, "exec", &[], POLITE);
    assert_eq!(without.ended().await, Some(10));
    let mut permitted = Watched::start(&cluster, "exec", &["--permit"], POLITE);
    permitted.beats().await;
    sleep(Duration::from_millis(4500)).await;
    permitted.beats().await;
    let mut second = Watched::start(&cluster, "exec", &["--permit"], POLITE);
    assert_eq!(second.ended().await, Some(10), "its one use is taken");

    let bad = evidence.attestation(&attestation, (1, assent_jepsen::id_of(&good)), "contraindicated", "m");
    cluster.accept(3, &bad).await.unwrap();
    assert_eq!(permitted.ended().await, Some(12), "{}", permitted.file("said"));
    assert!(permitted.file("said").contains("attestation_not_affirming"), "{}", permitted.file("said"));
}
