//! The words for how an authority and a lineage are at a moment. The registry works them out, and the API carries them as they are.

use crate::string_enum::string_enum;

string_enum! {
    /// What an authority may do at a moment.
    AuthorityStatus, "a status of an authority" {
        /// It may sign.
        Active = "active",
        /// Its validity has not begun.
        Pending = "pending",
        /// Its validity is over.
        Expired = "expired",
        /// It was revoked: dead for good.
        Revoked = "revoked",
    }
}

string_enum! {
    /// How a lineage is.
    LineageStatus, "a status of a lineage" {
        /// It takes evidence.
        Open = "open",
        /// A final audit event closed it.
        Closed = "closed",
        /// It denies until its containments are released and its equivocations reconciled.
        Quarantined = "quarantined",
    }
}
