//! What accepting a statement writes: its leaf, its place in its lineage, and what its kind changes
//! (RFC-EG-033 §3, immutable proof persistence).
//!
//! If a row that the checks found is missing when the statement is written, that is damage, and the node
//! stops: otherwise the statement would get its receipt without having its effect. If a statement is the
//! first to need a row, the row is made here.
//!
//! | file | what it writes |
//! |---|---|
//! | `leaf.rs` | the leaf, the envelope, and what the rules need to know of it |
//! | `lineage.rs`, `slot.rs`, `subject.rs` | its lineage: head, issuers, equivocations; its slot; its subjects and its end |
//! | `kind.rs` | which of the following its kind writes |
//! | `governance.rs` | domains and authorities |
//! | `restriction.rs`, `contain.rs`, `release.rs` | what is held back, and what is lifted |
//! | `reconcile.rs` | which half of an equivocation is chosen |
//! | `permit.rs` | the use of a nonce and of the authorizations |
//! | `peer.rs` | trusts in other registries, and their checkpoints |
//! | `meta.rs` | the registry as a whole |

mod contain;
mod governance;
mod kind;
mod leaf;
mod lineage;
mod meta;
mod peer;
mod permit;
mod reconcile;
mod release;
mod restriction;
mod slot;
mod subject;
mod writer;

use assent_proof::VerifiedEnvelope;

use super::plan::{Placement, Plan};
use super::slot::equivocated;
use crate::command::{Outcome, Receipt};
use crate::rows::{RowError, RowsMut, Table};
use crate::view::View;

use writer::Writer;

/// Writes what the plan says, and answers with the receipt.
pub(super) fn write(
    rows: &mut dyn RowsMut,
    envelope: &VerifiedEnvelope,
    plan: Plan,
) -> Result<Outcome, RowError> {
    if let Placement::Redundant(id) = plan.placement {
        return match View::new(rows).receipt(&id)? {
            Some(receipt) => Ok(Outcome::Accepted { receipt, fresh: false }),
            None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
        };
    }
    let id = envelope.id();
    let statement = envelope.statement();
    let index = plan.meta.as_ref().map_or(0, |meta| meta.revision);
    let mut writer = Writer { rows, id, statement, plan: &plan, index };
    writer.leaf(envelope.bytes())?;
    writer.lineage()?;
    writer.kind()?;
    writer.advance()?;
    let receipt = Receipt {
        evidence_id: id,
        ledger_index: index,
        revision: index.saturating_add(1),
        accepted_at: plan.accepted_at,
    };
    if plan.placement.is_second() {
        return Ok(Outcome::Equivocation { receipt, refusal: equivocated(statement) });
    }
    Ok(Outcome::Accepted { receipt, fresh: true })
}
