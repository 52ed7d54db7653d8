//! With the feature a mutant can be activated, and a process has one at most.
#![cfg(feature = "mutants")]

use assent_registry::mutant::{Mutant, activate, is_active};

#[test]
fn the_mutant_that_was_activated_is_active_and_no_other_can_be() {
    assert!(Mutant::ALL.iter().all(|mutant| !is_active(*mutant)));
    assert_eq!(activate(Mutant::AlwaysDeny), Ok(()));
    assert_eq!(activate(Mutant::AlwaysDeny), Ok(()));
    assert!(activate(Mutant::LeaseRead).is_err());
    for mutant in Mutant::ALL {
        assert_eq!(is_active(*mutant), *mutant == Mutant::AlwaysDeny);
    }
}
