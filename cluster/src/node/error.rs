//! Why a node does not start.

use std::fmt::Display;
use std::path::PathBuf;

use crate::access::SettingError;
use crate::config::ConfigError;
use crate::peer::PeerTlsError;
use crate::recover::EndedError;

/// Why a node did not start: the step that failed, and the reason.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A value of the configuration cannot be used.
    #[error("checking the configuration: {0}")]
    Config(ConfigError),
    /// A file that says who may call the node cannot be used.
    #[error("reading who may call the node: {0}")]
    Access(SettingError),
    /// The genesis file cannot be used.
    #[error("reading the genesis file `{path}`: {problem}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file with the node's key cannot be used.
    #[error("reading the node's key `{path}`: {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A file of TLS of the client port cannot be used.
    #[error("reading the files of `client_tls`: {0}")]
    ClientTls(String),
    /// The files for TLS between the nodes cannot be used.
    #[error("reading the files of `peer_tls`: {0}")]
    PeerTls(PeerTlsError),
    /// The store cannot be opened.
    #[error("opening the store in `{data_dir}`: {problem}")]
    Store {
        /// The directory.
        data_dir: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The registry cannot be founded, belongs to another cluster, or follows rules that this build does not know.
    #[error("founding the registry: {0}")]
    Founding(String),
    /// The log, or what is remembered beside it, cannot be read.
    #[error("reading the log: {0}")]
    Log(String),
    /// Root has recovered the cluster without this node. It never starts again.
    #[error("starting: {0}")]
    Ended(EndedError),
    /// The node has signed that its build knows rules that this build does not know.
    #[error(
        "starting: this node has signed that its build knows version {signed} of the rules, and this build knows them up to version \
         {known}: start this node with a newer build"
    )]
    OldBuild {
        /// The newest version of the rules that it has signed for.
        signed: u32,
        /// The newest version that this build knows.
        known: u32,
    },
    /// The registry cannot be read, or the log begins after the entries that the registry has applied.
    #[error("reading the registry: {0}")]
    Registry(String),
    /// The place where the log begins cannot be read.
    #[error("reading where the log begins: {0}")]
    LogStart(String),
    /// The vote cannot be read, or is for a term that no node accepts.
    #[error("reading the vote: {0}")]
    Vote(String),
    /// The node cannot listen on the address for peers.
    #[error("listening for peers on `{addr}`: {problem}")]
    Peers {
        /// The address.
        addr: String,
        /// Why that failed.
        problem: String,
    },
    /// Raft cannot run with these values of the configuration.
    #[error("checking raft's configuration: {0}")]
    RaftConfig(String),
    /// Raft did not start.
    #[error("starting raft: {0}")]
    Raft(String),
    /// The node cannot listen on the address for operators.
    #[error("listening for operators on `{addr}` (`admin_listen`): {problem}")]
    Admin {
        /// The address.
        addr: String,
        /// Why that failed.
        problem: String,
    },
    /// The node cannot listen on the address for probes.
    #[error("listening for probes on `{addr}` (`health_listen`): {problem}")]
    Health {
        /// The address.
        addr: String,
        /// Why that failed.
        problem: String,
    },
    /// The node cannot listen on the address for clients.
    #[error("listening for clients on `{addr}`: {problem}")]
    Clients {
        /// The address.
        addr: String,
        /// Why that failed.
        problem: String,
    },
}

/// Makes an error of this variant, which has a text, out of any other error.
pub(crate) fn with_text<E: Display, T>(variant: impl FnOnce(String) -> T) -> impl FnOnce(E) -> T {
    move |error| variant(error.to_string())
}
