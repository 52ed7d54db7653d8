//! What a recovery writes to the log, and what a crash leaves at each step.

use std::collections::{BTreeMap, BTreeSet};

use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};
use tokio::sync::oneshot;

use assent_registry::{Command, Group};

use super::check::Checked;
use super::error::RecoverError;
use super::opened::Opened;
use crate::node::with_text;
use crate::raft::codec;
use crate::raft::log::LogRecord;
use crate::raft::types::{Proposal, TypeConfig};

impl Opened {
    /// Writes the recovery in two commits: the vote of the new term, then both entries.
    pub(super) async fn write(&self, checked: Checked) -> Result<(), RecoverError> {
        let term = checked.term;
        let entries = self.entries(checked)?;
        // A crash before this commit leaves everything as it was. A crash after it, and before the commit of the
        // entries, leaves a node that has voted for itself once more, which promises nothing to another node.
        // `recover` then starts again, in the next term.
        let vote = codec::encode_vote(&VoteOf::<TypeConfig>::new(term, self.survivor.node_id));
        self.store.log.save_vote(vote.into()).await.map_err(with_text(RecoverError::Vote))?;
        // Both entries are in one commit, so a crash leaves neither or both. With both, the node is recovered, even
        // if `recover` could not report it. The next start elects the node and commits them, and `recover` with the
        // same statement answers that its epoch has begun.
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move |result| {
            // The receiver waits in this function.
            let _ = done.send(result);
        });
        self.store.log.append(entries, on_durable).await.map_err(with_text(RecoverError::Entries))?;
        let written = durable.await.map_err(with_text(RecoverError::Entries))?;
        written.map_err(with_text(RecoverError::Entries))
    }

    /// A membership of this node alone, and the statement as a command.
    fn entries(&self, checked: Checked) -> Result<Vec<LogRecord>, RecoverError> {
        let Checked { envelope, term, now } = checked;
        let me = self.survivor.node_id;
        let membership =
            Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, self.own.clone())]))
                .map_err(with_text(RecoverError::Membership))?;
        let group = Group { atomic: false, envelopes: vec![envelope] };
        let command = Command { proposed_at: now, groups: vec![group] };
        let statement = Proposal(command.encode(self.survivor.rules).into());
        let next = self.last.index.saturating_add(1);
        let at = |index: u64| LogIdOf::<TypeConfig>::new(term.into(), index);
        let entries = [
            EntryOf::<TypeConfig>::new(at(next), EntryPayload::Membership(membership)),
            EntryOf::<TypeConfig>::new(at(next.saturating_add(1)), EntryPayload::Normal(statement)),
        ];
        Ok(entries.into_iter().map(LogRecord).collect())
    }
}
