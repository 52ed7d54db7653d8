//! From the endpoints that the caller names to a client.

use std::time::Duration;

use assent_client::{Client, ClientConfig};
use assent_proof::PublicKey;
use clap::Args;

use crate::exit::{CliError, Exit};

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Endpoints {
    /// A node's client address; give several, or a comma list, to survive the loss of one
    #[arg(long = "endpoint", env = "ASSENT_ENDPOINTS", value_name = "URL", value_delimiter = ',')]
    pub(crate) endpoints: Vec<String>,
    /// How long a call may take over all its attempts, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) timeout: u64,
}

impl Endpoints {
    /// A client that believes decisions as they come.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.client_trusting(Vec::new())
    }

    /// A client that believes an allow only if one of these keys signed it.
    pub(crate) fn client_trusting(&self, trusted: Vec<PublicKey>) -> Result<Client, CliError> {
        if self.endpoints.is_empty() {
            let detail = "no endpoint is given";
            let remedy = "give `--endpoint http://host:port` or set `ASSENT_ENDPOINTS`";
            return Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) });
        }
        let deadline = Duration::from_millis(self.timeout);
        let mut config = ClientConfig::new(&self.endpoints);
        config.attempt_timeout = config.attempt_timeout.min(deadline);
        config.connect_timeout = config.connect_timeout.min(deadline);
        config.deadline = deadline;
        config.trusted_nodes = trusted;
        Ok(Client::new(config)?)
    }
}
