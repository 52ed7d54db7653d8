//! `recover`: makes one surviving node a cluster of its own, as the last resort when a quorum is lost permanently.

use std::path::PathBuf;

use assent_cluster::config::Config;
use assent_cluster::env::Environment;
use assent_cluster::recover::{RecoverError, Survivor, inspect, recover_at};
use assent_proof::{
    Claims, DomainName, Envelope, History, LineageName, PublicKey, Seconds, Sha256, Statement,
};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{draft, edge, files};

/// Make one surviving node a cluster of its own when a quorum is lost permanently.
///
/// This is the last resort. Stop every node first, and never use the disks of the other nodes again: if a majority of
/// those nodes came back, they would be a second cluster. Choose the node with the highest revision and log. What only
/// the lost nodes held is lost, even if it was acknowledged.
///
/// Without `--statement`, the command only prints what the node holds. With `--draft`, it prints the recovery
/// statement that root must sign. With `--statement`, it checks the signed statement and carries out the recovery.
/// After that, start the node, and add other nodes as new members.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent recover --config node-1.toml
  assent recover --config node-1.toml --draft > recovery.json
  assent sign recovery.json --key root.pem --in-place
  assent recover --config node-1.toml --statement recovery.json
  assent node --config node-1.toml")]
pub(crate) struct Args {
    /// The stopped node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the statement that root must sign, in an envelope without signatures
    #[arg(long, conflicts_with = "statement")]
    draft: bool,
    /// With --draft: a root key that will sign (repeatable); by default every root key must sign
    #[arg(long = "signer", value_name = "ed25519:HEX", requires = "draft")]
    signers: Vec<PublicKey>,
    /// Carry out the recovery that this signed statement asks for
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
    /// With --statement: the present time by a clock that you trust. Give it if this machine's clock is right although
    /// it is more than 31 days ahead of registry time
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ", requires = "statement")]
    confirm_clock: Option<Seconds>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let config = Config::load(&args.config)
        .map_err(|error| CliError::new("config_invalid", error.to_string(), "fix what the error names"))?;
    if !config.data_dir.exists() {
        let detail = format!("the data directory `{}` does not exist", config.data_dir.display());
        return Err(CliError::new("io_failed", detail, "name the configuration of a node that has run"));
    }
    let env = Environment::real(&config.data_dir).map_err(|error| {
        let remedy = "stop the node first: its data cannot be used while it runs";
        CliError { remedy: remedy.to_owned(), ..CliError::file("use", &config.data_dir, &error) }
    })?;
    let not_recovered = |error: RecoverError| {
        let remedy = match error.may_be_done() {
            true => {
                "correct what the error names, then check with `assent recover --config` which epoch the node is in: if it is the next \
                 epoch, start the node, otherwise run this command with the statement again"
            }
            false => "nothing was changed; correct what the error names",
        };
        CliError::new("not_recovered", error.to_string(), remedy)
    };
    if let Some(file) = &args.statement {
        let envelope = files::read(file)?;
        let recovered = recover_at(&config, &env, envelope.trim_ascii(), args.confirm_clock).await;
        let survivor = recovered.map_err(not_recovered)?;
        let text = || {
            format!(
                "recovered: node {} is a cluster of its own in epoch {}\nits history is {}, and what was read or delivered in an earlier one \
                 may not be part of it\nstart it, and add other nodes as new members, with \
                 new ids, keys and empty disks",
                survivor.node_id,
                survivor.epoch,
                history(&survivor).map_or_else(|| "unknown".to_owned(), |history| history.to_string())
            )
        };
        let done = format!("node {} is recovered, in epoch {}", survivor.node_id, survivor.epoch);
        let then = "start the node; before that, `assent recover --config` prints its epoch and history";
        output.done(&json(&survivor), text, &done, then)?;
        return Ok(Exit::Ok);
    }
    let survivor = inspect(&config, &env).await.map_err(not_recovered)?;
    if args.draft {
        output.product_json(&unsigned(&survivor, &args.signers)?.to_vec())?;
    } else {
        output.result(&json(&survivor), || text(&survivor))?;
    }
    Ok(Exit::Ok)
}

fn unsigned(survivor: &Survivor, signers: &[PublicKey]) -> Result<Envelope, CliError> {
    let issuers = if signers.is_empty() { survivor.root_keys.clone() } else { signers.to_vec() };
    if let Some(stranger) = issuers.iter().find(|key| !survivor.root_keys.contains(key)) {
        return Err(CliError::usage(format!("`{stranger}` is not a root key")));
    }
    let statement = Statement {
        subject_name: None,
        subject: Sha256::of(survivor.origin.as_bytes()),
        kind: assent_proof::EvidenceKind::Recovery,
        registry: survivor.origin.clone(),
        domain: DomainName::root(),
        lineage: LineageName::governance(),
        issuers,
        sequence: Some(survivor.sequence),
        parent: survivor.parent,
        references: Vec::new(),
        issued_at: edge::now_seconds(),
        expires_at: None,
        claims: Claims::Recovery { epoch: survivor.epoch.saturating_add(1), voters: vec![survivor.key] }
            .to_json(),
    };
    draft::check(&statement)?;
    Ok(draft::envelope(&statement))
}

fn history(survivor: &Survivor) -> Option<History> {
    History::new(survivor.cluster_id.0, survivor.epoch)
}

fn json(survivor: &Survivor) -> serde_json::Value {
    serde_json::json!({
        "nodeId": survivor.node_id,
        "key": survivor.key,
        "clusterId": survivor.cluster_id.to_string(),
        "origin": survivor.origin,
        "epoch": survivor.epoch,
        "history": history(survivor),
        "revision": survivor.revision,
        "registryTime": survivor.registry_time,
        "lastLog": survivor.log_last,
        "term": survivor.term,
        "voters": survivor.voters,
        "rootKeys": survivor.root_keys,
        "threshold": survivor.threshold,
    })
}

fn text(survivor: &Survivor) -> String {
    let voters: Vec<String> = survivor.voters.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("node {} of cluster {}, origin {}", survivor.node_id, survivor.cluster_id, survivor.origin),
        format!("epoch {}, voters {}", survivor.epoch, voters.join(", ")),
        format!(
            "revision {}, last log index {}, term {}: recover on the node where these are highest",
            survivor.revision, survivor.log_last, survivor.term
        ),
        format!("{} of these root keys must sign the recovery:", survivor.threshold),
    ];
    lines.extend(survivor.root_keys.iter().map(|key| format!("  {key}")));
    lines.join("\n")
}
