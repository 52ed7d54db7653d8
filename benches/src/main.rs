//! `cluster-load`: measures a real cluster of three or five nodes under load, over real HTTP and with real fsync.
//!
//! It starts, or attaches to, a cluster of node processes, prepares lineages that are allowed, and signs envelopes
//! beforehand. Then it measures three scenarios at each number of clients: `livez` (bare HTTP: what the same machine
//! and the same load generator reach when nothing is decided), `authorize` and `submit`. With `--only beside` it
//! measures how long the authorizes of one caller take while other clients post batches. It checks that every answer
//! is right. Results go to stdout, and messages to stderr; the exit code is 1 if any answer was wrong.
#![forbid(unsafe_code)]

mod args;
mod beside;
mod cluster;
mod evidence;
mod machine;
mod output;
mod scenario;

use args::{Args, OutputFormat};
use clap::Parser;
use std::process::ExitCode;

/// Any error of the benchmark: it prints the error and ends.
type Failure = Box<dyn std::error::Error + Send + Sync>;

// One thread: the load must leave the processors to the nodes.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = tokio::select! {
        result = run(Args::parse()) => result,
        // Returns an error instead of exiting, so that the cluster is stopped.
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("cluster-load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything, and returns whether all answers were right.
async fn run(args: Args) -> Result<bool, Failure> {
    let cluster = cluster::Cluster::start_or_attach(&args).await?;
    let results = scenario::run_all(&args, &cluster).await?;
    drop(cluster);
    match args.output {
        OutputFormat::Text => print!("{}", output::table(&results)),
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(&results)?),
    }
    Ok(results.is_right())
}
