//! One of many like messages a second: trouble that comes in floods is told without being one.

use std::time::Duration;

use tokio::time::Instant;

/// How far apart two of them are at least.
const APART: Duration = Duration::from_secs(1);

/// Counts what is held back.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    told: Option<Instant>,
    held_back: u64,
}

impl LogThrottle {
    /// How many were held back since the last one that was told, if this one is to be told; none if it is held back itself.
    pub(crate) fn tell(&mut self) -> Option<u64> {
        if self.told.is_some_and(|told| told.elapsed() < APART) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_messages_one_a_second_is_told_with_the_number_of_those_between() {
        let mut log_throttle = LogThrottle::default();
        assert_eq!(log_throttle.tell(), Some(0));
        assert_eq!((log_throttle.tell(), log_throttle.tell()), (None, None));
        tokio::time::advance(APART).await;
        assert_eq!(log_throttle.tell(), Some(2));
        tokio::time::advance(APART).await;
        assert_eq!(log_throttle.tell(), Some(0));
    }
}
