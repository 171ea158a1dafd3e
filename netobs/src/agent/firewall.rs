//! The kernel's announcements of changed rules → the journal.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    failure,
    host::{facts::firewall::News, firewall::Announcements},
    journal::{Change, firewall::Rules},
};

/// How long after a failure it is tried again: the module may not be there yet.
const AGAIN: Duration = Duration::from_secs(60);
/// How long after all rules were read they are not read again, however often announcements are lost.
const REREAD: Duration = Duration::from_secs(2);

/// Tells what changes in the rules, each time with the moment it was heard, until nobody listens. Where announcements
/// cannot be heard (no `CAP_NET_ADMIN`, no nftables) nothing is told.
pub(super) fn start() -> mpsc::Receiver<(Vec<Change>, Timestamp)> {
    let (changes, told) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut rules = Rules::default();
        while let Err(error) = watch(&mut rules, &changes).await {
            tracing::info!(why = %failure::one_line(&error), "changes of firewall rules are not told for now");
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = changes.closed() => return,
            }
        }
    });
    told
}

async fn watch(rules: &mut Rules, told: &mpsc::Sender<(Vec<Change>, Timestamp)>) -> anyhow::Result<()> {
    let mut announcements = Announcements::listen()?;
    loop {
        let news = tokio::select! {
            news = announcements.next() => news?,
            () = told.closed() => return Ok(()),
        };
        let is_whole = matches!(news, News::All(_));
        let changes = rules.heard(news);
        if !changes.is_empty() && told.send((changes, Timestamp::now())).await.is_err() {
            return Ok(());
        }
        if is_whole {
            sleep(REREAD).await;
        }
    }
}
