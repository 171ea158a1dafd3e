//! An agent's documents, asked for again and again → what `top` shows.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::Client;
use crate::{
    failure::one_line,
    report::StatusDocument,
    top::{TopInput, Update},
};

/// A new report is noticed after this long at most; asking costs the small status document.
const LOOK: Duration = Duration::from_millis(200);

/// Asks in the background for as long as somebody listens. The large documents are asked for once a report.
#[must_use]
pub fn feed(client: Client) -> watch::Receiver<Update> {
    let waiting = format!("asking {}", client.socket().display());
    let (updates, receiver) = watch::channel(Update::Waiting(waiting.into()));
    tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = None;
        loop {
            tokio::select! {
                () = updates.closed() => return,
                _ = ticks.tick() => (),
            }
            match newer(&client, shown).await {
                Ok(None) => (),
                Ok(Some(input)) => {
                    shown = Some(input.status.head.time);
                    updates.send_replace(Update::Documents(Arc::new(input)));
                }
                Err(error) => {
                    shown = None;
                    updates.send_replace(Update::Trouble(one_line(&error).into()));
                }
            }
        }
    });
    receiver
}

/// The documents, if there are newer ones than those shown.
///
/// # Errors
/// As [`Client::document`].
async fn newer(client: &Client, shown: Option<Timestamp>) -> anyhow::Result<Option<TopInput>> {
    let status: StatusDocument = client.document("/api/v1/status").await?;
    if shown == Some(status.head.time) {
        return Ok(None);
    }
    fetch(client, status).await.map(Some)
}

async fn fetch(client: &Client, status: StatusDocument) -> anyhow::Result<TopInput> {
    Ok(TopInput {
        flows: client.document("/api/v1/flows").await?,
        endpoints: client.document("/api/v1/endpoints").await?,
        status,
    })
}

impl Client {
    /// What `top` shows, now.
    ///
    /// # Errors
    /// As [`Client::document`].
    pub async fn top(&self) -> anyhow::Result<TopInput> {
        fetch(self, self.document("/api/v1/status").await?).await
    }
}
