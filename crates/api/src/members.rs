//! The bodies in which the cluster's members are listed and changed.

use assent_proof::{Fields, PublicKey, Refusal, from_lower_hex, json};
use serde::{Deserialize, Serialize};

use crate::address::{AddressError, MemberAddress};
use crate::node_id::{NODE_ID_MAX, check_node_id};

/// The longest body of a change of the membership, in bytes.
pub const MAX_MEMBER_BYTES: usize = 4096;

/// The role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// The member votes and answers.
    Voter,
    /// The member receives the log, and neither votes nor answers.
    Learner,
}

/// The answer to `GET /v1/cluster/members` and to every change of the membership: the members afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembersBody {
    /// The id of the node whose view this is: the leader, unless there is none.
    pub node_id: u64,
    /// The leader's id. If it is null, there is no leader, and this is the view of one node.
    pub leader: Option<u64>,
    /// Whether a change is under way.
    pub changing: bool,
    /// The smallest id that a new member may have. Each id is used once.
    pub next_id: u64,
    /// The members, by id.
    pub members: Vec<MemberBody>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberBody {
    /// The member's node id.
    pub id: u64,
    /// The member's role.
    pub role: MemberRole,
    /// The address at which peers reach the member, `host:port`.
    pub peer: String,
    /// The address at which clients reach the member, `host:port`.
    pub client: String,
    /// The random id of the member's store, hex. It identifies the member's disk.
    pub store_id: String,
    /// The member's signing key; null if the membership does not name it.
    pub key: Option<PublicKey>,
    /// Whether that key is granted now.
    pub key_granted: bool,
    /// Whether the node that answers is this member or is connected to it.
    pub connected: bool,
    /// The last log index that the member is known to hold; null unless the leader answers.
    pub matched: Option<u64>,
    /// The number of log entries that the member lacks; null unless the leader answers.
    pub behind: Option<u64>,
    /// The newest version of the rules that the member knows; null while the member is not connected.
    pub rules_known: Option<u32>,
    /// Why the last connection to the member failed; null while there is a connection.
    pub problem: Option<String>,
}

impl MembersBody {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }

    /// The member with this node id.
    pub fn member(&self, id: u64) -> Option<&MemberBody> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// The body of `POST /v1/cluster/members`: a node to add as a learner. The node itself answers `GET
/// /v1/cluster/status` with all of these values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMember {
    /// The node's id, which must never have been used before.
    pub id: u64,
    /// The address at which peers reach the node, `host:port`.
    pub peer: MemberAddress,
    /// The address at which clients reach the node, `host:port`.
    pub client: MemberAddress,
    /// The random id of the node's store, 32 hex digits.
    pub store_id: String,
    /// The node's signing key, which must be granted.
    pub key: PublicKey,
}

impl NewMember {
    /// Reads `{id, peer, client, storeId, key}`.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let body = json::parse(bytes)?;
        let mut fields = Fields::of(&body, "")?;
        let id = fields.int("id")?;
        let member = Self {
            id: node_id(id, "id")?,
            peer: address(fields.text("peer")?, "peer")?,
            client: address(fields.text("client")?, "client")?,
            store_id: fields.text("storeId")?.to_owned(),
            key: fields.parsed("key")?,
        };
        fields.finish()?;
        if member.store().is_none() {
            return Err(malformed("storeId", "must be 32 lower-case hex digits"));
        }
        Ok(member)
    }

    /// The store id as bytes; `None` if the text is not a store id.
    pub fn store(&self) -> Option<[u8; 16]> {
        from_lower_hex(&self.store_id)
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// The body of `PATCH /v1/cluster/members/{id}`: the member's addresses from now on. An address that is left out stays
/// as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberAddresses {
    /// The address at which peers reach the member, `host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<MemberAddress>,
    /// The address at which clients reach the member, `host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<MemberAddress>,
}

impl MemberAddresses {
    /// Reads `{peer?, client?}`, at least one of them.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let body = json::parse(bytes)?;
        let mut fields = Fields::of(&body, "")?;
        let peer = fields.opt_text("peer")?.map(|text| address(text, "peer")).transpose()?;
        let client = fields.opt_text("client")?.map(|text| address(text, "client")).transpose()?;
        fields.finish()?;
        if peer.is_none() && client.is_none() {
            return Err(malformed("peer", "or `client` must be given"));
        }
        Ok(Self { peer, client })
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// The body of `POST /v1/cluster/leader`: `{to?}`, the voter that is to lead.
pub fn transfer_body(to: Option<u64>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Transfer {
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<u64>,
    }
    json::to_vec(&Transfer { to })
}

/// Reads the body that [`transfer_body`] writes.
///
/// # Errors
/// `malformed` with the field at fault.
pub fn parse_transfer(bytes: &[u8]) -> Result<Option<u64>, Refusal> {
    let body = json::parse(bytes)?;
    let mut fields = Fields::of(&body, "")?;
    let to = fields.opt_int("to")?;
    fields.finish()?;
    to.map(|to| node_id(to, "to")).transpose()
}

/// Reads a node id from a body.
fn node_id(number: i64, field: &str) -> Result<u64, Refusal> {
    // A number below the range becomes 0, which the check refuses.
    let checked = check_node_id(u64::try_from(number).unwrap_or(0));
    checked.map_err(|_| malformed(field, &format!("must be from 1 to {NODE_ID_MAX}")))
}

fn malformed(field: &str, problem: &str) -> Refusal {
    Refusal::at(assent_proof::Code::Malformed, field, problem)
}

/// Reads a member's address from a body.
fn address(text: &str, field: &str) -> Result<MemberAddress, Refusal> {
    text.parse().map_err(|error: AddressError| malformed(field, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_by_an_address_that_others_can_dial_in_its_one_spelling() {
        for (text, says) in [
            ("0.0.0.0:7500", "peer_advertise"),
            ("[::]:7500", "peer_advertise"),
            ("224.0.0.1:7500", "multicast"),
            ("255.255.255.255:7500", "broadcast"),
            ("127.1:7500", "write `127.0.0.1:7500`"),
            ("localhost:7500", "write `127.0.0.1:7500`"),
            ("[::ffff:127.0.0.1]:7500", "write `127.0.0.1:7500`"),
            ("127.0.0.1:080", "write `127.0.0.1:80`"),
            ("127.0.0.1:+80", "write `127.0.0.1:80`"),
        ] {
            let refused = MemberAddresses::parse(format!(r#"{{"peer":"{text}"}}"#).as_bytes()).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("peer"), "{text}");
            assert!(refused.detail.contains(says), "{text}: {}", refused.detail);
            let refused = NewMember::parse(new_member().replace("node-4:7400", text).as_bytes()).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("client"), "{text}");
            assert!(refused.detail.contains(says), "{text}: {}", refused.detail);
        }
    }

    fn new_member() -> String {
        let key = assent_proof::SigningKey::from_seed([1; 32]).public();
        format!(
            r#"{{"id":4,"peer":"10.0.0.4:7500","client":"node-4:7400","storeId":"{}","key":"{key}"}}"#,
            "0f".repeat(16)
        )
    }

    #[test]
    fn a_new_member_is_read_and_written_alike() {
        let text = new_member();
        let member = NewMember::parse(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(member.to_vec()).unwrap(), text);
        assert_eq!(member.store(), Some([15; 16]));
    }

    #[test]
    fn what_is_no_new_member_names_the_field_at_fault() {
        for (from, to, field) in [
            (r#""id":4"#, r#""id":0"#, "id"),
            (r#""id":4"#, r#""id":-1"#, "id"),
            (r#""id":4"#, r#""id":4294967297"#, "id"),
            (r#""id":4"#, r#""id":9007199254740991"#, "id"),
            (r#""id":4"#, r#""id":"4""#, "id"),
            ("10.0.0.4:7500", "10.0.0.4", "peer"),
            ("10.0.0.4:7500", "10.0.0.4:0", "peer"),
            ("10.0.0.4:7500", ":7500", "peer"),
            ("node-4:7400", "node 4:7400", "client"),
            ("0f0f", "0F0f", "storeId"),
            ("0f0f", "0f", "storeId"),
            ("ed25519:", "rsa:", "key"),
            (r#""id":4"#, r#""id":4,"more":1"#, "more"),
        ] {
            let text = new_member().replacen(from, to, 1);
            let refusal = NewMember::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field), "{text}");
        }
    }

    #[test]
    fn new_addresses_of_a_member_are_one_or_two() {
        let both = r#"{"peer":"10.0.0.9:7500","client":"node-9:7400"}"#;
        let read = MemberAddresses::parse(both.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(read.to_vec()).unwrap(), both);
        let one = MemberAddresses::parse(br#"{"client":"node-9:7400"}"#).unwrap();
        assert_eq!((one.peer, one.client.as_ref().map(MemberAddress::as_str)), (None, Some("node-9:7400")));
        for (text, field) in [
            ("{}", "peer"),
            (r#"{"peer":"here"}"#, "peer"),
            (r#"{"peer":"a:1","client":"a b:1"}"#, "client"),
            (r#"{"peer":"a:1","more":1}"#, "more"),
        ] {
            let refusal = MemberAddresses::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field), "{text}");
        }
    }

    #[test]
    fn a_transfer_names_a_voter_or_nobody() {
        assert_eq!((transfer_body(None), transfer_body(Some(2))), (b"{}".to_vec(), br#"{"to":2}"#.to_vec()));
        assert_eq!(parse_transfer(b"{}"), Ok(None));
        assert_eq!(parse_transfer(br#"{"to":2}"#), Ok(Some(2)));
        assert!(parse_transfer(br#"{"to":-2}"#).is_err());
        assert!(parse_transfer(br#"{"to":0}"#).is_err());
        assert!(parse_transfer(br#"{"to":4294967297}"#).is_err());
        assert!(parse_transfer(br#"[]"#).is_err());
        assert!(parse_transfer(b"").is_err());
    }
}
