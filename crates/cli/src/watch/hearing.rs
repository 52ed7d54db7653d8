//! What is heard of the ledger: the newest revision that could change a decision.

use assent_client::{Client, EventsFilter};
use assent_proof::{AuthorizeRequest, DomainName, LineageName};
use tokio::sync::watch;

use crate::output::Output;

/// Listens in the background until it is dropped.
pub(crate) struct Hearing {
    newest: watch::Receiver<u64>,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Hearing {
    /// Listens for what comes after `revision` and concerns the request.
    pub(crate) fn start(client: &Client, request: &AuthorizeRequest, revision: u64, output: Output) -> Self {
        let mut follower = client.follow_events(relevant(request), revision);
        let (heard, newest) = watch::channel(revision);
        let listener = tokio::spawn(async move {
            let mut deaf = false;
            loop {
                match follower.next().await {
                    Ok(page) => {
                        if let Some(event) = page.events.last() {
                            heard.send_replace(event.revision);
                        }
                        deaf = false;
                    }
                    Err(error) => {
                        if !deaf {
                            output.say(&format!("no events are heard, asking by the clock alone: {error}"));
                        }
                        deaf = true;
                        // The follower has tried for as long as a call may take, or is refused at once.
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Self { newest, listener }
    }

    /// The newest revision that was heard of.
    pub(crate) fn revision(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Waits until something else is heard.
    pub(crate) async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// What could change the decision: governance, restrictions, its own lineages; and an equivocation anywhere in its domain,
/// since evidence may rest on one half of it.
fn relevant(request: &AuthorizeRequest) -> EventsFilter {
    let mut lineages = vec![LineageName::governance()];
    lineages.extend(request.lineage.clone());
    lineages.extend(request.runtime.clone());
    EventsFilter {
        kinds: Vec::new(),
        domains: vec![request.domain.clone(), DomainName::root()],
        lineages,
        equivocations: true,
    }
}
