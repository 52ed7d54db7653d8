//! The endpoints for operators: `/v1/cluster/members`, `/v1/cluster/leader` and `/v1/clock/confirm`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;

use assent_api::{
    Call, ConfirmClock, MemberAddresses, MembersBody, NewMember, Problem, parse_node_id, parse_transfer,
};
use assent_proof::{Code, Refusal};

use super::audited::with;
use super::body;
use super::judged::Judged;
use super::reply::{json, problem_body, refusal};
use crate::audit::Facts;
use crate::usecase::Service;

fn answered(changed: Result<MembersBody, Box<Problem>>) -> Response {
    match changed {
        Ok(members) => json(200, &members),
        Err(why) => problem_body(&why),
    }
}

#[expect(clippy::result_large_err, reason = "the error is the finished answer")]
fn member_id(text: &str) -> Result<u64, Response> {
    parse_node_id(text)
        .map_err(|error| refusal(&Refusal::at(Code::Malformed, "id", error.to_string()), Call::Manage))
}

/// Lists the members.
pub(super) async fn list(State(service): State<Service>, Extension(by): Extension<Judged>) -> Response {
    json(200, &service.members(&by.caller).await)
}

/// Adds a learner.
pub(super) async fn add(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    let bytes = match body::read(&service, &by, request).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    match NewMember::parse(&bytes) {
        Ok(new) => {
            let about = Facts { member: Some(new.id), ..Facts::default() };
            with(answered(service.add_member(&by.caller, new).await), about)
        }
        Err(why) => refusal(&why, Call::Manage),
    }
}

/// Makes a learner a voter.
pub(super) async fn promote(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(id): Path<String>,
) -> Response {
    match member_id(&id) {
        Ok(id) => answered(service.promote_member(&by.caller, id).await),
        Err(answer) => answer,
    }
}

/// Changes the addresses of a member.
pub(super) async fn update(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(id): Path<String>,
    request: Body,
) -> Response {
    let id = match member_id(&id) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let bytes = match body::read(&service, &by, request).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    match MemberAddresses::parse(&bytes) {
        Ok(to) => answered(service.update_member(&by.caller, id, to).await),
        Err(why) => refusal(&why, Call::Manage),
    }
}

/// Removes a member.
pub(super) async fn remove(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(id): Path<String>,
) -> Response {
    match member_id(&id) {
        Ok(id) => answered(service.remove_member(&by.caller, id).await),
        Err(answer) => answer,
    }
}

/// Transfers leadership.
pub(super) async fn transfer(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    let bytes = match body::read(&service, &by, request).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    match parse_transfer(&bytes) {
        Ok(to) => {
            let about = Facts { member: to, ..Facts::default() };
            with(answered(service.transfer_leader(&by.caller, to).await), about)
        }
        Err(why) => refusal(&why, Call::Manage),
    }
}

/// Takes an operator's confirmation of this node's clock.
pub(super) async fn confirm_clock(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    let bytes = match body::read(&service, &by, request).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    let confirmed = match ConfirmClock::parse(&bytes) {
        Ok(ConfirmClock { time }) => service.confirm_clock(&by.caller, time),
        Err(why) => return refusal(&why, Call::Manage),
    };
    match confirmed {
        Ok(clock) => json(200, &clock),
        Err(why) => problem_body(&why),
    }
}
