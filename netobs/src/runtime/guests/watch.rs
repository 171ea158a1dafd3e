//! Guests and the firewall's translations, kept current: looked at when the host's interfaces change, when rules
//! change, and now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc::Sender},
    time::{sleep, timeout},
};

use super::read::{Files, Guests, Places, read};
use crate::{
    failure,
    host::{
        facts::firewall::Ruleset,
        firewall::{self, Changes},
    },
};

/// Status files and leases are announced by nobody.
const EVERY: Duration = Duration::from_secs(10);
/// Changes seldom come alone.
const SETTLE: Duration = Duration::from_millis(100);
/// `kube-proxy` rewrites its rules many times a second on a busy day; of them only the chains for packets about to leave
/// are read, but all names of chains.
const RULES_AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it began: it does not know of later changes, and of some of those before its end.
    pub began: Instant,
    /// Guests.
    pub guests: Guests,
    /// Translations: read only while there are guests, or a reason why they are not known.
    pub rules: Option<Result<Arc<Ruleset>, Arc<str>>>,
}

/// Looks until the receiver is dropped: at once when `wake` is notified.
pub async fn watch(places: Places, wake: Arc<Notify>, looks: Sender<Look>) {
    let mut changes = Changes::listen().ok();
    let mut rules: Option<Result<Arc<Ruleset>, Arc<str>>> = None;
    let mut stale_rules = true;
    let mut files = Files::default();
    loop {
        let now = Timestamp::now().as_second();
        let places = places.clone();
        let began = Instant::now();
        let look = tokio::task::spawn_blocking(move || {
            let guests = read(&places, now, &mut files);
            (guests, files)
        });
        let Ok((guests, kept)) = look.await else { return };
        files = kept;
        if guests.guests.is_empty() {
            (rules, stale_rules) = (None, true);
        } else if stale_rules || rules.is_none() {
            let dumped = firewall::dump_of_leaving().await.map(Arc::new);
            rules = Some(dumped.map_err(|error| Arc::from(failure::one_line(&error))));
            // Without announcements, or an answer, they are read every time.
            stale_rules = changes.is_none() || rules.as_ref().is_some_and(Result::is_err);
        }
        if looks.send(Look { began, guests, rules: rules.clone() }).await.is_err() {
            return;
        }
        tokio::select! {
            () = looks.closed() => return,
            () = wake.notified() => sleep(SETTLE).await,
            () = sleep(EVERY) => {}
            heard = changed(&mut changes) => {
                if !heard {
                    changes = None;
                }
                stale_rules = true;
                // A guest that appears meanwhile does not wait.
                timeout(RULES_AT_MOST_EVERY, wake.notified()).await.ok();
            }
        }
    }
}

async fn changed(changes: &mut Option<Changes>) -> bool {
    match changes {
        Some(changes) => changes.next().await.is_ok(),
        None => std::future::pending().await,
    }
}

impl Look {
    /// Whether another one found something else.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        self.guests != other.guests || self.rules != other.rules
    }
}
