//! The final ledger of a history.

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::Envelope;
use serde_json::Value;

use super::millis;
use crate::history::{History, Op};
use crate::model::Model;

/// A leaf, with the place that its envelope states.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub id: String,
    pub accepted_ms: i64,
    pub envelope: String,
    pub domain: String,
    pub kind: String,
    /// Of a permit: what was asked.
    pub request: Value,
}

/// The longest ledger that a node held at the end.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The place of its record in the history.
    pub record: usize,
    pub leaves: Vec<Leaf>,
    /// How many leaves founded the registry: those before the first that a client asked for.
    pub founding: usize,
    pub index: BTreeMap<String, usize>,
    /// The cluster that the decisions name in their history. S14 checks that they name one.
    pub cluster: Option<String>,
}

impl Ledger {
    /// The longest ledger of a history, if it has one whose leaves can be read.
    pub(super) fn of(history: &History) -> Option<Self> {
        let leaves_of =
            |output: &Value| output.get("leaves").and_then(Value::as_array).cloned().unwrap_or_default();
        let longest = history.of(Op::Ledger).max_by_key(|(_, record)| leaves_of(&record.output).len());
        let (record, longest) = longest?;
        let leaves = leaves_of(&longest.output).iter().map(Leaf::read).collect::<Option<Vec<_>>>()?;
        let submitted: BTreeSet<&str> =
            history.of(Op::Submit).filter_map(|(_, record)| record.input.get("id")?.as_str()).collect();
        let asked_for = |leaf: &Leaf| leaf.kind == "permit" || submitted.contains(leaf.id.as_str());
        let founding = leaves.iter().take_while(|leaf| !asked_for(leaf)).count();
        let index = leaves.iter().enumerate().map(|(i, leaf)| (leaf.id.clone(), i)).collect();
        let cluster = history.records.iter().find_map(|record| {
            let (cluster, _) = record.output.get("history")?.as_str()?.split_once("/e")?;
            Some(cluster.to_owned())
        });
        Some(Self { record, leaves, founding, index, cluster })
    }

    /// The registry as it was founded.
    pub(super) fn founded(&self) -> Model {
        let found =
            |model: Model, leaf: &Leaf| model.founded_with(&leaf.envelope, leaf.accepted_ms).unwrap_or(model);
        let nothing = self.cluster.as_deref().map_or_else(Model::default, Model::of_cluster);
        self.leaves.iter().take(self.founding).fold(nothing, found)
    }
}

impl Leaf {
    fn read(value: &Value) -> Option<Self> {
        let envelope = value.get("envelope")?.as_str()?.to_owned();
        let payload = Envelope::parse(envelope.as_bytes()).ok()?.payload;
        let statement: Value = serde_json::from_slice(&payload).ok()?;
        let predicate = statement.get("predicate")?;
        Some(Self {
            id: value.get("evidenceId")?.as_str()?.to_owned(),
            accepted_ms: millis(value, "acceptedAt")?,
            domain: predicate.get("domain")?.as_str()?.to_owned(),
            kind: statement.get("predicateType")?.as_str()?.rsplit(':').next()?.to_owned(),
            request: predicate.get("claims")?.get("request").cloned().unwrap_or_default(),
            envelope,
        })
    }
}
