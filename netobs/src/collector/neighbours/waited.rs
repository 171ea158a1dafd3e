//! Failures, routes and conversations → which conversation's packets waited for whom, told to it. Pure.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use netobs_common::hook::Hook;

use super::{super::Names, Failure};
use crate::{
    evidence::neighbours::{self, Heard, Stage},
    flow::{
        conversation::{Conversation, Place},
        interfaces::Interfaces,
        neighbours::Unanswered,
        table::{Directory as _, FlowTable},
    },
    host::facts::{Facts, KeptHops, NextHops},
    path::class,
    report::{HopDirection, Path},
};

/// What it is judged by.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) interfaces: &'a Interfaces,
    pub(super) facts: &'a Facts,
    pub(super) names: &'a Names<'a>,
    /// When the flows were read.
    pub(super) now: u64,
    /// Whatever was first seen by then has a conversation.
    pub(super) until: u64,
}

/// Tells the conversations whose packets waited for them.
pub(super) fn tell(failures: &[Failure], flows: &mut FlowTable, world: &World<'_>, hops: &mut KeptHops) {
    if failures.is_empty() {
        return;
    }
    let waited = Waited::of(failures, world, hops);
    for conversation in flows.active_mut().filter(|one| !one.is_question() && !one.is_group()) {
        for direction in HopDirection::BOTH {
            for failure in waited.by(conversation, direction) {
                conversation.tell_unanswered(Unanswered {
                    address: failure.address,
                    along: (direction == HopDirection::Forward) != conversation.flipped,
                    place: failure.place,
                    count: failure.count,
                    first_seen: failure.at,
                    last_seen: failure.at,
                    latest: failure.number,
                });
            }
        }
    }
}

type ByAddress<'a> = HashMap<IpAddr, Vec<&'a Failure>>;

/// Failures by what may have waited for them.
struct Waited<'a> {
    world: &'a World<'a>,
    of_endpoints: ByAddress<'a>,
    of_host: ByAddress<'a>,
    /// The host's routes, where it is the host who gave somebody up.
    hops: Option<&'a NextHops>,
    /// Whether one of them has others behind it.
    is_gateway: bool,
    /// The host's links that are observed, and since when.
    links: HashMap<u32, u64>,
}

impl<'a> Waited<'a> {
    fn of(failures: &'a [Failure], world: &'a World<'a>, hops: &'a mut KeptHops) -> Self {
        let (mut of_endpoints, mut of_host) = (ByAddress::new(), ByAddress::new());
        for failure in failures {
            let all = if failure.link.is_some() { &mut of_host } else { &mut of_endpoints };
            all.entry(failure.address).or_default().push(failure);
        }
        let hops = (!of_host.is_empty()).then(|| hops.by(&world.facts.routes));
        let is_gateway = hops.is_some_and(|hops| of_host.keys().any(|one| hops.is_gateway(*one)));
        let hosts = world.interfaces.iter().map(|(_, one)| one).filter(|one| one.alive && !one.is_inside());
        let links = hosts.map(|one| (one.ifindex, one.since)).collect();
        Self { world, of_endpoints, of_host, hops, is_gateway, links }
    }

    /// Those that one direction of a conversation waited for.
    fn by(&self, conversation: &Conversation, direction: HopDirection) -> Vec<&'a Failure> {
        if !neighbours::is_unanswered(conversation, direction) {
            return Vec::new();
        }
        let (original, translated) = (conversation.original(), conversation.translated());
        let (sender, asked, delivered) = match direction {
            HopDirection::Forward => {
                (conversation.source, original.destination.address, translated.destination.address)
            }
            HopDirection::Reply => {
                (conversation.destination, translated.source.address, original.source.address)
            }
        };
        let World { interfaces, names, .. } = *self.world;
        let mut found = self.of_hosts(conversation, direction, delivered);
        // What is switched passes the host's stack by.
        if !found.is_empty()
            && matches!(
                class::of(conversation, interfaces, names),
                Path::Bridge | Path::Loopback | Path::Macvlan
            )
        {
            found.clear();
        }
        let of_sender = self.of_endpoints.get(&asked).into_iter().flatten();
        let of_sender = of_sender.filter(|one| one.asker == names.current(sender));
        found.extend(of_sender.filter(|one| neighbours::waits(conversation, direction, one.at)));
        found
    }

    /// Those of the host's, by its routes to where the packets go.
    fn of_hosts(
        &self,
        conversation: &Conversation,
        direction: HopDirection,
        delivered: IpAddr,
    ) -> Vec<&'a Failure> {
        let mut found = Vec::new();
        let Some(hops) = self.hops.filter(|_| self.is_gateway || self.of_host.contains_key(&delivered))
        else {
            return found;
        };
        let equal = hops.toward(delivered);
        for hop @ (link, gateway) in equal {
            let failures = self.of_host.get(&gateway.unwrap_or(delivered)).into_iter().flatten();
            let others: HashSet<u32> =
                equal.iter().filter(|one| *one != hop).map(|(link, _)| *link).collect();
            found.extend(failures.filter(|one| {
                one.link == Some(*link)
                    && neighbours::waits(conversation, direction, one.at)
                    && (others.is_empty() || self.chose(conversation, direction, *link, &others, one.at))
            }));
        }
        found
    }

    /// Whether packets went to a neighbour on that link, where they might as well have gone to others on these.
    fn chose(
        &self,
        conversation: &Conversation,
        direction: HopDirection,
        link: u32,
        others: &HashSet<u32>,
        at: u64,
    ) -> bool {
        let World { interfaces, now, until, .. } = *self.world;
        let stage = |place: Place| match interfaces.get(place.interface) {
            Some(one) if one.is_inside() => Stage::Elsewhere,
            Some(_) if place.hook == Hook::INGRESS => Stage::Before,
            Some(one) if others.contains(&one.ifindex) => Stage::ToOthers,
            Some(one) if one.ifindex == link => Stage::ToIt,
            _ => Stage::Elsewhere,
        };
        // What leaves where nobody looks may be on its way.
        let is_seen =
            |other: &u32| self.links.get(other).is_some_and(|since| neighbours::was_asked(*since, at));
        others.iter().all(is_seen)
            && neighbours::chose(conversation, direction, stage, &Heard { at, until, now })
    }
}
