//! The walk of `docs/cluster.md` works as written: a cluster with TLS on every port, on four loopback addresses in place
//! of four machines. If `ASSENT_SHOW` is set, the test prints what the commands answer.

use std::io::Write as _;
use std::net::TcpListener;

use assent_jepsen::run_walk;

const PAGE: &str = include_str!("../../docs/cluster.md");

/// The addresses of the page's machines, and those that stand for them here.
const MACHINES: [(&str, &str); 4] = [
    ("10.0.0.11", "127.0.0.2"),
    ("10.0.0.12", "127.0.0.3"),
    ("10.0.0.13", "127.0.0.4"),
    ("10.0.0.14", "127.0.0.5"),
];

/// Ports that are free on each of these addresses. They lie below those that Linux gives to outgoing connections.
fn free_ports<const N: usize>() -> [u16; N] {
    let from = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    let is_free = |port: &u16| MACHINES.iter().all(|(_, here)| TcpListener::bind((*here, *port)).is_ok());
    let mut free = (from..from + 2_000).filter(is_free);
    std::array::from_fn(|_| free.next().expect("a port that is free on every address of the test"))
}

/// The page with the addresses and ports of this machine.
fn page_here() -> String {
    let mut page = PAGE.to_owned();
    for (there, here) in MACHINES {
        assert!(page.contains(there), "the page has no machine {there} any more");
        page = page.replace(there, here);
    }
    assert!(!page.contains("10.0.0."), "the page names a machine that this test does not know");
    let [clients, peers, operators] = free_ports();
    for (there, here) in [(":7400", clients), (":7500", peers), (":7600", operators)] {
        assert!(page.contains(there), "the page has no port {there} any more");
        page = page.replace(there, &format!(":{here}"));
    }
    page
}

/// It fails if a command of the page is wrong, if a node does not serve TLS, if a revoked certificate goes on to be
/// accepted (the page then waits until the test's time is over), or if a renewed one is not read.
#[tokio::test]
async fn the_walk_to_a_cluster_of_three_machines_works_as_written() {
    if !cfg!(target_os = "linux") {
        // The test's harness would keep `eprintln!` to itself.
        let left_out = "`docs/cluster.md` was not played: 127.0.0.2 to 127.0.0.5 are there on Linux only";
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {left_out}");
        return;
    }
    assert!(PAGE.matches("```sh\n").count() >= 16, "the page has lost its commands");
    assert!(PAGE.matches("```text\n").count() >= 14, "the page has lost its answers");
    let printed = run_walk(&page_here()).await.unwrap_or_else(|error| panic!("{error}"));
    if std::env::var_os("ASSENT_SHOW").is_some() {
        println!("{printed}");
    }
    let ran = printed.lines().filter(|line| *line == "it runs").count();
    assert_eq!(ran, 4, "the scheduler is allowed before, between and after the changes:\n{printed}");
}

/// It fails if a command of the page needs another program than `assent` to make or read a certificate, or if the page
/// goes around TLS.
#[test]
fn the_walk_uses_assent_alone_and_no_plain_http() {
    for word in ["openssl", "curl", "http://", "plain_http", "insecure"] {
        assert!(!PAGE.contains(word), "the page has `{word}`");
    }
    for word in ["[peer_tls]", "[client_tls]", "https://", "crl = "] {
        assert!(PAGE.contains(word), "the page has lost `{word}`");
    }
}
