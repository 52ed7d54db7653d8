//! For tests: a clock that tests set, and an allow from a server that is not a node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_api::{DecisionBody, Verdict};
use assent_client::{Client, ClientConfig, Clock, Decision, Trust};
use assent_proof::{AuthorizeRequest, History, Millis, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How long the allow lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(9);
/// When it was decided, by the server's clock.
const DECIDED: Millis = Millis(100 * 3_600_000);

/// A clock that tests set: a wall clock, and a clock that continues while the host sleeps.
#[derive(Debug)]
pub(crate) struct FakeClock(Mutex<(Millis, Duration)>);

impl FakeClock {
    /// A clock whose wall clock is an hour behind the server's.
    pub(crate) fn an_hour_slow() -> Arc<Self> {
        let wall = DECIDED.saturating_add(-3_600_000);
        Arc::new(FakeClock(Mutex::new((wall, Duration::from_secs(777)))))
    }

    /// Lets time pass while the host is awake.
    pub(crate) fn pass(&self, time: Duration) {
        self.suspend(time);
        let mut told = self.0.lock().unwrap();
        told.0 = told.0.saturating_add(i64::try_from(time.as_millis()).unwrap());
    }

    /// Lets the host sleep for this time. Its wall clock is not set again after that.
    pub(crate) fn suspend(&self, time: Duration) {
        self.0.lock().unwrap().1 += time;
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> Millis {
        self.0.lock().unwrap().0
    }

    fn boot(&self) -> Option<Duration> {
        Some(self.0.lock().unwrap().1)
    }
}

/// An allow that lasts for [`LASTS`], asked for by this clock.
pub(crate) async fn allow(clock: &Arc<FakeClock>) -> Decision {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let request = AuthorizeRequest {
        domain: "prod.eu".parse().unwrap(),
        lineage: Some("exec-1".parse().unwrap()),
        runtime: None,
        action: "run".to_owned(),
        subject: Sha256([3; 32]),
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
        history: None,
    };
    let body = DecisionBody {
        decision: Verdict::Allow,
        request: request.to_json(),
        history: History::founded([0; 32]),
        node_id: 1,
        revision: 2,
        head: None,
        policy: None,
        evaluated_at: DECIDED,
        valid_until: DECIDED.saturating_add(i64::try_from(LASTS.as_millis()).unwrap()),
        reasons: Vec::new(),
        more_reasons: 0,
        permit: None,
        receipt: None,
    };
    let body = body.to_vec();
    let answer = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 16 * 1024];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        stream
    };
    let mut config = ClientConfig::new([endpoint], Trust::Unverified);
    config.clock = Arc::<FakeClock>::clone(clock);
    let client = Client::new(config).unwrap();
    let (decision, _open) = tokio::join!(client.authorize(&request), answer);
    decision.unwrap()
}
