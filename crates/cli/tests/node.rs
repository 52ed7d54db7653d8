//! `assent node` as a service manager runs it: it reports its state, obeys signals, and ends with the right exit code.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// One node of a cluster that was made by `assent dev`, alone, with a service manager's socket.
struct Service {
    process: Child,
    /// Where its clients reach it.
    port: u16,
    socket: UnixDatagram,
    log: std::path::PathBuf,
}

impl Service {
    /// Makes a cluster's directory, and starts its first node; `drain_ms` is how long it takes to stop.
    fn start(folder: &Path, from: u16, drain_ms: u64) -> Service {
        let base = base_port(from);
        let dev = folder.join("dev");
        let mut making = Command::new(env!("CARGO_BIN_EXE_assent"))
            .args(["dev", "--base-port", &base.to_string(), "--data"])
            .arg(&dev)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the directory is made", || dev.join("dev.json").exists());
        kill(pid(&making), Signal::SIGTERM).unwrap();
        assert!(making.wait().unwrap().success());
        let config = dev.join("node-1.toml");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains("drain_ms = 0"), "{text}");
        fs::write(&config, text.replace("drain_ms = 0", &format!("drain_ms = {drain_ms}"))).unwrap();
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = folder.join("node.log");
        let process = Command::new(env!("CARGO_BIN_EXE_assent"))
            .args(["node", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Service { process, port: base, socket, log }
    }

    /// The next message to the service manager.
    fn told(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("the service manager is told something");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(pid(&self.process), signal).unwrap();
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pid(process: &Child) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).unwrap())
}

/// A base port of which the cluster's ports are free; each test has a range of its own.
fn base_port(from: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut bases = (from..from + 400).step_by(10);
    bases.find(|base| (0..3).all(|n| free(base + n) && free(base + 100 + n))).unwrap()
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_service_manager_hears_when_a_node_serves_and_when_it_stops_and_a_hangup_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path(), 20_000, 0);
    let ready = service.told();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    let address = format!("127.0.0.1:{}", service.port);
    assert!(ready.contains(&format!("STATUS=node 1 serves clients on {address}")), "{ready}");
    // It serves: that is what it said.
    TcpStream::connect(address).unwrap();
    service.signal(Signal::SIGHUP);
    eventually("it says so", || service.said().contains("nothing is reloaded"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(service.process.try_wait().unwrap().is_none(), "a hangup ended it");
    service.signal(Signal::SIGTERM);
    let stopping = service.told();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
    assert_eq!(service.process.wait().unwrap().code(), Some(0), "{}", service.said());
}

#[test]
fn a_second_signal_ends_a_stopping_node_at_once_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path(), 20_500, 30_000);
    assert!(service.told().contains("READY=1"));
    service.signal(Signal::SIGINT);
    assert!(service.told().contains("STOPPING=1"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(service.process.try_wait().unwrap().is_none(), "it drains for half a minute");
    service.signal(Signal::SIGTERM);
    let started = Instant::now();
    assert_eq!(service.process.wait().unwrap().code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(5), "at once is not {:?}", started.elapsed());
    assert!(service.said().contains("stopped_at_once"), "{}", service.said());
}
