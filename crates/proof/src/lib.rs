//! The formats of proofs: signed envelopes, their ids, keys, statements and claims, strict parsing, and
//! offline verification.
//!
//! This crate owns the formats that come from outside (DSSE, in-toto Statement v1, PEM keys, RFC 6962
//! inclusion and consistency proofs, C2SP signed notes, checkpoints and cosignatures) and the one enum of
//! codes. Everything in it is a pure function of its arguments: it never reads a clock, never draws a random
//! number, never does IO, and never decides whether an execution may run.
//!
//! [`verify`](verify::verify) is the only way to a [`VerifiedEnvelope`], and the registry accepts nothing
//! else.
//!
//! ```
//! use assent_proof::*;
//!
//! let key = SigningKey::from_seed([1; 32]); // from a random source, outside an example
//! let claims = Claims::RuntimeIntegrity { measured: "sha384:00ff".into() };
//! let statement = Statement {
//!     subject_name: None,
//!     subject: Sha256::of(b"the program"),
//!     kind: claims.kind(),
//!     registry: "registry.example/eu-1".into(),
//!     domain: "prod.eu".parse()?,
//!     lineage: "exec-7f3a".parse()?,
//!     issuers: vec![key.public()],
//!     sequence: Some(0),
//!     parent: None,
//!     references: vec![],
//!     issued_at: "2026-11-22T19:00:00Z".parse()?,
//!     expires_at: None,
//!     claims: claims.to_json(),
//! };
//! let envelope = sign_statement(&statement, &[&key]);
//! let verified = verify(&envelope, "registry.example/eu-1", Rules::NEWEST)?;
//! assert_eq!(verified.statement(), &statement);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
// A new variant of an enum must not be ignored by accident, so every match lists all variants.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

mod base64;
mod bytes32;
mod cosignature;
mod lower_hex;
mod string_enum;

pub mod checkpoint;
pub mod claims;
pub mod code;
pub mod dsse;
pub mod history;
pub mod id;
pub mod json;
pub mod key;
pub mod kind;
pub mod merkle;
pub mod name;
pub mod note;
pub mod pem;
pub mod receipt;
pub mod refusal;
pub mod request;
pub mod rules;
pub mod statement;
pub mod status;
pub mod text;
pub mod time;
pub mod verify;

pub use crate::base64::{decode_base64, encode_base64};
pub use checkpoint::{Checkpoint, Cosignature, VerifiedCheckpoint, cosign, cosigner_name, verify_checkpoint};
pub use claims::{
    AttestationStatus, Claims, Containment, Of, PolicyBody, PolicyVerdict, Requirement, RevocationReason,
    TreeHash, Unchecked,
};
pub use code::{Code, CodeUse};
pub use dsse::{
    Envelope, EnvelopeSignature, MAX_ENVELOPE_BYTES, MAX_SIGNATURES, STATEMENT_PAYLOAD_TYPE, pae,
};
pub use history::{Cursor, EPOCH_MAX, History};
pub use id::{EvidenceId, Sha256, blake3_256};
pub use json::{FieldError, Fields, Json, MAX_DEPTH};
pub use key::{KeyError, PublicKey, SigningKey};
pub use kind::{EvidenceKind, Role};
pub use lower_hex::from_lower_hex;
pub use merkle::{BatchTree, consistency_proof, leaf_hash, verify_consistency, verify_inclusion};
pub use name::{DomainName, LineageName, Token};
pub use note::{Note, NoteKey, NoteKeyKind, NoteSignature, sign_note};
pub use receipt::{DECISIONS_PAYLOAD_TYPE, DecisionReceipt, VerifiedDecision, sign_batch, verify_decision};
pub use refusal::Refusal;
pub use request::AuthorizeRequest;
pub use rules::{Rules, RulesVersion};
pub use statement::{Statement, sign_statement};
pub use status::{AuthorityStatus, LineageStatus};
pub use time::{Millis, Seconds};
pub use verify::{ParsedEnvelope, VerifiedEnvelope, verify};
