//! The genesis file: an ordered list of envelopes that founds a registry (RFC-EG-033 §8, governance
//! authorities).
//!
//! The file holds the root statement first, then the grants of the node keys, then any further statements.
//! All are accepted at the largest `issuedAt` in the file, so every node that starts with the same file
//! derives the same state. The file's digest is the cluster's id.

use std::fmt;

use assent_proof::{
    Code, Envelope, EvidenceKind, Fields, History, Json, Millis, Refusal, Rules, Statement, VerifiedEnvelope,
    blake3_256, json, verify,
};

use crate::command::Outcome;
use crate::kinds::profile;
use crate::rows::{RowError, RowsMut};
use crate::submit::{self, Occasion};
use crate::view::View;

/// The format's name, in the file's field `genesis`.
const FORMAT: &str = "egpep/v1";
/// Most bytes that a genesis file may have.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most envelopes that a genesis file may hold.
pub(crate) const MAX_ENVELOPES: usize = 1000;

/// The digest of a genesis file: BLAKE3-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 32]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", hex::encode(self.0))
    }
}

/// The history of the cluster as it is founded.
impl From<ClusterId> for History {
    fn from(cluster: ClusterId) -> Self {
        History::founded(cluster.0)
    }
}

/// A genesis file whose every envelope verifies.
#[derive(Debug, Clone)]
pub struct GenesisFile {
    envelopes: Vec<VerifiedEnvelope>,
    cluster_id: ClusterId,
    origin: String,
}

/// Why a registry could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The file is at fault.
    #[error("the genesis file is not acceptable: {0}")]
    Refused(#[from] Refusal),
    /// The store is at fault, or is not fresh.
    #[error("the registry cannot be founded: {0}")]
    Rows(#[from] RowError),
}

impl GenesisFile {
    /// The file's bytes for these envelopes, in order.
    pub fn format(envelopes: &[Envelope]) -> Result<Vec<u8>, Refusal> {
        let envelopes: Result<Vec<Json>, _> =
            envelopes.iter().map(|envelope| json::parse(&envelope.to_vec())).collect();
        let file = Json::Object(vec![
            ("genesis".to_owned(), Json::Text(FORMAT.to_owned())),
            ("envelopes".to_owned(), Json::Array(envelopes?)),
        ]);
        let mut bytes = file.to_vec();
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a file and verifies every envelope in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("a genesis file has at most {MAX_BYTES} bytes"),
            ));
        }
        let file = json::parse(bytes)?;
        let mut fields = Fields::of(&file, "")?;
        if fields.text("genesis")? != FORMAT {
            return Err(Refusal::at(Code::Malformed, "genesis", format!("it must be `{FORMAT}`")));
        }
        let list = fields.array("envelopes")?;
        fields.finish()?;
        if list.len() > MAX_ENVELOPES {
            let detail = format!("a genesis file holds at most {MAX_ENVELOPES} envelopes");
            return Err(Refusal::at(Code::TooLarge, "envelopes", detail));
        }
        let origin = match list.first() {
            None => return Err(not_a_root()),
            Some(first) => Statement::parse(&Envelope::parse(&first.to_vec())?.payload)?.registry,
        };
        let envelopes: Result<Vec<_>, Refusal> = list
            .iter()
            .enumerate()
            .map(|(position, envelope)| {
                verify(&envelope.to_vec(), &origin, Rules::GENESIS)
                    .map_err(|refusal| in_envelope(position, refusal))
            })
            .collect();
        Ok(Self { envelopes: envelopes?, cluster_id: ClusterId(blake3_256(bytes)), origin })
    }

    /// The digest that names the cluster.
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    /// The origin that all evidence for this registry names.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The envelopes, in order.
    pub fn envelopes(&self) -> &[VerifiedEnvelope] {
        &self.envelopes
    }

    /// The largest `issuedAt` in the file: the time at which all of it is accepted.
    ///
    /// Rule R159 (RFC-EG-033 §3, Deterministic Proof Resolution): Everything in a genesis file is accepted at
    /// the largest `issuedAt` in it, so that every node that starts with the same file founds the same
    /// registry.
    fn time(&self) -> Millis {
        self.envelopes
            .iter()
            .map(|envelope| envelope.statement().issued_at.to_millis())
            .max()
            .unwrap_or(Millis(0))
    }
}

fn not_a_root() -> Refusal {
    Refusal::at(Code::ClaimsInvalid, "envelopes[0]", "a genesis file begins with a `root` statement")
}

/// If a registry began at a later version or epoch, builds that know different rules would found different
/// registries.
fn not_at_first(kind: EvidenceKind) -> Refusal {
    let detail =
        format!("a genesis file holds no `{kind}`: every registry begins with the first rules and epoch");
    Refusal::at(Code::ClaimsInvalid, "predicateType", detail)
}

fn in_envelope(position: usize, refusal: Refusal) -> Refusal {
    let field = match refusal.field {
        Some(field) if !field.is_empty() => format!("envelopes[{position}].{field}"),
        _ => format!("envelopes[{position}]"),
    };
    Refusal::at(refusal.code, field, refusal.detail)
}

/// Founds the registry in `rows`, which must be empty. If this fails, the caller must keep nothing of it.
///
/// Rule R158 (RFC-EG-033 §3, Authority Proof Verification): A registry is founded once, in an empty store, by
/// a genesis file whose first statement is `root`, which holds no `rules` and no `recovery` and of which
/// every statement is accepted, so that it begins with the rules of version 1, in epoch 1.
pub fn bootstrap(rows: &mut dyn RowsMut, genesis: &GenesisFile) -> Result<(), GenesisError> {
    if View::new(rows).meta()?.is_some() {
        return Err(RowError::Unreadable("it holds a registry already".to_owned()).into());
    }
    let at = genesis.time();
    let occasion = Occasion::Genesis { at, cluster_id: genesis.cluster_id.0 };
    for (position, envelope) in genesis.envelopes.iter().enumerate() {
        let statement = envelope.statement();
        if position == 0 && statement.kind != EvidenceKind::Root {
            return Err(not_a_root().into());
        }
        if !profile(statement.kind).in_genesis {
            return Err(in_envelope(position, not_at_first(statement.kind)).into());
        }
        match submit::accept(rows, occasion, envelope)? {
            Outcome::Accepted { fresh: true, .. } => {}
            Outcome::Accepted { .. } => {
                let repeated = Refusal::new(Code::Malformed, "the envelope is there twice");
                return Err(in_envelope(position, repeated).into());
            }
            Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
                return Err(in_envelope(position, refusal).into());
            }
        }
    }
    Ok(())
}
