//! A real node for the tests of this folder.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use assent_fixtures::policy::open_policy;
use assent_fixtures::{Chain, Genesis, Place, claims, key};
use assent_proof::{Claims, Seconds};
use assent_tls::ca::{Ca, CertificateRequest};
use assent_tls::{NodeName, TrustDomain};

use crate::access::{CallerConfig, Role, Token};
use crate::config::{ClientTlsConfig, Config, VoterConfig};
use crate::env::Environment;
use crate::node::Node;

const ORIGIN: &str = "registry.test/routes";
pub(super) const DOMAIN: &str = "prod.eu";

#[expect(clippy::disallowed_methods, reason = "a genesis file is made with the present time")]
fn now() -> Seconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Seconds(i64::try_from(since.as_secs()).unwrap())
}

pub(super) fn place_in(domain: &str) -> Place {
    Place::new(ORIGIN, domain.parse().unwrap(), now()).about("program")
}

/// A cluster of one, with the domains `prod.eu` and `prod.us`. It serves plain HTTP unless `spoil` says otherwise.
pub(super) async fn node(folder: &Path, spoil: impl FnOnce(&mut Config)) -> Node {
    let mut genesis = Genesis::new(ORIGIN, now(), &[key(1)], 1, &key(2));
    let grant = claims::grant(
        key(11).public(),
        assent_proof::Role::Registry,
        Seconds(now().0 - 60),
        Seconds(now().0 + 3600),
    );
    genesis.node(&key(11), place_in("_root").draft(&grant));
    genesis.domain(&DOMAIN.parse().unwrap(), &[key(3)], 1);
    genesis.domain(&"prod.us".parse().unwrap(), &[key(4)], 1);
    let policy = place_in(DOMAIN).draft(&Claims::Policy(open_policy()));
    genesis.govern(&Chain::new().sign(policy, &[&key(3)]));
    let (path, node_key) = (folder.join("genesis.json"), folder.join("node.pem"));
    std::fs::write(&path, genesis.bytes()).unwrap();
    std::fs::write(&node_key, key(11).to_pem()).unwrap();
    std::fs::set_permissions(&node_key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let voter = VoterConfig { id: 1, peer: "127.0.0.1:1".into(), client: "127.0.0.1:2".into() };
    let mut config = Config::new(1, folder.join("data"), path, node_key, vec![voter]);
    (config.peer_listen, config.client_listen) = ("127.0.0.1:0".into(), "127.0.0.1:0".into());
    config.deadlines.authorize_ms = 1_000;
    spoil(&mut config);
    let env = Environment::real(&config.data_dir).unwrap();
    let node = Node::start(config, env).await.unwrap();
    for _ in 0..1_200 {
        if node.service().ready().await.is_ok() {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not ready: {:?}", node.service().ready().await);
}

pub(super) const OPS: &str = "spiffe://example.org/ops";
pub(super) const SCHEDULER: &str = "spiffe://example.org/scheduler";

/// Serves TLS, to callers with these tokens and certificates.
pub(super) fn serve_tls(config: &mut Config, folder: &Path, token: &Token) {
    let domain = TrustDomain::parse("example.org").unwrap();
    let (day, now) = (24 * 60 * 60 * 1_000, now().0 * 1_000);
    let mut ca = Ca::create(&folder.join("ca"), &domain, now - 2 * day, [99; 16]).unwrap();
    let name = NodeName { trust_domain: domain, cluster_id: [7; 32], node_id: 1 };
    let wanted = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    let own = ca.issue(&wanted, now - day, [1; 16]).unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (cert, key) =
        (put("own.pem", own.certificate_pem.as_bytes()), put("own.key", own.key_pem.as_bytes()));
    let tokens = put("tokens", format!("{}\n", token.digest()).as_bytes());
    let ca = Some(ca.certificate_path().to_owned());
    let caller = |name: &str, role: Role| CallerConfig {
        name: name.to_owned(),
        certificate: None,
        tokens: None,
        jwt: None,
        roles: vec![role],
        domains: None,
        rate: None,
        burst: None,
    };
    config.plain_http = false;
    config.client_tls = Some(ClientTlsConfig { cert, key, ca, crl: None });
    config.callers = vec![
        CallerConfig { certificate: Some(OPS.to_owned()), ..caller("ops", Role::Operator) },
        CallerConfig { certificate: Some(SCHEDULER.to_owned()), ..caller("scheduler", Role::Scheduler) },
        CallerConfig { tokens: Some(tokens), ..caller("by-token", Role::Auditor) },
    ];
}
