//! What all changes of the membership have in common: how they are answered, and why they are refused.

use std::collections::BTreeMap;

use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};

use assent_proof::{Code, Refusal};

use crate::peer::ManageError;
use crate::raft::types::{NodeId, PeerNode, TypeConfig};

/// What became of a change.
pub(super) type Changed<T> = Result<T, ManageError>;

/// Refuses a change with this code.
pub(super) fn refused<T>(code: Code, detail: impl Into<String>) -> Changed<T> {
    Err(ManageError::Refused(Refusal::new(code, detail)))
}

/// Refuses a change of a node that is not a member.
pub(super) fn unknown<T>(id: NodeId) -> Changed<T> {
    refused(Code::MemberUnknown, format!("node {id} is not a member"))
}

/// Refuses a member that shares something with another member that each must have for itself.
pub(super) fn is_its_own(
    members: &BTreeMap<NodeId, PeerNode>,
    id: NodeId,
    shares: impl Fn(&PeerNode) -> Option<&'static str>,
) -> Changed<()> {
    let mut others = members.iter().filter(|(other, _)| **other != id);
    match others.find_map(|(other, known)| Some((other, shares(known)?))) {
        None => Ok(()),
        Some((other, what)) => refused(Code::MemberExists, format!("node {other} has the same {what}")),
    }
}

/// The outcome of a change that Raft was asked for.
pub(super) fn done<T, E>(
    changed: Result<Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>, E>,
) -> Changed<()> {
    match changed {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
            Err(ManageError::NotLeader { leader: forward.leader_id })
        }
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => match error {
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                refused(Code::MembershipBusy, error.to_string())
            }
            error => refused(Code::QuorumAtRisk, error.to_string()),
        },
        Ok(Err(error)) => Err(ManageError::Unknown(error.to_string())),
        Err(_) => Err(ManageError::Unknown("not committed within the deadline".to_owned())),
    }
}
