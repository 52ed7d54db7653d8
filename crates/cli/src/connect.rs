//! Makes a client from the endpoints and the deadline that the caller names.

use std::time::Duration;

use assent_client::{Client, ClientConfig, Trust};
use clap::Args;

use crate::exit::{CliError, Exit};

/// The cluster's endpoints, and how long a call to them may take.
#[derive(Clone, Debug, Args)]
pub(crate) struct Endpoints {
    /// A node's client address (repeatable, or a list with commas); give several to survive the loss of a node
    #[arg(long = "endpoint", env = "ASSENT_ENDPOINTS", value_name = "URL")]
    endpoints: Vec<String>,
    /// How long a call may take with all its attempts, in milliseconds; by default 10000, and 24000 for a change of
    /// the members or of the leader
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout: Option<u64>,
}

/// How long a call may take by default.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest time that a node needs for a change of the membership.
const CHANGE_WITHIN: Duration = Duration::from_secs(12);

impl Endpoints {
    /// The addresses, in the order given. Commas and white space separate them, and empty parts are left out.
    pub(crate) fn list(&self) -> Vec<String> {
        let given = self.endpoints.iter().flat_map(|given| given.split([',', ' ', '\t', '\r', '\n']));
        given.filter(|address| !address.is_empty()).map(str::to_owned).collect()
    }

    /// A client that submits and reads. It believes no allow.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.client_trusting(Trust::NoAllow)
    }

    /// A client that asks for decisions, and believes the allows that `trust` says to believe.
    pub(crate) fn client_trusting(&self, trust: Trust) -> Result<Client, CliError> {
        Ok(Client::new(self.config(trust, DEADLINE)?)?)
    }

    /// A client that changes the membership. A single attempt may take as long as a change does, but no longer than
    /// the caller's limit.
    pub(crate) fn client_for_changes(&self) -> Result<Client, CliError> {
        let mut config = self.config(Trust::NoAllow, CHANGE_WITHIN.saturating_mul(2))?;
        config.attempt_timeout = CHANGE_WITHIN.min(config.deadline);
        Ok(Client::new(config)?)
    }

    /// The configuration of a client. A call takes no longer than the caller's limit, or `otherwise` without such a
    /// limit.
    fn config(&self, trust: Trust, otherwise: Duration) -> Result<ClientConfig, CliError> {
        let endpoints = self.list();
        if endpoints.is_empty() {
            let detail = "no endpoint is given";
            let remedy = "give `--endpoint http://host:port` or set `ASSENT_ENDPOINTS`";
            return Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) });
        }
        let deadline = self.timeout.map_or(otherwise, Duration::from_millis);
        let mut config = ClientConfig::new(&endpoints, trust);
        config.attempt_timeout = config.attempt_timeout.min(deadline);
        config.connect_timeout = config.connect_timeout.min(deadline);
        config.deadline = deadline;
        Ok(config)
    }
}
