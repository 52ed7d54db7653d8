//! `authorize-cost`: what one decision costs in the rules, on redb, as the registry around it grows.
//!
//! It founds a registry on a real disk, decides the same request again and again, each time on a fresh view, and then
//! grows one thing after the other: the lineage's length, the domain's authorities, its revocations, its lineages. The
//! figure of each row stands beside that of the first, measured in the same run.

use assent_cluster::env::FileDisk;
use assent_proof::{
    AttestationStatus, AuthorizeRequest, Claims, Envelope, EvidenceId, EvidenceKind, Json, Millis, Of,
    PolicyBody, PublicKey, Requirement, RevocationReason, Role, Rules, Seconds, Sha256, SigningKey,
    Statement, sign_statement, verify,
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
    /// How much each thing grows to.
    #[arg(long, default_value_t = 10_000)]
    grown: u64,
    /// Decisions measured a row.
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

/// A registry being filled.
struct Registry {
    store: RegistryStore,
    governance: SigningKey,
    attester: SigningKey,
    /// The first attestation of the lineage that is asked about.
    first: EvidenceId,
    slot: u64,
    head: Option<EvidenceId>,
    waiting: Vec<Vec<u8>>,
}

fn statement(kind: EvidenceKind, lineage: &str, target: &str, claims: &Claims) -> Result<Statement, Failure> {
    let in_root = matches!(kind, EvidenceKind::Root | EvidenceKind::Domain);
    Ok(Statement {
        subject_name: None,
        subject: Sha256::of(target.as_bytes()),
        kind,
        registry: ORIGIN.to_owned(),
        domain: if in_root { "_root" } else { "prod" }.parse().map_err(|_| "a name")?,
        lineage: lineage.parse().map_err(|_| "a name")?,
        issuers: Vec::new(),
        sequence: Some(0),
        parent: None,
        references: Vec::new(),
        issued_at: Seconds(NOW),
        expires_at: None,
        claims: claims.to_json(),
    })
}

fn signed(mut statement: Statement, keys: &[&SigningKey]) -> Vec<u8> {
    statement.issuers = keys.iter().map(|key| key.public()).collect();
    sign_statement(&statement, keys)
}

fn grant(authority: PublicKey) -> Claims {
    Claims::AuthorityGrant {
        authority,
        name: "attester".to_owned(),
        role: Role::Attestation,
        not_before: Seconds(NOW - 60),
        not_after: Seconds(NOW + 86_400),
    }
}

impl Registry {
    async fn founded(folder: &std::path::Path) -> Result<Self, Failure> {
        let run: RunBlocking = Arc::new(|job| {
            job();
            Box::pin(std::future::ready(()))
        });
        let disk = Arc::new(FileDisk::open(folder)?);
        let store: Store<NoEntry> = Store::open(disk, run, [1; 16], StoreOptions::default()).await?;
        let (root, checkpoint, governance) = (key(1, 0), key(2, 0), key(3, 0));
        let claims =
            Claims::Root { keys: vec![root.public()], threshold: 1, registry_key: checkpoint.public() };
        let first =
            signed(statement(EvidenceKind::Root, "_governance", ORIGIN, &claims)?, &[&root, &checkpoint]);
        let first = Envelope::parse(&first)?;
        let domain = "prod".parse().map_err(|_| "a name")?;
        let claims = Claims::Domain { domain, governance: vec![governance.public()], threshold: 1 };
        let mut second = statement(EvidenceKind::Domain, "_governance", "prod", &claims)?;
        (second.sequence, second.parent) = (Some(1), Some(first.id()));
        let second = Envelope::parse(&signed(second, &[&root, &governance]))?;
        let genesis = GenesisFile::parse(&GenesisFile::format(&[first, second])?)?;
        store.registry.write(None, |rows| bootstrap(rows, &genesis))?;
        let mut registry = Self {
            store: store.registry,
            governance,
            attester: key(4, 0),
            first: EvidenceId([0; 32]),
            slot: 0,
            head: None,
            waiting: Vec::new(),
        };
        let attester = registry.attester.clone();
        registry.grant(&attester)?;
        let policy = PolicyBody {
            require: vec![Requirement {
                kind: EvidenceKind::RuntimeAttestation,
                of: Of::Execution,
                min_issuers: 1,
                max_age_seconds: Some(300),
            }],
            attestation_status: Some(vec![AttestationStatus::Affirming]),
            measurements: None,
            policy_digests: None,
            decision_ttl_seconds: 10,
            permit_always: false,
        };
        registry.govern(EvidenceKind::Policy, "prod", &Claims::Policy(policy), None)?;
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

    fn govern(
        &mut self,
        kind: EvidenceKind,
        target: &str,
        claims: &Claims,
        beside: Option<&SigningKey>,
    ) -> Result<(), Failure> {
        let mut draft = statement(kind, "_governance", target, claims)?;
        if kind.is_restriction() {
            draft.sequence = None;
        } else {
            (draft.sequence, draft.parent) = (Some(self.slot), self.head);
        }
        let governance = self.governance.clone();
        let keys: Vec<&SigningKey> = std::iter::once(&governance).chain(beside).collect();
        let id = self.put(&signed(draft, &keys))?;
        if !kind.is_restriction() {
            (self.slot, self.head) = (self.slot.saturating_add(1), Some(id));
        }
        Ok(())
    }

    fn grant(&mut self, authority: &SigningKey) -> Result<(), Failure> {
        let target = authority.public().to_string();
        self.govern(EvidenceKind::AuthorityGrant, &target, &grant(authority.public()), Some(authority))
    }

    /// A lineage that allows; the id of its attestation.
    fn lineage(&mut self, name: &str) -> Result<EvidenceId, Failure> {
        let claims = Claims::ExecutionAuthorization {
            actions: vec!["run".to_owned()],
            audience: None,
            environment: None,
            not_before: Seconds(NOW - 60),
            not_after: Seconds(NOW + 86_400),
            uses: None,
            runtimes: None,
        };
        let governance = self.governance.clone();
        let artifact = statement(EvidenceKind::ExecutionAuthorization, name, "program", &claims)?;
        self.put(&signed(artifact, &[&governance]))?;
        self.attest(name, 0, None)
    }

    fn attest(
        &mut self,
        name: &str,
        sequence: u64,
        parent: Option<EvidenceId>,
    ) -> Result<EvidenceId, Failure> {
        let claims = Claims::RuntimeAttestation {
            verifier: "v".to_owned(),
            status: AttestationStatus::Affirming,
            measurement: "m".to_owned(),
        };
        let mut draft = statement(EvidenceKind::RuntimeAttestation, name, "program", &claims)?;
        (draft.sequence, draft.parent) = (Some(sequence), parent);
        let attester = self.attester.clone();
        self.put(&signed(draft, &[&attester]))
    }

    /// Another attester, whose `depth` statements about the lineage are all void.
    fn void_chain(&mut self, number: u64, depth: u64) -> Result<(), Failure> {
        let attester = std::mem::replace(&mut self.attester, key(6, number));
        let stolen = self.attester.clone();
        self.grant(&stolen)?;
        let mut parent = None;
        for sequence in 0..depth {
            parent = Some(self.attest("exec", sequence, parent)?);
        }
        self.attester = attester;
        let (reason, invalid_since) = (RevocationReason::KeyCompromise, Some(Seconds(NOW)));
        let claims = Claims::Revocation { authority: stolen.public(), reason, invalid_since };
        self.govern(EvidenceKind::Revocation, &stolen.public().to_string(), &claims, None)?;
        self.flush()
    }

    /// Nanoseconds of one decision, which has to be an allow.
    fn cost(&self, decisions: u32) -> Result<u64, Failure> {
        let request = Json::object([
            ("domain", Json::text("prod")),
            ("lineage", Json::text("exec")),
            ("action", Json::text("run")),
            (
                "subject",
                Json::object([(
                    "digest",
                    Json::object([("sha256", Json::text(Sha256::of(b"program").to_string()))]),
                )]),
            ),
        ]);
        let request = AuthorizeRequest::from_json(&request, "")?;
        let mut best = Duration::MAX;
        // The best of five rounds: what else the machine does only ever adds.
        for _ in 0..5 {
            let started = Instant::now();
            for _ in 0..decisions / 5 {
                let rows = self.store.view()?;
                if !authorize(&View::new(&rows), &request, Millis(NOW * 1000)).is_allow() {
                    return Err("a decision is no allow".into());
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
        registry.govern(EvidenceKind::Revocation, &authority.to_string(), &claims, None)?;
    }
    registry.flush()?;
    row(&format!("and {grown} revocations"), registry.cost(args.decisions)?);
    let authority = key(5, 1).public();
    let claims = Claims::Revocation {
        authority,
        reason: RevocationReason::KeyCompromise,
        invalid_since: Some(Seconds(NOW - 10)),
    };
    registry.govern(EvidenceKind::Revocation, &authority.to_string(), &claims, None)?;
    registry.flush()?;
    row("and one with `invalidSince`", registry.cost(args.decisions)?);
    // In all no more than one evaluation walks back over.
    for (number, depth) in [(1, 10), (2, 100), (3, 900)] {
        registry.void_chain(number, depth)?;
        let decisions = args.decisions / u32::try_from(depth).unwrap_or(u32::MAX);
        row(&format!("and another attester's {depth} void statements"), registry.cost(decisions.max(50))?);
    }
    Ok(())
}
