//! The frames that wait to be written on one connection: a queue bounded in frames and bytes.
//!
//! Requests may fill the queue up to its bound, and answers may fill as much again. So many requests of this node
//! never keep it from answering. Pushing never waits: if a frame does not fit, the caller must handle that.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::locked::lock;

/// The queue. One writer takes from it, and any task may push.
pub(super) struct Outbound {
    state: Mutex<State>,
    filled: Notify,
    bytes_max: usize,
    frames_max: usize,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FullError;

impl Outbound {
    pub(super) fn new(bytes_max: usize, frames_max: usize) -> Self {
        Self { state: Mutex::default(), filled: Notify::new(), bytes_max, frames_max }
    }

    /// Queues a request, in the order of the calls.
    pub(super) fn push_request(&self, frame: Bytes) -> Result<(), FullError> {
        self.push(frame, 1)
    }

    /// Queues an answer. If even this does not fit, the peer sends requests without reading the answers, and must be
    /// dropped.
    pub(super) fn push_answer(&self, frame: Bytes) -> Result<(), FullError> {
        self.push(frame, 2)
    }

    fn push(&self, frame: Bytes, measures: usize) -> Result<(), FullError> {
        {
            let mut state = lock(&self.state);
            let bytes = state.bytes.saturating_add(frame.len());
            if bytes > self.bytes_max.saturating_mul(measures)
                || state.frames.len() >= self.frames_max.saturating_mul(measures)
            {
                return Err(FullError);
            }
            state.bytes = bytes;
            state.frames.push_back(frame);
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for frames. Then takes them in order, at least one, until they make up `budget` bytes or the queue is
    /// empty. A frame that was taken does not count as waiting any more.
    pub(super) async fn take(&self, budget: usize) -> Vec<Bytes> {
        loop {
            let taken = self.take_now(budget);
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self, budget: usize) -> Vec<Bytes> {
        let mut state = lock(&self.state);
        let mut taken = Vec::new();
        let mut bytes = 0usize;
        while bytes < budget {
            let Some(frame) = state.frames.pop_front() else { break };
            bytes = bytes.saturating_add(frame.len());
            taken.push(frame);
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_in_order_within_the_budget() {
        let queue = Outbound::new(1000, 10);
        for n in 0..5u8 {
            queue.push_request(Bytes::from(vec![n; 10])).unwrap();
        }
        let first: Vec<u8> = queue.take(25).await.iter().map(|f| f[0]).collect();
        assert_eq!(first, [0, 1, 2]);
        let rest: Vec<u8> = queue.take(25).await.iter().map(|f| f[0]).collect();
        assert_eq!(rest, [3, 4]);
    }

    #[test]
    fn requests_are_refused_by_bytes_and_by_count_and_answers_still_fit() {
        let queue = Outbound::new(20, 100);
        queue.push_request(Bytes::from_static(&[0; 20])).unwrap();
        assert_eq!(queue.push_request(Bytes::from_static(&[0; 1])), Err(FullError));
        queue.push_answer(Bytes::from_static(&[0; 20])).unwrap();
        assert_eq!(queue.push_answer(Bytes::from_static(&[0; 1])), Err(FullError));

        let queue = Outbound::new(1000, 2);
        queue.push_request(Bytes::from_static(b"a")).unwrap();
        queue.push_request(Bytes::from_static(b"b")).unwrap();
        assert_eq!(queue.push_request(Bytes::from_static(b"c")), Err(FullError));
        queue.push_answer(Bytes::from_static(b"d")).unwrap();
    }
}
