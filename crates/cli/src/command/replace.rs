//! `member replace`: replaces a member whose disk was lost or restored, step by step. Each step first checks whether
//! it is already done, so that the same command continues where it stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assent_api::{AuthorityBody, AuthorityStatus, MemberRole, MembersBody, NewMember};
use assent_client::Client;
use assent_proof::{Claims, DomainName, PublicKey, RevocationReason, Role, Seconds, SigningKey};
use clap::Args as ClapArgs;

use crate::args::{MemberIdArg, OriginArg};
use crate::connect::AdminEndpoints;
use crate::exit::{CliError, Exit};
use crate::key_locks::KeyLocks;
use crate::members::{SHOWN_BY_LIST, introduce, promote, table};
use crate::output::Output;
use crate::slotted::{say_settled, send, settle};
use crate::unsettled::{Chain, Unsettled};
use crate::{deliver, draft, edge, govern, keys};

/// Replace a member by a new node, with a new id, an empty data directory and a key of its own.
///
/// The command revokes the old node's key, unless another member has the same key. It then grants the new node's key,
/// removes the old member, adds the new node, and promotes the new node once it has caught up. If you start the
/// command again, it continues where it stopped.
///
/// Without the root keys, the command prints which statement root must sign. Sign the statement where the keys are,
/// submit it, and start the command again.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent member replace 2 --node http://10.0.0.14:7400 \\
    --root-key root.pem --node-key node-4.pem")]
pub(crate) struct Args {
    #[command(flatten)]
    old: MemberIdArg,
    /// The new node's client address, at which it reports its id, store and key
    #[arg(long, value_name = "URL")]
    node: String,
    /// A root key (repeatable, up to the threshold)
    #[arg(long = "root-key", value_name = "PEM")]
    root_keys: Vec<PathBuf>,
    /// The new node's key, which signs its own grant
    #[arg(long, value_name = "PEM")]
    node_key: Option<PathBuf>,
    /// The number of days for which the new key is granted
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How long to wait until the new node has caught up, in seconds
    #[arg(long, value_name = "S", default_value_t = 3600)]
    within: u64,
    #[command(flatten)]
    origin: OriginArg,
    #[command(flatten)]
    admin: AdminEndpoints,
}

/// A replacement that is under way.
struct Replacement {
    args: Args,
    client: Client,
    /// The node id of the lost member.
    old: u64,
    new: NewMember,
    output: Output,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let client = args.admin.client_for_changes()?;
    let (old, new) = (args.old.required()?, introduce(&args.admin, &args.node).await?);
    if new.id == old {
        let detail = format!("`{}` says that it is node {old} itself", args.node);
        let remedy = "give the new node an id that was never used, in its configuration";
        return Err(CliError::new("member_exists", detail, remedy));
    }
    let replacement = Replacement { args, client, old, new, output };
    let members = replacement.run().await?;
    let done = format!("node {} is replaced by node {}", replacement.old, replacement.new.id);
    output.done(&members, || table(&members), &done, SHOWN_BY_LIST)?;
    Ok(Exit::Ok)
}

impl Replacement {
    async fn run(&self) -> Result<MembersBody, CliError> {
        let members = self.client.members().await?;
        self.is_sane(&members)?;
        may_replace(&members, self.old, self.has_begun(&members).await?)?;
        self.can_keep_the_grant().await?;
        match members.member(self.old).map(|old| old.key) {
            // The key is revoked before the node is removed. From then on no answer of the node counts, wherever its
            // old disk is used.
            Some(Some(key)) => match others_with(&members, self.old, &key).as_slice() {
                [] => self.revoke_old(&key).await?,
                others => self.output.say(&kept(&key, others)),
            },
            Some(None) => self
                .output
                .say("1. the membership does not say which key the old node has: revoke it by hand"),
            None => self.output.say(&format!("1. node {} is no longer a member", self.old)),
        }
        self.grant_new().await?;
        if members.member(self.old).is_some() {
            self.client.remove_member(self.old).await?;
            self.output.say(&format!("3. node {} is removed", self.old));
        } else {
            self.output.say(&format!("3. node {} was removed before", self.old));
        }
        self.client.add_member(&self.new).await?;
        self.output.say(&format!("4. node {} at {} is a learner", self.new.id, self.new.peer));
        let within = Duration::from_secs(self.args.within);
        let members = promote(&self.client, self.new.id, within, self.output).await?;
        self.output.say("5. done");
        Ok(members)
    }

    /// Refuses a new node that is already a voter, which would only remove a member, and a new node with another
    /// member's key.
    fn is_sane(&self, members: &MembersBody) -> Result<(), CliError> {
        let votes = members.member(self.new.id).is_some_and(|new| new.role == MemberRole::Voter);
        if votes && members.member(self.old).is_some() {
            let detail =
                format!("`{}` is node {}, a voter of this cluster already", self.args.node, self.new.id);
            let remedy = "name a new node, with an id that was never used and an empty data directory";
            return Err(CliError::new("member_exists", detail, remedy));
        }
        // If the shared key were revoked, the new node could not be granted it; and one key belongs to one node.
        if let Some(other) = others_with(members, self.new.id, &self.new.key).first() {
            let detail = format!("`{}` has the key of node {other}, {}", self.args.node, self.new.key);
            let remedy = "give the new node a key of its own: `assent key generate`";
            return Err(CliError::new("member_exists", detail, remedy));
        }
        Ok(())
    }

    /// Whether an earlier run may have removed the old node already: by then, the new node's key was granted.
    async fn has_begun(&self, members: &MembersBody) -> Result<bool, CliError> {
        if members.member(self.new.id).is_some() {
            return Ok(true);
        }
        Ok(self.client.authority(&self.new.key).await?.as_ref().is_some_and(is_node))
    }

    /// The keys that sign the grant of the new node's key, as far as they are here.
    fn grants_keys(&self) -> impl Iterator<Item = &PathBuf> {
        self.args.root_keys.iter().chain(&self.args.node_key)
    }

    /// Whether the grant of the new node's key, if it is to be signed here, could be kept until its outcome is known. If it could not,
    /// the old key must not be revoked yet.
    async fn can_keep_the_grant(&self) -> Result<(), CliError> {
        if self.args.root_keys.is_empty() || self.args.node_key.is_none() {
            return Ok(());
        }
        if self.client.authority(&self.new.key).await?.as_ref().is_some_and(is_node) {
            return Ok(());
        }
        Unsettled::beside(self.grants_keys()).must_have_room()
    }

    async fn revoke_old(&self, key: &PublicKey) -> Result<(), CliError> {
        let found = self.client.authority(key).await?;
        if found.is_some_and(|found| found.status == AuthorityStatus::Revoked) {
            self.output.say(&format!("1. the old key {key} was revoked before"));
            return Ok(());
        }
        let command =
            format!("assent revoke --authority {key} --reason superseded --domain _root --key ROOT.pem");
        let signers = self.root_keys("revoke the old node's key", &command)?;
        let reason = RevocationReason::Superseded;
        let claims = Claims::Revocation { authority: *key, reason, invalid_since: None };
        let statement = govern::drafted(&claims, &signers, self.args.origin.required()?, DomainName::root())?;
        let bytes = govern::signed(&statement, &signers)?;
        // A revocation takes no slot, so signing it again after an unknown outcome does no harm.
        deliver::accepted(&self.client, &bytes).await?;
        self.output.say(&format!("1. the old key {key} is revoked"));
        Ok(())
    }

    async fn grant_new(&self) -> Result<(), CliError> {
        let key = self.new.key;
        let unsettled = Unsettled::beside(self.grants_keys());
        let paths: Vec<&Path> = self.grants_keys().map(PathBuf::as_path).collect();
        let _locks = KeyLocks::take(&paths, self.output).await?;
        // This comes before the check whether the key is granted: an earlier run may have signed that grant, and its
        // outcome may be unknown.
        if let Some(origin) = self.args.origin.given() {
            let chain = Chain::governance(origin, DomainName::root());
            for (_, submitted) in settle(&self.client, &unsettled, &chain, self.output).await? {
                say_settled(&submitted, self.output);
            }
        }
        if self.client.authority(&key).await?.as_ref().is_some_and(is_node) {
            self.output.say(&format!("2. the new key {key} was granted before"));
            return Ok(());
        }
        let command = format!(
            "make an `authority-grant` for {key} with role `registry` in domain `_root` (`assent statement new \
             authority-grant --help`), signed by root and by the new node's key"
        );
        let mut signers = self.root_keys("grant the new node's key", &command)?;
        let Some(node_key) = &self.args.node_key else {
            return Err(pending("grant the new node's key", &command));
        };
        let node_key = keys::read_signing(node_key)?;
        if node_key.public() != key {
            let detail =
                format!("`--node-key` is {}, but the new node says that its key is {key}", node_key.public());
            return Err(CliError::new(
                "other_key",
                detail,
                "give the key file that the new node's configuration names",
            ));
        }
        signers.push(node_key);
        let now = edge::now_seconds();
        let claims = Claims::AuthorityGrant {
            authority: key,
            name: format!("node-{}", self.new.id),
            role: Role::Registry,
            // The grant must already be valid by clocks that are a little behind.
            not_before: Seconds(now.0.saturating_sub(60)),
            not_after: Seconds(now.0.saturating_add(i64::from(self.args.days).saturating_mul(86_400))),
        };
        let (origin, root) = (self.args.origin.required()?, DomainName::root());
        let mut statement = govern::drafted(&claims, &signers, origin, root)?;
        draft::take_next_slot(&self.client, &mut statement).await?;
        let bytes = govern::signed(&statement, &signers)?;
        send(&self.client, &unsettled, &bytes, self.output).await?;
        self.output.say(&format!("2. the new key {key} is granted"));
        Ok(())
    }

    fn root_keys(&self, step: &str, command: &str) -> Result<Vec<SigningKey>, CliError> {
        if self.args.root_keys.is_empty() {
            return Err(pending(step, command));
        }
        keys::read_all_signing(&self.args.root_keys)
    }
}

/// Refuses to replace a node that is no member, unless an earlier run may have removed it. Otherwise a wrong id would
/// add a voter and leave the lost one in.
fn may_replace(members: &MembersBody, old: u64, has_begun: bool) -> Result<(), CliError> {
    let was_given = old < members.next_id;
    if members.member(old).is_some() || (was_given && has_begun) {
        return Ok(());
    }
    let why = match was_given {
        true => "and this replacement cannot have removed it, since the new node's key is not granted yet",
        false => "and never was one",
    };
    let ids: Vec<String> = members.members.iter().map(|member| member.id.to_string()).collect();
    let detail = format!("node {old} is not a member, {why}; the members are {}", ids.join(", "));
    let remedy = "name the lost member; to add a node without replacing one, use `assent member add`";
    Err(CliError::new("member_unknown", detail, remedy))
}

/// The ids of the members, except `id`, that have this key.
fn others_with(members: &MembersBody, id: u64, key: &PublicKey) -> Vec<u64> {
    let others = members.members.iter().filter(|member| member.id != id && member.key.as_ref() == Some(key));
    others.map(|member| member.id).collect()
}

/// The line that is printed if the old key is kept, because other members use it too.
fn kept(key: &PublicKey, others: &[u64]) -> String {
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    let others = others.join(", ");
    format!(
        "1. the old key {key} is kept, since node {others} has it too and could not speak for the registry without it; replace node \
         {others} as well, with a node that has a key of its own, and the key is revoked with the last one"
    )
}

fn is_node(authority: &AuthorityBody) -> bool {
    authority.status == AuthorityStatus::Active && authority.role == Role::Registry
}

/// The error of a step whose keys were not given.
fn pending(step: &str, command: &str) -> CliError {
    let detail = format!("root must {step}, and no keys are given for this step");
    CliError::new("signature_pending", detail, format!("{command}; then start this command again"))
}

#[cfg(test)]
mod tests {
    use assent_api::MemberBody;

    use super::*;

    fn member(id: u64, seed: u8) -> MemberBody {
        MemberBody {
            id,
            role: MemberRole::Voter,
            peer: format!("a:{id}"),
            client: format!("b:{id}"),
            store_id: "00".repeat(16),
            key: Some(SigningKey::from_seed([seed; 32]).public()),
            key_granted: true,
            connected: true,
            matched: None,
            behind: None,
            rules_known: None,
            problem: None,
        }
    }

    #[test]
    fn a_key_that_another_member_has_is_not_revoked_with_the_one_that_is_lost() {
        let all = vec![member(1, 1), member(2, 2), member(3, 1)];
        let members = MembersBody { node_id: 1, leader: Some(1), changing: false, next_id: 4, members: all };
        let key = |seed: u8| SigningKey::from_seed([seed; 32]).public();
        assert_eq!(others_with(&members, 1, &key(1)), [3]);
        assert_eq!(others_with(&members, 3, &key(1)), [1]);
        assert_eq!(others_with(&members, 2, &key(2)), Vec::<u64>::new());
        // Of a new node that is no member yet.
        assert_eq!(others_with(&members, 4, &key(2)), [2]);
        assert!(kept(&key(1), &[3]).contains("node 3 has it too"));
    }

    #[test]
    fn a_node_that_is_no_member_is_replaced_only_if_an_earlier_run_may_have_removed_it() {
        let all = vec![member(1, 1), member(3, 3), member(4, 4)];
        let members = MembersBody { node_id: 1, leader: Some(1), changing: false, next_id: 6, members: all };
        for has_begun in [false, true] {
            may_replace(&members, 3, has_begun).unwrap();
            for never_given in [6, 99] {
                let error = may_replace(&members, never_given, has_begun).unwrap_err();
                assert_eq!(error.code, "member_unknown");
                assert!(error.detail.contains("never was one; the members are 1, 3, 4"), "{error}");
            }
        }
        may_replace(&members, 2, true).unwrap();
        let error = may_replace(&members, 2, false).unwrap_err();
        assert!(error.detail.contains("cannot have removed it"), "{error}");
    }
}
