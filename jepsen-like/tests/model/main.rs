//! The model and the check that rests on it, beside the rules themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod both;
mod s2;

use std::collections::BTreeMap;

use both::Both;

#[test]
fn the_model_answers_as_the_rules_do() {
    let seeds = std::env::var("MODEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    let mut told: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for seed in 0..seeds {
        let mut both = Both::new(seed);
        let steps = 50 + both.dice.below(31);
        both.run(steps);
        for (what, count) in both.tally {
            *tally.entry(what).or_default() += count;
        }
        for what in both.told {
            let first = what.lines().next().unwrap().to_owned();
            told.entry(first).or_insert_with(|| (0, format!("seed {seed}: {what}"))).0 += 1;
        }
    }
    for (what, count) in &tally {
        println!("{count:7} {what}");
    }
    for (count, what) in told.values() {
        println!("{count:5} × {what}");
    }
    assert!(told.is_empty(), "{} kinds of disagreement", told.len());
}
