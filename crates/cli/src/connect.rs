//! From the endpoints that the caller names to a client.

use std::time::Duration;

use assent_client::{Client, ClientConfig, Trust};
use clap::Args;

use crate::exit::{CliError, Exit};

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Endpoints {
    /// A node's client address; give several, or a comma list, to survive the loss of one
    #[arg(long = "endpoint", env = "ASSENT_ENDPOINTS", value_name = "URL")]
    endpoints: Vec<String>,
    /// How long a call may take over all its attempts, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) timeout: u64,
}

impl Endpoints {
    /// The addresses, in the order given. Commas and blanks divide them, and what is empty between two of them is none.
    pub(crate) fn list(&self) -> Vec<String> {
        let given = self.endpoints.iter().flat_map(|given| given.split([',', ' ', '\t', '\r', '\n']));
        given.filter(|address| !address.is_empty()).map(str::to_owned).collect()
    }

    /// A client that submits and reads. It believes no allow.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.client_trusting(Trust::NoAllow)
    }

    /// A client that asks for decisions, and believes the allows that `trust` says.
    pub(crate) fn client_trusting(&self, trust: Trust) -> Result<Client, CliError> {
        let endpoints = self.list();
        if endpoints.is_empty() {
            let detail = "no endpoint is given";
            let remedy = "give `--endpoint http://host:port` or set `ASSENT_ENDPOINTS`";
            return Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) });
        }
        let deadline = Duration::from_millis(self.timeout);
        let mut config = ClientConfig::new(&endpoints, trust);
        config.attempt_timeout = config.attempt_timeout.min(deadline);
        config.connect_timeout = config.connect_timeout.min(deadline);
        config.deadline = deadline;
        Ok(Client::new(config)?)
    }
}
