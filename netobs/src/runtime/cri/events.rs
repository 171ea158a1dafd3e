//! That something changed at a pod runtime: its own events, containerd's, or none.

use std::{future::pending, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tonic::{Code, Status, Streaming};

use super::{
    client::{Client, is_not_offered},
    wire::{Event, GetEventsRequest, SubscribeRequest},
};
use crate::runtime::{backoff, meter::Meter};

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something changed.
    Change,
    /// The stream broke, and nothing will be heard any more. Whether the runtime still answers is to be seen.
    End,
    /// The runtime has no events.
    Nobody,
}

/// How long a source is left waiting that told something, so that one that floods costs little.
const FLOOD_PAUSE: Duration = Duration::from_millis(250);

/// How long at most, of one whose events are dear to read: they are as large as they may be.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whoever tells of changes, listened to by a task that ends with this value.
pub(super) struct Events {
    heard: mpsc::Receiver<Heard>,
    _listener: JoinSet<()>,
}

impl Events {
    /// Listens for containerd's events, or the runtime interface's own (CRI-O; containerd 1.7 and later), whichever
    /// the server has.
    pub(super) fn open(client: Client) -> Self {
        // One is enough: it says that there is something to be read.
        let (tell, heard) = mpsc::channel(1);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            let meter = client.meter.clone();
            let last = meter.time(listen(client, &tell)).await;
            tell.send(last).await.ok();
        });
        Self { heard, _listener: listener }
    }

    /// Waits for an event; for ever after the end.
    pub(super) async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => pending().await,
        }
    }
}

/// Until there is nothing more to be heard. CRI-O whose events are switched off (they are unless asked for)
/// ends it at once and well (`server/container_events.go`).
async fn listen(mut client: Client, tell: &mpsc::Sender<Heard>) -> Heard {
    const CONTAINERD: &str = "/containerd.services.events.v1.Events/Subscribe";
    const CRI: &str = "/runtime.v1.RuntimeService/GetContainerEvents";
    let topics = ["/tasks/start", "/tasks/exit", "/containers/delete"];
    let filter = |topic| format!("namespace==k8s.io,topic==\"{topic}\"");
    let filters = topics.map(filter).to_vec();
    let subscribed = client.stream(CONTAINERD, SubscribeRequest { filters }).await;
    if !is_missing(&hear(subscribed, tell).await) {
        return Heard::End;
    }
    let asked = client.stream(CRI, GetEventsRequest {}).await;
    if is_missing(&hear(asked, tell).await) { Heard::Nobody } else { Heard::End }
}

/// Tells of each event until the stream ends, with the status it ends with: that there is none may be said at once
/// or in place of the first event.
async fn hear(opened: Result<Streaming<Event>, Status>, tell: &mpsc::Sender<Heard>) -> Status {
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    let decoding = Meter::default();
    loop {
        decoding.is_of_use();
        match decoding.time(stream.message()).await {
            Ok(Some(Event {})) => {
                // One that waits to be heard says the same.
                tell.try_send(Heard::Change).ok();
                // As much again goes into reading it and into the look that follows.
                let rest = backoff::rest(decoding.in_vain().saturating_mul(2));
                sleep(rest.clamp(FLOOD_PAUSE, LONGEST_PAUSE)).await;
            }
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

/// Some servers do not know the service, some know it and refuse.
fn is_missing(status: &Status) -> bool {
    is_not_offered(status) || matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
}
