//! Decides whether a history is linearizable: a memoised search after Wing and Gong (*Testing and Verifying Concurrent
//! Objects*, 1993) and Lowe (*Testing for linearizability*, 2017).
//!
//! The search goes through the calls and returns of a history in order of time. It takes any operation that was called
//! before the first return still ahead, asks the [`Spec`] whether its answer is right in the present state, and
//! continues without it. If the next return belongs to an operation that cannot be taken, the search goes back and
//! takes another operation. The search remembers the set of taken operations together with the state that they led to,
//! so that it searches nothing twice. If the search reaches its bound, it never guesses: it returns
//! [`Outcome::Undecided`].

mod entries;
mod seen;

use entries::{Entries, Entry};
use seen::Seen;

/// The behaviour of an object: its state, and how an operation changes it.
pub trait Spec {
    /// The object's state. Cheap to clone.
    type State: Clone;
    /// An operation with its answer.
    type Operation;

    /// The state in which the object begins.
    fn begin(&self) -> Self::State;

    /// The state after `operation`, or `None` if the object does not give this answer in this state.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;

    /// States that behave alike have equal digests; other states have different ones.
    fn digest(&self, state: &Self::State) -> u128;
}

/// An operation and the interval within which it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<O> {
    /// What was done, and the answer.
    pub what: O,
    /// When it was invoked.
    pub invoke: u64,
    /// When it returned. `None` if it is unknown whether it took effect: it may have at any time after its invocation,
    /// or never.
    pub returned: Option<u64>,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The operations in an order that explains every answer, by their places; those never taken are left out.
    Linearizable(Vec<usize>),
    /// No order explains the answers.
    NotLinearizable(Window),
    /// The search reached its bound, so neither is known.
    Undecided {
        /// How many configurations it had seen.
        explored: usize,
    },
}

/// The smallest part of a history that has no explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// An order, by places, that explains every operation which returned before `impossible` did.
    pub explained: Vec<usize>,
    /// The operation whose answer nothing explains: the history up to its return is the smallest that is not
    /// linearizable.
    pub impossible: usize,
    /// The operations that were in progress then and had not taken effect in `explained`, `impossible` among them.
    pub pending: Vec<usize>,
}

/// Searches for an order of `operations` that respects real time and explains each answer. An operation precedes another
/// if it returned strictly before the other was invoked. The search ends after `bound` configurations.
pub fn check<S: Spec>(spec: &S, operations: &[Timed<S::Operation>], bound: usize) -> Outcome {
    let mut entries = Entries::of(operations);
    let mut seen = Seen::new(operations.len());
    let mut state = spec.begin();
    // What was taken, each with the state before it.
    let mut taken: Vec<(usize, S::State)> = Vec::new();
    let mut furthest: Option<(usize, Window)> = None;
    let mut at = entries.first();
    while entries.returns_ahead() > 0 {
        match entries.get(at) {
            Some(Entry::Call(operation)) => {
                let next = operations.get(operation).and_then(|timed| spec.step(&state, &timed.what));
                match next {
                    Some(next) if seen.insert_with(operation, spec.digest(&next)) => {
                        if seen.len() > bound {
                            return Outcome::Undecided { explored: seen.len() };
                        }
                        taken.push((operation, std::mem::replace(&mut state, next)));
                        entries.lift(operation);
                        at = entries.first();
                    }
                    Some(_) | None => at = entries.after(at),
                }
            }
            Some(Entry::Return(operation)) => {
                if furthest.as_ref().is_none_or(|(place, _)| *place < at) {
                    let explained = taken.iter().map(|(operation, _)| *operation).collect();
                    let pending = entries.called_before(at);
                    furthest = Some((at, Window { explained, impossible: operation, pending }));
                }
                let Some((last, before)) = taken.pop() else { break };
                state = before;
                entries.unlift(last);
                seen.forget(last);
                at = entries.after(entries.call_of(last));
            }
            // Every operation that must be taken has a return, so the list does not end before all of them are taken.
            None => break,
        }
    }
    match furthest {
        Some((_, window)) if entries.returns_ahead() > 0 => Outcome::NotLinearizable(window),
        _ => Outcome::Linearizable(taken.into_iter().map(|(operation, _)| operation).collect()),
    }
}

#[cfg(test)]
mod tests;
