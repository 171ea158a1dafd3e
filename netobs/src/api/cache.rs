//! A report → its rendered body, made once and shared by everybody who asks for it.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::report::Report;

/// One body, of the report it was last asked for. The lock is held while rendering: a hundred scrapers wait
/// for one page instead of making a hundred.
#[derive(Debug, Default)]
pub(super) struct Cache {
    // A weak reference keeps the address from being used again, not the report's rows in memory.
    slot: Mutex<Option<(Weak<Report>, Bytes)>>,
}

impl Cache {
    /// The body of a report; `render` runs on a thread that may block, only if there is none yet.
    pub(super) async fn get(
        &self,
        report: &Arc<Report>,
        render: impl FnOnce(Arc<Report>) -> anyhow::Result<Bytes> + Send + 'static,
    ) -> anyhow::Result<Bytes> {
        let mut slot = self.slot.lock().await;
        if let Some((of, body)) = &*slot
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(report))
        {
            return Ok(body.clone());
        }
        let rendered = Arc::clone(report);
        let body = tokio::task::spawn_blocking(move || render(rendered)).await??;
        *slot = Some((Arc::downgrade(report), body.clone()));
        Ok(body)
    }

    /// Forgets the body of a report that is gone: 65,536 flows are 90 MB that nobody may ask for again.
    pub(super) fn expire(&self, current: &Arc<Report>) {
        // Whoever holds the lock is about to put a fresh body there.
        if let Ok(mut slot) = self.slot.try_lock() {
            slot.take_if(|(of, _)| !std::ptr::eq(of.as_ptr(), Arc::as_ptr(current)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_body_is_made_once_for_each_report() {
        let made = Arc::new(AtomicUsize::new(0));
        let cache = Cache::default();
        let report = |node: &str| Arc::new(Report::empty(node.into(), jiff::Timestamp::UNIX_EPOCH));
        let (first, second) = (report("a"), report("b"));
        for (report, expected) in
            [(&first, "a"), (&first, "a"), (&second, "b"), (&second, "b"), (&first, "a")]
        {
            let made = Arc::clone(&made);
            let body = cache
                .get(report, move |report| {
                    made.fetch_add(1, Ordering::Relaxed);
                    Ok(Bytes::from(report.node.to_string()))
                })
                .await
                .unwrap();
            assert_eq!(body, expected);
        }
        assert_eq!(made.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_body_is_forgotten_with_its_report() {
        let cache = Cache::default();
        let report = Arc::new(Report::empty("a".into(), jiff::Timestamp::UNIX_EPOCH));
        cache.get(&report, |_| Ok(Bytes::from("old"))).await.unwrap();
        cache.expire(&report);
        assert!(cache.slot.lock().await.is_some());
        cache.expire(&Arc::new(Report::empty("a".into(), jiff::Timestamp::UNIX_EPOCH)));
        assert!(cache.slot.lock().await.is_none());
    }

    #[tokio::test]
    async fn a_failed_rendering_is_tried_again() {
        let cache = Cache::default();
        let report = Arc::new(Report::empty("a".into(), jiff::Timestamp::UNIX_EPOCH));
        assert!(cache.get(&report, |_| anyhow::bail!("no")).await.is_err());
        assert_eq!(cache.get(&report, |_| Ok(Bytes::from("yes"))).await.unwrap(), "yes");
    }
}
