//! What TCP headers said at a conversation's first hops → its handshake, its round trips, what it sent again. Pure.
//!
//! A round trip is the time from a packet with data to the first one that echoes its timestamp (RFC 7323, 4), both at
//! one hop: from there to the receiver and back. Linux takes its own samples from the same echoes
//! (`tcp_rtt_tsopt_us`, Linux 6.18), at the sender.

use netobs_common::progress::TcpProgress;

use crate::{
    flow::{
        conversation::{Conversation, Place, Sighting},
        progress::Progress,
    },
    report::HopDirection,
};

/// A conversation that is seen elsewhere for so long has changed its way.
const MOVED_AFTER: u64 = 1_000_000_000;

/// What a conversation said since it was looked at last, to be counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// A handshake ended; nanoseconds.
    pub handshake: Option<u64>,
    /// A round trip by the handshake, and one by timestamps; nanoseconds.
    pub round_trips: [Option<u64>; 2],
    /// Segments sent again.
    pub retransmits: u64,
    /// It was reset.
    pub reset: bool,
}

/// Which of its ends are on this host: then nothing worth timing lies between an end and its first hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The initiator is.
    pub source_is_here: bool,
    /// The other side is.
    pub destination_is_here: bool,
}

impl Ends {
    const fn has_sender(self, direction: HopDirection) -> bool {
        match direction {
            HopDirection::Forward => self.source_is_here,
            HopDirection::Reply => self.destination_is_here,
        }
    }

    /// The round trip of the whole way, from those of the two sides of the first hop.
    fn whole(self, sides: [Option<u64>; 2]) -> Option<u64> {
        match self {
            Self { source_is_here: true, .. } => sides[0],
            Self { destination_is_here: true, .. } => sides[1],
            _ => Some(sides[0]? + sides[1]?),
        }
    }
}

/// Brings a conversation's progress up to its counters; `first` is where each direction is seen first.
pub fn follow(conversation: &mut Conversation, first: [Option<Place>; 2], ends: Ends) -> News {
    let mut progress = conversation.progress;
    let mut news = News::default();
    let signs = conversation.signs();
    news.reset = signs.rst && !std::mem::replace(&mut progress.reset_booked, signs.rst);
    for (one, direction) in HopDirection::BOTH.into_iter().enumerate() {
        let at = |place| conversation.toward(direction).find(|sighting| sighting.place() == place);
        let Some(sighting) = first[one].and_then(at) else { continue };
        let tcp = &sighting.latest.tcp;
        // At the sender's own interface nothing is lost yet, so whatever fills a gap was overtaken.
        let filled = if ends.has_sender(direction) { 0 } else { tcp.filled };
        progress.retransmits[one] = progress.retransmits[one].max(tcp.retransmits + filled);
        progress.zero_windows[one] = progress.zero_windows[one].max(tcp.zero_windows);
        news.retransmits += progress.retransmits[one] - conversation.progress.retransmits[one];
    }
    if let Some(place) = first[0] {
        let meet = |direction| {
            conversation
                .toward(direction)
                .filter(|one| one.key.interface == place.interface)
                .max_by_key(|one| one.last_seen())
        };
        let (forward, reply) = (meet(HopDirection::Forward), meet(HopDirection::Reply));
        if let (Some(forward), Some(reply)) = (forward, reply) {
            shake(&mut progress, forward, reply, ends, &mut news);
            time(&mut progress, [&forward.latest.tcp, &reply.latest.tcp], ends, &mut news);
        }
    }
    for (sends, answers) in [(0, 1), (1, 0)] {
        let last = |direction, interface: Option<u32>| {
            let there = conversation
                .toward(direction)
                .filter(|one| interface.is_none_or(|number| one.key.interface == number));
            there.map(Sighting::last_seen).max().unwrap_or(0)
        };
        let arrived = first[sends].map_or(0, |place| {
            // It may have changed its way: then nothing of it passes there any more, in either direction.
            let passes = last(HopDirection::BOTH[sends], Some(place.interface)) + MOVED_AFTER
                >= last(HopDirection::BOTH[sends], None);
            last(HopDirection::BOTH[answers], passes.then_some(place.interface))
        });
        if arrived > progress.arrived[answers] {
            progress.arrived[answers] = arrived;
            progress.unanswered[sends] = 0;
        } else {
            let more = progress.retransmits[sends] - conversation.progress.retransmits[sends];
            if progress.unanswered[sends] == 0 && more > 0 {
                progress.unanswered_since[sends] = last(HopDirection::BOTH[sends], None);
            }
            progress.unanswered[sends] += more;
        }
        if progress.retransmits[sends] > conversation.progress.retransmits[sends] {
            progress.repeated_at = conversation.last_seen();
        }
    }
    conversation.progress = progress;
    news
}

fn shake(progress: &mut Progress, forward: &Sighting, reply: &Sighting, ends: Ends, news: &mut News) {
    let (syn, ended) = (forward.first_seen, forward.latest.tcp.acknowledged_at);
    let is_seen = forward.latest.syn != 0 && reply.latest.syn_ack != 0;
    if progress.handshake.is_some() || !is_seen || !(syn..=ended).contains(&reply.first_seen) {
        return;
    }
    progress.handshake = Some(ended - syn);
    news.handshake = progress.handshake;
    // A SYN that was sent again may have been answered by either.
    if forward.latest.syn == 1 && reply.latest.tcp.retransmits == 0 {
        let round_trip = ends.whole([Some(reply.first_seen - syn), Some(ended - reply.first_seen)]);
        progress.round_trip = round_trip;
        news.round_trips[0] = round_trip;
    }
}

fn time(progress: &mut Progress, tcp: [&TcpProgress; 2], ends: Ends, news: &mut News) {
    let mut any = false;
    for (one, (sent, echoing)) in [(tcp[0], tcp[1]), (tcp[1], tcp[0])].into_iter().enumerate() {
        let now = (sent.timed, sent.timed_at);
        if sent.timed_at != 0 && progress.timed[one][0] != now {
            progress.timed[one] = [now, progress.timed[one][0]];
        }
        let is_its_echo =
            |timed: &&(u32, u64)| timed.1 != 0 && timed.0 == echoing.echoed && timed.1 < echoing.echoed_at;
        if echoing.echoed_at != progress.matched[one]
            && let Some((_, timed_at)) = progress.timed[one].iter().find(is_its_echo)
        {
            progress.matched[one] = echoing.echoed_at;
            progress.sides[one] = Some(echoing.echoed_at - timed_at);
            any = true;
        }
    }
    if let Some(round_trip) = ends.whole(progress.sides).filter(|_| any) {
        // A sample of the side that does not count is no sample of the way.
        if progress.round_trip != Some(round_trip) {
            progress.round_trip = Some(round_trip);
            news.round_trips[1] = Some(round_trip);
        }
    }
}

#[cfg(test)]
mod tests {
    use netobs_common::{counters::FlowCounters, hook::Hook, key::FlowKey};

    use super::*;
    use crate::flow::made_up::tcp;

    const HERE: Ends = Ends { source_is_here: true, destination_is_here: false };
    const FIRST: Place = Place { interface: 1, hook: Hook::INGRESS };

    /// A connection seen at one interface: forward as it enters, reply as it leaves.
    fn seen(forward: FlowCounters, reply: FlowCounters) -> Conversation {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        let key = |hook| FlowKey { interface: 1, hook, ..FlowKey::default() };
        one.sightings = vec![
            Sighting::new(key(Hook::INGRESS), true, forward),
            Sighting::new(key(Hook::EGRESS), false, reply),
        ];
        one
    }

    fn read(one: &mut Conversation, forward: FlowCounters, reply: FlowCounters) {
        one.sightings[0].read(forward);
        one.sightings[1].read(reply);
    }

    fn look(one: &mut Conversation, ends: Ends) -> News {
        follow(one, [Some(FIRST), Some(Place { interface: 1, hook: Hook::EGRESS })], ends)
    }

    fn opening(syn: u8, acknowledged_at: u64) -> [FlowCounters; 2] {
        let tcp = TcpProgress { acknowledged_at, ..TcpProgress::default() };
        let syn =
            FlowCounters { syn, first_seen: 100, last_seen: acknowledged_at, tcp, ..FlowCounters::default() };
        let answer = FlowCounters { syn_ack: 1, first_seen: 150, last_seen: 150, ..FlowCounters::default() };
        [syn, answer]
    }

    #[test]
    fn a_handshake_lasts_from_the_syn_to_the_acknowledgement_and_is_told_once() {
        let [forward, reply] = opening(1, 160);
        let mut one = seen(forward, reply);
        let news = look(&mut one, HERE);
        assert_eq!((news.handshake, news.round_trips[0]), (Some(60), Some(50)));
        assert_eq!(look(&mut one, HERE), News::default());
        let there = Ends { source_is_here: false, destination_is_here: true };
        assert_eq!(look(&mut seen(forward, reply), there).round_trips[0], Some(10), "beyond the first hop");
        let transit = Ends { source_is_here: false, destination_is_here: false };
        assert_eq!(look(&mut seen(forward, reply), transit).round_trips[0], Some(60));
    }

    #[test]
    fn an_answer_to_one_of_two_syns_times_nothing() {
        let [forward, reply] = opening(2, 160);
        let news = look(&mut seen(forward, reply), HERE);
        assert_eq!((news.handshake, news.round_trips[0]), (Some(60), None));
    }

    #[test]
    fn a_connection_joined_in_the_middle_has_no_handshake() {
        let [forward, reply] = opening(0, 160);
        assert_eq!(look(&mut seen(forward, reply), HERE).handshake, None);
    }

    fn timed(timed: u32, timed_at: u64) -> FlowCounters {
        let tcp = TcpProgress { timed, timed_at, ..TcpProgress::default() };
        FlowCounters { tcp, last_seen: timed_at, ..FlowCounters::default() }
    }

    fn echoed(echoed: u32, echoed_at: u64) -> FlowCounters {
        let tcp = TcpProgress { echoed, echoed_at, ..TcpProgress::default() };
        FlowCounters { tcp, last_seen: echoed_at, ..FlowCounters::default() }
    }

    #[test]
    fn a_packet_and_its_echo_are_a_round_trip_once() {
        let mut one = seen(timed(5, 1_000), echoed(5, 1_030));
        assert_eq!(look(&mut one, HERE).round_trips[1], Some(30));
        assert_eq!(look(&mut one, HERE).round_trips[1], None);
        assert_eq!(one.progress.round_trip, Some(30));
    }

    #[test]
    fn an_echo_read_after_the_next_packet_was_timed_still_counts() {
        let mut one = seen(timed(5, 1_000), echoed(4, 990));
        assert_eq!(look(&mut one, HERE).round_trips[1], None, "another packet's");
        read(&mut one, timed(6, 2_000), echoed(5, 1_040));
        assert_eq!(look(&mut one, HERE).round_trips[1], Some(40));
        read(&mut one, timed(7, 3_000), echoed(6, 2_050));
        assert_eq!(look(&mut one, HERE).round_trips[1], Some(50));
    }

    #[test]
    fn the_side_without_distance_counts_for_nothing() {
        let there = Ends { source_is_here: false, destination_is_here: true };
        let mut one = seen(timed(5, 1_000), echoed(5, 1_030));
        assert_eq!(look(&mut one, there).round_trips[1], None, "that is the way inside this host");
        let mut one = seen(echoed(9, 4_000), timed(9, 3_000));
        assert_eq!(look(&mut one, there).round_trips[1], Some(1_000));
    }

    fn again(retransmits: u64, last_seen: u64) -> FlowCounters {
        let tcp = TcpProgress { retransmits, ..TcpProgress::default() };
        FlowCounters { tcp, last_seen, ..FlowCounters::default() }
    }

    #[test]
    fn what_is_sent_again_counts_once_and_is_unanswered_until_something_arrives() {
        let mut one = seen(again(2, 10), again(0, 10));
        assert_eq!(look(&mut one, HERE).retransmits, 2);
        assert_eq!(one.progress.unanswered, [0, 0], "something arrived");
        read(&mut one, again(5, 20), again(0, 10));
        assert_eq!(look(&mut one, HERE).retransmits, 3);
        assert_eq!((one.progress.unanswered, one.progress.unanswered_since[0]), ([3, 0], 20));
        read(&mut one, again(6, 25), again(0, 10));
        look(&mut one, HERE);
        assert_eq!((one.progress.unanswered, one.progress.unanswered_since[0]), ([4, 0], 20));
        read(&mut one, again(7, 30), again(0, 30));
        assert_eq!(look(&mut one, HERE).retransmits, 1);
        assert_eq!(one.progress.unanswered, [0, 0]);
    }

    #[test]
    fn what_fills_a_gap_was_lost_on_the_way_to_this_host_and_not_on_it() {
        let tcp = TcpProgress { filled: 3, ..TcpProgress::default() };
        let [forward, reply] = [FlowCounters { tcp, ..again(0, 10) }, again(0, 10)];
        assert_eq!(look(&mut seen(forward, reply), HERE).retransmits, 0);
        let there = Ends { source_is_here: false, destination_is_here: true };
        assert_eq!(look(&mut seen(forward, reply), there).retransmits, 3);
    }

    #[test]
    fn a_reset_counts_once() {
        let reset = FlowCounters { rst: 1, ..again(0, 10) };
        let mut one = seen(again(0, 5), reset);
        assert!(look(&mut one, HERE).reset);
        assert!(!look(&mut one, HERE).reset);
    }
}
