//! When reports arrived → whether the agent is alive and ready. Takes time as an argument.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Ten ticks: a host that stalls for that long has other worries than a restarted agent.
const SILENCE: Duration = Duration::from_secs(10);

/// Loading and attaching on a slow machine with thousands of interfaces.
const START: Duration = Duration::from_secs(60);

/// Remembers when the latest report arrived.
#[derive(Debug)]
pub struct Pulse {
    begun: Instant,
    latest: Mutex<Option<Instant>>,
}

/// What can be said at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No report yet, and it is too early for worry.
    Starting,
    /// Attached, drained, and reporting.
    Reporting,
    /// Nothing for so long.
    Silent(Duration),
}

impl Pulse {
    /// From now on reports are waited for.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { begun: now, latest: Mutex::new(None) }
    }

    /// A report arrived.
    pub fn beat(&self, now: Instant) {
        *self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(now);
    }

    /// What can be said now.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let latest = *self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (since, patience) = latest.map_or((self.begun, START), |at| (at, SILENCE));
        let silence = now.saturating_duration_since(since);
        match latest {
            _ if silence >= patience => State::Silent(silence),
            None => State::Starting,
            Some(_) => State::Reporting,
        }
    }

    /// Whether a report ever arrived: programs are attached, tables were drained once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_ready_from_its_first_report_on_and_dead_after_ten_silent_ticks() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let pulse = Pulse::new(begun);
        assert_eq!(pulse.state(after(59)), State::Starting);
        assert_eq!(pulse.state(after(60)), State::Silent(Duration::from_secs(60)));
        assert!(!pulse.is_ready());
        pulse.beat(after(70));
        assert!(pulse.is_ready());
        assert_eq!(pulse.state(after(79)), State::Reporting);
        assert_eq!(pulse.state(after(80)), State::Silent(Duration::from_secs(10)));
        pulse.beat(after(81));
        assert_eq!(pulse.state(after(81)), State::Reporting);
    }
}
