//! The configurations of both sides: between nodes, and on the client port.

use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::server::{NoServerSessionStorage, WantsServerCert};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, ServerConfig};

use crate::authorities::Authorities;
use crate::own_certificate::OwnCertificate;
use crate::provider::provider;
use crate::spiffe::SpiffeId;
use crate::verifiers::{Admit, ByIdentity, ByName};

/// What the client port speaks inside TLS. It does not speak HTTP/2.
const HTTP: &[u8] = b"http/1.1";

/// Why no TLS configuration can be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS cannot be set up with this build's cryptography: {0}; this is a defect of the build, please report it"
)]
pub struct TlsError(#[from] rustls::Error);

/// The accepting side between nodes, and on an admin listener that other machines reach. A client must show a certificate that [`Authorities::check`] finds right and whose
/// id `admit` lets in. `alpn` is the protocol that is spoken inside. A client that names another one is refused, and one
/// that names none is not: read the connection's protocol before anything else.
///
/// # Errors
/// If the build's cryptography does not have TLS 1.3.
pub fn mutual_server(
    own: &OwnCertificate,
    authorities: Arc<Authorities>,
    admit: Admit,
    time: Arc<dyn TimeProvider>,
    alpn: &[u8],
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = Arc::new(ByIdentity { authorities, admit, is_mandatory: true });
    let builder = ServerConfig::builder_with_details(provider().clone(), time)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier);
    Ok(finish_server(builder, own, vec![alpn.to_vec()]))
}

/// The calling side between nodes. The server must show a certificate that [`Authorities::check`] finds right and whose
/// id `admit` lets in. Its name and address play no part, so `admit` must ask for exactly the node that is called.
///
/// # Errors
/// If the build's cryptography does not have TLS 1.3.
pub fn mutual_client(
    own: &OwnCertificate,
    authorities: Arc<Authorities>,
    admit: Admit,
    time: Arc<dyn TimeProvider>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = Arc::new(ByIdentity { authorities, admit, is_mandatory: true });
    let builder = ClientConfig::builder_with_details(provider().clone(), time)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = finish_client(builder, Some(own), vec![alpn.to_vec()]);
    // A node is known by its id. Its name would only tell bystanders who calls whom.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The client port, which speaks HTTP/1.1. A caller may show a certificate if `callers` is given. One that is shown must be right by
/// [`Authorities::check`], and what its holder may do is decided later. Without `callers`, none is asked for.
///
/// # Errors
/// If the build's cryptography does not have TLS 1.3.
pub fn server(
    own: &OwnCertificate,
    callers: Option<Arc<Authorities>>,
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder =
        ServerConfig::builder_with_details(provider().clone(), time).with_protocol_versions(&[&TLS13])?;
    let builder = match callers {
        Some(authorities) => {
            let admit: Admit = Arc::new(|_: &SpiffeId| Ok(()));
            builder.with_client_cert_verifier(Arc::new(ByIdentity {
                authorities,
                admit,
                is_mandatory: false,
            }))
        }
        None => builder.with_no_client_auth(),
    };
    Ok(finish_server(builder, own, vec![HTTP.to_vec()]))
}

/// A caller of the client port. The server's certificate must lead to a CA of `ca` and have the DNS name or the IP
/// address that is called. The caller shows `own` if the server asks for it. No protocol is named: a caller that wants to
/// name one puts it into a clone's `alpn_protocols`.
///
/// # Errors
/// If the build's cryptography does not have TLS 1.3.
pub fn client(
    own: Option<&OwnCertificate>,
    ca: &Authorities,
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_details(provider().clone(), time)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ByName { authorities: ca.clone() }));
    Ok(Arc::new(finish_client(builder, own, Vec::new())))
}

/// No tickets and no store of sessions: each connection shows its certificate anew.
fn finish_server(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    own: &OwnCertificate,
    alpn: Vec<Vec<u8>>,
) -> Arc<ServerConfig> {
    let mut config = builder.with_cert_resolver(own.resolver());
    config.alpn_protocols = alpn;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Arc::new(config)
}

fn finish_client(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    own: Option<&OwnCertificate>,
    alpn: Vec<Vec<u8>>,
) -> ClientConfig {
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(own.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}
