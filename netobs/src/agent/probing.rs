//! A network stack and what to send from it → what became of it.

use std::{io::ErrorKind, time::Duration};

use futures_util::future::BoxFuture;

use super::configuration::files;
use crate::{
    api::{AskedProbe, ProbeKind},
    host::{
        namespaces::{self, InnerError},
        probe::{self, Probe, Probed},
    },
    report::{ProbeOutcome, ProbeRow, ProtocolName},
};

/// A SYN is sent again after one second and after three (RFC 6298, 2): what is not answered by then counts as such.
const CONNECTED: Duration = Duration::from_secs(4);
/// For an answer to a datagram or an echo.
const ANSWERED: Duration = Duration::from_secs(2);

/// Sends a probe from a namespace given by its inode, the host's if there is none.
#[must_use]
pub fn probe(namespace: Option<u64>, asked: AskedProbe) -> BoxFuture<'static, Result<ProbeRow, String>> {
    Box::pin(async move {
        let (what, within) = match asked.kind {
            ProbeKind::Tcp => (Probe::Tcp((asked.address, asked.port).into()), CONNECTED),
            ProbeKind::Udp => (Probe::Udp((asked.address, asked.port).into()), ANSWERED),
            ProbeKind::Icmp => (Probe::Echo(asked.address), ANSWERED),
        };
        let own = namespaces::own_namespace().ok();
        let probed = match namespace.filter(|inode| Some(*inode) != own) {
            None => tokio::task::spawn_blocking(move || probe::send(what, within))
                .await
                .map_err(|error| error.to_string())?,
            Some(inode) => within_stack(inode, what, within).await.map_err(|error| error.to_string())?,
        };
        Ok(row(&asked, probed))
    })
}

async fn within_stack(inode: u64, what: Probe, within: Duration) -> Result<Probed, InnerError> {
    let files = tokio::task::spawn_blocking(move || files(&[inode]));
    let files = files.await.map_err(|error| InnerError::Failed(error.into()))?;
    let file = files.get(&inode).ok_or(InnerError::Gone)?;
    namespaces::within(file, async move |entered, _| {
        if entered == inode { Ok(probe::send(what, within)) } else { Err(InnerError::Gone) }
    })
    .await
}

fn row(asked: &AskedProbe, probed: Probed) -> ProbeRow {
    let outcome = match &probed.result {
        Ok(()) => ProbeOutcome::Answered,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ProbeOutcome::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ProbeOutcome::Unreachable,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => ProbeOutcome::Silence,
            _ => ProbeOutcome::Failed,
        },
    };
    let error = probed.result.err().filter(|_| outcome != ProbeOutcome::Silence);
    let (protocol, port) = match asked.kind {
        ProbeKind::Tcp => (ProtocolName::Tcp, Some(asked.port)),
        ProbeKind::Udp => (ProtocolName::Udp, Some(asked.port)),
        ProbeKind::Icmp if asked.address.is_ipv4() => (ProtocolName::Icmp, None),
        ProbeKind::Icmp => (ProtocolName::Icmpv6, None),
    };
    ProbeRow {
        protocol,
        address: asked.address,
        port,
        from_port: probed.from_port,
        outcome,
        seconds: probed.took.as_secs_f64(),
        error: error.map(|error| error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_from_the_hosts_own_stack() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let asked = AskedProbe { kind: ProbeKind::Tcp, address: to.ip(), port: to.port() };
        let row = probe(None, asked).await.unwrap();
        assert_eq!((row.outcome, row.port, row.error), (ProbeOutcome::Answered, Some(to.port()), None));
        drop(listener);
        let row = probe(None, asked).await.unwrap();
        assert_eq!(row.outcome, ProbeOutcome::Refused);
        assert!(row.error.is_some());
    }

    #[tokio::test]
    async fn a_stack_that_is_gone_is_said_to_be_gone() {
        let asked = AskedProbe { kind: ProbeKind::Udp, address: [127, 0, 0, 1].into(), port: 9 };
        assert!(probe(Some(1), asked).await.unwrap_err().contains("gone"));
    }
}
