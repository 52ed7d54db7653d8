//! The nodes' deliberate defects, and the checks that must catch them: checks that never fail show nothing.
//!
//! The list is there in every build; only one with the feature `mutants` can activate any.

pub use assent_registry::mutant::Mutant;

/// Whether this build can activate a mutant.
pub const CAN_ACTIVATE: bool = cfg!(feature = "mutants");

/// A defect, and what must catch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The defect.
    pub mutant: Mutant,
    /// The invariants of which at least one must be violated. The first is the one that it is made for.
    pub caught_by: &'static [&'static str],
}

/// Every mutant with what must catch it.
pub fn expected() -> impl Iterator<Item = Expected> {
    Mutant::ALL.iter().map(|mutant| Expected { mutant: *mutant, caught_by: mutant.caught_by() })
}

/// Breaks every node that runs in this process, until it ends.
///
/// # Errors
/// If there is no such mutant, or another one is active.
#[cfg(feature = "mutants")]
pub fn activate(name: &str) -> Result<(), String> {
    let mutant = name.parse::<Mutant>().map_err(|error| error.to_string())?;
    assent_registry::mutant::activate(mutant).map_err(|error| error.to_string())
}
