//! How a flow travels: the first class that applies.

use netobs_common::{
    endpoint::{EndpointId, Kind},
    interface::{Interface, Role},
    tunnel::Encapsulation,
};

use crate::{
    flow::{conversation::Conversation, interfaces::Interfaces, table::Directory},
    report::{Nat, Path},
};

/// What the class follows from.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The initiator and its kind.
    pub source: (EndpointId, Kind),
    /// The other side and its kind.
    pub destination: (EndpointId, Kind),
    /// Roles of the interfaces it was seen on, as bits `1 << Role`.
    pub roles: u16,
    /// Whether the uplink it was seen on is a bridge, which switches between endpoints of this host too.
    pub bridged_uplink: bool,
    /// Whether it was seen inside another packet.
    pub encapsulated: bool,
    /// Whether one of them shares its parent's interface: macvlan, ipvlan.
    pub on_parent: bool,
    /// Whether both have a port on the same bridge.
    pub same_bridge: bool,
    /// Which addresses were translated.
    pub nat: Nat,
}

impl Way {
    const fn touches(&self, role: Role) -> bool {
        self.roles & (1 << role.0) != 0
    }

    /// Both are endpoints of this host, or the host.
    const fn is_inside(&self) -> bool {
        is_here(self.source.0) && is_here(self.destination.0)
    }

    /// One of them is another node, or on one.
    const fn is_remote(&self, (endpoint, kind): (EndpointId, Kind)) -> bool {
        endpoint.is_elsewhere() && !matches!(kind, Kind::EXTERNAL)
    }

    /// One of them is beyond the uplink, with a name or without.
    const fn is_outside(&self) -> bool {
        self.source.0.0 == EndpointId::EXTERNAL.0
            || self.destination.0.0 == EndpointId::EXTERNAL.0
            || self.source.0.is_elsewhere()
            || self.destination.0.is_elsewhere()
    }
}

const fn is_here(endpoint: EndpointId) -> bool {
    !endpoint.is_elsewhere()
        && !matches!(endpoint, EndpointId::UNKNOWN | EndpointId::EXTERNAL | EndpointId::GROUP)
}

/// The class of a way.
#[must_use]
pub const fn classify(way: &Way) -> Path {
    if way.roles == 1 << Role::LOOPBACK.0 {
        return Path::Loopback;
    }
    if way.touches(Role::OVERLAY) || way.encapsulated {
        return Path::Overlay;
    }
    if way.touches(Role::MACVLAN) || way.on_parent {
        return Path::Macvlan;
    }
    if way.is_remote(way.source) || way.is_remote(way.destination) {
        return Path::RoutedRemote;
    }
    if way.touches(Role::UPLINK) && !(way.bridged_uplink && way.is_inside()) || way.is_outside() {
        return Path::Uplink;
    }
    if way.destination.0.0 == EndpointId::GROUP.0 {
        return match way.source.1 {
            Kind::HOST => Path::HostDirect,
            _ if way.same_bridge => Path::Bridge,
            _ => Path::Unknown,
        };
    }
    match (way.source.1, way.destination.1) {
        (Kind::UNKNOWN, Kind::UNKNOWN) if !way.same_bridge => Path::Unknown,
        (Kind::HOST, _) | (_, Kind::HOST) => Path::HostDirect,
        _ if way.same_bridge && matches!(way.nat, Nat::None | Nat::Unknown) => Path::Bridge,
        _ => Path::RoutedLocal,
    }
}

/// The class of a conversation.
#[must_use]
pub fn of(conversation: &Conversation, interfaces: &Interfaces, directory: &impl Directory) -> Path {
    let mut roles = 0;
    let mut bridges = [None; 2];
    let mut bridged_uplink = false;
    let encapsulated = conversation.sightings.iter().any(|one| one.key.encapsulation != Encapsulation::NONE);
    for sighting in &conversation.sightings {
        let Some(interface) = interfaces.get(sighting.key.interface) else { continue };
        roles |= 1 << interface.role().0;
        bridged_uplink |= is_bridged_uplink(&interface.kernel);
        for (bridge, endpoint) in bridges.iter_mut().zip([conversation.source, conversation.destination]) {
            if interface.owner().map(|owner| directory.current(owner)) == Some(endpoint)
                && interface.kernel.port != 0
            {
                *bridge = Some(interface.kernel.segment);
            }
        }
    }
    let group = conversation.destination == EndpointId::GROUP;
    let same_bridge = match bridges {
        [Some(one), Some(other)] => one == other,
        [Some(_), None] => group,
        _ => false,
    };
    // A container on the host's network travels as the host does.
    let [source, destination] =
        [conversation.source, conversation.destination].map(|endpoint| directory.stack(endpoint));
    classify(&Way {
        source: (source, directory.kind(source)),
        destination: (destination, directory.kind(destination)),
        roles,
        bridged_uplink,
        encapsulated,
        on_parent: directory.is_on_parent(conversation.source, Some(conversation.source_peer().address))
            || directory
                .is_on_parent(conversation.destination, Some(conversation.destination_peer().address)),
        same_bridge,
        nat: conversation.nat(),
    })
}

/// The class of the way between two endpoints, of which no conversation tells, at these addresses.
#[must_use]
pub fn between(
    ends: [EndpointId; 2],
    addresses: [std::net::IpAddr; 2],
    roles: u16,
    interfaces: &Interfaces,
    directory: &impl Directory,
) -> Path {
    let mut bridged_uplink = false;
    let mut bridges = [None; 2];
    for (_, interface) in interfaces.iter().filter(|(_, one)| one.alive) {
        bridged_uplink |= is_bridged_uplink(&interface.kernel);
        let owner = interface.owner().map(|owner| directory.current(owner));
        for (bridge, endpoint) in bridges.iter_mut().zip(ends) {
            if owner == Some(endpoint) && interface.kernel.port != 0 {
                *bridge = Some(interface.kernel.segment);
            }
        }
    }
    let [source, destination] = ends.map(|endpoint| directory.stack(endpoint));
    classify(&Way {
        source: (source, directory.kind(source)),
        destination: (destination, directory.kind(destination)),
        roles,
        bridged_uplink,
        encapsulated: false,
        on_parent: ends.iter().zip(addresses).any(|(end, at)| directory.is_on_parent(*end, Some(at))),
        same_bridge: matches!(bridges, [Some(one), Some(other)] if one == other),
        nat: Nat::None,
    })
}

/// Whether an uplink is a bridge: it is its own segment, and no port of one.
#[must_use]
pub(super) const fn is_bridged_uplink(interface: &Interface) -> bool {
    interface.role.0 == Role::UPLINK.0 && interface.segment != 0 && interface.port == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (EndpointId, Kind) = (EndpointId::HOST, Kind::HOST);
    const OUTSIDE: (EndpointId, Kind) = (EndpointId::EXTERNAL, Kind::EXTERNAL);
    const WEB: (EndpointId, Kind) = (EndpointId(16), Kind::CONTAINER);
    const DB: (EndpointId, Kind) = (EndpointId(17), Kind::CONTAINER);

    fn class(
        source: (EndpointId, Kind),
        destination: (EndpointId, Kind),
        roles: &[Role],
        same_bridge: bool,
        nat: Nat,
    ) -> Path {
        let roles = roles.iter().fold(0, |bits, role| bits | 1 << role.0);
        classify(&Way {
            source,
            destination,
            roles,
            bridged_uplink: false,
            encapsulated: false,
            on_parent: false,
            same_bridge,
            nat,
        })
    }

    #[test]
    fn over_a_bridge_that_is_the_uplink_only_what_leaves_is_uplink() {
        let over = |source, destination, same_bridge| {
            let roles = 1 << Role::UPLINK.0 | 1 << Role::VETH.0;
            classify(&Way {
                source,
                destination,
                roles,
                bridged_uplink: true,
                encapsulated: false,
                on_parent: false,
                same_bridge,
                nat: Nat::None,
            })
        };
        assert_eq!(over(HOST, WEB, false), Path::HostDirect);
        assert_eq!(over(WEB, DB, true), Path::Bridge);
        assert_eq!(over(WEB, OUTSIDE, false), Path::Uplink);
        assert_eq!(over((EndpointId::UNKNOWN, Kind::UNKNOWN), WEB, false), Path::Uplink);
    }

    #[test]
    fn out_by_a_card_and_in_again_is_uplink() {
        assert_eq!(class(WEB, DB, &[Role::VETH, Role::UPLINK], false, Nat::None), Path::Uplink);
    }

    #[test]
    fn inside_one_stack_is_loopback() {
        assert_eq!(class(HOST, HOST, &[Role::LOOPBACK], false, Nat::None), Path::Loopback);
    }

    #[test]
    fn outside_is_reached_by_the_uplink_translated_or_not() {
        let hops = [Role::VETH, Role::BRIDGE, Role::UPLINK];
        assert_eq!(class(WEB, OUTSIDE, &hops, false, Nat::Snat), Path::Uplink);
        assert_eq!(class(OUTSIDE, WEB, &hops, false, Nat::Dnat), Path::Uplink);
        assert_eq!(class(HOST, OUTSIDE, &[Role::UPLINK], false, Nat::None), Path::Uplink);
        assert_eq!(class(WEB, OUTSIDE, &[Role::VETH], false, Nat::None), Path::Uplink, "no hop seen beyond");
    }

    #[test]
    fn the_host_and_its_own_are_direct() {
        assert_eq!(class(HOST, WEB, &[Role::BRIDGE, Role::VETH], false, Nat::None), Path::HostDirect);
        assert_eq!(class(WEB, HOST, &[Role::VETH, Role::BRIDGE], false, Nat::None), Path::HostDirect);
    }

    #[test]
    fn switched_inside_one_bridge_unless_translated() {
        assert_eq!(class(WEB, DB, &[Role::VETH], true, Nat::None), Path::Bridge);
        let hairpin = [Role::VETH, Role::BRIDGE];
        assert_eq!(class(WEB, DB, &hairpin, true, Nat::Both), Path::RoutedLocal);
    }

    #[test]
    fn between_two_bridges_is_routed() {
        assert_eq!(class(WEB, DB, &[Role::VETH, Role::BRIDGE], false, Nat::None), Path::RoutedLocal);
    }

    #[test]
    fn encapsulated_comes_before_everything_but_loopback() {
        let hops = [Role::VETH, Role::BRIDGE, Role::OVERLAY, Role::UPLINK];
        assert_eq!(class(WEB, DB, &hops, false, Nat::None), Path::Overlay);
    }

    #[test]
    fn nobody_known_is_not_guessed_at() {
        let nobody = (EndpointId::UNKNOWN, Kind::UNKNOWN);
        assert_eq!(class(nobody, nobody, &[Role::VETH], false, Nat::None), Path::Unknown);
    }
}
