//! Lists and changes the cluster's members. Every change may be repeated: a change that is already made stays as it
//! is. While another change is under way (`membership_busy`), the client repeats a change until the call's deadline. The
//! calls go to the admin listeners, if the configuration names any ([`ClientConfig::admin`](crate::ClientConfig::admin)).

use assent_api::{Call, ClockBody, ConfirmClock, MemberAddresses, MembersBody, NewMember, transfer_body};
use assent_proof::Seconds;
use http::Method;

use crate::answer::json;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::Ask;

const MEMBERS: &str = "/v1/cluster/members";

impl Client {
    /// The members as the leader sees them. If no leader answers the node that is asked, the members as that node sees
    /// them.
    pub async fn members(&self) -> Result<MembersBody, ClientError> {
        self.change(Ask::read(MEMBERS)).await
    }

    /// Adds a waiting node as a learner. Returns the members afterwards.
    ///
    /// # Errors
    /// `member_exists` for an id, store, key or address that was used before; `authority_unknown` for a key that is not
    /// granted; `membership_busy`; `no_quorum`.
    pub async fn add_member(&self, new: &NewMember) -> Result<MembersBody, ClientError> {
        self.change(Ask::post(Call::Manage, MEMBERS, new.to_vec())).await
    }

    /// Makes a learner that has caught up a voter.
    ///
    /// # Errors
    /// `member_unknown`, `member_behind`, `quorum_at_risk`, `membership_busy`, `no_quorum`.
    pub async fn promote_member(&self, id: u64) -> Result<MembersBody, ClientError> {
        self.change(Ask::post(Call::Manage, format!("{MEMBERS}/{id}/promote"), Vec::new())).await
    }

    /// Changes the addresses of a member. An address that is left out stays as it is.
    ///
    /// # Errors
    /// `member_unknown`; `member_exists` for an address that another member has; `malformed` for one address for both;
    /// `membership_busy`, `no_quorum`.
    pub async fn update_member(&self, id: u64, to: &MemberAddresses) -> Result<MembersBody, ClientError> {
        self.change(Ask::new(Call::Manage, Method::PATCH, format!("{MEMBERS}/{id}"), to.to_vec())).await
    }

    /// Removes a member permanently. Neither its id nor its store can ever be used again.
    ///
    /// # Errors
    /// `member_unknown`, `quorum_at_risk`, `membership_busy`, `no_quorum`.
    pub async fn remove_member(&self, id: u64) -> Result<MembersBody, ClientError> {
        self.change(Ask::new(Call::Manage, Method::DELETE, format!("{MEMBERS}/{id}"), Vec::new())).await
    }

    /// Hands leadership to the voter `to`, or by default to the voter whose log is furthest ahead.
    ///
    /// # Errors
    /// `member_unknown`, `member_behind`, `quorum_at_risk`, `no_quorum`.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<MembersBody, ClientError> {
        self.change(Ask::post(Call::Manage, "/v1/cluster/leader", transfer_body(to))).await
    }

    /// Confirms that a node's clock, which shows `time`, is right, however far it is ahead of registry time, and even
    /// if it was set back. The other nodes follow the node that takes the confirmation, but never back: each node
    /// whose clock was set back must be confirmed separately. Returns how sure that node is of its clock.
    ///
    /// # Errors
    /// `times_invalid` if `time` is not within a minute of the node's clock; `clock_uncertain` if no quorum agrees
    /// with the clock, or the clock is behind registry time.
    pub async fn confirm_clock(&self, time: Seconds) -> Result<ClockBody, ClientError> {
        let ask = Ask::post(Call::Clock, "/v1/clock/confirm", ConfirmClock { time }.to_vec());
        self.at_admin().ask(&ask, json).await
    }

    async fn change(&self, ask: Ask) -> Result<MembersBody, ClientError> {
        self.at_admin().ask(&ask, json).await
    }
}
