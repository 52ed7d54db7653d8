//! Pinned bytes.
