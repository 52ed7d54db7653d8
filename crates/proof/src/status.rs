//! The status of an authority and of a lineage at a moment. The registry computes them, and the API sends
//! them as they are.

use crate::string_enum::string_enum;

string_enum! {
    /// The status of an authority at a moment.
    AuthorityStatus, "a status of an authority" {
        /// It may sign.
        Active = "active",
        /// Its validity has not begun.
        Pending = "pending",
        /// Its validity has ended.
        Expired = "expired",
        /// It was revoked, for good.
        Revoked = "revoked",
    }
}

string_enum! {
    /// The status of a lineage.
    LineageStatus, "a status of a lineage" {
        /// It takes evidence.
        Open = "open",
        /// A final audit event closed it.
        Closed = "closed",
        /// Every request is denied until its containments are released and its equivocations are reconciled.
        Quarantined = "quarantined",
    }
}
