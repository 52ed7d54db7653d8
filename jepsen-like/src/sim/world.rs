//! The environment of a simulated node: seeded entropy, and blocking work that runs at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assent_cluster::env::{Blocking, Entropy, Environment};
use futures_util::future::BoxFuture;

use super::clock::SimClock;
use super::dice::Dice;
use super::disk::SimDisk;
use super::net::SimNet;
use super::wire::Wires;

/// The longest time that a slow disk delays one piece of work.
const STALL_MAX: Duration = Duration::from_secs(5);

/// Bytes that follow from a seed.
pub struct SimEntropy(Mutex<Dice>);

impl Entropy for SimEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(buffer);
    }
}

/// Runs the work at once. If the disk is slow, the caller waits afterwards, in simulated time.
struct InlineBlocking(SimDisk);

impl Blocking for InlineBlocking {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = self.0.work(job);
        // However many syncs the job made: a disk is slow for a while, not for ever.
        let stall = self.0.take_stall();
        Box::pin(async move {
            if let Some(stall) = stall {
                tokio::time::sleep(stall.lasts().min(STALL_MAX)).await;
            }
            drop(work);
        })
    }
}

/// A node's environment, for one life of its process.
pub fn environment(disk: &SimDisk, clock: &SimClock, wires: &Wires, dice: Dice) -> Environment {
    Environment {
        net: Arc::new(SimNet::new(wires.clone())),
        disk: Arc::new(disk.mount()),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SimEntropy(Mutex::new(dice))),
        blocking: Arc::new(InlineBlocking(disk.clone())),
        long: Arc::new(InlineBlocking(disk.clone())),
        clients: None,
    }
}
