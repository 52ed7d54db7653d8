//! `cluster-load`: measures a real cluster of three or five nodes under load, over real HTTP and with real fsync.
//!
//! It starts, or attaches to, a cluster of node processes, prepares lineages that are allowed, and signs envelopes
//! beforehand. Then it measures three scenarios at each number of clients: `livez` (bare HTTP: what the same machine
//! and the same load generator reach when nothing is decided), `authorize` and `submit`. With `--only beside` it
//! measures how long the authorizes of one caller take while other clients post batches. It checks that every answer
//! is right. Results go to stdout, and messages to stderr; the exit code is 1 if any answer was wrong.
//!
//! Three measurements start clusters of their own: `--tls` compares authorizes with TLS and without it, `flood` measures
//! what a scheduler and revocations notice of another caller's flood, and `idle` measures authorizes beside very many
//! idle connections. They also say whether the figures are as they must be, which does not change the exit code.
#![forbid(unsafe_code)]

mod args;
mod beside;
mod cluster;
mod compare;
mod connection;
mod decided;
mod evidence;
mod flood;
mod flood_table;
mod flood_work;
mod idle;
mod inside;
mod machine;
mod output;
mod own;
mod processes;
mod scenario;

use args::{Args, Command, OutputFormat};
use clap::Parser;
use serde::Serialize;
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

/// Runs what was asked for, and returns whether all answers were right.
async fn run(args: Args) -> Result<bool, Failure> {
    match &args.command {
        Some(Command::Flood(args)) => {
            let results = flood::run(args).await?;
            print(args.output, &results, flood_table::table)?;
            Ok(results.is_right())
        }
        Some(Command::Idle(args)) => {
            let results = idle::run(args).await?;
            print(args.output, &results, idle::table)?;
            Ok(results.is_right())
        }
        None if args.tls => {
            let results = compare::run(&args).await?;
            print(args.output, &results, compare::table)?;
            Ok(results.is_right())
        }
        None => {
            let cluster = cluster::Cluster::start_or_attach(&args).await?;
            let results = scenario::run_all(&args, &cluster).await?;
            drop(cluster);
            print(args.output, &results, output::table)?;
            Ok(results.is_right())
        }
    }
}

fn print<R: Serialize>(format: OutputFormat, results: &R, table: fn(&R) -> String) -> Result<(), Failure> {
    match format {
        OutputFormat::Text => print!("{}", table(results)),
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(results)?),
    }
    Ok(())
}
