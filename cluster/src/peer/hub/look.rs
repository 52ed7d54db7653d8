//! Checks an address before a member moves there: which node answers, without a change to any connection.

use tokio::time::timeout;

use crate::peer::handshake;
use crate::peer::hello::Hello;
use crate::raft::types::NodeId;

use super::{Inner, PeerHub};

impl PeerHub {
    /// Whether node `id`, with this store, answers at `addr`, or why that is not known. If this node has dialed it
    /// there already, that hello is used. Otherwise the address is asked anew, and no connection changes.
    pub(crate) async fn answers_at(&self, id: NodeId, addr: &str, store_id: [u8; 16]) -> Result<(), String> {
        let there = self.connection(id).filter(|connection| connection.dialed_to() == Some(addr));
        let hello = match there {
            Some(connection) => connection.hello().clone(),
            None => self.inner.look_at(id, addr).await?,
        };
        match hello.store_id == store_id {
            true => Ok(()),
            false => Err(format!("at `{addr}` node {id} answers with another store than its own")),
        }
    }
}

impl Inner {
    /// The hello of the node that answers as node `id` at this address. Nothing else changes.
    async fn look_at(&self, id: NodeId, addr: &str) -> Result<Hello, String> {
        let stream = self.connect(addr).await?;
        let claims = self.claims();
        let looking = async {
            let (stream, _) = self.secure(stream, id).await?;
            handshake::look(stream, &self.identity, id, claims, &*self.handler).await
        };
        let looked = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            looked = timeout(self.limits.handshake_timeout, looking) => looked,
        };
        match looked {
            Ok(Ok(hello)) => Ok(hello),
            Ok(Err(error)) => Err(format!("at `{addr}`: {}", error.explained())),
            Err(_) => Err(format!("no handshake with `{addr}` within the deadline")),
        }
    }
}
