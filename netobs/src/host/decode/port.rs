//! `RTM_NEWLINK` → what a bridge does with frames at this port.

use super::{super::facts::stack::PortState, Malformed, attributes};

/// Size of `struct ifinfomsg`.
const FIXED: usize = 16;
/// `IFLA_INFO_SLAVE_KIND`, `IFLA_INFO_SLAVE_DATA`, `IFLA_BRPORT_STATE` (include/uapi/linux/if_link.h, Linux 6.18).
const SLAVE_KIND: u16 = 4;
const SLAVE_DATA: u16 = 5;
const STATE: u16 = 1;

/// The interface's index and its state as a port; `None` where it is no port of a bridge.
///
/// # Errors
/// The message cannot be read.
pub fn port(payload: &[u8]) -> Result<Option<(u32, PortState)>, Malformed> {
    let index = payload.get(4..8).and_then(|bytes| bytes.first_chunk()).ok_or(Malformed)?;
    let index = u32::from_ne_bytes(*index);
    let Some(info) = attributes(payload, FIXED).find(|one| one.kind() == libc::IFLA_LINKINFO) else {
        return Ok(None);
    };
    let find = |wanted| attributes(info.value(), 0).find(|one| one.kind() == wanted);
    // Behind the text there may be a zero.
    let is_bridge = find(SLAVE_KIND).is_some_and(|kind| kind.value().starts_with(b"bridge"));
    let Some(data) = find(SLAVE_DATA).filter(|_| is_bridge) else { return Ok(None) };
    let state = attributes(data.value(), 0).find(|one| one.kind() == STATE);
    Ok(state.and_then(|one| one.value().first().copied()).map(|number| (index, state_of(number))))
}

const fn state_of(number: u8) -> PortState {
    match number {
        0 => PortState::Disabled,
        1 => PortState::Listening,
        2 => PortState::Learning,
        3 => PortState::Forwarding,
        4 => PortState::Blocking,
        other => PortState::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable as _;
    use netlink_packet_route::link::{
        BridgePortState, InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
    };
    use proptest::prelude::*;

    use super::*;

    fn found(infos: Vec<LinkInfo>) -> Option<(u32, PortState)> {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = vec![LinkAttribute::IfName("va".into()), LinkAttribute::LinkInfo(infos)];
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        port(&bytes).unwrap()
    }

    #[test]
    fn a_port_has_the_state_its_bridge_gives_it() {
        let with = |state| {
            found(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::State(state)])),
            ])
        };
        assert_eq!(with(BridgePortState::Forwarding), Some((7, PortState::Forwarding)));
        assert_eq!(with(BridgePortState::Disabled), Some((7, PortState::Disabled)));
        assert_eq!(with(BridgePortState::Blocking), Some((7, PortState::Blocking)));
    }

    #[test]
    fn what_is_no_port_has_none() {
        assert_eq!(found(vec![]), None);
        assert_eq!(found(vec![LinkInfo::PortKind(InfoPortKind::Bond)]), None);
        assert_eq!(port(&[0; 4]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            port(&payload).ok();
        }
    }
}
