//! The cryptography that every configuration uses. It is passed explicitly: this crate never sets or reads a default
//! of the process.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// aws-lc-rs, with the hybrid key exchange first.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}
