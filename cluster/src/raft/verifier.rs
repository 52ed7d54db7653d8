//! This replica's own verification of every envelope, once for each and off the apply path.
//!
//! This module owns a bounded cache. Its key is an envelope's bytes and a version of the rules, and its value is the
//! result of `assent_proof::verify`. An envelope is verified when a client submits it or when its entry arrives from
//! the leader, whichever is first, under the rules that this node follows at that time. So the result is there by the
//! time its entry is applied, unless the rules were raised in between. An envelope that was evicted, or is needed
//! under other rules, is verified again, so a miss costs only time. The verifier never accepts another node's result.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use assent_proof::{ParsedEnvelope, Rules};
use assent_registry::{Checked, Command, ToVerify, Unverified};
use assent_store::RunBlocking;
use bytes::Bytes;

use crate::locked::{lock, read, write};

/// The bounds of the cache.
#[derive(Debug, Clone)]
pub struct VerifierLimits {
    /// Envelopes in the cache.
    pub envelopes_max: usize,
    /// The size of those envelopes in memory, approximately.
    pub bytes_max: usize,
    /// The number of prefetches under way. One more is skipped, and `check` then does the work.
    pub prefetches_max: usize,
}

impl Default for VerifierLimits {
    fn default() -> Self {
        Self { envelopes_max: 16 * 1024, bytes_max: 64 << 20, prefetches_max: 64 }
    }
}

/// The result of a check of an envelope that may compute no signature.
#[derive(Debug, Clone)]
pub enum Precheck<T> {
    /// It was verified, or it is refused for a reason that shows without its signatures.
    Checked {
        /// What this replica found.
        checked: Checked,
        /// The largest number of signatures that this check computed; 0 if none.
        signatures: usize,
    },
    /// Its signatures were not checked, for this reason.
    Held(T),
}

/// Verifies envelopes for one registry.
pub struct Verifier {
    origin: String,
    run: RunBlocking,
    limits: VerifierLimits,
    cache: Mutex<Cache>,
    prefetches: AtomicUsize,
    /// The rules that the registry followed when this node last applied an entry. The next envelope will most likely
    /// be verified under them.
    in_force: RwLock<Rules>,
}

type Answer = Arc<OnceLock<Checked>>;

/// An envelope's digest, and the version of the rules.
type Key = ([u8; 32], u32);

#[derive(Default)]
struct Cache {
    answers: HashMap<Key, (Answer, usize)>,
    /// The keys, the oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// The number of commands that one prefetch takes.
const PREFETCH_COMMANDS: usize = 16;

impl Verifier {
    /// A verifier for envelopes for the registry `origin`. It must be used inside a tokio runtime.
    pub fn new(origin: String, run: RunBlocking, limits: VerifierLimits) -> Arc<Self> {
        Arc::new(Self {
            origin,
            run,
            limits,
            cache: Mutex::new(Cache::default()),
            prefetches: AtomicUsize::new(0),
            in_force: RwLock::new(Rules::GENESIS),
        })
    }

    /// What this replica finds of an envelope under these rules. It computes the signatures if it has not done so
    /// yet, so it may take a while.
    pub fn check(&self, envelope: &[u8], rules: Rules) -> Checked {
        let answer = self.answer(envelope, rules);
        answer.get_or_init(|| Unverified { bytes: envelope, origin: &self.origin }.verified(rules)).clone()
    }

    /// Like [`check`](Self::check), for an envelope that a sender submits: if `held` returns a reason, no signature
    /// is computed. An envelope that is refused or held before its signatures are computed takes no place in the
    /// cache.
    pub fn check_unless<T>(
        &self,
        envelope: &[u8],
        rules: Rules,
        held: impl FnOnce(&ParsedEnvelope<'_>) -> Option<T>,
    ) -> Precheck<T> {
        let known = lock(&self.cache).answers.get(&key_of(envelope, rules)).map(|(answer, _)| answer.clone());
        if let Some(checked) = known.as_ref().and_then(|answer| answer.get()) {
            return Precheck::Checked { checked: checked.clone(), signatures: 0 };
        }
        let parsed = match ParsedEnvelope::parse(envelope, &self.origin, rules) {
            Ok(parsed) => parsed,
            Err(refusal) => return Precheck::Checked { checked: Checked::Refused(refusal), signatures: 0 },
        };
        if let Some(reason) = held(&parsed) {
            return Precheck::Held(reason);
        }
        let signatures = parsed.signatures_max();
        let answer = self.answer(envelope, rules);
        let checked = answer.get_or_init(|| parsed.verify().into()).clone();
        Precheck::Checked { checked, signatures }
    }

    /// Sets the rules in force.
    pub fn set_in_force(&self, rules: Rules) {
        *write(&self.in_force) = rules;
    }

    /// The rules that were in force when this node last applied an entry.
    pub fn in_force(&self) -> Rules {
        *read(&self.in_force)
    }

    /// Starts to verify the envelopes of encoded commands, in the background and best effort.
    pub fn prefetch(self: &Arc<Self>, commands: Vec<Bytes>) {
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let some: Vec<_> = commands.by_ref().take(PREFETCH_COMMANDS).collect();
            if self.prefetches.fetch_add(1, Ordering::Relaxed) >= self.limits.prefetches_max {
                self.prefetches.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let (verifier, rules) = (self.clone(), self.in_force());
            let work = (self.run)(Box::new(move || {
                let _under_way = UnderWay(&verifier.prefetches);
                for command in some.iter().filter_map(|bytes| Command::decode(bytes).ok()) {
                    for envelope in command.groups.iter().flat_map(|group| &group.envelopes) {
                        verifier.check(envelope, rules);
                    }
                }
            }));
            #[expect(
                clippy::disallowed_methods,
                reason = "it makes no difference how it ends: what was not verified ahead is verified when it is applied"
            )]
            tokio::spawn(work);
        }
    }

    /// The envelope's entry in the cache. If there is none, it is made, if need be in place of the oldest one.
    fn answer(&self, envelope: &[u8], rules: Rules) -> Answer {
        let key = key_of(envelope, rules);
        let mut cache = lock(&self.cache);
        if let Some((answer, _)) = cache.answers.get(&key) {
            return answer.clone();
        }
        // The bytes, the statement that is parsed from them, and what the cache itself takes.
        let bytes = envelope.len().saturating_mul(3).saturating_add(256);
        while cache.answers.len() >= self.limits.envelopes_max
            || cache.bytes.saturating_add(bytes) > self.limits.bytes_max
        {
            let Some(oldest) = cache.order.pop_front() else { break };
            if let Some((_, freed)) = cache.answers.remove(&oldest) {
                cache.bytes = cache.bytes.saturating_sub(freed);
            }
        }
        let answer = Answer::default();
        cache.answers.insert(key, (answer.clone(), bytes));
        cache.order.push_back(key);
        cache.bytes = cache.bytes.saturating_add(bytes);
        answer
    }
}

fn key_of(envelope: &[u8], rules: Rules) -> Key {
    (*blake3::hash(envelope).as_bytes(), rules.version().0)
}

/// Counts a prefetch as ended, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
