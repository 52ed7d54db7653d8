//! The memory of a node's process while clients send a byte at a time or half of a large body, and after a flood. The bounds
//! of the configuration bound it. On Linux, whose `/proc` says how much memory a process has.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The most by which the node's memory may grow, in KiB: the 32 MiB of bodies, and the buffers of 400 connections. The half bodies
/// are 95 MiB in all, so a node that keeps all of them beside these buffers
/// grows by more.
const GROWTH_MAX: u64 = 96 * 1024;
/// Connections that send a byte at a time.
const DRIBBLING: usize = 200;
/// Connections that send half of a body of 1 MB.
const HALF_BODIES: usize = 200;
const BODY: usize = 1_000_000;
/// Connections that ask for batches of decisions, of 1,000 each.
const FLOODING: usize = 64;
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// How much memory a process has now, in KiB.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The most memory that a process has while this goes on, in KiB, and the result.
async fn most_while<T>(pid: i32, work: impl Future<Output = T>) -> (u64, T) {
    tokio::pin!(work);
    let mut most = resident(pid);
    loop {
        tokio::select! {
            done = &mut work => return (most.max(resident(pid)), done),
            () = sleep(Duration::from_millis(50)) => most = most.max(resident(pid)),
        }
    }
}

/// A request with a body.
fn post(path: &str, body: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A connection from an address of this machine at which no other caller is.
async fn connected(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends a head a byte at a time. Returns how many bytes the node took.
async fn dribbles(address: SocketAddr, until: Instant) -> usize {
    let mut stream = connected(address).await;
    let mut taken = 0;
    while Instant::now() < until && stream.write_all(b"G").await.is_ok() {
        taken += 1;
        sleep(Duration::from_millis(100)).await;
    }
    taken
}

/// Sends half of a body, and keeps the connection open. Returns whether the node took the half, which it need not.
async fn half_a_body(address: SocketAddr, until: Instant) -> bool {
    let mut stream = connected(address).await;
    let head = format!("POST /v1/envelopes:batch HTTP/1.1\r\nhost: node\r\ncontent-length: {BODY}\r\n\r\n");
    let half = [head.into_bytes(), vec![b' '; BODY / 2]].concat();
    let taken = matches!(timeout_at(until, stream.write_all(&half)).await, Ok(Ok(())));
    sleep_until(until).await;
    taken
}

/// Asks again and again, on one connection after the other. Returns how many questions were answered.
async fn floods(address: SocketAddr, question: &[u8], until: Instant) -> usize {
    let mut answers = 0;
    while Instant::now() < until {
        let mut stream = connected(address).await;
        let _ = stream.write_all(question).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answers += usize::from(answer.starts_with(b"HTTP/1.1 "));
    }
    answers
}

async fn flood(address: SocketAddr, question: &[u8], connections: usize, within: Duration) -> usize {
    let until = Instant::now() + within;
    let answers = join_all((0..connections).map(|_| floods(address, question, until))).await;
    answers.iter().sum()
}

/// It fails if a node keeps what slow clients have sent beyond its bounds, or if a flood leaves memory behind that is not given
/// back. Beside the slow clients another one is still allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_and_a_flood_leave_a_nodes_memory_within_a_bound() {
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.stop(1).unwrap();
    cluster.configure(1, &[("body_kib", 32 * 1024), ("answer_kib", 16 * 1024)]).unwrap();
    cluster.restart(1).unwrap();
    cluster.ready(SETTLES_WITHIN).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let artifact = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
    cluster.accept(1, &artifact).await.unwrap();
    let attested = evidence.attestation(&cluster.key("attestation").unwrap(), (0, None), "affirming", "m");
    cluster.accept(1, &attested).await.unwrap();
    assert!(cluster.decide(1, &evidence.request()).await.is_allow());
    let node = cluster.node(1).unwrap();
    let (pid, address): (i32, SocketAddr) = (node.pid, node.client.parse().unwrap());
    let requests = vec![evidence.request().to_string(); 1_000].join(",");
    let batch = post("/v1/authorize:batch", &format!("{{\"requests\":[{requests}]}}"));
    // What a node keeps for good, such as the stacks of its threads, is there before it is measured.
    assert!(flood(address, &batch, 2, Duration::from_secs(1)).await > 0);

    let before = resident(pid);
    // Less than a head or a body may take, so that all of them are there at once.
    let until = Instant::now() + Duration::from_secs(4);
    let slow = async {
        let dribbling = join_all((0..DRIBBLING).map(|_| dribbles(address, until)));
        let halves = join_all((0..HALF_BODIES).map(|_| half_a_body(address, until)));
        let allowed = async {
            let mut allowed = 0;
            while Instant::now() < until {
                let decision = cluster.decide(1, &evidence.request()).await;
                assert!(decision.is_allow(), "{decision:?}");
                allowed += 1;
                sleep(Duration::from_millis(50)).await;
            }
            allowed
        };
        tokio::join!(dribbling, halves, allowed)
    };
    let (most, (dribbled, halves, allowed)) = most_while(pid, slow).await;
    let halves = halves.iter().filter(|taken| **taken).count();
    println!("slow clients: {before} KiB before, at most {most} KiB; {halves} halves were taken");
    assert!(allowed > 0 && halves > 0 && dribbled.iter().all(|taken| *taken > 1), "{halves} {dribbled:?}");
    let growth = most.saturating_sub(before);
    assert!(growth <= GROWTH_MAX, "it grew by {growth} KiB");

    let (most, answers) = most_while(pid, flood(address, &batch, FLOODING, Duration::from_secs(4))).await;
    assert!(answers > 0, "no question of the flood was answered");
    let settled = Instant::now() + Duration::from_secs(10);
    let mut after = resident(pid);
    // An allocator gives memory back with a delay.
    while after.saturating_sub(before) > GROWTH_MAX && Instant::now() < settled {
        sleep(Duration::from_millis(100)).await;
        after = resident(pid);
    }
    println!("a flood: at most {most} KiB, and {after} KiB after it; {answers} answers");
    let growth = after.saturating_sub(before);
    assert!(growth <= GROWTH_MAX, "it has grown by {growth} KiB");
    assert!(cluster.decide(1, &evidence.request()).await.is_allow());
}
