//! TLS of Assent: who a node or a caller is, and how two programs make sure of it before they talk.
//!
//! This crate alone owns rustls, webpki and rcgen. It reads [certificates and keys](OwnCertificate) and
//! [CAs and revocation lists](Authorities) from files, checks what the other side of a connection shows, and makes
//! the configurations of both sides: [`mutual_server`] and [`mutual_client`] between nodes, [`server`] and [`client`]
//! on the client port. An identity is a [`SpiffeId`] in the certificate. This crate never decides what an identity
//! may do: it asks the caller's [`Admit`].
//!
//! For operators without a CA, [`ca`] is a small one: a folder with a key, from which it issues certificates of nodes and
//! callers.
//!
//! It reads no clock: every check gets its time from the caller. It opens no connection and starts no task.
//!
//! - Only TLS 1.3 is spoken, with aws-lc-rs, and with a hybrid key exchange (X25519 and ML-KEM-768) first.
//! - No session is ever resumed. A resumed session would skip the check of the certificate, so a revoked one would get
//!   in. For the same reason there is no early data.
//! - A certificate is refused unless everything about it is known to be right. If a revocation list is given, each
//!   certificate of a chain must be covered by a list of its issuer that has not expired. A list that was read is never
//!   followed by an older one.
//! - When files are read again, what withdraws trust is always taken. What extends trust, or replaces this program's own
//!   certificate, is taken only if it is sound. A bad file never keeps another one from being read.
//! - A private key is never printed: not by `Debug`, and not in an error.
//! - [`secret_file`] reads every file of the product that has a secret, and refuses one that other users may use.

#![forbid(unsafe_code)]

mod anchors;
mod authorities;
pub mod ca;
mod certificate_error;
mod configs;
mod files;
pub mod outside;
mod own_certificate;
mod provider;
mod refusal;
mod revocation;
pub mod secret_file;
mod spiffe;
mod verifiers;
mod x509;

pub use authorities::{Authorities, RereadAuthorities};
pub use certificate_error::{CertificateError, Side};
pub use configs::{TlsError, client, mutual_client, mutual_server, server};
pub use files::{TlsFileError, TlsFileProblem};
pub use own_certificate::OwnCertificate;
pub use refusal::{certificate_error, explain};
pub use rustls::time_provider::TimeProvider;
pub use rustls::{ClientConfig, ServerConfig};
pub use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
pub use spiffe::{NodeName, SpiffeId, SpiffeIdError, TrustDomain};
pub use verifiers::Admit;
pub use x509::stated_id;
