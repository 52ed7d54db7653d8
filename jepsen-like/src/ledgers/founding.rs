//! The registries that ledgers begin with: root keys, a node, one domain or two, and the keys that are granted in them.

use std::collections::BTreeMap;

use assent_fixtures::claims;
use assent_proof::{Claims, DomainName, Envelope, LineageName, Role, Seconds};
use assent_registry::{GenesisFile, bootstrap, query};

use super::both::{Both, LedgerError, T0};
use super::draft::{Draft, Slot};
use super::keys::{self, CHECKPOINTS, NODE, public};
use super::profile::Profile;
use super::submit::text;
use crate::model::Model;

/// The roles that are granted in a domain of a wide ledger, to two keys each.
const ROLES: [Role; 7] = [
    Role::Attestation,
    Role::Runtime,
    Role::Orchestration,
    Role::Gateway,
    Role::Audit,
    Role::Zone,
    Role::Registry,
];

/// When the founding is signed.
const FOUNDED: Seconds = Seconds(T0 - 60);

/// Founded registries, each made once.
#[derive(Debug, Default)]
pub struct FoundedRegistries {
    made: BTreeMap<Profile, Both>,
}

/// A domain of the founding.
struct Domain {
    name: &'static str,
    governors: u8,
    threshold: u32,
    granted: Vec<(Role, u8)>,
}

impl FoundedRegistries {
    /// The registry that ledgers of a profile begin with.
    ///
    /// # Errors
    /// The registry cannot be founded: a mistake in this file.
    pub fn of(&mut self, profile: Profile) -> Result<Both, LedgerError> {
        if let Some(made) = self.made.get(&profile) {
            return Ok(made.clone());
        }
        let made = found(&domains(profile))?;
        self.made.insert(profile, made.clone());
        Ok(made)
    }
}

/// Two keys of each role.
fn everybody(domain: &str) -> Vec<(Role, u8)> {
    let first = keys::base(domain).saturating_add(5);
    let numbers = (first..).step_by(2);
    ROLES.iter().zip(numbers).flat_map(|(role, one)| [(*role, one), (*role, one.saturating_add(1))]).collect()
}

fn domains(profile: Profile) -> Vec<Domain> {
    let prod = |governors, threshold, roles: &[Role]| {
        let granted = everybody("prod").into_iter().filter(|(role, _)| roles.contains(role)).collect();
        Domain { name: "prod", governors, threshold, granted }
    };
    match profile {
        Profile::Wide => vec![
            Domain { name: "lab", governors: 1, threshold: 1, granted: everybody("lab") },
            prod(3, 2, &ROLES),
        ],
        Profile::Words => vec![prod(1, 1, &[Role::Attestation])],
        Profile::Slots => vec![prod(2, 1, &[Role::Orchestration])],
        Profile::Governance => vec![prod(3, 2, &[Role::Attestation])],
        Profile::Holds => vec![prod(2, 1, &[Role::Attestation, Role::Audit])],
        Profile::Peers => vec![prod(2, 1, &[Role::Zone, Role::Registry])],
    }
}

fn found(domains: &[Domain]) -> Result<Both, LedgerError> {
    let mut founding = Founding { both: Both::unfounded(), signed: Vec::new() };
    let keys = [1, 2, 3].map(public).to_vec();
    let root = Claims::Root { keys, threshold: 2, registry_key: public(CHECKPOINTS) };
    founding.sign("_root", root, &[1, 2, 3, CHECKPOINTS])?;
    founding.sign("_root", grant(NODE, Role::Registry), &[1, 2, NODE])?;
    for domain in domains {
        let governors = domain.governors();
        let claims = Claims::Domain {
            domain: name(domain.name)?,
            governance: governors.iter().map(|number| public(*number)).collect(),
            threshold: domain.threshold,
        };
        founding.sign("_root", claims, &[governors.as_slice(), &[1, 2]].concat())?;
    }
    for domain in domains {
        let enough = usize::try_from(domain.threshold).unwrap_or(usize::MAX);
        let governors: Vec<u8> = domain.governors().into_iter().take(enough).collect();
        for (role, number) in &domain.granted {
            let signers = [governors.as_slice(), &[*number]].concat();
            founding.sign(domain.name, grant(*number, *role), &signers)?;
        }
    }
    founding.end()
}

impl Domain {
    fn governors(&self) -> Vec<u8> {
        keys::governance(self.name).into_iter().take(usize::from(self.governors)).collect()
    }
}

/// The claims of a grant that is valid for longer than any ledger lasts.
fn grant(number: u8, role: Role) -> Claims {
    claims::grant(public(number), role, Seconds(T0 - 3600), Seconds(T0 + 86_400))
}

fn name(domain: &str) -> Result<DomainName, LedgerError> {
    domain.parse().map_err(|_| LedgerError::unexpected(format!("`{domain}` is no domain's name")))
}

/// A genesis file that is being made.
struct Founding {
    both: Both,
    signed: Vec<Vec<u8>>,
}

impl Founding {
    /// Adds a statement in the next slot of a domain's governance.
    fn sign(&mut self, domain: &str, claims: Claims, signers: &[u8]) -> Result<(), LedgerError> {
        let mut draft =
            Draft::new(name(domain)?, LineageName::governance(), claims, signers.iter().copied(), FOUNDED);
        let chain = self.both.chain(&draft.chain());
        let parent = chain.last().and_then(|slot| slot.first()).copied();
        draft.slot = Some(Slot { sequence: u64::try_from(chain.len()).unwrap_or(u64::MAX), parent });
        let bytes = draft.sign();
        self.both.placed(&draft, Envelope::parse(&bytes)?.id());
        self.signed.push(bytes);
        Ok(())
    }

    /// Founds both with the signed statements.
    fn end(mut self) -> Result<Both, LedgerError> {
        let mut envelopes = Vec::new();
        for bytes in &self.signed {
            envelopes.push(Envelope::parse(bytes)?);
        }
        let file = GenesisFile::parse(&GenesisFile::format(&envelopes)?)?;
        bootstrap(&mut self.both.rows, &file)?;
        self.both.model = Model::of_cluster(&file.cluster_id().to_string());
        for (index, bytes) in (0..).zip(&self.signed) {
            let (_, at) = query::leaf(&self.both.rows, index)?
                .ok_or_else(|| LedgerError::unexpected("the founding has too few leaves"))?;
            let founded = self.both.model.founded_with(text(bytes)?, at.0);
            self.both.model = founded.ok_or_else(|| LedgerError::unexpected("the model cannot read it"))?;
        }
        Ok(self.both)
    }
}
