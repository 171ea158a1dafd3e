//! `RTM_NEWLINK` and `RTM_DELLINK` → an interface.

use netlink_packet_core::{Parseable, ParseableParametrized};
use netlink_packet_route::{
    AddressFamily,
    link::{InfoVlan, InfoVxlan, LinkAttribute, LinkFlags, LinkHeader, Stats64, VxlanDf},
    stats::StatsHeader,
};

use super::{
    super::facts::{Link, LinkCounters, LinkKind, OuterDf, Vxlan},
    Malformed, attributes, mac, text,
};

/// Size of `struct ifinfomsg`.
const FIXED: usize = 16;
/// Size of `struct if_stats_msg`.
const STATS_FIXED: usize = 12;
const IFLA_STATS_LINK_64: u16 = 1;
const WANTED: [u16; 10] = [
    libc::IFLA_ADDRESS,
    libc::IFLA_IFNAME,
    libc::IFLA_MTU,
    libc::IFLA_LINK,
    libc::IFLA_MASTER,
    libc::IFLA_LINKINFO,
    libc::IFLA_STATS64,
    libc::IFLA_CARRIER,
    libc::IFLA_CARRIER_DOWN_COUNT,
    libc::IFLA_LINK_NETNSID,
];
/// `IFLA_TUN_TYPE` and its value for a tap (`IFF_TAP`): the decoding crate leaves tun devices untyped.
const IFLA_TUN_TYPE: u16 = 3;
/// `IFLA_GENEVE_PORT` (`include/uapi/linux/if_link.h`, Linux 6.18); typed by the decoding crate neither.
const IFLA_GENEVE_PORT: u16 = 5;
const IFF_TAP: u8 = 2;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const ARPHRD_ETHER: u16 = 1;

/// The interface a message describes; `None` for messages of another family: a bridge announces its ports
/// with `AF_BRIDGE`, which says nothing about the interface itself.
///
/// # Errors
/// Too short, or without a name.
pub fn link(payload: &[u8]) -> Result<Option<Link>, Malformed> {
    let header = header(payload)?;
    if header.interface_family != AddressFamily::Unspec {
        return Ok(None);
    }
    let mut link = Link {
        index: header.index,
        name: String::new(),
        kind: LinkKind::Physical,
        mac: None,
        master: None,
        lower: None,
        peer_namespace: None,
        up: header.flags.contains(LinkFlags::Up),
        carrier: header.flags.contains(LinkFlags::LowerUp),
        carrier_losses: 0,
        arphrd: header.link_layer_type.into(),
        mtu: 0,
        counters: LinkCounters::default(),
    };
    if header.flags.contains(LinkFlags::Loopback) {
        link.kind = LinkKind::Loopback;
    }
    let mut info = None;
    for attribute in attributes(payload, FIXED).filter(|attribute| WANTED.contains(&attribute.kind())) {
        match attribute.kind() {
            libc::IFLA_LINKINFO => info = Some(attribute),
            libc::IFLA_STATS64 => link.counters = counters(attribute.value()).unwrap_or_default(),
            _ => match LinkAttribute::parse_with_param(&attribute, AddressFamily::Unspec) {
                Ok(LinkAttribute::Address(bytes)) => link.mac = mac(&bytes),
                Ok(LinkAttribute::IfName(name)) => link.name = name,
                Ok(LinkAttribute::Mtu(mtu)) => link.mtu = mtu,
                // Zero on teardown, and for devices without a lower one.
                Ok(LinkAttribute::Link(index)) => link.lower = (index != 0).then_some(index),
                Ok(LinkAttribute::Controller(index)) => link.master = (index != 0).then_some(index),
                Ok(LinkAttribute::Carrier(carrier)) => link.carrier = carrier != 0,
                Ok(LinkAttribute::CarrierDownCount(losses)) => link.carrier_losses = losses,
                Ok(LinkAttribute::LinkNetNsId(id)) => link.peer_namespace = Some(id),
                _ => {}
            },
        }
    }
    if let Some(info) = info {
        link.kind = kind(info.value(), &link);
    }
    if link.name.is_empty() || link.index == 0 { Err(Malformed) } else { Ok(Some(link)) }
}

/// The index of the interface that went away; `None` when only its bridge lets go of it.
pub(super) fn gone(payload: &[u8]) -> Result<Option<u32>, Malformed> {
    let header = header(payload)?;
    Ok((header.interface_family == AddressFamily::Unspec).then_some(header.index))
}

/// The index and the counters in an answer to `RTM_GETSTATS`.
///
/// # Errors
/// Too short, or without counters.
pub fn stats(payload: &[u8]) -> Result<(u32, LinkCounters), Malformed> {
    let header = StatsHeader::parse(payload).map_err(|_| Malformed)?;
    let found = attributes(payload, STATS_FIXED).find(|attribute| attribute.kind() == IFLA_STATS_LINK_64);
    Ok((header.ifindex, counters(found.ok_or(Malformed)?.value())?))
}

/// An interface's counters, from the value of `IFLA_STATS64` or of `IFLA_STATS_LINK_64`.
fn counters(value: &[u8]) -> Result<LinkCounters, Malformed> {
    // Missing counters at the end are zero, but not these: up to `tx_dropped`, the eighth.
    if value.len() < size_of::<[u64; 8]>() {
        return Err(Malformed);
    }
    let stats = Stats64::parse(value).map_err(|_| Malformed)?;
    Ok(LinkCounters {
        rx_packets: stats.rx_packets,
        rx_bytes: stats.rx_bytes,
        tx_packets: stats.tx_packets,
        tx_bytes: stats.tx_bytes,
        rx_dropped: stats.rx_dropped,
        tx_dropped: stats.tx_dropped,
    })
}

fn header(payload: &[u8]) -> Result<LinkHeader, Malformed> {
    LinkHeader::parse(payload).map_err(|_| Malformed)
}

fn kind(info: &[u8], link: &Link) -> LinkKind {
    let find = |wanted| attributes(info, 0).find(|attribute| attribute.kind() == wanted);
    let word = find(IFLA_INFO_KIND).map(|attribute| text(attribute.value())).unwrap_or_default();
    let data = find(IFLA_INFO_DATA);
    let data = data.as_ref().map(|attribute| attribute.value()).unwrap_or_default();
    match word.as_str() {
        // Ports of a bridge carry the bridge's port data here even where the device has no kind of its own.
        "" => link.kind.clone(),
        "veth" => LinkKind::Veth,
        "bridge" => LinkKind::Bridge,
        "tun" => LinkKind::Tun { tap: tap(data).unwrap_or(link.arphrd == ARPHRD_ETHER) },
        "vxlan" => LinkKind::Vxlan(vxlan(data)),
        "macvlan" => LinkKind::Macvlan,
        "macvtap" => LinkKind::Macvtap,
        "ipvlan" | "ipvtap" => LinkKind::Ipvlan,
        "vlan" => LinkKind::Vlan { id: vlan(data), lower: link.lower },
        "geneve" => LinkKind::Geneve { port: geneve_port(data).unwrap_or(0) },
        "gre" | "gretap" | "ip6gre" | "ip6gretap" | "erspan" | "ip6erspan" => LinkKind::Gre,
        "ipip" | "sit" | "ip6tnl" => LinkKind::Ipip,
        "wireguard" => LinkKind::Wireguard,
        "dummy" => LinkKind::Dummy,
        "ifb" => LinkKind::Ifb,
        "bond" | "team" => LinkKind::Bond,
        _ => LinkKind::Other(word),
    }
}

fn tap(data: &[u8]) -> Option<bool> {
    let attribute = attributes(data, 0).find(|attribute| attribute.kind() == IFLA_TUN_TYPE)?;
    Some(*attribute.value().first()? == IFF_TAP)
}

fn vxlan(data: &[u8]) -> Vxlan {
    let mut vxlan = Vxlan::default();
    for attribute in attributes(data, 0) {
        match InfoVxlan::parse(&attribute) {
            Ok(InfoVxlan::Id(id)) => vxlan.vni = id,
            Ok(InfoVxlan::Port(port)) => vxlan.port = port,
            Ok(InfoVxlan::Link(index)) => vxlan.lower = (index != 0).then_some(index),
            Ok(InfoVxlan::Local(address)) => vxlan.local = Some(address.into()),
            Ok(InfoVxlan::Local6(address)) => vxlan.local = Some(address.into()),
            Ok(InfoVxlan::Group(address)) => vxlan.group = Some(address.into()),
            Ok(InfoVxlan::Group6(address)) => vxlan.group = Some(address.into()),
            Ok(InfoVxlan::Df(VxlanDf::Set)) => vxlan.outer_df = OuterDf::Set,
            Ok(InfoVxlan::Df(VxlanDf::Inherit)) => vxlan.outer_df = OuterDf::Inherit,
            _ => {}
        }
    }
    vxlan
}

/// In network order.
fn geneve_port(data: &[u8]) -> Option<u16> {
    let port = attributes(data, 0).find(|attribute| attribute.kind() == IFLA_GENEVE_PORT)?;
    Some(u16::from_be_bytes(*port.value().first_chunk()?))
}

fn vlan(data: &[u8]) -> u16 {
    attributes(data, 0)
        .find_map(|attribute| match InfoVlan::parse(&attribute) {
            Ok(InfoVlan::Id(id)) => Some(id),
            _ => None,
        })
        .unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use netlink_packet_core::DefaultNla;
    use netlink_packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoTun, LinkInfo, LinkLayerType, LinkMessage},
    };

    use super::super::{
        Change,
        tests::{decoded, encoded},
    };
    use super::*;

    fn message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up;
        message.attributes = attributes;
        message
    }

    fn info(kind: InfoKind, data: Option<InfoData>) -> LinkAttribute {
        LinkAttribute::LinkInfo([LinkInfo::Kind(kind)].into_iter().chain(data.map(LinkInfo::Data)).collect())
    }

    fn named(name: &str, more: Vec<LinkAttribute>) -> LinkMessage {
        message(7, [LinkAttribute::IfName(name.into())].into_iter().chain(more).collect())
    }

    fn found(message: LinkMessage) -> Link {
        match decoded(RouteNetlinkMessage::NewLink(message)) {
            Ok(Change::Link(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn sample() -> Vec<u8> {
        let vxlan = InfoData::Vxlan(vec![
            InfoVxlan::Id(100),
            InfoVxlan::Port(4789),
            InfoVxlan::Link(2),
            InfoVxlan::Local("198.51.100.1".parse().unwrap()),
            InfoVxlan::Group6("ff0e::100".parse().unwrap()),
            InfoVxlan::Learning(true),
        ]);
        encoded(RouteNetlinkMessage::NewLink(named("vx0", vec![info(InfoKind::Vxlan, Some(vxlan))])))
    }

    #[test]
    fn a_vxlan_device_tells_its_network_and_addresses() {
        let bytes = sample();
        let link = link(bytes.get(16..).unwrap()).unwrap().unwrap();
        assert_eq!(
            link.kind,
            LinkKind::Vxlan(Vxlan {
                vni: 100,
                port: 4789,
                lower: Some(2),
                local: Some("198.51.100.1".parse().unwrap()),
                group: Some("ff0e::100".parse().unwrap()),
                outer_df: OuterDf::Unset,
            })
        );
    }

    #[test]
    fn a_veth_tells_its_other_end_and_namespace() {
        let link = found(named(
            "veth0",
            vec![
                LinkAttribute::Link(2),
                LinkAttribute::LinkNetNsId(3),
                LinkAttribute::Controller(9),
                LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
                LinkAttribute::Mtu(1450),
                LinkAttribute::Carrier(1),
                LinkAttribute::CarrierDownCount(4),
                info(InfoKind::Veth, None),
            ],
        ));
        assert_eq!((link.index, link.name.as_str(), &link.kind), (7, "veth0", &LinkKind::Veth));
        assert_eq!((link.lower, link.peer_namespace, link.master), (Some(2), Some(3), Some(9)));
        assert_eq!((link.mac, link.mtu), (Some([2, 0, 0, 0, 0, 1]), 1450));
        assert_eq!((link.up, link.carrier, link.carrier_losses, link.arphrd), (true, true, 4, 1));
    }

    #[test]
    fn a_lower_index_of_zero_is_no_lower_device() {
        assert_eq!(found(named("veth0", vec![LinkAttribute::Link(0)])).lower, None);
    }

    #[test]
    fn tun_and_tap_are_told_apart() {
        let tun = |kind| {
            let data = InfoData::Tun(vec![InfoTun::Other(DefaultNla::new(IFLA_TUN_TYPE, vec![kind]))]);
            found(named("t", vec![info(InfoKind::Tun, Some(data))])).kind
        };
        assert_eq!(tun(2), LinkKind::Tun { tap: true });
        assert_eq!(tun(1), LinkKind::Tun { tap: false });
    }

    #[test]
    fn a_device_without_a_kind_is_physical_or_the_loopback() {
        assert_eq!(found(named("eth0", vec![])).kind, LinkKind::Physical);
        let mut lo = named("lo", vec![]);
        lo.header.flags = LinkFlags::Loopback;
        assert_eq!(found(lo).kind, LinkKind::Loopback);
    }

    #[test]
    fn a_vlan_tells_its_identifier_and_lower_device() {
        let data = InfoData::Vlan(vec![InfoVlan::Id(42)]);
        let link = found(named("eth0.42", vec![LinkAttribute::Link(2), info(InfoKind::Vlan, Some(data))]));
        assert_eq!(link.kind, LinkKind::Vlan { id: 42, lower: Some(2) });
    }

    #[test]
    fn an_unknown_kind_keeps_its_word() {
        let link = found(named("x", vec![info(InfoKind::Other("novel".into()), None)]));
        assert_eq!(link.kind, LinkKind::Other("novel".into()));
    }

    #[test]
    fn a_hardware_address_of_another_length_is_none() {
        assert_eq!(found(named("gre0", vec![LinkAttribute::Address(vec![0; 4])])).mac, None);
    }

    #[test]
    fn a_bridge_letting_go_of_a_port_is_not_the_end_of_the_interface() {
        let mut port = named("veth0", vec![]);
        port.header.interface_family = AddressFamily::Bridge;
        assert_eq!(decoded(RouteNetlinkMessage::DelLink(port.clone())), Ok(Change::Nothing));
        assert_eq!(decoded(RouteNetlinkMessage::NewLink(port)), Ok(Change::Nothing));
        assert_eq!(decoded(RouteNetlinkMessage::DelLink(named("veth0", vec![]))), Ok(Change::LinkGone(7)));
    }

    #[test]
    fn an_attribute_nobody_understands_does_not_hide_the_interface() {
        let broken = LinkAttribute::Other(DefaultNla::new(libc::IFLA_MTU, vec![1]));
        assert_eq!(found(named("eth0", vec![broken])).mtu, 0);
    }

    #[test]
    fn a_link_without_a_name_is_malformed() {
        assert_eq!(decoded(RouteNetlinkMessage::NewLink(message(7, vec![]))), Err(Malformed));
    }
}
