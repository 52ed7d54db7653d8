//! The content of a node's metrics page.

use std::time::Duration;

use assent_jepsen::{Cluster, Evidence};
use assent_proof::Code;

use super::page::{Form, OPENMETRICS, metrics, read};

#[tokio::test]
async fn each_counter_has_every_value_of_its_label_before_anything_has_happened() {
    let cluster = Cluster::start(3).await.unwrap();
    for node in &cluster.nodes {
        let (_, page) = metrics(&node.client, None).await;
        let families = read(&page, Form::Text);
        let labelled = |name: &str, label: &str, values: Vec<&str>| {
            let family = &families[name];
            for value in &values {
                let key = format!("{name}{{{label}=\"{value}\"}}");
                assert!(family.samples.contains_key(&key), "no `{key}` in\n{page}");
            }
            assert_eq!(family.samples.len(), values.len(), "{name} has others too");
        };
        let codes = || Code::ALL.iter().map(|code| code.as_str());
        labelled("assent_decisions_total", "code", codes().chain(["allow"]).collect());
        let became = ["accepted", "again", "unknown"];
        labelled("assent_submissions_total", "code", codes().chain(became).collect());
        labelled("assent_barriers_total", "outcome", vec!["passed", "failed"]);
        let of_heads = ["head_form", "head_size", "head_time"];
        let of_bodies = ["body_form", "body_size", "body_time", "body_encoding"];
        let of_http = of_heads.into_iter().chain(of_bodies).collect();
        labelled("assent_refused_requests_total", "reason", of_http);
        let of_handshakes = ["handshakes", "handshake_time", "handshake_size", "peers", "claims"];
        let of_frames = ["frame_size", "appends", "requests", "submissions", "answers"];
        let of_peers = of_handshakes.into_iter().chain(of_frames).collect();
        labelled("assent_refused_peers_total", "reason", of_peers);
        labelled("assent_authorize_waiting", "lane", vec!["single", "long"]);
        labelled("assent_authorize_waiting_max", "lane", vec!["single", "long"]);
        let others = cluster.nodes.iter().filter(|other| other.id != node.id);
        let others: Vec<String> = others.map(|other| other.id.to_string()).collect();
        labelled("assent_peer_connected", "peer", others.iter().map(String::as_str).collect());
        let decided: f64 = families["assent_decisions_total"].samples.values().sum();
        assert!(decided == 0.0, "nothing was asked: {page}");
        // A counter without a value would have no rate.
        for (name, family) in families.iter().filter(|(_, family)| family.kind == "counter") {
            assert!(!family.samples.is_empty(), "{name} has no value");
        }
    }
}

#[tokio::test]
async fn what_happens_is_counted_under_its_label() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let envelope = evidence.authorization(&governance, (0, None));
    cluster.accept(1, &envelope).await.unwrap();
    cluster.accept(1, &envelope).await.unwrap();
    // The policy requires an attestation.
    cluster.decide(1, &evidence.request()).await;
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    cluster.decide(1, &evidence.request()).await;
    let page = metrics(&cluster.node(1).unwrap().client, None).await.1;
    let families = read(&page, Form::Text);
    let count = |name: &str, label: &str| families[name].samples[&format!("{name}{{{label}}}")];
    assert!(count("assent_submissions_total", "code=\"accepted\"") >= 1.0, "{page}");
    assert!(count("assent_submissions_total", "code=\"again\"") >= 1.0, "{page}");
    assert!(count("assent_barriers_total", "outcome=\"passed\"") >= 1.0, "{page}");
    assert!(count("assent_decisions_total", "code=\"evidence_missing\"") >= 1.0, "{page}");
    assert!(count("assent_decisions_total", "code=\"allow\"") >= 1.0, "{page}");
}

#[tokio::test]
async fn accept_decides_between_the_text_format_and_openmetrics_and_both_are_strictly_right() {
    let cluster = Cluster::start(3).await.unwrap();
    let node = &cluster.nodes[0].client;
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, wanted) in [
        (None, text),
        (Some("*/*"), text),
        (Some("text/plain"), text),
        (Some("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.7"), text),
        (Some("application/openmetrics-text;version=2.0.0"), text),
        (Some("application/openmetrics-text; version=1.0.0"), openmetrics),
        (Some("text/plain;q=0.2,application/openmetrics-text;version=1.0.0;q=0.7"), openmetrics),
        (Some(OPENMETRICS), openmetrics),
    ] {
        let (typed, page) = metrics(node, accept).await;
        assert_eq!(typed, wanted, "{accept:?}");
        let form = if wanted == text { Form::Text } else { Form::OpenMetrics };
        assert!(read(&page, form).len() > 40, "{page}");
    }
    // The same families, whichever form is asked for, and no unit that is not a base unit.
    let names = |page: &str, form| read(page, form).into_keys().collect::<Vec<String>>();
    // The end of the node's key may be read for the first time between the two.
    let mut tries = 0;
    loop {
        let one = names(&metrics(node, None).await.1, Form::Text);
        let other = names(&metrics(node, Some(OPENMETRICS)).await.1, Form::OpenMetrics);
        for name in &one {
            for unit in ["ms", "millis", "milliseconds", "us", "kib", "mib", "kb", "mb"] {
                assert!(!name.split('_').any(|part| part == unit), "{name}");
            }
        }
        if one == other {
            break;
        }
        tries += 1;
        assert!(tries < 20, "{one:?}\n{other:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_page_says_what_the_process_takes_and_what_its_build_is() {
    let cluster = Cluster::start(3).await.unwrap();
    let page = metrics(&cluster.nodes[0].client, None).await.1;
    let families = read(&page, Form::Text);
    let build = families["assent_build_info"].samples.keys().next().unwrap();
    assert!(build.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{build}");
    for label in ["revision=\"", "rules=\"1\"", "protocol=\"", "format=\""] {
        assert!(build.contains(label), "{build}");
    }
    let value = |name: &str| families.get(name).and_then(|family| family.samples.get(name)).copied();
    assert!(value("process_max_fds").unwrap() > 100.0, "{page}");
    assert!(value("process_cpu_seconds_total").unwrap() > 0.0, "{page}");
    if cfg!(target_os = "linux") {
        assert!(value("process_open_fds").unwrap() > 5.0, "{page}");
        let resident = value("process_resident_memory_bytes").unwrap();
        assert!(resident > 1e6 && value("process_virtual_memory_bytes").unwrap() >= resident, "{page}");
        let started = value("process_start_time_seconds").unwrap();
        // This process started the node.
        let now = std::fs::metadata(cluster.dev_directory().join("dev.json")).unwrap().modified().unwrap();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((started - now).abs() < 300.0, "started at {started}, and it is {now}");
    }
    assert_eq!(value("assent_authorize_deadline_seconds"), Some(0.25));
}
