//! The kernel's announcements of changed rules → the journal.

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    failure,
    host::firewall::Announcements,
    journal::{Change, firewall::Rules},
};

/// Tells what changes in the rules, each time with the moment it was heard, until nobody listens. Where announcements
/// cannot be heard (no `CAP_NET_ADMIN`, no nftables) nothing is told.
pub(super) fn start() -> mpsc::Receiver<(Vec<Change>, Timestamp)> {
    let (changes, told) = mpsc::channel(64);
    tokio::spawn(async move {
        if let Err(error) = watch(&changes).await {
            tracing::info!(why = %failure::one_line(&error), "changes of firewall rules are not told");
        }
    });
    told
}

async fn watch(told: &mpsc::Sender<(Vec<Change>, Timestamp)>) -> anyhow::Result<()> {
    let mut announcements = Announcements::listen()?;
    let mut rules = Rules::default();
    loop {
        let news = tokio::select! {
            news = announcements.next() => news?,
            () = told.closed() => return Ok(()),
        };
        let changes = rules.heard(news);
        if !changes.is_empty() && told.send((changes, Timestamp::now())).await.is_err() {
            return Ok(());
        }
    }
}
