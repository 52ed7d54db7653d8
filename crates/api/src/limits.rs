//! The bounds of bodies and pages, and the content type of what has no other.

/// Content type of every other body.
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// Longest body of `POST /v1/authorize`, in bytes.
pub const MAX_AUTHORIZE_BYTES: usize = 16 * 1024;

/// Longest body of a batch, of envelopes or of authorize requests, in bytes.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Most elements of a batch, of envelopes or of authorize requests.
pub const MAX_BATCH: usize = 1000;

/// Most entries of one page of a listing.
pub const MAX_PAGE: usize = 1000;

/// Entries of one page of a listing when the caller does not say.
pub const DEFAULT_PAGE: usize = 100;
