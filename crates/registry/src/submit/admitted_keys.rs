//! The keys that a statement makes valid: which of them must sign it, and which do not count (RFC-EG-033 §4,
//! unsigned governance evidence).

use assent_proof::{Claims, Code, DomainName, PublicKey, Refusal, Statement};

use crate::kinds::{Admits, effects};
use crate::rows::RowError;
use crate::view::View;

/// The keys that a statement makes valid.
#[derive(Default)]
pub(super) struct AdmittedKeys {
    /// Each must sign the statement, which proves that its private half is held.
    pub(super) must_sign: Vec<PublicKey>,
    /// These do not count towards the threshold.
    pub(super) aside: Vec<PublicKey>,
}

impl AdmittedKeys {
    /// The keys that these claims admit. A key that stays where it is has been proven before, so it need not
    /// sign again.
    ///
    /// Rule R83 (RFC-EG-033 §4, unsigned governance evidence): Each key that is new in a `root` or `domain`,
    /// and the key of every `authority-grant`, is among the issuers (`unsigned_evidence`), while a root or
    /// governance key, or the registry's key, that stays in a new `root` or `domain` need not sign again.
    ///
    /// Rule R84 (RFC-EG-033 §3, Authority Proof Verification): A key that a statement admits does not count
    /// towards the threshold of that statement, except a root key that stays in a new `root`.
    pub(super) fn of(view: &View<'_>, claims: &Claims) -> Result<Self, RowError> {
        let newcomers = |keys: &[PublicKey], domain: &DomainName| -> Result<Vec<PublicKey>, RowError> {
            let current = view.domain(domain)?;
            let stays = |key: &PublicKey| current.as_ref().is_some_and(|row| row.governance.contains(key));
            Ok(keys.iter().copied().filter(|key| !stays(key)).collect())
        };
        Ok(match effects(claims).admits {
            Admits::Nothing => Self::default(),
            Admits::Root { keys, registry_key } => {
                let mut must_sign = newcomers(keys, &DomainName::root())?;
                if view.meta()?.is_none_or(|meta| meta.registry_key != *registry_key) {
                    must_sign.push(*registry_key);
                }
                let aside = must_sign.iter().copied().chain([*registry_key]).collect();
                Self { must_sign, aside }
            }
            Admits::Governance { domain, keys } => {
                Self { must_sign: newcomers(keys, domain)?, aside: keys.to_vec() }
            }
            Admits::Authority(authority) => Self { must_sign: vec![*authority], aside: vec![*authority] },
        })
    }

    /// Refuses the statement unless every key that must sign it is among its issuers.
    ///
    /// Rule R83 (RFC-EG-033 §4, unsigned governance evidence): Each key that is new in a `root` or `domain`,
    /// and the key of every `authority-grant`, is among the issuers (`unsigned_evidence`), while a root or
    /// governance key, or the registry's key, that stays in a new `root` or `domain` need not sign again.
    pub(super) fn all_sign(&self, statement: &Statement) -> Result<(), Refusal> {
        let Some(key) = self.must_sign.iter().find(|key| !statement.issuers.contains(key)) else {
            return Ok(());
        };
        let detail = format!("key {key} is admitted but is not among `issuers` and did not sign");
        Err(Refusal::at(Code::UnsignedEvidence, "predicate.issuers", detail))
    }
}

/// A new root statement must be signed at its own threshold too, so that a mistake cannot lock the root keys
/// out.
///
/// Rule R86 (RFC-EG-033 §3, Authority Proof Verification): A new `root` needs the threshold of the old root
/// keys, and from its own keys its own threshold (`threshold_not_met`).
pub(super) fn by_new_keys(statement: &Statement, keys: &[PublicKey], threshold: u32) -> Result<(), Refusal> {
    let signed = keys.iter().filter(|key| statement.issuers.contains(key)).count();
    if u32::try_from(signed).is_ok_and(|signed| signed >= threshold) {
        return Ok(());
    }
    let detail = format!("{signed} of the {threshold} signatures by its own keys that a new root needs");
    Err(Refusal::at(Code::ThresholdNotMet, "predicate.issuers", detail))
}
