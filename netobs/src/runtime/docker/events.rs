//! The event stream → which containers and networks to look at again.
//!
//! An event only says where to look: what is there is read by inspecting it, so that order, doubles and
//! losses of events do not matter.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{convert::is_id, http::Stream, wire::Event};

/// How long events are collected after the first one before they are acted upon: starting a container
/// makes five in a row.
const SETTLE: Duration = Duration::from_millis(40);
/// Longest event read; all labels of a container are in it.
const LINE_LIMIT: usize = 1024 * 1024;
/// Most bytes taken in at once. A source that has more is left waiting for [`FLOOD_PAUSE`], so that one that
/// floods costs little; events a daemon drops meanwhile are made good by the next full list.
const BATCH_LIMIT: usize = 256 * 1024;
/// How long a source is left waiting that fills a batch.
const FLOOD_PAUSE: Duration = Duration::from_millis(500);
/// Most containers named by one batch; more, and everything is listed again.
const NAMED_LIMIT: usize = 512;

/// What to look at again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// These containers.
    pub(super) containers: BTreeSet<String>,
    /// The list of networks.
    pub(super) networks: bool,
    /// Everything.
    pub(super) everything: bool,
}

impl Changes {
    /// Takes one line of the stream in; a line that is no event is ignored: what it meant is found by the
    /// next full list.
    fn note(&mut self, line: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return };
        let subject = match (event.kind.as_str(), event.action.as_str()) {
            ("container", action) if concerns_identity(action) => event.actor.id,
            ("network", "connect" | "disconnect") => event.actor.attributes.container,
            ("network", _) => {
                self.networks = true;
                return;
            }
            _ => return,
        };
        if self.containers.len() >= NAMED_LIMIT {
            self.everything = true;
        } else if is_id(&subject) {
            self.containers.insert(subject);
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Health checks and `exec` make events all day long and change nothing here.
fn concerns_identity(action: &str) -> bool {
    matches!(
        action,
        "start" | "restart" | "die" | "died" | "stop" | "destroy" | "remove" | "rename" | "update"
    )
}

/// The stream, cut into lines.
pub(super) struct Events {
    stream: Stream,
    lines: Lines,
}

impl Events {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, lines: Lines::default() }
    }

    /// Waits until something concerns us, and collects it with what follows at once in `pending`.
    /// The future may be dropped at any time: what was read so far is in `pending`.
    ///
    /// # Errors
    /// The stream has ended or broken, or carried a line that is too long.
    pub(super) async fn next(&mut self, pending: &mut Changes) -> Result<()> {
        loop {
            let Some(piece) = self.stream.next().await? else { bail!("the event stream ended") };
            let mut settled = Instant::now() + SETTLE;
            let mut taken = piece.len();
            self.lines.take(&piece, |line| pending.note(line))?;
            while taken < BATCH_LIMIT {
                let Ok(more) = timeout_at(settled, self.stream.next()).await else { break };
                // The end is seen again, and reported, by the next call.
                let Some(piece) = more? else { break };
                taken += piece.len();
                self.lines.take(&piece, |line| pending.note(line))?;
            }
            if taken >= BATCH_LIMIT {
                settled += FLOOD_PAUSE;
            }
            sleep_until(settled).await;
            if !pending.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Bytes → lines, bounded.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn take(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            if self.partial.is_empty() {
                each(line);
            } else {
                self.partial.extend_from_slice(line);
                each(&self.partial);
                self.partial.clear();
            }
            rest = after.get(1..).unwrap_or_default();
        }
        if self.partial.len() + rest.len() > LINE_LIMIT {
            bail!("an event longer than {LINE_LIMIT} bytes");
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn changes(lines: &[String]) -> Changes {
        let mut changes = Changes::default();
        for line in lines {
            changes.note(line.as_bytes());
        }
        changes
    }

    #[test]
    fn a_start_and_a_death_both_say_look_again() {
        for action in ["start", "die", "died", "rename"] {
            let line = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{ID}"}}}}"#);
            assert!(changes(&[line]).containers.contains(ID), "{action}");
        }
    }

    #[test]
    fn a_health_check_is_no_change() {
        let line = format!(r#"{{"Type":"container","Action":"exec_start: true","Actor":{{"ID":"{ID}"}}}}"#);
        assert!(changes(&[line]).is_empty());
    }

    #[test]
    fn connecting_a_network_concerns_the_container() {
        let line = format!(
            r#"{{"Type":"network","Action":"connect","Actor":{{"ID":"n","Attributes":{{"container":"{ID}"}}}}}}"#
        );
        assert!(changes(&[line]).containers.contains(ID));
        let line = r#"{"Type":"network","Action":"create","Actor":{"ID":"n"}}"#.to_owned();
        assert!(changes(&[line]).networks);
    }

    #[test]
    fn an_id_that_is_none_never_becomes_a_request() {
        let line = r#"{"Type":"container","Action":"start","Actor":{"ID":"../../etc"}}"#.to_owned();
        assert!(changes(&[line]).is_empty());
    }

    #[test]
    fn too_many_at_once_become_one_full_list() {
        let lines: Vec<_> = (0..=NAMED_LIMIT)
            .map(|n| format!(r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{n:064x}"}}}}"#))
            .collect();
        let changes = changes(&lines);
        assert!(changes.everything && changes.containers.len() == NAMED_LIMIT);
    }

    #[test]
    fn a_line_without_end_is_an_error_and_not_memory() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; LINE_LIMIT / 2];
        assert!(lines.take(&piece, |_| {}).is_ok());
        assert!(lines.take(&piece, |_| {}).is_ok());
        assert!(lines.take(&piece, |_| {}).is_err());
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(
            lines in prop::collection::vec("[a-z]{0,20}", 0..10), cut in 1_usize..30,
        ) {
            let whole = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let (mut reader, mut seen) = (Lines::default(), Vec::new());
            for piece in whole.as_bytes().chunks(cut) {
                reader.take(piece, |line| seen.push(String::from_utf8_lossy(line).into_owned())).unwrap();
            }
            prop_assert_eq!(seen, lines);
        }

        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            Changes::default().note(&line);
        }
    }
}
