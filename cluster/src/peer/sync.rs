//! Locking without poison. The guarded values here stay consistent at every step, so a panic elsewhere while one
//! was held says nothing about them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whoever panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
