//! The Assent node: Raft adapters, peer transport, use cases, HTTP, runtime environment.

pub mod env;
pub mod peer;
pub mod raft {
    //! The only folder that knows openraft.
    pub mod types;
}
