//! The file of a network namespace → the identifier it has in ours (`IFLA_LINK_NETNSID` names it so).

use std::{fs::File, os::fd::AsRawFd as _, time::Duration};

use anyhow::{Context as _, bail};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::{TimeVal, TimeValLike as _},
};

/// The kernel answers at once; anything else is a fault.
const PATIENCE: Duration = Duration::from_secs(1);
const ANSWER: usize = 4096;

/// The identifier of that namespace in the calling thread's one; `None` if it has none, which is so until
/// an interface of ours has its other end there. Blocking, one second at most.
///
/// # Errors
/// The kernel did not answer, or refused.
pub fn identifier(namespace: &File) -> anyhow::Result<Option<i32>> {
    let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
    let patience = TimeVal::milliseconds(i64::try_from(PATIENCE.as_millis())?);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).context("cannot bound a netlink socket")?;
    socket.bind_auto().context("cannot bind a netlink socket")?;
    let mut request = NsidMessage::default();
    request.attributes = vec![NsidAttribute::Fd(u32::try_from(namespace.as_raw_fd())?)];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message =
        NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::GetNsId(request)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).context("cannot ask for a namespace identifier")?;
    let mut answer = Vec::with_capacity(ANSWER);
    socket.recv(&mut answer, 0).context("the kernel did not say a namespace identifier")?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> anyhow::Result<Option<i32>> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) => {
            Ok(message.attributes.iter().find_map(|attribute| match attribute {
                // -1 says that there is none.
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            }))
        }
        NetlinkPayload::Error(error) => bail!("the kernel refused a namespace identifier: {}", error.to_io()),
        _ => bail!("the kernel answered something else than a namespace identifier"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: i32) -> Vec<u8> {
        let mut message = NsidMessage::default();
        message.attributes = vec![NsidAttribute::Id(id)];
        let inner = RouteNetlinkMessage::NewNsId(message);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(inner));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn minus_one_is_no_identifier() {
        assert_eq!(parse(&answer(0)).unwrap(), Some(0));
        assert_eq!(parse(&answer(7)).unwrap(), Some(7));
        assert_eq!(parse(&answer(-1)).unwrap(), None);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(parse(&[]).is_err());
        assert!(parse(&[0; 64]).is_err());
    }
}
