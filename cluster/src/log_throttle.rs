//! Limits like messages in the log to one a second, so that a flood of errors does not become a flood of lines.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two messages.
const APART: Duration = Duration::from_secs(1);

/// Counts the messages that are held back.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    told: Option<Instant>,
    held_back: u64,
}

impl LogThrottle {
    /// If this message is to be logged, the number of messages that were held back since the last one. None if this
    /// message is held back too.
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
