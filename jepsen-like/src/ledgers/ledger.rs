//! One random ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::both::{Both, Finding, LedgerError};
use super::draft::Act;
use super::hand::Hand;
use super::profile::Profile;
use crate::sim::dice::Dice;

/// A ledger that grows by chance, step by step, until the rules and the model differ.
#[derive(Debug)]
pub struct Ledger {
    both: Both,
    dice: Dice,
    profile: Profile,
}

impl Ledger {
    /// A ledger that begins with `founded`, which must be the registry of the profile.
    pub fn new(founded: Both, seed: u64, profile: Profile) -> Self {
        Self { both: founded, dice: Dice::new(seed).fork("ledger"), profile }
    }

    /// The registry and its model.
    pub fn both(&self) -> &Both {
        &self.both
    }

    /// The registry and its model, to change.
    pub fn both_mut(&mut self) -> &mut Both {
        &mut self.both
    }

    /// The registry and its model, as they are in the end.
    pub(super) fn into_both(self) -> Both {
        self.both
    }

    /// Takes as many steps as the profile says.
    ///
    /// # Errors
    /// The rules or the model could not take a step at all.
    pub fn run(&mut self) -> Result<(), LedgerError> {
        let (least, most) = self.profile.steps();
        let steps = self.dice.between(least, most);
        self.run_for(steps)
    }

    /// Opens the ledger and takes so many steps, with some questions after each.
    ///
    /// # Errors
    /// The rules or the model could not take a step at all.
    pub fn run_for(&mut self, steps: u64) -> Result<(), LedgerError> {
        for number in 0.. {
            match self.draw(|hand, profile| hand.opening(profile, number)) {
                Some(act) => self.take(Some(act))?,
                None => break,
            }
        }
        let questions = if self.profile == Profile::Wide { 2 } else { 1 };
        for _ in 0..steps {
            let pause = self.dice.pick(self.profile.pauses()).copied().unwrap_or(0);
            self.both.now_ms = self.both.now_ms.saturating_add(pause);
            let act = self.draw(|hand, profile| hand.act(profile));
            self.take(act)?;
            for _ in 0..questions {
                let act = self.draw(|hand, profile| hand.question(profile));
                self.take(act)?;
            }
            if self.both.finding.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn draw(&mut self, draw: impl FnOnce(&mut Hand<'_>, Profile) -> Option<Act>) -> Option<Act> {
        draw(&mut Hand { both: &self.both, dice: &mut self.dice }, self.profile)
    }

    fn take(&mut self, act: Option<Act>) -> Result<(), LedgerError> {
        match act {
            Some(act) if self.both.finding.is_none() => self.both.take(act).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// Runs a part of a ledger. An error or a panic, of the rules or of the model, is a finding like any other.
pub(super) fn caught(run: impl FnOnce() -> Result<(), LedgerError>) -> Option<Finding> {
    let problem = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => return Some(Finding { kind: format!("error: {error}"), detail: String::new() }),
        Err(problem) => problem,
    };
    let text = problem.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| problem.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    Some(Finding { kind: format!("panic: {text}"), detail: String::new() })
}
