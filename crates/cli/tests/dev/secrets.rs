//! No secret of a run is in what the run writes, prints or answers.
//!
//! A cluster with TLS runs with its logs at the level `trace`, an audit trail and metrics. Callers use it with good
//! credentials, with unknown, withdrawn and damaged ones, and with files in each other's place. Then everything that is
//! there is searched for every secret.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use assent_proof::{SigningKey, encode_base64};
use assent_tls::{Authorities, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

use super::search::{Search, finds_what_is_planted, of_jwt, of_key, of_token};
use super::*;

const ISSUER: &str = "https://issuer.example";
/// 2100-01-01, and 2001-09-09.
const LATER: u64 = 4_102_444_800;
const EARLIER: u64 = 1_000_000_000;

/// A run, and everything that its commands have printed and its nodes have answered.
struct Run {
    dev: Dev,
    seen: Vec<u8>,
}

impl Run {
    /// Runs a command. Answers whether it succeeded, and what it printed.
    fn assent(&mut self, credentials: &[(&str, &str)], args: &[&str]) -> (bool, String) {
        let output = self.dev.assent_as(credentials, args);
        self.seen.extend_from_slice(&output.stdout);
        self.seen.extend_from_slice(&output.stderr);
        (output.status.success(), printed(&output))
    }

    #[track_caller]
    fn ok(&mut self, credentials: &[(&str, &str)], args: &[&str]) -> String {
        let (is_done, printed) = self.assent(credentials, args);
        assert!(is_done, "{args:?}: {printed}");
        printed
    }

    #[track_caller]
    fn fails(&mut self, credentials: &[(&str, &str)], args: &[&str]) -> String {
        let (is_done, printed) = self.assent(credentials, args);
        assert!(!is_done, "{args:?}: {printed}");
        printed
    }

    /// Waits until these credentials are refused.
    fn is_refused_in_the_end(&mut self, credentials: &[(&str, &str)]) {
        let until = Instant::now() + PATIENCE;
        while self.assent(credentials, &STATUS).0 {
            assert!(Instant::now() < until, "it is never refused");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

const STATUS: [&str; 3] = ["status", "--timeout", "3000"];

fn put(path: &Path, text: &str, mode: u32) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn base64url(bytes: &[u8]) -> String {
    encode_base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// A JSON web token of the issuer.
fn jwt(key: &SigningKey, audience: &str, ends: u64) -> String {
    let header = serde_json::json!({"alg": "EdDSA", "typ": "JWT"});
    let claims = serde_json::json!({"iss": ISSUER, "sub": "reader", "aud": audience, "exp": ends});
    let message =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    format!("{message}.{}", base64url(&key.sign(message.as_bytes())))
}

/// Gives every node an audit trail, a health listener with metrics, and a caller with JSON web tokens.
fn configure(directory: &Path, base: u16, issuer: &SigningKey) {
    let jwks = directory.join("issuer.jwks");
    let key = serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": base64url(issuer.public().as_bytes()),
    });
    fs::write(&jwks, serde_json::json!({"keys": [key]}).to_string()).unwrap();
    for node in 1..=3_u16 {
        let path = directory.join(format!("node-{node}.toml"));
        let caller = format!(
            "[[callers]]\nname = \"reader\"\njwt = {{ issuer = \"{ISSUER}\", subject = \"reader\" }}\n\
             roles = [\"auditor\"]\n\n[[callers]]"
        );
        let text = fs::read_to_string(&path).unwrap().replacen("[[callers]]", &caller, 1);
        assert!(text.contains(ISSUER), "{text}");
        let health = base + 50 + node;
        let text = format!(
            "health_listen = \"127.0.0.1:{health}\"\nhealth_metrics = true\n{text}\n\
             [[jwt_issuers]]\nissuer = \"{ISSUER}\"\naudience = \"assent\"\njwks = \"{}\"\nalgorithms = [\"EdDSA\"]\n\n\
             [audit]\npath = \"audit-{node}.jsonl\"\n",
            jwks.display()
        );
        fs::write(&path, text).unwrap();
    }
}

/// What a node answers to one request over TLS, with each of these lines in its head.
fn answers(ca: &Path, address: &str, credentials: &[String]) -> Vec<u8> {
    let authorities = Authorities::read(ca, None).unwrap();
    let tls = assent_tls::client(None, &authorities, Arc::new(DefaultTimeProvider)).unwrap();
    let connector = TlsConnector::from(tls);
    Runtime::new().unwrap().block_on(async {
        let mut seen = Vec::new();
        for credential in credentials {
            for path in ["/v1/cluster/status", "/metrics", "/v1/events?after=x", "/nowhere"] {
                let head =
                    format!("GET {path} HTTP/1.1\r\nhost: node\r\n{credential}connection: close\r\n\r\n");
                seen.extend(exchanged(&connector, address, head.as_bytes()).await);
            }
        }
        seen
    })
}

async fn exchanged(tls: &TlsConnector, address: &str, question: &[u8]) -> Vec<u8> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = tls.connect(name, stream).await.unwrap();
    stream.write_all(question).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // A connection that stays open, or is broken, ends the answer too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(!answer.is_empty(), "{}", String::from_utf8_lossy(question));
    answer
}

/// Every file below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), into);
        } else {
            into.push(entry.path());
        }
    }
}

/// The files below a folder of which a part of a secret is found, with the names of these secrets. The files whose
/// purpose is to have a secret are left out.
fn leaks(search: &Search, folder: &Path, own: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let others = all.into_iter().filter(|path| !own.contains(path));
    let found = others.filter_map(|path| {
        let bytes = fs::read(&path).unwrap();
        let found = search.found_in(&bytes);
        (!found.is_empty()).then(|| format!("{}: {found:?}", path.display()))
    });
    found.collect()
}

/// Fails if a secret, or a part of one, is in a log, the audit trail, the metrics, an answer, an error or a file of the
/// cluster, and if one that is planted there would not be found.
#[test]
fn no_secret_is_in_what_a_run_with_good_bad_and_misplaced_credentials_writes_and_answers() {
    let tmp = tempfile::tempdir().unwrap();
    let (directory, own) = (tmp.path().join("dev"), tmp.path().join("own"));
    fs::create_dir(&own).unwrap();
    let base = base_port(28_000);
    let issuer = SigningKey::from_seed([77; 32]);
    Dev::start(&directory, base, &["--tls"]).stop();
    configure(&directory, base, &issuer);
    let dev = Dev::start_with(&directory, base, &[], &[("ASSENT_LOG", "trace,openraft=info")]);
    let json = dev.json();
    let mut run = Run { dev, seen: Vec::new() };

    // The secrets: those of the cluster, and those of strangers.
    let mut search = Search::new();
    let mut secret_files = BTreeSet::new();
    let mut planted: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |search: &mut Search, name: &str, spellings: &[Vec<u8>]| {
        search.add(name, spellings);
        planted.push((name.to_owned(), spellings[0].clone()));
    };
    let path = |file: &Path| file.to_str().unwrap().to_owned();
    let (stranger_key, stranger_token) = (path(&own.join("stranger.pem")), path(&own.join("stranger.token")));
    run.ok(&[], &["key", "generate", "--out", &stranger_key]);
    run.ok(&[], &["cert", "token", "--out", &stranger_token]);
    let mut all = Vec::new();
    for folder in [&directory, &own] {
        files(folder, &mut all);
    }
    for file in all {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let name = path(&file);
        if text.contains("-----BEGIN PRIVATE KEY-----") {
            add(&mut search, &name, &of_key(&text));
            secret_files.insert(file);
        } else if file.file_name().unwrap() == "token" || name == stranger_token {
            add(&mut search, &name, &of_token(&text));
            secret_files.insert(file);
        }
    }
    // Nine authorities, the checkpoint key, a stranger's; the CA's, the nodes' two each, the callers'; and the tokens.
    assert_eq!(search.names().len(), (9 + 1 + 1) + (1 + 3 + 3 + 6) + (6 + 1), "{:?}", search.names());
    let good = jwt(&issuer, "assent", LATER);
    let jwts = [
        ("jwt", good.clone()),
        ("jwt that is over", jwt(&issuer, "assent", EARLIER)),
        ("jwt for another service", jwt(&issuer, "another", LATER)),
        ("jwt of a stranger", jwt(&SigningKey::from_seed([78; 32]), "assent", LATER)),
    ];
    for (name, jwt) in &jwts {
        add(&mut search, name, &of_jwt(jwt));
    }
    let malformed = format!("assent_{}", "k7Qx2mVb9TzR4cLw".repeat(2));
    add(&mut search, "malformed token", &[malformed.as_bytes()[7..].to_vec()]);

    // Good credentials.
    let (ca, clients) = (json["ca"].as_str().unwrap(), json["clients"].as_object().unwrap());
    let developer = credentials(&json["ca"], &json["developer"], "certificate");
    let digest = format!("sha256:{}", "0".repeat(64));
    let (audit, governance) = (run.dev.key("audit"), run.dev.key("governance"));
    let attestation = run.dev.key("attestation");
    for by in ["certificate", "token"] {
        for caller in clients.values() {
            run.ok(&credentials(&json["ca"], caller, by), &STATUS);
        }
    }
    let attest = |key: &str| {
        let claims = ["verifier=v", "status=affirming", "measurement=none"];
        let mut args =
            vec!["statement", "new", "runtime-attestation", "--lineage", "job-1", "--subject", &digest];
        claims.iter().for_each(|claim| args.extend(["--claim", claim]));
        args.extend(["--key", key, "--submit"]);
        args.into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let attested = attest(&attestation);
    let attested: Vec<&str> = attested.iter().map(String::as_str).collect();
    run.ok(&developer, &attested);
    let asked = ["--lineage", "job-1", "--action", "run", "--subject", &digest];
    run.fails(&developer, &[&["authorize"][..], &asked].concat());
    run.fails(&developer, &[&["permit", "--nonce", "n-1"][..], &asked].concat());
    for args in [
        &["member", "list"][..],
        &["events"],
        &["domain", "list"],
        &["lineage", "show", "job-1", "--output", "json"],
        &["contain", "quarantine", "job-1", "--key", &audit],
        &["key", "show", &audit],
    ] {
        run.ok(&developer, args);
    }
    let reader = [("ASSENT_CA", ca), ("ASSENT_TOKEN", good.as_str())];
    eventually("the nodes are sure of their clocks", || run.assent(&reader, &STATUS).0);

    // A certificate and a token that are withdrawn. They are refused in the end, which is waited for below.
    let (node_keys, authority) = (path(&directory.join("node-keys.pem")), path(&directory.join("tls/ca")));
    let auditor = clients["auditor"]["cert"].as_str().unwrap();
    run.ok(&[], &["cert", "revoke", auditor, "--dir", &authority]);
    fs::write(directory.join("tls/gateway/tokens"), "# withdrawn\n").unwrap();

    // Unknown and malformed ones.
    for token in jwts.iter().skip(1).map(|(_, jwt)| jwt).chain([&malformed]) {
        run.fails(&[("ASSENT_CA", ca), ("ASSENT_TOKEN", token.as_str())], &STATUS);
    }
    run.fails(&[("ASSENT_CA", ca), ("ASSENT_TOKEN_FILE", stranger_token.as_str())], &STATUS);
    let two_words = format!("two {malformed}");
    run.fails(&[("ASSENT_CA", ca)], &[&STATUS[..], &["--token", &two_words]].concat());
    let strange = attest(&stranger_key);
    run.fails(&developer, &strange.iter().map(String::as_str).collect::<Vec<_>>());
    run.fails(&developer, &["contain", "quarantine", "job-1", "--key", &stranger_key]);

    // Secrets in each other's place, and damaged ones.
    let pem = fs::read_to_string(&audit).unwrap();
    let certificate_key = clients["gateway"]["key"].as_str().unwrap();
    let tls_pem = fs::read_to_string(certificate_key).unwrap();
    let cut: String = pem.lines().take(2).map(|line| format!("{line}\n")).collect();
    let misplaced = [
        audit.clone(),
        certificate_key.to_owned(),
        clients["gateway"]["token"].as_str().unwrap().to_owned(),
        put(&own.join("jwt"), &good, 0o600),
        put(&own.join("one-line.pem"), &pem.replace('\n', ""), 0o600),
        put(&own.join("escaped.pem"), &tls_pem.replace('\n', "\\n"), 0o600),
        put(&own.join("in-json.pem"), &format!("{{\"key\": {tls_pem:?}}}"), 0o600),
        put(&own.join("cut.pem"), &cut, 0o600),
    ];
    let (cert, key) = (developer[1].1, developer[2].1);
    let genesis = path(&directory.join("genesis.json"));
    for file in misplaced.iter().map(String::as_str) {
        run.assent(&[("ASSENT_CA", file)], &STATUS);
        run.assent(&[("ASSENT_CA", ca), ("ASSENT_CERT", file), ("ASSENT_CERT_KEY", key)], &STATUS);
        run.assent(&[("ASSENT_CA", ca), ("ASSENT_CERT", cert), ("ASSENT_CERT_KEY", file)], &STATUS);
        run.assent(&[("ASSENT_CA", ca), ("ASSENT_TOKEN_FILE", file)], &STATUS);
        for args in [
            &["contain", "quarantine", "job-1", "--key", file][..],
            &["submit", file],
            &["verify", file, "--trust", &node_keys],
            &["verify", &genesis, "--trust", file],
            &["key", "show", file],
            &["cert", "revoke", file, "--dir", &authority],
            &["authorize", "--lineage", "job-1", "--action", "run", "--subject", &digest, "--trust", file],
        ] {
            run.assent(&developer, args);
        }
        run.fails(&[], &["node", "--config", file]);
    }

    // Files that every user may read, and a pipe.
    let exposed_key = put(&own.join("exposed.pem"), &pem, 0o644);
    let refused = run.fails(&developer, &["contain", "quarantine", "job-1", "--key", &exposed_key]);
    assert!(
        refused.contains("key_exposed") && refused.contains(&format!("chmod 600 {exposed_key}")),
        "{refused}"
    );
    let token = fs::read_to_string(&misplaced[2]).unwrap();
    let exposed_token = put(&own.join("exposed.token"), &token, 0o604);
    let refused = run.fails(&[("ASSENT_CA", ca), ("ASSENT_TOKEN_FILE", exposed_token.as_str())], &STATUS);
    assert!(refused.contains("(mode 0604)") && refused.contains("chmod 600 "), "{refused}");
    let pipe = path(&own.join("pipe"));
    nix::unistd::mkfifo(pipe.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let piped = [("ASSENT_CA", ca), ("ASSENT_TOKEN_FILE", pipe.as_str())];
    assert!(run.fails(&piped, &STATUS).contains("it is a pipe, not a regular file"));
    let piped = [("ASSENT_CA", ca), ("ASSENT_CERT", cert), ("ASSENT_CERT_KEY", pipe.as_str())];
    assert!(run.fails(&piped, &STATUS).contains("it is a pipe, not a regular file"));

    // What the nodes answer over the wire.
    let file = |name: &str, what: &str| fs::read_to_string(clients[name][what].as_str().unwrap()).unwrap();
    let stranger = fs::read_to_string(&stranger_token).unwrap();
    let mut shown: Vec<String> =
        [file("auditor", "token"), file("gateway", "token"), stranger, malformed.clone()]
            .iter()
            .chain(jwts.iter().map(|(_, jwt)| jwt))
            .flat_map(|token| {
                let token = token.trim();
                [format!("authorization: Bearer {token}\r\n"), format!("authorization: Basic {token}\r\n")]
            })
            .collect();
    shown.push(shown.concat());
    shown.push(format!("authorization: Bearer {} {malformed}\r\n", token.trim()));
    let address = json["nodes"][0]["client"].as_str().unwrap();
    let answered = answers(Path::new(ca), address, &shown);
    for status in ["HTTP/1.1 200", "HTTP/1.1 401", "HTTP/1.1 404"] {
        assert!(String::from_utf8_lossy(&answered).contains(status), "no answer has {status}");
    }
    run.seen.extend(answered);

    // What was withdrawn is refused, and so is what an authority signs whose key is revoked.
    run.is_refused_in_the_end(&credentials(&json["ca"], &clients["auditor"], "certificate"));
    run.is_refused_in_the_end(&credentials(&json["ca"], &clients["gateway"], "token"));
    let id = run.ok(&[], &["key", "show", &attestation, "--id"]);
    let revoke = ["revoke", "--authority", id.trim(), "--reason", "superseded", "--key", &governance];
    run.ok(&developer, &revoke);
    run.fails(&developer, &attested);

    // The metrics, as everybody may read them, and the end of the run.
    for node in 1..=3 {
        let mut stream = TcpStream::connect(("127.0.0.1", base + 50 + node)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("assent_"), "node {node} answers no metrics");
        run.seen.extend(answer);
    }
    let Run { dev, seen } = run;
    dev.stop();
    fs::write(directory.join("printed"), &seen).unwrap();
    for said in ["out", "err"] {
        fs::copy(directory.with_extension(said), directory.join(format!("dev-{said}"))).unwrap();
    }

    // What is searched is what it should be.
    for node in 1..=3 {
        assert!(fs::metadata(directory.join(format!("audit-{node}.jsonl"))).unwrap().len() > 0);
    }
    let log = fs::read_to_string(directory.join("node-1.log")).unwrap();
    assert!(log.contains("a caller is refused"), "the log has no lines below `info`");
    let trail = fs::read_to_string(directory.join("audit-1.jsonl")).unwrap();
    assert!(trail.contains("token_not_listed"), "{trail}");

    // The search finds each secret, in each form, in a log and in a file of the cluster.
    for (name, secret) in &planted {
        finds_what_is_planted(&search, name, secret);
    }
    for file in &secret_files {
        let text = fs::read_to_string(file).unwrap();
        let lined = text.replace('\n', "");
        for written in [text.clone(), format!("{:?}", text.as_bytes()), format!("{:?}", lined.as_bytes())] {
            let found: Vec<&str> = search.found_in(written.as_bytes()).into_iter().collect();
            assert_eq!(found, [file.to_str().unwrap()]);
        }
    }
    let plant = directory.join("data-1/planted");
    fs::write(&plant, format!("a log line with {}\n", token.trim())).unwrap();
    let found = leaks(&search, &directory, &secret_files);
    assert!(found.iter().any(|leak| leak.contains("planted")), "{found:?}");
    fs::remove_file(&plant).unwrap();

    let found = leaks(&search, &directory, &secret_files);
    assert!(found.is_empty(), "{found:#?}");
}
