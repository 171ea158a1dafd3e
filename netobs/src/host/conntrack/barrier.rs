//! "Up to when has everything been heard?", asked by who consumes events of who reads them.
//!
//! An event waits in the kernel's buffer until the reader has its turn, on a busy host for longer than a packet's
//! counters wait to be read: without an answer nobody knows whether a connection is not translated or not told of yet.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// Shared by the reader and the consumer, one of each.
#[derive(Debug, Default)]
pub struct Barrier {
    asked: AtomicU64,
    heard: AtomicU64,
    question: Notify,
    answer: Notify,
}

impl Barrier {
    /// Asks whether everything was heard that happened before `now`, and waits for the answer so long at most. Until
    /// when everything was heard: earlier than `now` where there was no answer in time.
    ///
    /// What was heard is in the channel by then, so the channel is to be emptied after this.
    pub async fn wait(&self, now: u64, within: Duration) -> u64 {
        self.asked.store(now, Ordering::Release);
        self.question.notify_one();
        let answered = async {
            while self.heard.load(Ordering::Acquire) < now {
                self.answer.notified().await;
            }
        };
        // Without an answer the last one holds.
        drop(timeout(within, answered).await);
        self.heard.load(Ordering::Acquire)
    }

    /// Returns when the consumer asks. Safe to cancel.
    pub(super) async fn asked(&self) -> u64 {
        self.question.notified().await;
        self.asked.load(Ordering::Acquire)
    }

    /// Everything that happened before was heard.
    pub(super) fn answer(&self, heard: u64) {
        self.heard.fetch_max(heard, Ordering::AcqRel);
        self.answer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_the_last_one_holds() {
        let barrier = Barrier::default();
        assert_eq!(barrier.wait(7, WITHIN).await, 0);
        barrier.answer(5);
        assert_eq!(barrier.wait(9, WITHIN).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_reader_is_asked_and_its_answer_is_waited_for() {
        let barrier = Arc::new(Barrier::default());
        let reader = Arc::clone(&barrier);
        let reading = tokio::spawn(async move {
            let until = reader.asked().await;
            reader.answer(until);
        });
        assert_eq!(barrier.wait(9, WITHIN).await, 9);
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_to_an_earlier_question_does_not_end_the_waiting() {
        let barrier = Arc::new(Barrier::default());
        barrier.answer(3);
        let late = Arc::clone(&barrier);
        tokio::spawn(async move {
            late.answer(4);
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.answer(9);
        });
        assert_eq!(barrier.wait(9, WITHIN).await, 9);
    }
}
