//! S3: what was acknowledged is in the ledger.
//!
//! Every receipt (of a submission, an equivocation, a permit) names a leaf. The longest ledger reaches that leaf. In
//! the last ledger of every node that reaches it, the leaf has the receipt's id and time and, if a client submitted
//! it, a text that was submitted under that id. If a node holds less, it is behind, and L3 judges that. A restriction
//! that added nothing is answered with the receipt of the restriction in force, so the id of a receipt can differ from
//! the id that was submitted.

use super::book::{Book, last_ledgers, longest_ledger};
use super::read::receipt;
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at receipts, once for each ledger.
pub(super) fn check(history: &History) -> Verdict {
    let book = Book::of(history);
    let ledgers = last_ledgers(history);
    let longest = longest_ledger(history).map(|ledger| ledger.at);
    let mut verdict = Verdict::default();
    for (at, record) in history.records.iter().enumerate() {
        let Some(receipt) = receipt(record) else { continue };
        for ledger in &ledgers {
            let found = ledger.leaf(receipt.index);
            if found.is_none() && longest != Some(ledger.at) {
                continue;
            }
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            let what = match found {
                None => "is not there",
                Some(leaf) if leaf.id != receipt.id => "is another statement",
                Some(leaf) if leaf.accepted_at != receipt.accepted_at => "was accepted at another time",
                Some(leaf) => {
                    let submitted = book.known.get(&receipt.id).map(|known| &known.texts);
                    if submitted.is_none_or(|texts| texts.contains(leaf.envelope)) {
                        continue;
                    }
                    "has other bytes"
                }
            };
            let what = format!("leaf {} (`{}`) {what} on node {}", receipt.index, receipt.id, ledger.node);
            verdict.violations.push(Violation { what, shown_by: vec![at, ledger.at] });
        }
    }
    verdict
}
