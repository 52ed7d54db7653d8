//! A ledger's steps for people, one a line.

use std::collections::BTreeMap;

use assent_proof::AuthorizeRequest;

use super::both::{Both, Step, T0};
use super::draft::{Act, Draft};
use super::keys;

impl Both {
    /// The steps and the answers of both: the milliseconds since the beginning, the kind, the keys that signed, the
    /// slot, the claims. A statement is named by its number, and so is a key.
    pub(super) fn shown(&self) -> Vec<String> {
        let mut names: BTreeMap<String, String> =
            keys::names().map(|(number, key)| (key, format!("key {number}"))).collect();
        for (number, step) in self.steps.iter().enumerate() {
            names.extend(step.made.map(|id| (id.to_string(), format!("#{number}"))));
        }
        let shown = |(number, step): (usize, &Step)| {
            let after = step.at_ms.saturating_sub(T0 * 1000);
            let said = if step.said.is_empty() { "broke off" } else { &step.said };
            named(format!("#{number} +{after} ms {} -> {said}", done(step)), &names)
        };
        self.steps.iter().enumerate().map(shown).collect()
    }
}

fn done(step: &Step) -> String {
    match &step.act {
        Act::Submit(draft) | Act::Raise(draft) => statement(draft),
        Act::Ask(request) => format!("authorize {}", asked(request)),
        Act::Permit(request) => format!("permit {}", asked(request)),
    }
}

fn asked(request: &AuthorizeRequest) -> String {
    request.to_json().to_text()
}

fn statement(draft: &Draft) -> String {
    let signers: Vec<String> = draft.signers.iter().map(u8::to_string).collect();
    let mut text =
        format!("{} by {} in {} {}", draft.claims.kind(), signers.join("+"), draft.domain, draft.lineage);
    if let Some(slot) = draft.slot {
        let parent = slot.parent.map_or("none".to_owned(), |id| id.to_string());
        text.push_str(&format!(" slot {} after {parent}", slot.sequence));
    }
    if draft.subject.is_some() {
        text.push_str(" about another subject");
    }
    if !draft.references.is_empty() {
        let on: Vec<String> = draft.references.iter().map(ToString::to_string).collect();
        text.push_str(&format!(" resting on {}", on.join(" ")));
    }
    format!("{text} {}", draft.claims.to_json().to_text())
}

/// The same text with short names for ids and keys, which are `algorithm:` and 64 hex digits.
fn named(text: String, names: &BTreeMap<String, String>) -> String {
    if !text.contains("blake3:") && !text.contains("ed25519:") {
        return text;
    }
    names.iter().fold(text, |text, (name, short)| text.replace(name, short))
}
