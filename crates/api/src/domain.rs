//! The bodies in which a node answers reads of domains, their authorities and their policies.

use assent_proof::{AuthorityStatus, DomainName, EvidenceId, Json, PublicKey, Role, Seconds};
use serde::{Deserialize, Serialize};

use crate::decision::JudgedByBody;

/// The answer to `GET /v1/domains?after=<name>&limit=<1..=1000>`: one page of domains, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainsBody {
    /// The domains of the page.
    pub domains: Vec<DomainBody>,
    /// The parameter `after` of the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<DomainName>,
}

/// A domain and the keys that govern it (RFC-EG-033 §8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainBody {
    /// The domain's name.
    pub domain: DomainName,
    /// The domain's governance keys. For `_root` these are the root keys.
    pub governance: Vec<PublicKey>,
    /// The number of governance keys that must sign together.
    pub threshold: u32,
    /// Whether the domain refuses new execution evidence and denies everything until a release.
    pub isolated: bool,
    /// The isolations that hold. Each must be released separately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolated_by: Vec<EvidenceId>,
    /// The policy that judges in the domain. If the domain has none, this is absent and nothing is allowed in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<JudgedByBody>,
}

/// The answer to `GET /v1/authorities?domain=<name>&after=<id>&limit=<1..=1000>`: one page of a domain's authorities,
/// by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthoritiesBody {
    /// The authorities of the page.
    pub authorities: Vec<AuthorityBody>,
    /// The parameter `after` of the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PublicKey>,
}

/// The answer to `GET /v1/authorities/{id}`: a key with one role in one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityBody {
    /// The authority's public key.
    pub id: PublicKey,
    /// The authority's name, for people.
    pub name: String,
    /// The authority's only role.
    pub role: Role,
    /// The authority's only domain.
    pub domain: DomainName,
    /// The time from which the key is valid, `YYYY-MM-DDTHH:MM:SSZ`.
    pub not_before: Seconds,
    /// The time until which the key is valid, exclusive; null for root and governance keys, which do not expire.
    pub not_after: Option<Seconds>,
    /// The authority's status now.
    pub status: AuthorityStatus,
    /// The id of the statement that admitted the key.
    pub grant: EvidenceId,
    /// The id of the revocation that ended the authority; absent if the key is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<EvidenceId>,
    /// What the key signed and the registry accepted at or after this time is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Seconds>,
}

/// The answer to `GET /v1/policies/{domain}`: the policy that judges in the domain now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyBodyView {
    /// The domain.
    pub domain: DomainName,
    /// The statement that set it.
    pub evidence_id: EvidenceId,
    /// The policy's claims, as `PolicyBody::to_json` writes them.
    pub policy: Json,
    /// What the policy does not check although it could, each in words for people; absent if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_proof::{SigningKey, Unchecked};

    #[test]
    fn domains_are_written_in_the_documented_order() {
        let key = SigningKey::from_seed([1; 32]).public();
        let domain = DomainBody {
            domain: "prod.eu".parse().unwrap(),
            governance: vec![key],
            threshold: 1,
            isolated: false,
            isolated_by: Vec::new(),
            policy: Some(JudgedByBody::new(EvidenceId([4; 32]), &[Unchecked::Measurements])),
        };
        let bare = DomainBody { policy: None, ..domain.clone() };
        let body = DomainsBody { domains: vec![domain, bare], next: Some("prod.eu".parse().unwrap()) };
        let text = serde_json::to_string(&body).unwrap();
        let start = format!(r#"{{"domain":"prod.eu","governance":["{key}"],"threshold":1,"isolated":false"#);
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"domains":[{start},"policy":{{"evidenceId":"blake3:{four}","#,
                    r#""unchecked":["any measurement is accepted"]}}}},{start}}}],"next":"prod.eu"}}"#
                ),
                start = start,
                four = "04".repeat(32)
            )
        );
        assert_eq!(serde_json::from_str::<DomainsBody>(&text).unwrap(), body);
    }

    #[test]
    fn an_authority_is_written_in_the_documented_order() {
        let id = SigningKey::from_seed([1; 32]).public();
        let body = AuthorityBody {
            id,
            name: "attester".to_owned(),
            role: Role::Attestation,
            domain: "prod.eu".parse().unwrap(),
            not_before: Seconds(0),
            not_after: None,
            status: AuthorityStatus::Revoked,
            grant: EvidenceId([1; 32]),
            revoked_by: Some(EvidenceId([2; 32])),
            invalid_since: Some(Seconds(1)),
        };
        let text = serde_json::to_string(&body).unwrap();
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"id":"{id}","name":"attester","role":"attestation","domain":"prod.eu","#,
                    r#""notBefore":"1970-01-01T00:00:00Z","notAfter":null,"status":"revoked","#,
                    r#""grant":"blake3:{one}","revokedBy":"blake3:{two}","invalidSince":"1970-01-01T00:00:01Z"}}"#
                ),
                id = id,
                one = one,
                two = two
            )
        );
        assert_eq!(serde_json::from_str::<AuthorityBody>(&text).unwrap(), body);
    }
}
