//! Tests with textbook histories of a register, with random histories, and against a search that tries every order.

use super::*;

/// A register of one number, which is 0 at first.
struct Register;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    Write(u8),
    Read(u8),
    /// Writes the second number if the register holds the first one, and answers whether it did.
    Swap(u8, u8, bool),
}
use Do::{Read, Swap, Write};

impl Spec for Register {
    type State = u8;
    type Operation = Do;

    fn begin(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, operation: &Do) -> Option<u8> {
        match *operation {
            Write(value) => Some(value),
            Read(value) => (value == *state).then_some(*state),
            Swap(from, to, true) => (from == *state).then_some(to),
            Swap(from, _, false) => (from != *state).then_some(*state),
        }
    }

    fn digest(&self, state: &u8) -> u128 {
        u128::from(*state)
    }
}

fn history(operations: &[(Do, u64, u64)]) -> Vec<Timed<Do>> {
    let timed =
        |&(what, invoke, returned)| Timed { what, invoke, returned: (returned > 0).then_some(returned) };
    operations.iter().map(timed).collect()
}

fn passes(operations: &[(Do, u64, u64)]) -> bool {
    let operations = history(operations);
    match check(&Register, &operations, 1 << 20) {
        Outcome::Linearizable(order) => {
            assert!(explains(&operations, &order), "an order that explains nothing: {order:?}");
            true
        }
        Outcome::NotLinearizable(window) => {
            assert_smallest(&operations, &window);
            false
        }
        Outcome::Undecided { .. } => panic!("undecided"),
    }
}

/// Whether the order explains the history: legal, in real time, and with every operation that returned.
fn explains(operations: &[Timed<Do>], order: &[usize]) -> bool {
    let returned = |i: &usize| operations[*i].returned;
    let complete = (0..operations.len()).all(|i| operations[i].returned.is_none() || order.contains(&i));
    let in_time = (0..order.len()).all(|at| {
        order[at..].iter().all(|later| returned(later).is_none_or(|end| end >= operations[order[at]].invoke))
    });
    let mut state = 0;
    let legal = order.iter().all(|i| match Register.step(&state, &operations[*i].what) {
        Some(next) => {
            state = next;
            true
        }
        None => false,
    });
    complete && in_time && legal
}

/// The history up to the return of `impossible` is not linearizable, and just before that return it was.
fn assert_smallest(operations: &[Timed<Do>], window: &Window) {
    let end = operations[window.impossible].returned.unwrap();
    let upto = |keeps: &dyn Fn(usize) -> bool| -> Vec<Timed<Do>> {
        let cut = |(i, timed): (usize, &Timed<Do>)| Timed {
            returned: timed.returned.filter(|_| keeps(i)),
            ..timed.clone()
        };
        operations.iter().enumerate().filter(|(_, timed)| timed.invoke <= end).map(cut).collect()
    };
    let ends = |i: usize| (operations[i].returned, i);
    let with = upto(&|i| ends(i) <= ends(window.impossible));
    let without = upto(&|i| ends(i) < ends(window.impossible));
    assert!(!brute(&with), "the window is linearizable");
    assert!(brute(&without), "something smaller is not linearizable");
    assert!(window.pending.contains(&window.impossible));
    assert!(window.explained.iter().all(|i| !window.pending.contains(i)));
}

/// Tries every order of every subset.
fn brute(operations: &[Timed<Do>]) -> bool {
    fn extend(operations: &[Timed<Do>], order: &mut Vec<usize>) -> bool {
        if explains(operations, order) {
            return true;
        }
        for i in 0..operations.len() {
            if order.contains(&i) {
                continue;
            }
            order.push(i);
            if extend(operations, order) {
                return true;
            }
            order.pop();
        }
        false
    }
    extend(operations, &mut Vec::new())
}

#[test]
fn nothing_at_all_is_linearizable() {
    assert!(passes(&[]));
    assert!(passes(&[(Write(1), 1, 0)]), "nor does what never returned change that");
}

#[test]
fn operations_that_overlap_may_take_effect_in_either_order() {
    assert!(passes(&[(Write(1), 1, 10), (Read(0), 2, 4), (Read(1), 5, 8)]));
    assert!(passes(&[(Write(1), 1, 10), (Write(2), 2, 9), (Read(1), 11, 12)]));
    assert!(passes(&[(Write(1), 1, 10), (Write(2), 2, 9), (Read(2), 11, 12)]));
}

#[test]
fn a_read_that_goes_back_in_time_is_not_linearizable() {
    assert!(!passes(&[(Write(1), 1, 10), (Read(1), 2, 4), (Read(0), 5, 8)]));
}

#[test]
fn a_stale_read_is_not_linearizable() {
    assert!(!passes(&[(Write(1), 1, 2), (Read(0), 3, 4)]));
    assert!(passes(&[(Write(1), 1, 3), (Read(0), 3, 4)]), "operations that touch overlap");
}

#[test]
fn a_value_that_nobody_wrote_is_not_linearizable() {
    assert!(!passes(&[(Write(1), 1, 2), (Read(2), 3, 4)]));
}

#[test]
fn a_write_of_unknown_outcome_may_have_taken_effect_or_not() {
    assert!(passes(&[(Write(1), 1, 0), (Read(1), 3, 4)]));
    assert!(passes(&[(Write(1), 1, 0), (Read(0), 3, 4)]));
    assert!(!passes(&[(Write(1), 5, 0), (Read(1), 3, 4)]), "but not before it was invoked");
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_late_but_once() {
    assert!(passes(&[(Write(1), 1, 0), (Read(0), 3, 4), (Read(1), 5, 6)]));
    assert!(!passes(&[
        (Write(1), 1, 0),
        (Write(2), 2, 3),
        (Read(1), 4, 5),
        (Write(3), 6, 7),
        (Read(1), 8, 9)
    ]));
}

#[test]
fn a_swap_that_two_won_is_not_linearizable() {
    assert!(!passes(&[(Swap(0, 1, true), 1, 5), (Swap(0, 2, true), 2, 6)]));
    assert!(passes(&[(Swap(0, 1, true), 1, 5), (Swap(0, 2, false), 2, 6)]));
}

#[test]
fn the_smallest_window_names_what_nothing_explains() {
    let operations = history(&[(Write(1), 1, 2), (Read(1), 3, 4), (Read(0), 5, 6), (Read(7), 8, 9)]);
    let Outcome::NotLinearizable(window) = check(&Register, &operations, 1000) else { panic!("passed") };
    assert_eq!(window, Window { explained: vec![0, 1], impossible: 2, pending: vec![2] });
}

#[test]
fn a_search_that_ends_at_its_bound_decides_nothing() {
    let mut operations: Vec<_> = (0..12).map(|i| (Write(i), 1, 100)).collect();
    operations.push((Read(200), 2, 101));
    assert!(matches!(check(&Register, &history(&operations), 100), Outcome::Undecided { explored: 101 }));
    assert!(!matches!(check(&Register, &history(&operations), 1 << 20), Outcome::Undecided { .. }));
}

#[test]
fn a_long_history_needs_no_stack() {
    let mut operations = Vec::new();
    for i in 0..20_000_u64 {
        let value = u8::try_from(i % 200).unwrap();
        operations.push((Write(value), 10 * i + 1, 10 * i + 2));
        operations.push((Read(value), 10 * i + 3, 10 * i + 4));
    }
    assert!(matches!(check(&Register, &history(&operations), 1 << 20), Outcome::Linearizable(_)));
}

/// A small generator of numbers, so that a seed gives the same history everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn small(&mut self, bound: u8) -> u8 {
        u8::try_from(self.below(u64::from(bound))).unwrap()
    }
}

/// A history of a real register: each operation takes effect at one moment within its interval, in order of its place.
fn generated(dice: &mut Dice, count: u64, values: u8, clients: u64) -> Vec<Timed<Do>> {
    let mut state = 0;
    let mut free = vec![0; usize::try_from(clients).unwrap()];
    let mut operations = Vec::new();
    for i in 0..count {
        let moment = 100 * (i + 1);
        let client = usize::try_from(dice.below(clients)).unwrap();
        if free[client] >= moment {
            continue;
        }
        let wanted = match dice.below(4) {
            0 | 1 => Read(state),
            2 => Write(dice.small(values)),
            _ => {
                let from = dice.small(values);
                Swap(from, dice.small(values), from == state)
            }
        };
        let invoke = (moment - dice.below(300).min(moment - 1)).max(free[client] + 1);
        let end = moment + dice.below(300);
        let unknown = dice.below(10) == 0;
        free[client] = end;
        let took = !unknown || dice.below(2) == 0;
        if took {
            state = Register.step(&state, &wanted).unwrap();
        }
        if !unknown || !matches!(wanted, Read(_)) {
            operations.push(Timed { what: wanted, invoke, returned: (!unknown).then_some(end) });
        }
    }
    operations
}

#[test]
fn histories_of_a_real_register_pass_and_one_changed_answer_mostly_fails() {
    let mut failed = 0;
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut operations = generated(&mut dice, 120, 50, 6);
        let found = check(&Register, &operations, 1 << 22);
        assert!(
            matches!(&found, Outcome::Linearizable(order) if explains(&operations, order)),
            "seed {seed}: {found:?}"
        );
        let reads: Vec<usize> =
            (0..operations.len()).filter(|i| matches!(operations[*i].what, Read(_))).collect();
        let changed = reads[usize::try_from(dice.below(u64::try_from(reads.len()).unwrap())).unwrap()];
        let Read(value) = operations[changed].what else { panic!("not a read") };
        operations[changed].what = Read((value + 1 + dice.small(48)) % 50);
        match check(&Register, &operations, 1 << 22) {
            Outcome::NotLinearizable(_) => failed += 1,
            Outcome::Linearizable(order) => assert!(explains(&operations, &order)),
            Outcome::Undecided { explored } => panic!("seed {seed}: undecided after {explored}"),
        }
    }
    assert!(failed > 350, "only {failed} of 400 changed histories failed");
}

#[test]
fn tiny_histories_are_judged_as_by_trying_every_order() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..6_000 {
        let mut dice = Dice(seed);
        let count = 2 + dice.below(5);
        let mut operations = Vec::new();
        for _ in 0..count {
            let what = match dice.below(4) {
                0 => Write(dice.small(3)),
                1 => Swap(dice.small(3), dice.small(3), dice.below(2) == 0),
                _ => Read(dice.small(3)),
            };
            let invoke = dice.below(12);
            let returned = (dice.below(5) > 0).then_some(invoke + dice.below(6));
            operations.push(Timed { what, invoke, returned });
        }
        let expected = brute(&operations);
        match check(&Register, &operations, 1 << 20) {
            Outcome::Linearizable(order) => {
                good += 1;
                assert!(expected && explains(&operations, &order), "seed {seed}: passed {operations:?}");
            }
            Outcome::NotLinearizable(window) => {
                bad += 1;
                assert!(!expected, "seed {seed}: failed {operations:?}");
                assert_smallest(&operations, &window);
            }
            Outcome::Undecided { .. } => panic!("seed {seed}: undecided"),
        }
    }
    assert!(good > 1200 && bad > 1200, "{good} good, {bad} bad");
}
