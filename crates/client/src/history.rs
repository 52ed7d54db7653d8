//! Asks which history the registry is in: a cluster and its epoch.
//!
//! The receipts and revisions that a caller keeps count in one history. A caller that has nothing to send gets no
//! answer that would name the history in force, so it asks for that history here.

use assent_api::EventLine;
use assent_proof::History;

use crate::answer::{Unread, not_the_api, refused};
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Answer, Ask};

/// The shortest answer that names a history behind a read barrier.
const ASKED: &str = "/v1/events?limit=1&confirmed=true";

impl Client {
    /// The history in force, as a quorum has just confirmed it to the node that answers.
    ///
    /// # Errors
    /// `Unavailable` if no endpoint passed a read barrier within the deadline; `Answer` if no endpoint that answered
    /// is a node.
    pub async fn history_in_force(&self) -> Result<History, ClientError> {
        self.ask(&Ask::read(ASKED), history).await
    }
}

/// The history that an answer names.
fn history(answer: &Answer) -> Result<History, Unread> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    let last = answer.body.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
    match serde_json::from_slice::<EventLine>(last) {
        Ok(EventLine::Heartbeat { heartbeat }) => Ok(heartbeat.history),
        // As a stopping node's feed ends: another one goes on.
        Ok(EventLine::End { end }) => Err(Unread::Cannot(format!("the feed ended: {}", end.reason.as_str()))),
        Ok(EventLine::Event(_)) => Err(Unread::Cannot("the answer broke off".to_owned())),
        Err(error) => Err(not_the_api(answer, error)),
    }
}
