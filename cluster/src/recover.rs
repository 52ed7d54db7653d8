//! The last resort after a quorum is lost for good: a cluster of one, on what one surviving node holds.
//!
//! Works on a stopped node's data. Root has to sign a `recovery` statement for the next epoch that names the node's key;
//! what is then written is two log entries: a membership of this node alone, and the statement as a command. The
//! next start elects this node by itself, commits what its log holds, and the statement becomes a leaf: the point
//! in the ledger after which another node's history may differ. Everything is checked before anything is written, and both
//! entries become durable in one commit.
//!
//! What only the lost nodes held is lost, acknowledged or not. Nodes of the old membership are members no more.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};
use tokio::sync::oneshot;

use assent_proof::{
    Code, DomainName, EvidenceId, Millis, PublicKey, Refusal, Rules, Seconds, VerifiedEnvelope, verify,
};
use assent_registry::{
    ClusterId, Command, Group, RowError, Rows, RulesVersion, query, rules_in_force, would_accept,
};
use assent_store::{Store, StoreOptions, WriteError};

use crate::config::Config;
use crate::env::{Environment, blocking};
use crate::node::{NodeError, belongs_to, failed, read_genesis, read_key};
use crate::peer::claim_max;
use crate::raft::codec;
use crate::raft::commands::apply_to;
use crate::raft::log::LogRecord;
use crate::raft::types::{NodeId, PeerNode, Proposal, TypeConfig};
use crate::raft::verifier::{Verifier, VerifierLimits};
use crate::raft::voters::Voters;
use crate::usecase::{CLOCK_AHEAD_MS_MAX, CLOCK_NAMED_WITHIN_MS};

/// What a stopped node holds, with everything in its log counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its number.
    pub node_id: NodeId,
    /// Its signing key, which the recovery statement names.
    pub key: PublicKey,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The registry's origin.
    pub origin: String,
    /// The rules that it follows.
    pub rules: Rules,
    /// The epoch that it is in; the statement names the next one.
    pub epoch: u64,
    /// The ledger's size.
    pub revision: u64,
    /// The registry's time.
    pub registry_time: Millis,
    /// The last index of its log.
    pub log_last: u64,
    /// The newest term that it has voted in.
    pub term: u64,
    /// The voters as it knows them.
    pub voters: Vec<NodeId>,
    /// The free slot of `_root`'s `_governance`.
    pub sequence: u64,
    /// What the slot comes after.
    pub parent: Option<EvidenceId>,
    /// The root keys.
    pub root_keys: Vec<PublicKey>,
    /// How many of them have to sign.
    pub threshold: u32,
}

/// A stopped node's data, opened.
struct Opened {
    store: Store<LogRecord>,
    verifier: std::sync::Arc<Verifier>,
    known: RulesVersion,
    /// What the log holds beyond what is applied.
    tail: Tail,
    last: LogIdOf<TypeConfig>,
    survivor: Survivor,
    own: PeerNode,
    /// Another member that has the key of this node, as the membership has it.
    twin: Option<NodeId>,
}

/// What a look at rows came to, on its way out of a transaction that is not to be kept.
struct Seen<T>(Result<T, RowError>);

/// Says what a stopped node holds. Changes nothing.
pub async fn inspect(config: &Config, env: &Environment) -> Result<Survivor, NodeError> {
    let opened = open(config, env).await?;
    opened.close().await;
    Ok(opened.survivor)
}

/// Makes the node a cluster of one in the next epoch, by root's statement. Answers what it holds then.
///
/// # Errors
/// Whatever is wrong with the statement or with the data, and if the data leaves no term to lead in; nothing was written then.
pub async fn recover(config: &Config, env: &Environment, envelope: &[u8]) -> Result<Survivor, NodeError> {
    recover_at(config, env, envelope, None).await
}

/// The same, by an operator's word that this machine's clock, which shows about `confirmed`, is right, however far it is ahead of
/// registry time. The recovery is stamped with it, and registry time never goes back.
///
/// # Errors
/// As of [`recover`], and if `confirmed` is not within a minute of the clock.
pub async fn recover_at(
    config: &Config,
    env: &Environment,
    envelope: &[u8],
    confirmed: Option<Seconds>,
) -> Result<Survivor, NodeError> {
    let opened = open(config, env).await?;
    let outcome = opened.write(env, envelope, confirmed).await;
    opened.close().await;
    outcome?;
    let Survivor { epoch, revision, log_last, .. } = opened.survivor;
    Ok(Survivor {
        epoch: epoch.saturating_add(1),
        revision: revision.saturating_add(1),
        log_last: log_last.saturating_add(2),
        voters: vec![config.node_id],
        ..opened.survivor
    })
}

async fn open(config: &Config, env: &Environment) -> Result<Opened, NodeError> {
    config.validate().map_err(failed("checking the configuration"))?;
    let genesis = read_genesis(config)?;
    let key = read_key(config)?.public();
    let (cluster_id, known) = (genesis.cluster_id(), RulesVersion(config.rules_known));
    let store = open_store(config, env).await?;
    let held = Held::read(&store, cluster_id, known).await?;
    let own = held.own(config.node_id, &store.store_id)?;
    let verifier = Verifier::new(genesis.origin().to_owned(), env.run_blocking(), VerifierLimits::default());
    let seen = look(env, &store, &verifier, known, &held.tail, survey)
        .await
        .map_err(failed("reading the node's data"))?;
    let survivor = Survivor {
        node_id: config.node_id,
        key,
        cluster_id,
        origin: genesis.origin().to_owned(),
        rules: seen.rules,
        epoch: seen.epoch,
        revision: seen.revision,
        registry_time: seen.registry_time,
        log_last: held.last.index,
        term: held.term,
        voters: held.membership.voter_ids().collect(),
        sequence: seen.slot.0,
        parent: seen.slot.1,
        root_keys: seen.root_keys,
        threshold: seen.threshold,
    };
    // Root's statement names the key that this node has now.
    let own = PeerNode { key: Some(survivor.key), ..own };
    let others = held.membership.nodes().filter(|(id, _)| **id != config.node_id);
    let twin = others.filter(|(_, node)| node.key == Some(survivor.key)).map(|(id, _)| *id).min();
    Ok(Opened { store, verifier, known, tail: held.tail, last: held.last, survivor, own, twin })
}

async fn open_store(config: &Config, env: &Environment) -> Result<Store<LogRecord>, NodeError> {
    let doing = || format!("opening the store in `{}`", config.data_dir.display());
    // An empty directory would be made into a store, and there is nothing to recover in a new one.
    if !env.disk.exists("log.redb").map_err(failed(doing()))? {
        return Err(failed(doing())("there is no node's data in it"));
    }
    let mut unused = [0; 16];
    env.entropy.fill(&mut unused);
    Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), unused, StoreOptions::default())
        .await
        .map_err(failed(doing()))
}

/// What the log holds beyond what is applied.
#[derive(Clone)]
struct Tail {
    entries: Vec<EntryOf<TypeConfig>>,
    /// The voters before the first of them.
    voters: Voters,
}

/// What Raft left behind.
struct Held {
    /// What the log holds beyond what is applied.
    tail: Tail,
    last: LogIdOf<TypeConfig>,
    term: u64,
    membership: Membership<NodeId, PeerNode>,
}

impl Held {
    async fn read(
        store: &Store<LogRecord>,
        cluster_id: ClusterId,
        known: RulesVersion,
    ) -> Result<Self, NodeError> {
        let position = {
            let view = store.registry.view().map_err(failed("reading the registry"))?;
            belongs_to(&view, cluster_id, known).map_err(failed("reading the registry"))?;
            view.applied().map_err(failed("reading the registry"))?
        };
        // Before the first flush there is none, and everything is in the log.
        let position = position.filter(|bytes| !bytes.is_empty()).map(|bytes| codec::decode_position(&bytes));
        let applied = position.transpose().map_err(failed("reading the applied position"))?;
        let (applied, _) = applied.unwrap_or_default();
        let from = applied.last_log_id.map_or(0, |id| id.index.saturating_add(1));
        let tail: Vec<EntryOf<TypeConfig>> = match store.log.range() {
            Some((_, last)) if last >= from => {
                let read = store.log.read(from, last.saturating_add(1), usize::MAX).await;
                read.map_err(failed("reading the log"))?.into_iter().map(|LogRecord(entry)| entry).collect()
            }
            _ => Vec::new(),
        };
        let voters = Voters::of(applied.last_membership.membership());
        let last = tail.last().map(RaftEntry::log_id).or(applied.last_log_id);
        let last = last.ok_or_else(|| failed("reading the log")("it is empty"))?;
        let voted = match store.log.vote() {
            Some(bytes) => codec::decode_vote(&bytes).map_err(failed("reading the vote"))?.leader_id().term,
            None => 0,
        };
        let newest = tail.iter().rev().find_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership.clone()),
            _ => None,
        });
        let membership = newest.unwrap_or_else(|| applied.last_membership.membership().clone());
        let tail = Tail { entries: tail, voters };
        Ok(Self { tail, last, term: voted.max(last.leader_id.term), membership })
    }

    /// What the membership says of this node, if it is a member on this very disk.
    fn own(&self, id: NodeId, store_id: &[u8; 16]) -> Result<PeerNode, NodeError> {
        let refuse = |problem: String| Err(failed("reading the membership")(problem));
        match self.membership.get_node(&id) {
            Some(node) if node.store_id == *store_id => Ok(node.clone()),
            Some(_) => refuse(format!("node {id} is bound to another store than this one")),
            None => refuse(format!("node {id} is not a member of the cluster")),
        }
    }
}

struct Surveyed {
    rules: Rules,
    epoch: u64,
    revision: u64,
    registry_time: Millis,
    slot: (u64, Option<EvidenceId>),
    root_keys: Vec<PublicKey>,
    threshold: u32,
}

fn survey(rows: &dyn Rows) -> Result<Surveyed, RowError> {
    let root = DomainName::root();
    let summary = query::summary(rows)?;
    let (domains, _) = query::domains(rows, None, 1)?;
    let found = domains.into_iter().find(|entry| entry.domain == root);
    Ok(Surveyed {
        rules: rules_in_force(rows)?,
        epoch: summary.as_ref().map_or(0, |summary| summary.epoch),
        revision: summary.as_ref().map_or(0, |summary| summary.revision),
        registry_time: summary.as_ref().map_or(Millis(0), |summary| summary.registry_time),
        slot: query::governance_slot(rows, &root)?,
        threshold: found.as_ref().map_or(0, |root| root.threshold),
        root_keys: found.map(|root| root.governance).unwrap_or_default(),
    })
}

/// Looks at the rows as they are once the tail of the log is applied, without applying it.
async fn look<T: Send + 'static>(
    env: &Environment,
    store: &Store<LogRecord>,
    verifier: &std::sync::Arc<Verifier>,
    known: RulesVersion,
    tail: &Tail,
    look: impl FnOnce(&dyn Rows) -> Result<T, RowError> + Send + 'static,
) -> std::io::Result<T> {
    let (registry, verifier, tail) = (store.registry.clone(), verifier.clone(), tail.clone());
    let looked = blocking(&*env.blocking, move || {
        registry.write::<(), Seen<T>>(None, |rows| {
            let applied = apply_to(rows, &verifier, known, tail.voters, &tail.entries);
            Err(Seen(applied.and_then(|()| look(&*rows))))
        })
    });
    match looked.await.map_err(std::io::Error::other)? {
        Err(WriteError::Refused(Seen(seen))) => seen.map_err(std::io::Error::other),
        Err(WriteError::Store(error)) => Err(error.into()),
        Ok(()) => Err(std::io::Error::other("a look was kept")),
    }
}

impl Opened {
    /// Checks the statement against what the node holds, and writes both entries in one commit.
    async fn write(
        &self,
        env: &Environment,
        envelope: &[u8],
        confirmed: Option<Seconds>,
    ) -> Result<(), NodeError> {
        self.key_is_its_own()?;
        let term = self.next_term(env)?;
        let refused = |refusal: Refusal| {
            let place = refusal.field.map(|field| format!("`{field}`: ")).unwrap_or_default();
            failed("checking the recovery statement")(format!("{}: {place}{}", refusal.code, refusal.detail))
        };
        let verified = verify(envelope, &self.survivor.origin, self.survivor.rules).map_err(refused)?;
        self.names_this_node(&verified).map_err(refused)?;
        let (now, known) = (env.clock.now(), self.known);
        self.stamps(now, confirmed)?;
        let accepted = look(env, &self.store, &self.verifier, known, &self.tail, move |rows| {
            would_accept(rows, known, now, &verified)
        });
        accepted.await.map_err(failed("reading the registry"))?.map_err(refused)?;

        let at = |index: u64| LogIdOf::<TypeConfig>::new(term.into(), index);
        let me = self.survivor.node_id;
        let membership =
            Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, self.own.clone())]))
                .map_err(failed("making a membership of one"))?;
        let group = Group { atomic: false, envelopes: vec![Bytes::copy_from_slice(envelope)] };
        let command = Command { proposed_at: now, groups: vec![group] };
        let next = self.last.index.saturating_add(1);
        let entries = vec![
            EntryOf::<TypeConfig>::new(at(next), EntryPayload::Membership(membership)),
            EntryOf::<TypeConfig>::new(
                at(next.saturating_add(1)),
                EntryPayload::Normal(Proposal(command.encode(self.survivor.rules).into())),
            ),
        ];
        let doing = "writing the log";
        // A crash after the vote and before the entries leaves a node that has voted for itself once more, which
        // promises nothing to anybody.
        let vote = codec::encode_vote(&VoteOf::<TypeConfig>::new(term, me));
        self.store.log.save_vote(vote.into()).await.map_err(failed(doing))?;
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move |result| {
            // Whoever waits is right here.
            let _ = done.send(result);
        });
        let records = entries.into_iter().map(LogRecord).collect();
        self.store.log.append(records, on_durable).await.map_err(failed(doing))?;
        durable.await.map_err(failed(doing))?.map_err(failed(doing))
    }

    /// Whether the recovery may be stamped with `now`. No quorum is there to agree with this machine's clock, so only its distance
    /// from registry time tells.
    ///
    /// Rule R18 (RFC-EG-033 §6, timestamp-bound proof continuity): A `recovery` is stamped offline only if
    /// the machine's clock is at most 31 days ahead of registry time or an operator has named the present
    /// time.
    fn stamps(&self, now: Millis, confirmed: Option<Seconds>) -> Result<(), NodeError> {
        let refuse = |problem: String| Err(failed("looking at this machine's clock")(problem));
        let shows = now.to_seconds();
        if let Some(time) = confirmed {
            let away_ms = now.since(time.to_millis()).unsigned_abs();
            return match away_ms <= CLOCK_NAMED_WITHIN_MS {
                true => Ok(()),
                false => refuse(format!("it shows `{shows}`, and `{time}` is not within a minute of that")),
            };
        }
        if now.since(self.survivor.registry_time) <= CLOCK_AHEAD_MS_MAX {
            return Ok(());
        }
        refuse(format!(
            "it shows `{shows}`, more than 31 days ahead of registry time, `{}`: set it right, or name the present time with \
             `--confirm-clock` if it is right; nothing was changed",
            self.survivor.registry_time.to_seconds()
        ))
    }

    /// The term that this node will lead in. It is written down for good, and the nodes that join later take no term and no log
    /// index over the bound that every message of a peer is held against.
    fn next_term(&self, env: &Environment) -> Result<u64, NodeError> {
        let most = claim_max(env.clock.now());
        let (term, index) = (self.survivor.term, self.last.index);
        // Two entries are written, and the leader of that term begins with one more.
        if term < most && index.saturating_add(3) <= most {
            return Ok(term.saturating_add(1));
        }
        Err(failed("looking whether this node can lead")(format!(
            "its disk holds term {term} and log index {index}, and by this machine's clock no node takes either above {most}: \
             recover by another node's data, whose term is lower (`assent recover --config` says it), or set the clock \
             right; nothing was changed"
        )))
    }

    /// A former member with the key that the statement names would take itself for the voter that goes on, and not end.
    fn key_is_its_own(&self) -> Result<(), NodeError> {
        let Some(twin) = self.twin else { return Ok(()) };
        Err(failed("checking the node's key")(format!(
            "{}: node {twin} has the same key `{}`: recover by the data of a node whose key no other member \
             has; nothing was changed",
            Code::MemberExists,
            self.survivor.key
        )))
    }

    /// The registry looks whether the voter is granted; that it is this very node, and not done yet, is for this node to
    /// say.
    fn names_this_node(&self, verified: &VerifiedEnvelope) -> Result<(), Refusal> {
        let statement = verified.statement();
        let claims = assent_proof::Claims::parse(verified.rules(), statement.kind, &statement.claims)?;
        match claims {
            // The registry would take the same statement again for what it is, and nothing would be recovered.
            assent_proof::Claims::Recovery { epoch, .. } if epoch <= self.survivor.epoch => {
                let current = self.survivor.epoch;
                let detail =
                    format!("names epoch {epoch}, and this node is in epoch {current} already: start it");
                Err(Refusal::at(Code::ClaimsInvalid, "predicate.claims.epoch", detail))
            }
            assent_proof::Claims::Recovery { voters, .. } if voters == [self.survivor.key] => Ok(()),
            assent_proof::Claims::Recovery { .. } => Err(Refusal::at(
                Code::ClaimsInvalid,
                "predicate.claims.voters",
                format!("must be this node's key alone, `{}`", self.survivor.key),
            )),
            _ => Err(Refusal::at(Code::ClaimsInvalid, "predicateType", "must be a `recovery` statement")),
        }
    }

    /// Leaves everything as it would be after a clean stop.
    async fn close(&self) {
        // What was to be durable is; a failure here changes nothing that was said.
        let _ = self.store.log.close().await;
        let _ = self.store.registry.close();
    }
}
