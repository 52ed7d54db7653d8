//! The client: what it was made with, and one attempt at one endpoint.

use std::sync::Arc;
use std::time::Duration;

use crate::config::ClientConfig;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::endpoints::Endpoints;
use crate::error::ClientError;
use crate::transport::{Answer, Ask, Failure, Transport};

/// A cluster's client. Cheap to clone; clones share connections and the choice of endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// The same with the admin listeners as its endpoints, if it has any.
    admin: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    endpoints: Endpoints,
    transport: Transport,
}

impl Client {
    /// A client for these endpoints. Reads the files of its credentials. Connects when it is first used; needs a tokio
    /// runtime then.
    ///
    /// # Errors
    /// `config_invalid` for an endpoint or a file that cannot be used, and for a token or certificate that is given with
    /// plain HTTP to another machine.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let endpoints = config.endpoints()?;
        let credentials = match &config.tls {
            Some(tls) => Some(Credentials::read(tls, Arc::clone(&config.clock))?),
            None => None,
        };
        let transport = Transport::new(config.connect_timeout, config.response_bytes_max, credentials);
        let admin = if config.admin.is_empty() {
            None
        } else {
            let config = ClientConfig { endpoints: config.admin.clone(), ..config.clone() };
            let endpoints = config.endpoints()?;
            Some(Arc::new(Shared { config, endpoints, transport: transport.clone() }))
        };
        Ok(Client { shared: Arc::new(Shared { config, endpoints, transport }), admin })
    }

    /// The client for the calls of admin listeners: its endpoints are those listeners or, if none is configured, the same
    /// endpoints.
    pub(crate) fn at_admin(&self) -> Client {
        let shared = self.admin.as_ref().unwrap_or(&self.shared);
        Client { shared: Arc::clone(shared), admin: self.admin.clone() }
    }

    /// What it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// The endpoints, and which is asked first.
    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// One attempt.
    pub(crate) async fn attempt(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
        within: Duration,
    ) -> Result<Answer, Failure> {
        self.attempt_until(endpoint, ask, within, std::future::pending()).await
    }

    /// One attempt, which ends at once when `given_up` is done. If a deny has begun by then, the attempt's result is
    /// that deny.
    pub(crate) async fn attempt_until(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
        within: Duration,
        given_up: impl Future<Output = ()>,
    ) -> Result<Answer, Failure> {
        if within.is_zero() {
            return Err(Failure::NotSent("the deadline has passed".to_owned()));
        }
        self.shared.transport.attempt(endpoint, ask, within, given_up).await
    }
}
