//! A node, put together: store, genesis, peers, Raft, use cases, HTTP; and taken apart in the right order.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use openraft::SnapshotPolicy;
use tokio::sync::watch;
use tokio::time::sleep;

use assent_proof::SigningKey;
use assent_registry::{ClusterId, GenesisFile, Rows, RulesVersion, bootstrap, query, rules_known};
use assent_store::{LogStore, RegistryStore, Store, StoreOptions};

use crate::config::Config;
use crate::env::{Environment, blocking};
use crate::handler::PeerHandler;
use crate::http;
use crate::introductions::Introductions;
use crate::key_file;
use crate::metrics::Metrics;
use crate::peer::{Identity, PeerAddress, PeerHub, PeerLimits, claim_max};
use crate::raft::codec;
use crate::raft::log::{LogRecord, RaftLog};
use crate::raft::machine::Machine;
use crate::raft::memory::Memory;
use crate::raft::network::{PeerNetworkFactory, RaftService, Transfers};
use crate::raft::verifier::{Verifier, VerifierLimits};
use crate::tasks::Tasks;
use crate::usecase::{
    Acquaintances, Anchor, Core, KEEP_LOG_WAITS, Lifecycle, NodeIdentity, Parts, RAISE_WAITS, Service,
    Storage, ended_in, flush_registry, follow_epoch, follow_members, form, keep_log, raise_rules,
    remember_voters, supervise_clock,
};
use crate::whereabouts::Whereabouts;

/// How often a node looks whether it has to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running node.
pub struct Node {
    service: Service,
    serving: http::Serving,
    hub: PeerHub,
    store: Store<LogRecord>,
    watches: Vec<tokio::task::JoinHandle<()>>,
    env: Environment,
}

/// Why a node did not start: what, why, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {problem}")]
pub struct NodeError {
    /// What was being done.
    pub doing: String,
    /// What was in the way.
    pub problem: String,
}

pub(crate) fn failed<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> NodeError {
    let doing = doing.into();
    move |error| NodeError { doing, problem: error.to_string() }
}

impl Node {
    /// Starts a node on the given world. Returns once it serves; whether it can answer is another question
    /// (`/readyz`), since that takes a quorum.
    pub async fn start(config: Config, env: Environment) -> Result<Self, NodeError> {
        config.validate().map_err(failed("checking the configuration"))?;
        let genesis = read_genesis(&config)?;
        let key = read_key(&config)?;
        let tasks = Tasks::new();
        let env = Environment { blocking: tasks.counted(env.blocking.clone()), ..env };
        let mut new_store_id = [0; 16];
        env.entropy.fill(&mut new_store_id);
        let run = env.run_blocking();
        let store =
            Store::<LogRecord>::open(env.disk.clone(), run.clone(), new_store_id, StoreOptions::default())
                .await
                .map_err(failed(format!("opening the store in `{}`", config.data_dir.display())))?;
        let cluster_id = genesis.cluster_id();
        let known = RulesVersion(config.rules_known);
        found_registry(&env, &store.registry, genesis.clone(), known).await?;
        let memory = Memory::load(store.log.clone()).map_err(failed("reading the log"))?;
        if let Some(epoch) = memory.ended() {
            return Err(failed("starting")(ended_in(epoch)));
        }
        knows_what_it_signed(&memory, known).map_err(failed("starting"))?;

        let verifier = Verifier::new(genesis.origin().to_owned(), run.clone(), VerifierLimits::default());
        let guard = Arc::new(move |rows: &dyn Rows| belongs_to(rows, cluster_id, known));
        let machine = Machine::new(store.registry.clone(), verifier.clone(), run, guard, known)
            .map_err(failed("reading the registry"))?;
        let applied = machine.applied();
        reaches_back(&store.log, applied.borrow().log_index)?;
        leaves_a_term(&store.log, claim_max(env.clock.now()))?;
        let transfers = Transfers::default();
        let introductions = Introductions::default();
        let service_of_raft =
            RaftService::new(store.registry.clone(), env.blocking.clone(), transfers.clone());
        let handler = Arc::new(PeerHandler {
            raft: service_of_raft.clone(),
            service: OnceLock::new(),
            log: store.log.clone(),
            applied: applied.clone(),
            memory: memory.clone(),
            introductions: introductions.clone(),
            node_id: config.node_id,
            store_id: store.store_id,
            key: key.public(),
            founders: config.is_founder().then(|| config.voters.iter().map(|voter| voter.id).collect()),
        });
        let hub = start_hub(&config, &env, cluster_id, store.store_id, handler.clone(), tasks.part()).await?;
        let raft = Core::new(
            config.node_id,
            Arc::new(raft_config(&config, cluster_id)?),
            PeerNetworkFactory::new(hub.clone(), env.blocking.clone(), memory.clone(), transfers.clone()),
            RaftLog::new(store.log.clone(), verifier.clone(), known, config.node_id),
            machine,
        );
        let raft = tasks.owning(raft).await.map_err(failed("starting raft"))?;
        // Until it has begun its loop Raft shows an empty membership, by which peers that it has to refuse would be let in.
        raft.with_raft_state(|_| ()).await.map_err(failed("starting raft"))?;
        service_of_raft.attach(raft.clone());

        let recovery = watch::channel(None);
        let metrics = Arc::new(Metrics::new(config.rules_known));
        let parts = Parts {
            config: config.clone(),
            env: env.clone(),
            raft,
            hub: hub.clone(),
            verifier,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            identity: NodeIdentity {
                key,
                cluster_id,
                origin: genesis.origin().to_owned(),
                store_id: store.store_id,
            },
            storage: Storage {
                registry: store.registry.clone(),
                health: store.health(),
                applied,
                log: store.log.clone(),
                memory: memory.clone(),
                transfers,
            },
            acquaintances: Acquaintances { introductions, whereabouts: Whereabouts::default() },
            lifecycle: Lifecycle {
                not_founded: Mutex::default(),
                recovery: recovery.1,
                stopping: AtomicBool::new(false),
                ends: tasks.ends(),
            },
            anchor: Mutex::new(Anchor::new(config.clock_bound_ms, config.clock_settle_ms)),
            managing: tokio::sync::Mutex::default(),
        };
        let service = Service::start(parts);
        // Set once, here; the peers are told to wait until it is.
        let _ = handler.service.set(service.downgrade());
        let watching = handler.clone();
        let of = || service.clone();
        let late = Duration::from_millis(config.deadlines.task_late_ms);
        let late_after = |waits: Duration| late.saturating_add(waits);
        let flushes = late_after(Duration::from_millis(config.limits.registry_flush_ms).saturating_mul(2));
        let raises =
            late_after(RAISE_WAITS.saturating_add(Duration::from_millis(config.deadlines.submit_ms)));
        // A leader completes changes of the membership that nobody completes.
        let remembers = late_after(Duration::from_millis(config.deadlines.membership_ms));
        let keeps = late_after(KEEP_LOG_WAITS);
        let watches = vec![
            tasks.ticking("clock", late, |pulse| supervise_clock(of(), pulse)),
            tasks.ticking("flush the registry", flushes, |pulse| flush_registry(of(), pulse)),
            tasks.finite("form the cluster", form(of(), store.store_id, move || watching.started())),
            tasks.ticking("follow the members", late, |pulse| follow_members(of(), pulse)),
            tasks.ticking("remember the voters", remembers, |pulse| remember_voters(of(), memory, pulse)),
            tasks.ticking("keep the log", keeps, |pulse| keep_log(of(), pulse)),
            tasks.ticking("raise the rules", raises, |pulse| raise_rules(of(), pulse)),
            tasks.lasting("follow the epoch", follow_epoch(of(), recovery.0)),
        ];
        let serving = http::serve(&env.net, &config, http::router(service.clone()), metrics, &tasks)
            .await
            .map_err(failed(format!("listening for clients on `{}`", config.client_listen)))?;
        Ok(Self { service, serving, hub, store, watches, env })
    }

    /// Where clients reach it.
    pub fn client_addr(&self) -> SocketAddr {
        self.serving.local_addr()
    }

    /// Where peers reach it.
    pub fn peer_addr(&self) -> SocketAddr {
        self.hub.local_addr()
    }

    /// The use cases.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Resolves with the cause when the node has to end: its store failed, Raft stopped, or a task ended that runs as long as the
    /// node. From then on it denies everything; its process should exit.
    pub async fn failed(&self) -> String {
        let parts = self.service.parts();
        let mut health = self.store.health().watch();
        loop {
            if let Some(cause) = parts.fatal() {
                return cause;
            }
            tokio::select! {
                changed = health.changed() => if changed.is_err() { return "the store is gone".to_owned() },
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Stops gracefully: is not ready any more, hands leadership over, answers what is under way, makes everything
    /// durable. Until its clients are gone it answers as ever.
    pub async fn shutdown(self) {
        let parts = self.service.parts();
        let until = Duration::from_millis(parts.config.deadlines.shutdown_ms);
        let drained = sleep(Duration::from_millis(parts.config.deadlines.drain_ms));
        self.service.begin_stop();
        tokio::join!(self.service.leave_leadership(until), drained);
        self.serving.shutdown(until).await;
        for watch in self.watches {
            watch.abort();
            // Cancelled, which is what was asked for.
            let _ = watch.await;
        }
        if let Err(error) = parts.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        self.hub.shutdown().await;
        if let Err(error) = self.store.log.close().await {
            tracing::warn!(%error, "the log did not close cleanly");
        }
        let registry = self.store.registry.clone();
        match blocking(&*self.env.blocking, move || registry.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the registry was not made durable; the log replays it"),
            Err(error) => tracing::warn!(%error, "the registry was not made durable; the log replays it"),
        }
    }
}

pub(crate) fn read_genesis(config: &Config) -> Result<GenesisFile, NodeError> {
    let doing = || format!("reading the genesis file `{}`", config.genesis.display());
    let bytes = std::fs::read(&config.genesis).map_err(failed(doing()))?;
    GenesisFile::parse(&bytes).map_err(failed(doing()))
}

pub(crate) fn read_key(config: &Config) -> Result<SigningKey, NodeError> {
    let path = &config.node_key;
    let found = key_file::read(path).map_err(|error| {
        let doing = format!("reading the node's key `{}`", path.display());
        failed(doing)(format!("{error}; {}", error.remedy(path)))
    })?;
    if found.is_open_to_group {
        tracing::info!(file = %path.display(), "the file's group may use the node's key too");
    }
    Ok(found.key)
}

/// The log has to reach back to where the registry stands: what is between could not be applied.
fn reaches_back(log: &LogStore<LogRecord>, applied: Option<u64>) -> Result<(), NodeError> {
    let purged = log.purged().map(|bytes| codec::decode_log_id(&bytes)).transpose();
    let purged = purged.map_err(failed("reading where the log begins"))?.map(|id| id.index);
    if purged <= applied {
        return Ok(());
    }
    let at =
        |index: Option<u64>| index.map_or_else(|| "nothing".to_owned(), |index| format!("entry {index}"));
    Err(failed("reading the registry")(format!(
        "it has applied {}, and the log begins only after {}: these are files of different times, and what lies between is \
         lost here: replace the member",
        at(applied),
        at(purged)
    )))
}

/// Every peer refuses a node whose term is above the bound, and a vote for the last term that there is leaves no term to stand for
/// election in.
fn leaves_a_term(log: &LogStore<LogRecord>, most: u64) -> Result<(), NodeError> {
    let vote = log.vote().map(|bytes| codec::decode_vote(&bytes)).transpose();
    let term = vote.map_err(failed("reading the vote"))?.map_or(0, |vote| vote.leader_id().term);
    if term <= most {
        return Ok(());
    }
    Err(failed("reading the vote")(format!(
        "it is for term {term}, and by this machine's clock no node takes a term above {most}: set the clock right if it is \
         wrong; otherwise a false peer has made this node vote, so replace the member"
    )))
}

/// A fresh registry is founded from the genesis file; an existing one must be of the same file. Whether the node's key
/// stands granted shows later: a grant may be among what it still has to catch up with.
async fn found_registry(
    env: &Environment,
    registry: &RegistryStore,
    genesis: GenesisFile,
    known: RulesVersion,
) -> Result<(), NodeError> {
    let registry = registry.clone();
    let cluster_id = genesis.cluster_id();
    let founded = blocking(&*env.blocking, move || {
        let view = registry.view().map_err(|error| error.to_string())?;
        if query::summary(&view).map_err(|error| error.to_string())?.is_none() {
            drop(view);
            // A crash before the flush leaves a registry without rows, which is founded again.
            registry.write(None, |rows| bootstrap(rows, &genesis)).map_err(|error| error.to_string())?;
            registry.flush().map_err(|error| error.to_string())?;
        }
        let view = registry.view().map_err(|error| error.to_string())?;
        belongs_to(&view, cluster_id, known)
    });
    founded.await.map_err(failed("founding the registry"))?.map_err(failed("founding the registry"))
}

/// Whether this build knows the rules of which the node has signed that its build knows them. The raise that it signed for may have
/// been committed, or may yet be.
fn knows_what_it_signed(memory: &Memory, known: RulesVersion) -> Result<(), String> {
    let (signed, RulesVersion(known)) = (memory.signed(), known);
    if signed <= known {
        return Ok(());
    }
    Err(format!(
        "this node has signed that its build knows version {signed} of the rules, and this build knows them up to version {known}: \
         start this node with a newer build"
    ))
}

/// Whether rows belong to the cluster of this genesis file, and follow rules that this node knows.
pub(crate) fn belongs_to(rows: &dyn Rows, cluster_id: ClusterId, known: RulesVersion) -> Result<(), String> {
    rules_known(rows, known).map_err(|error| error.to_string())?;
    let found = query::summary(rows).map_err(|error| error.to_string())?;
    match found.map(|summary| ClusterId(summary.cluster_id)) {
        Some(found) if found == cluster_id => Ok(()),
        Some(found) => Err(format!(
            "the registry belongs to cluster `{found}`, and the genesis file is that of `{cluster_id}`: start with \
             the genesis file that the data was made with"
        )),
        None => Err("the registry has no genesis".to_owned()),
    }
}

async fn start_hub(
    config: &Config,
    env: &Environment,
    cluster_id: ClusterId,
    store_id: [u8; 16],
    handler: Arc<PeerHandler>,
    tasks: Tasks,
) -> Result<PeerHub, NodeError> {
    let rules_version = config.rules_known;
    let identity = Identity { cluster_id: cluster_id.0, node_id: config.node_id, store_id, rules_version };
    let peers =
        config.voters.iter().map(|voter| PeerAddress { id: voter.id, addr: voter.peer.clone() }).collect();
    PeerHub::start(env, identity, config.peer_listen.clone(), peers, handler, PeerLimits::default(), tasks)
        .await
        .map_err(failed(format!("listening for peers on `{}`", config.peer_listen)))
}

fn raft_config(config: &Config, cluster_id: ClusterId) -> Result<openraft::Config, NodeError> {
    let raft = &config.raft;
    let made = openraft::Config {
        cluster_name: cluster_id.to_string(),
        heartbeat_interval: raft.heartbeat_ms,
        election_timeout_min: raft.election_min_ms,
        election_timeout_max: raft.election_max_ms,
        // A restarted leader of a dead term must never lead without an election.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        // Campaigning waits until the clock is sure.
        enable_elect: false,
        allow_log_reversion: Some(false),
        // A leader that hears from nobody falls silent now and again, so that those who hear it can elect.
        quorum_loss_probe_interval: Some(raft.election_max_ms.saturating_mul(3)),
        // When a snapshot is taken and what is purged is decided in one place, `usecase/keep_log.rs`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: raft.lag_entries,
        max_payload_entries: 64,
        install_snapshot_timeout: 60_000,
        ..openraft::Config::default()
    };
    made.validate().map_err(failed("checking raft's configuration"))
}
