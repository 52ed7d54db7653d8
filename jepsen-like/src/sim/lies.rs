//! The lies of a false peer, each made from a message that a node sends to a peer.
//!
//! A node must refuse each of them, whatever state it is in:
//!
//! - An append that Raft refuses, since it is from an earlier term than the message before it, or follows an entry
//!   that does not exist. It claims that members have acknowledged what no node has. If a node remembered that claim,
//!   it would keep these members out.
//! - A term or a log index over the bound of `cluster/src/peer/bounds.rs`, in an append or in a call for votes. It
//!   ends the connection.
//!
//! Appends that Raft would accept and votes that it would grant are left out: nodes do not authenticate one another
//! yet, so a node would believe them.

use assent_cluster::peer::{Acknowledged, Append, Message, PreVote, Vote, read_request, request_frame};
use bytes::Bytes;

use super::dice::Dice;

/// A term and a log index that no run reaches, but that every node's clock allows a peer to claim.
const FAR: u64 = 1 << 30;

/// Makes lies.
pub(super) struct Liar {
    dice: Dice,
    /// The members that lies are about.
    nodes: Vec<u64>,
}

/// One lie.
pub(super) struct Lie {
    /// The frame, with the request id of the message that it was made of.
    pub(super) frame: Bytes,
    /// Whether it is over the bound, so that Raft does not have to refuse it.
    pub(super) is_impossible: bool,
}

impl Liar {
    pub(super) fn new(dice: Dice, nodes: Vec<u64>) -> Self {
        Self { dice, nodes }
    }

    /// Sometimes returns a lie, made from this message. The lie must follow the message on the same connection, so
    /// that its receiver already knows the message's term.
    pub(super) fn lie_after(&mut self, kind: u8, frame: &[u8]) -> Option<Lie> {
        if kind == Append::KIND && self.dice.chance(1, 8) {
            let (id, append) = read_request::<Append>(frame).ok()?;
            self.of_append(id, append)
        } else if kind == Vote::KIND && self.dice.chance(1, 4) {
            let (id, Vote(mut request)) = read_request::<Vote>(frame).ok()?;
            request.vote.leader_id.term = u64::MAX;
            impossible(id, &Vote(request))
        } else if kind == PreVote::KIND && self.dice.chance(1, 4) {
            let (id, PreVote(mut request)) = read_request::<PreVote>(frame).ok()?;
            request.vote.leader_id.term = u64::MAX;
            impossible(id, &PreVote(request))
        } else {
            None
        }
    }

    fn of_append(&mut self, id: u64, mut append: Append) -> Option<Lie> {
        let term = append.rpc.vote.leader_id.term;
        if term == 0 {
            // There is no earlier term.
            return None;
        }
        append.rpc.entries.clear();
        if let Some(prev) = &mut append.rpc.prev_log_id
            && self.dice.chance(1, 2)
        {
            prev.index = FAR;
        } else {
            append.rpc.vote.leader_id.term = self.dice.below(term);
            append.rpc.prev_log_id = None;
            append.rpc.leader_commit = None;
        }
        let is_impossible = self.dice.chance(1, 16);
        let far = if is_impossible { u64::MAX } else { FAR };
        let (term, index) = *self.dice.pick(&[(far, far), (far, 0), (0, far)])?;
        let one = self.dice.pick(&self.nodes).copied();
        let about = if self.dice.chance(1, 2) { self.nodes.clone() } else { one.into_iter().collect() };
        append.acknowledged = about.into_iter().map(|node| Acknowledged { node, term, index }).collect();
        Some(Lie { frame: request_frame(id, &append).ok()?, is_impossible })
    }
}

fn impossible<M: Message>(id: u64, request: &M) -> Option<Lie> {
    Some(Lie { frame: request_frame(id, request).ok()?, is_impossible: true })
}

#[cfg(test)]
mod tests {
    use assent_cluster::peer::{Bounded, ReadIndex, claim_max};
    use assent_proof::Millis;
    use serde_json::{Value, json};

    use super::super::clock::BEGIN_MS;
    use super::*;

    const TERM: u64 = 3;

    fn vote(committed: bool) -> Value {
        json!({"leader_id": {"term": TERM, "voted_for": 1}, "committed": committed})
    }

    fn append(prev: Option<u64>) -> Append {
        let at = |index: u64| json!({"leader_id": 2, "index": index});
        let (prev, commit) = (prev.map(at), at(4));
        let rpc = json!({"vote": vote(true), "prev_log_id": prev, "entries": [], "leader_commit": commit});
        serde_json::from_value(json!({"rpc": rpc, "acknowledged": []})).unwrap()
    }

    #[test]
    fn an_append_is_made_into_one_that_raft_refuses_or_that_ends_its_connection() {
        let mut liar = Liar::new(Dice::new(1), vec![1, 2, 3]);
        let most = claim_max(Millis(BEGIN_MS));
        let (mut earlier, mut lacking, mut impossible) = (0, 0, 0);
        for round in 0..4_000 {
            let real = append((round % 3 > 0).then_some(7));
            let frame = request_frame(round, &real).unwrap();
            let Some(lie) = liar.lie_after(Append::KIND, &frame) else { continue };
            let (id, said) = read_request::<Append>(&lie.frame).unwrap();
            assert_eq!(id, round);
            assert!(said.rpc.entries.is_empty() && !said.acknowledged.is_empty(), "{said:?}");
            assert!(said.acknowledged.iter().all(|known| known.term.max(known.index) >= FAR), "{said:?}");
            assert_eq!(said.within(most).is_err(), lie.is_impossible, "{said:?}");
            impossible += u32::from(lie.is_impossible);
            if said.rpc.vote.leader_id.term < TERM {
                earlier += 1;
            } else {
                assert_eq!(said.rpc.prev_log_id.unwrap().index, FAR);
                lacking += 1;
            }
        }
        assert!(earlier > 0 && lacking > 0 && impossible > 0, "{earlier} {lacking} {impossible}");
    }

    #[test]
    fn forged_vote_requests_ask_in_the_last_possible_term_and_a_read_index_is_never_forged() {
        let mut liar = Liar::new(Dice::new(1), vec![1, 2, 3]);
        let request = || serde_json::from_value(json!({"vote": vote(false), "last_log_id": null})).unwrap();
        let asked = request_frame(5, &Vote(request())).unwrap();
        let lie = (0..100).find_map(|_| liar.lie_after(Vote::KIND, &asked)).unwrap();
        let (_, Vote(said)) = read_request::<Vote>(&lie.frame).unwrap();
        assert!(lie.is_impossible && said.vote.leader_id.term == u64::MAX, "{said:?}");
        let asked = request_frame(5, &PreVote(request())).unwrap();
        let lie = (0..100).find_map(|_| liar.lie_after(PreVote::KIND, &asked)).unwrap();
        let (_, PreVote(said)) = read_request::<PreVote>(&lie.frame).unwrap();
        assert!(lie.is_impossible && said.vote.leader_id.term == u64::MAX, "{said:?}");
        let other = request_frame(5, &ReadIndex {}).unwrap();
        assert!((0..100).all(|_| liar.lie_after(ReadIndex::KIND, &other).is_none()));
    }
}
