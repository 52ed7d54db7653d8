//! The limits of bodies and pages, and the default content type.

/// Content type of every body that has no other one.
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// The longest body of `POST /v1/authorize`, in bytes.
pub const MAX_AUTHORIZE_BYTES: usize = 16 * 1024;

/// The longest body of a batch of envelopes or of authorize requests, in bytes.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// The most elements of a batch of envelopes or of authorize requests.
pub const MAX_BATCH: usize = 1000;

/// The most entries of one page of a listing.
pub const MAX_PAGE: usize = 1000;

/// The entries of one page of a listing by default.
pub const DEFAULT_PAGE: usize = 100;
