//! `RTM_NEWRULE` → a rule of policy routing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::{
    AddressFamily,
    rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage},
};

use super::{
    super::facts::stack::{RoutingRule, RuleAction},
    Malformed,
};

/// Size of `struct fib_rule_hdr`.
const FIXED: usize = 12;

/// The rule a message describes; `None` for families other than IP.
///
/// # Errors
/// The message cannot be read.
pub fn rule(payload: &[u8]) -> Result<Option<RoutingRule>, Malformed> {
    if payload.len() < FIXED {
        return Err(Malformed);
    }
    let message = RuleMessage::parse(payload).map_err(|_| Malformed)?;
    let header = &message.header;
    let (v6, any): (bool, IpAddr) = match header.family {
        AddressFamily::Inet => (false, Ipv4Addr::UNSPECIFIED.into()),
        AddressFamily::Inet6 => (true, Ipv6Addr::UNSPECIFIED.into()),
        _ => return Ok(None),
    };
    let mut table = u32::from(header.table);
    let (mut mark, mut mask) = (None, None);
    let (mut source, mut destination) = (any, any);
    let mut rule = RoutingRule {
        v6,
        priority: 0,
        source: None,
        destination: None,
        iif: None,
        oif: None,
        mark: None,
        suppress: None,
        more: header.tos != 0,
        inverted: header.flags.contains(RuleFlags::Invert),
        action: RuleAction::Other,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => source = *address,
            RuleAttribute::Destination(address) => destination = *address,
            RuleAttribute::Priority(number) => rule.priority = *number,
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
            RuleAttribute::FwMark(number) => mark = Some(*number),
            RuleAttribute::FwMask(number) => mask = Some(*number),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::SuppressPrefixLen(length) => rule.suppress = u8::try_from(*length).ok(),
            RuleAttribute::L3MDev(true) => rule.more = true,
            RuleAttribute::UidRange(_)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_)
            | RuleAttribute::TunId(_) => rule.more = true,
            _ => {}
        }
    }
    let network = |address, length: u8| match length {
        0 => Ok(None),
        _ => IpNet::new(address, length).map(Some).map_err(|_| Malformed),
    };
    rule.source = network(source, header.src_len)?;
    rule.destination = network(destination, header.dst_len)?;
    // A rule without a mark has a mask of zero, which the kernel still sends.
    rule.mark = mark
        .filter(|mark| *mark != 0 || mask.is_some_and(|mask| mask != 0))
        .map(|mark| (mark, mask.unwrap_or(u32::MAX)));
    rule.action = match header.action {
        Action::ToTable => RuleAction::Table(table),
        Action::Blackhole | Action::Unreachable | Action::Prohibit => RuleAction::Refuse,
        _ => RuleAction::Other,
    };
    Ok(Some(rule))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use proptest::prelude::*;

    use super::*;

    fn decoded(attributes: Vec<RuleAttribute>, change: impl Fn(&mut RuleMessage)) -> RoutingRule {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = Action::ToTable;
        message.header.table = 254;
        message.attributes = attributes;
        change(&mut message);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        rule(&bytes).unwrap().unwrap()
    }

    #[test]
    fn the_rule_of_the_main_table_asks_for_nothing() {
        let found = decoded(
            vec![RuleAttribute::Priority(32_766), RuleAttribute::SuppressPrefixLen(u32::MAX)],
            |_| {},
        );
        assert_eq!((found.priority, found.action), (32_766, RuleAction::Table(254)));
        assert_eq!((found.source, found.destination, found.mark), (None, None, None));
        assert!(!found.more && !found.inverted);
    }

    #[test]
    fn what_a_rule_asks_for_is_read() {
        let attributes = vec![
            RuleAttribute::Priority(100),
            RuleAttribute::Source("10.9.0.0".parse().unwrap()),
            RuleAttribute::Iifname("br0".into()),
            RuleAttribute::FwMark(0x4000),
            RuleAttribute::FwMask(0xff00),
            RuleAttribute::Table(1_000),
        ];
        let found = decoded(attributes, |message| message.header.src_len = 16);
        assert_eq!(found.source, Some("10.9.0.0/16".parse().unwrap()));
        assert_eq!(found.iif.as_deref(), Some("br0"));
        assert_eq!(found.mark, Some((0x4000, 0xff00)));
        assert_eq!(found.action, RuleAction::Table(1_000), "more than the header's 8 bits hold");
    }

    #[test]
    fn a_rule_may_refuse() {
        let found = decoded(vec![], |message| message.header.action = Action::Prohibit);
        assert_eq!(found.action, RuleAction::Refuse);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(rule(&payload));
        }
    }
}
