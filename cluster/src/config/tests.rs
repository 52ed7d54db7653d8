//! The example configurations load, and an error in a configuration is reported by its field.

use std::path::Path;

use super::{ClientTlsConfig, Config, ConfigError, PeerConfig};
use crate::access::{JwtAlgorithm, JwtIssuerConfig};

fn example() -> Config {
    Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/three-nodes/node-1.toml")).unwrap()
}

/// The configuration as one of a node that serves plain HTTP on loopback.
fn plain(config: &mut Config) -> &mut Config {
    config.client_listen = "127.0.0.1:7400".into();
    (config.client_tls, config.plain_http) = (None, true);
    config.admin_listen = None;
    config.callers.clear();
    config
}

/// The configuration's TLS of the client port, without authorities.
fn tls(config: &mut Config) -> &mut ClientTlsConfig {
    let tls = config.client_tls.as_mut().unwrap();
    tls.ca = None;
    tls
}

fn issuer() -> JwtIssuerConfig {
    JwtIssuerConfig {
        issuer: "https://issuer.example".into(),
        audience: "assent".into(),
        jwks: "jwks.json".into(),
        algorithms: vec![JwtAlgorithm::ES256],
        leeway_s: 30,
    }
}

fn peer(id: u64, peer: &str) -> PeerConfig {
    PeerConfig { id, peer: peer.to_owned() }
}

#[test]
fn every_example_is_valid_has_tls_on_both_ports_and_names_its_own_node() {
    for (folder, nodes) in [("three-nodes", 3), ("five-nodes", 5)] {
        for id in 1..=nodes {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/{folder}/node-{id}.toml"));
            let config = Config::load(&path).unwrap();
            assert_eq!((config.node_id, config.voters.len()), (id, nodes as usize));
            // The lists of revoked certificates are there, so a caller or a node can be locked out without a change of
            // the configuration.
            assert!(config.peer_tls.unwrap().crl.is_some() && config.client_tls.unwrap().crl.is_some());
        }
    }
}

#[test]
fn a_wrong_field_is_named() {
    type Spoil = fn(&mut Config);
    let cases: Vec<(Spoil, &str)> = vec![
        (|c| c.node_id = 0, "node_id"),
        (|c| c.node_id = (1 << 63) - 1, "node_id"),
        // A founder far away would leave no ids for later members.
        (|c| c.voters[1].id = (1 << 20) + 1, "voters[1].id"),
        (|c| c.voters[1].id = 1 << 32, "voters[1].id"),
        (|c| c.voters[1].id = (1 << 63) - 1, "voters[1].id"),
        (|c| c.peers = vec![peer(0, "a:1")], "peers[0].id"),
        (|c| c.peers = vec![peer((1 << 63) - 1, "a:1")], "peers[0].id"),
        (|c| c.peers = vec![peer(2, "a:1"), peer(2, "a:2")], "peers[1].id"),
        (|c| c.peers = vec![peer(2, "nowhere")], "peers[0].peer"),
        (|c| c.peer_advertise = Some("node-4".into()), "peer_advertise"),
        (|c| c.peers = vec![peer(2, "0.0.0.0:7500")], "peers[0].peer"),
        (|c| c.peers = vec![peer(2, "255.255.255.255:7500")], "peers[0].peer"),
        (|c| c.peers = vec![peer(2, "127.1:7500")], "peers[0].peer"),
        // Another spelling of an address that another one may have.
        (|c| c.client_advertise = Some("[::ffff:10.0.0.1]:7400".into()), "client_advertise"),
        (|c| c.peer_advertise = Some("10.0.0.1:+7500".into()), "peer_advertise"),
        (|c| c.client_listen = c.client_listen.replace(':', ":0"), "client_listen"),
        // No other node can dial it.
        (|c| c.peer_advertise = Some("0.0.0.0:7500".into()), "peer_advertise"),
        (|c| c.client_advertise = Some("[::]:7400".into()), "client_advertise"),
        (|c| c.raft.log_mib = 0, "raft.log_mib"),
        (|c| c.deadlines.membership_ms = 0, "deadlines.membership_ms"),
        (|c| c.voters.truncate(2), "voters"),
        (|c| c.voters[1].id = 1, "voters[1].id"),
        (|c| c.voters[1].peer = "nowhere".into(), "voters[1].peer"),
        (|c| c.voters[2].client = c.voters[1].client.clone(), "voters[2].client"),
        (
            |c| {
                c.voters[1].client = "node-b:7400".into();
                c.voters[2].client = "NODE-B.:7400".into();
            },
            "voters[2].client",
        ),
        (
            |c| {
                c.voters[1].client = "127.0.0.1:7400".into();
                c.voters[2].client = "localhost:7400".into();
            },
            "voters[2].client",
        ),
        // Beyond loopback, nodes prove to each other who they are.
        (|c| c.peer_tls = None, "peer_listen"),
        // Without TLS, clients are served on loopback only, and only if the configuration says so.
        (|c| c.client_tls = None, "client_tls"),
        (|c| c.plain_http = true, "plain_http"),
        (|c| (c.client_tls, c.plain_http) = (None, true), "client_listen"),
        (|c| plain(c).callers = example().callers, "callers"),
        (|c| plain(c).jwt_issuers = vec![issuer()], "jwt_issuers"),
        (|c| plain(c).public_read = true, "public_read"),
        (|c| tls(c).crl = Some("crl.pem".into()), "client_tls.crl"),
        // What operators do is not for a port that other machines reach without an operator's certificate.
        (
            |c| {
                tls(c).crl = None;
                c.admin_listen = Some("10.0.0.11:7410".into());
            },
            "admin_listen",
        ),
        (|c| plain(c).admin_listen = Some("10.0.0.11:7410".into()), "admin_listen"),
        (|c| plain(c).admin_listen = Some("[::ffff:127.0.0.1]:7410".into()), "admin_listen"),
        (|c| c.admin_listen = Some("localhost:7410".into()), "admin_listen"),
        (|c| c.health_listen = Some("10.0.0.11".into()), "health_listen"),
        (|c| (c.health_listen, c.health_metrics) = (None, true), "health_metrics"),
        // Each listener has an address of its own.
        (|c| c.admin_listen = Some(c.client_listen.clone()), "admin_listen"),
        (|c| c.health_listen = Some("0.0.0.0:7500".into()), "health_listen"),
        (|c| c.health_listen = c.admin_listen.clone(), "health_listen"),
        (|c| c.peer_listen = c.client_listen.clone(), "peer_listen"),
        (|c| c.limits.admin_connections = 0, "limits.admin_connections"),
        (|c| c.callers[1].roles = vec![], "callers[1].roles"),
        (|c| c.callers[1].domains = Some(vec![]), "callers[1].domains"),
        (|c| c.callers[3].certificate = c.callers[0].certificate.clone(), "callers[3].certificate"),
        (|c| c.callers[0].tokens = Some("x".into()), "callers[0]"),
        (
            |c| c.jwt_issuers = vec![JwtIssuerConfig { algorithms: vec![], ..issuer() }],
            "jwt_issuers[0].algorithms",
        ),
        (|c| c.jwt_issuers = vec![JwtIssuerConfig { leeway_s: 301, ..issuer() }], "jwt_issuers[0].leeway_s"),
        (|c| c.jwt_issuers = vec![issuer(), issuer()], "jwt_issuers[1].issuer"),
        (|c| c.peer_listen = "here".into(), "peer_listen"),
        (|c| c.raft.election_min_ms = 60, "raft.election_min_ms"),
        (|c| c.raft.election_max_ms = 150, "raft.election_max_ms"),
        (|c| c.raft.lag_entries = 1, "raft.lag_entries"),
        (|c| c.deadlines.authorize_ms = 0, "deadlines.authorize_ms"),
        (|c| c.deadlines.authorize_ms = 5_000, "deadlines.authorize_ms"),
        (|c| c.deadlines.http_idle_ms = 0, "deadlines.http_idle_ms"),
        (|c| c.deadlines.http_idle_ms = 3_600_001, "deadlines.http_idle_ms"),
        (|c| c.limits.authorize_queue = 0, "limits.authorize_queue"),
        (|c| c.limits.authorize_queue = 1_999, "limits.authorize_queue"),
        (|c| c.limits.submit_queue = 1_999, "limits.submit_queue"),
        (|c| c.limits.issuer_rate = 1_000_001, "limits.issuer_rate"),
        (|c| c.limits.issuer_burst = 0, "limits.issuer_burst"),
        (|c| c.limits.issuer_burst = 1_000_001, "limits.issuer_burst"),
        (|c| c.limits.domain_mib_per_year = u64::MAX, "limits.domain_mib_per_year"),
        (|c| c.limits.disk_reserve_mib = u64::MAX, "limits.disk_reserve_mib"),
        (|c| c.deadlines.task_late_ms = 2_999, "deadlines.task_late_ms"),
        (|c| c.deadlines.task_late_ms = 600_001, "deadlines.task_late_ms"),
        (|c| c.clock_bound_ms = 501, "clock_bound_ms"),
        (|c| c.clock_settle_ms = 0, "clock_settle_ms"),
        (|c| c.clock_settle_ms = 3_600_001, "clock_settle_ms"),
        (|c| c.limits.submit_batch_bytes = 16 << 20, "limits.submit_batch_bytes"),
    ];
    for (spoil, expected) in cases {
        let mut config = example();
        spoil(&mut config);
        match config.validate() {
            Err(ConfigError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_node_that_serves_plain_http_on_loopback_needs_no_callers() {
    let mut config = example();
    plain(&mut config).validate().unwrap();
    config.client_listen = "[::1]:7400".into();
    config.validate().unwrap();
}

#[test]
fn operators_may_be_served_on_loopback_or_with_their_certificates_and_probes_anywhere() {
    let mut config = example();
    for admin in ["127.0.0.1:7410", "[::1]:7410", "10.0.0.11:7410", "0.0.0.0:7410"] {
        config.admin_listen = Some(admin.into());
        config.validate().unwrap();
    }
    for health in ["127.0.0.1:7420", "10.0.0.11:7420", "0.0.0.0:7420"] {
        config.health_listen = Some(health.into());
        config.health_metrics = true;
        config.validate().unwrap();
    }
    // Both beside the client port: 64 connections of operators and 16 of probes.
    assert_eq!(config.other_connections(), 80);
    // The system chooses a port for each of them.
    (config.admin_listen, config.health_listen) = (Some("127.0.0.1:0".into()), Some("127.0.0.1:0".into()));
    config.validate().unwrap();
    (config.admin_listen, config.health_listen, config.health_metrics) = (None, None, false);
    config.validate().unwrap();
    assert_eq!(config.other_connections(), 0);
    assert!(!config.to_toml().unwrap().contains("health"), "an older build reads it");
}

#[test]
fn a_relative_path_is_relative_to_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let mut config = example();
    let tls = config.client_tls.as_mut().unwrap();
    (tls.cert, tls.key) = ("tls/cert.pem".into(), "tls/key.pem".into());
    (tls.ca, tls.crl) = (Some("ca.pem".into()), Some("crl.pem".into()));
    config.callers[1].tokens = Some("x.tokens".into());
    config.jwt_issuers = vec![issuer()];
    std::fs::write(&path, config.to_toml().unwrap()).unwrap();
    let found = Config::load(&path).unwrap();
    let tls = found.client_tls.unwrap();
    let all = [
        tls.cert,
        tls.key,
        tls.ca.unwrap(),
        tls.crl.unwrap(),
        found.callers[1].tokens.clone().unwrap(),
        found.jwt_issuers[0].jwks.clone(),
    ];
    for file in all {
        assert!(file.starts_with(folder.path()), "{}", file.display());
    }
}

#[test]
fn a_cluster_founded_before_spellings_were_checked_still_starts() {
    for spelled in ["localhost:7600", "[::ffff:10.0.0.2]:7600", "10.0.0.2:07600", "0.0.0.0:7600"] {
        let mut config = example();
        config.voters[1].peer = spelled.into();
        config.validate().unwrap();
        config.voters[1].peer = example().voters[1].peer.clone();
        config.voters[1].client = spelled.into();
        config.validate().unwrap();
    }
}

/// It fails if `REMOVED` in `cluster/src/config/load.rs` loses the field: the reader then calls it unknown, without a remedy.
#[test]
fn a_configuration_that_trusts_its_network_is_refused_with_what_to_do_instead() {
    let text = example().to_toml().unwrap();
    for value in ["true", "false"] {
        match Config::from_toml(&format!("insecure_network = {value}\n{text}"), Path::new("node.toml")) {
            Err(ConfigError::Invalid { field, problem }) => {
                assert_eq!(field, "insecure_network");
                assert!(problem.contains("set `peer_tls`") && problem.contains("assent cert"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// It fails if a node listens beyond loopback without TLS on either port.
#[test]
fn without_tls_a_node_listens_on_loopback_only_on_both_ports() {
    let mut config = example();
    config.peer_tls = None;
    plain(&mut config);
    config.peer_listen = "127.0.0.1:7500".into();
    config.validate().unwrap();
    for (peer, client, expected) in [
        ("10.0.0.11:7500", "127.0.0.1:7400", "peer_listen"),
        ("0.0.0.0:7500", "127.0.0.1:7400", "peer_listen"),
        ("127.0.0.1:7500", "10.0.0.11:7400", "client_listen"),
        ("127.0.0.1:7500", "[::]:7400", "client_listen"),
    ] {
        (config.peer_listen, config.client_listen) = (peer.into(), client.into());
        match config.validate() {
            Err(ConfigError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{peer} {client}: {other:?}"),
        }
    }
}

#[test]
fn unknown_fields_and_missing_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    assert!(matches!(Config::load(&path), Err(ConfigError::Unreadable { .. })));
    let text = example().to_toml().unwrap();
    std::fs::write(&path, &text).unwrap();
    Config::load(&path).unwrap();
    std::fs::write(&path, format!("surprise = 1\n{text}")).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::Malformed { .. })));
}

/// Fails if a file with a secret that is named as the configuration is quoted in the error, or if the line at fault of a
/// configuration is not.
#[test]
fn a_secret_in_place_of_a_configuration_is_not_quoted() {
    let secret = "k7Qx2mVb9TzR4cLw";
    for text in [
        format!("assent_{secret}"),
        format!("eyJh.{secret}.{secret}=="),
        format!("{{\"key\": \"{secret}=\"}}"),
        format!("[\"{secret}\"]\n"),
        format!("# a token\n\n{secret}=\n"),
        format!("-----BEGIN PRIVATE KEY-----{secret}=-----END PRIVATE KEY-----"),
    ] {
        let error = Config::from_toml(&text, Path::new("node.toml")).unwrap_err().to_string();
        assert!(!error.contains(secret) && error.contains("node.toml"), "{error}");
    }
    for text in ["node_id = oops\n", "# a node\n[raft\nnode_id = 1\n"] {
        let error = Config::from_toml(text, Path::new("node.toml")).unwrap_err().to_string();
        assert!(error.contains("oops") || error.contains("[raft"), "{error}");
    }
}
