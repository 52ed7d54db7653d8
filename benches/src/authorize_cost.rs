//! `authorize-cost`: what one decision costs in the rules, on redb, as the registry around it grows.
//!
//! It founds a registry on a real disk and decides the same request again and again, each time on a fresh view. Then
//! it grows one thing after the other: the lineage's length, the domain's authorities, its revocations, its lineages.
//! Each row's figure stands beside the figure of the first row, measured in the same run.

use assent_cluster::env::FileDisk;
use assent_fixtures::claims::{self, Authorization};
use assent_fixtures::policy::attested_policy;
use assent_fixtures::{Chain, Genesis, Place};
use assent_proof::{
    AttestationStatus, Claims, EvidenceId, Millis, PublicKey, RevocationReason, Role, Rules, Seconds,
    SigningKey, verify,
};
use assent_registry::{
    GenesisFile, Group, Outcome, RulesVersion, Unverified, View, apply, authorize, bootstrap,
};
use assent_store::{EntryError, LogEntry, RegistryStore, RunBlocking, Store, StoreOptions};
use clap::Parser;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ORIGIN: &str = "registry.bench/cost";
const NOW: i64 = 1_795_374_000;

/// Measures what one decision costs as the registry grows.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Example:\n  cargo run --release -p assent-benches --bin authorize-cost"
)]
struct Args {
    /// To how many each thing grows.
    #[arg(long, default_value_t = 10_000)]
    grown: u64,
    /// How many decisions are measured for each row.
    #[arg(long, default_value_t = 20_000)]
    decisions: u32,
}

/// A log entry that is never written: only the registry's half of the store is measured.
#[derive(Debug, Clone)]
struct NoEntry;

impl LogEntry for NoEntry {
    fn index(&self) -> u64 {
        0
    }

    fn size(&self) -> usize {
        0
    }

    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_: &[u8]) -> Result<Self, EntryError> {
        Ok(NoEntry)
    }
}

fn key(kind: u8, number: u64) -> SigningKey {
    let mut seed = [kind; 32];
    for (byte, part) in seed.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *byte = part;
    }
    SigningKey::from_seed(seed)
}

/// A registry that the benchmark fills.
struct Registry {
    store: RegistryStore,
    governance: SigningKey,
    attester: SigningKey,
    /// The first attestation of the lineage that is asked about.
    first: EvidenceId,
    /// The domain, and the lineage that is asked about.
    place: Place,
    /// The domain's governance.
    governed: Chain,
    waiting: Vec<Vec<u8>>,
}

fn grant(authority: PublicKey) -> Claims {
    claims::grant(authority, Role::Attestation, Seconds(NOW - 60), Seconds(NOW + 86_400))
}

impl Registry {
    async fn founded(folder: &std::path::Path) -> Result<Self, Failure> {
        let run: RunBlocking = Arc::new(|job| {
            job();
            Box::pin(std::future::ready(()))
        });
        let disk = Arc::new(FileDisk::open(folder)?);
        let store: Store<NoEntry> = Store::open(disk, run, [1; 16], StoreOptions::default()).await?;
        let governance = key(3, 0);
        let place =
            Place::new(ORIGIN, "prod".parse()?, Seconds(NOW)).lineage("exec".parse()?).about("program");
        let mut genesis = Genesis::new(ORIGIN, Seconds(NOW), &[key(1, 0)], 1, &key(2, 0));
        genesis.domain(&place.domain, std::slice::from_ref(&governance), 1);
        let genesis = GenesisFile::parse(&genesis.bytes())?;
        store.registry.write(None, |rows| bootstrap(rows, &genesis))?;
        let mut registry = Self {
            store: store.registry,
            governance,
            attester: key(4, 0),
            first: EvidenceId([0; 32]),
            place,
            governed: Chain::new(),
            waiting: Vec::new(),
        };
        let attester = registry.attester.clone();
        registry.grant(&attester)?;
        registry.govern(&Claims::Policy(attested_policy()), None)?;
        registry.first = registry.lineage("exec")?;
        registry.flush()?;
        Ok(registry)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<EvidenceId, Failure> {
        let id = verify(bytes, ORIGIN, Rules::NEWEST)?.id();
        self.waiting.push(bytes.to_vec());
        if self.waiting.len() >= 256 {
            self.flush()?;
        }
        Ok(id)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        let envelopes = waiting.iter().map(|bytes| Unverified { bytes, origin: ORIGIN }).collect();
        let group = Group { atomic: false, envelopes };
        let outcomes =
            self.store.write(None, |rows| apply(rows, RulesVersion::NEWEST, Millis(NOW * 1000), &[group]))?;
        match outcomes.iter().flatten().find(|outcome| !matches!(outcome, Outcome::Accepted { .. })) {
            None => Ok(()),
            Some(outcome) => Err(format!("not accepted: {outcome:?}").into()),
        }
    }

    fn govern(&mut self, claims: &Claims, beside: Option<&SigningKey>) -> Result<(), Failure> {
        let draft = self.place.draft(claims);
        let keys: Vec<&SigningKey> = std::iter::once(&self.governance).chain(beside).collect();
        let takes_slot = claims.kind().takes_slot();
        let envelope = if takes_slot { self.governed.sign(draft, &keys) } else { draft.sign(&keys) };
        self.put(&envelope)?;
        Ok(())
    }

    fn grant(&mut self, authority: &SigningKey) -> Result<(), Failure> {
        self.govern(&grant(authority.public()), Some(authority))
    }

    /// Makes a lineage that is allowed, and returns the id of its attestation.
    fn lineage(&mut self, name: &str) -> Result<EvidenceId, Failure> {
        let claims = Authorization::of(&["run"], Seconds(NOW - 60), Seconds(NOW + 86_400)).claims();
        let artifact = self.place.draft(&claims).lineage(name).sign(&[&self.governance]);
        self.put(&artifact)?;
        self.attest(name, 0, None)
    }

    fn attest(
        &mut self,
        name: &str,
        sequence: u64,
        parent: Option<EvidenceId>,
    ) -> Result<EvidenceId, Failure> {
        let draft = self.place.draft(&claims::attestation("v", AttestationStatus::Affirming, "m"));
        self.put(&draft.lineage(name).slot(sequence, parent).sign(&[&self.attester]))
    }

    /// Adds an attester whose `depth` statements about the lineage are all void.
    fn void_chain(&mut self, number: u64, depth: u64) -> Result<(), Failure> {
        let attester = std::mem::replace(&mut self.attester, key(6, number));
        let stolen = self.attester.clone();
        self.grant(&stolen)?;
        let mut parent = None;
        for sequence in 0..depth {
            parent = Some(self.attest("exec", sequence, parent)?);
        }
        self.attester = attester;
        self.govern(&claims::revocation(stolen.public(), Some(Seconds(NOW))), None)?;
        self.flush()
    }

    /// Measures one decision, which must be an allow, in nanoseconds.
    fn cost(&self, decisions: u32) -> Result<u64, Failure> {
        let request = self.place.request("run");
        let mut best = Duration::MAX;
        // The best of five rounds: other work on the machine can only add time.
        for _ in 0..5 {
            let started = Instant::now();
            for _ in 0..decisions / 5 {
                let rows = self.store.view()?;
                if !authorize(&View::new(&rows), &request, Millis(NOW * 1000)).is_allow() {
                    return Err("a decision is not an allow".into());
                }
            }
            best = best.min(started.elapsed() / (decisions / 5).max(1));
        }
        Ok(u64::try_from(best.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let folder = tempfile::tempdir_in(std::env::current_exe()?.parent().ok_or("no folder")?)?;
    let mut registry = Registry::founded(folder.path()).await?;
    println!("{:<52} {:>10} {:>8}", "registry", "ns", "ratio");
    let base = registry.cost(args.decisions)?;
    let row = |name: &str, cost: u64| {
        let percent = cost.saturating_mul(100) / base.max(1);
        println!("{name:<52} {cost:>10} {:>5}.{:02}", percent / 100, percent % 100);
    };
    row("as founded: 1 lineage of 2 statements, 1 attester", base);
    let grown = args.grown;
    let (mut sequence, mut parent) = (0, Some(registry.first));
    while sequence < grown {
        sequence = sequence.saturating_add(1);
        parent = Some(registry.attest("exec", sequence, parent)?);
    }
    registry.flush()?;
    row(&format!("the lineage has {grown} more statements"), registry.cost(args.decisions)?);
    for number in 1..=grown {
        registry.grant(&key(5, number))?;
    }
    registry.flush()?;
    row(&format!("and the domain {grown} more authorities"), registry.cost(args.decisions)?);
    for number in 0..grown {
        registry.lineage(&format!("other-{number}"))?;
    }
    registry.flush()?;
    row(&format!("and {grown} more lineages of the same digest"), registry.cost(args.decisions)?);
    for number in 1..=grown {
        let authority = key(5, number).public();
        let claims =
            Claims::Revocation { authority, reason: RevocationReason::Superseded, invalid_since: None };
        registry.govern(&claims, None)?;
    }
    registry.flush()?;
    row(&format!("and {grown} revocations"), registry.cost(args.decisions)?);
    registry.govern(&claims::revocation(key(5, 1).public(), Some(Seconds(NOW - 10))), None)?;
    registry.flush()?;
    row("and one with `invalidSince`", registry.cost(args.decisions)?);
    // Together these are no more statements than one evaluation walks back over.
    for (number, depth) in [(1, 10), (2, 100), (3, 900)] {
        registry.void_chain(number, depth)?;
        let decisions = args.decisions / u32::try_from(depth).unwrap_or(u32::MAX);
        row(&format!("and another attester's {depth} void statements"), registry.cost(decisions.max(50))?);
    }
    Ok(())
}
