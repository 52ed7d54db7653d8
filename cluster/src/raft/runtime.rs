//! The runtime of openraft's tasks: tokio, with a random number generator that a simulation can seed. A panic in one
//! of these tasks ends the node.
//!
//! openraft draws election timeouts through a function without arguments, so the seed belongs to a thread. A node
//! never sets it, and its timeouts come from the operating system's randomness.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand::rngs::{SmallRng, ThreadRng};
use rand::{Rng, SeedableRng, TryRng};

use crate::tasks;

thread_local! {
    static SEEDED: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
}

/// Makes openraft's random numbers on this thread follow from `seed`, from now on. For simulations, which run on one
/// thread.
pub fn seed_this_thread(seed: u64) {
    SEEDED.with_borrow_mut(|seeded| *seeded = Some(SmallRng::seed_from_u64(seed)));
}

/// tokio in the form that openraft needs.
#[derive(Debug)]
pub struct Tokio(TokioRuntime);

/// This thread's seeded generator, or the operating system's.
pub struct ThreadDice {
    real: ThreadRng,
}

impl ThreadDice {
    fn draw<T>(
        &mut self,
        seeded: impl FnOnce(&mut SmallRng) -> T,
        real: impl FnOnce(&mut ThreadRng) -> T,
    ) -> T {
        SEEDED.with_borrow_mut(|dice| match dice {
            Some(dice) => seeded(dice),
            None => real(&mut self.real),
        })
    }
}

impl TryRng for ThreadDice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw(SmallRng::next_u32, ThreadRng::next_u32))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw(SmallRng::next_u64, ThreadRng::next_u64))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        SEEDED.with_borrow_mut(|dice| match dice {
            Some(dice) => dice.fill_bytes(into),
            None => self.real.fill_bytes(into),
        });
        Ok(())
    }
}

impl AsyncRuntime for Tokio {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = ThreadDice;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(tasks::owned(future))
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        ThreadDice { real: rand::rng() }
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test is no node")]
    fn a_seeded_thread_draws_the_same_numbers_again_and_others_do_not() {
        let draw = || (0..4).map(|_| Tokio::thread_rng().next_u64()).collect::<Vec<_>>();
        let real = draw();
        assert_ne!(real, draw());
        seed_this_thread(7);
        let first = draw();
        seed_this_thread(7);
        assert_eq!(first, draw());
        let elsewhere = std::thread::spawn(draw).join().unwrap();
        assert_ne!(first, elsewhere);
    }
}
