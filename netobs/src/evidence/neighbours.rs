//! Questions for neighbours and what came of them → failures, the facts they are, and the verdict they give. Pure: time
//! is an argument.

use netobs_common::wire::Protocol;

use super::facts::{Fact, NOWHERE};
use crate::{
    flow::{
        conversation::{Conversation, Place, Sighting},
        neighbours::{Questions, Unanswered},
    },
    report::{EvidenceKind, HopDirection},
};

/// So many questions in a row, a second apart, and Linux gives a neighbour up a second after the last: `mcast_solicit`
/// or `ucast_solicit`, and `retrans_time_ms` (`arp_tbl`, `nd_tbl`, `neigh_timer_handler`; Linux 6.18).
const QUESTIONS: u64 = 3;
const APART: u64 = 1_000_000_000;
/// Whoever asks less often has given up when so long nothing came.
const GIVEN_UP: u64 = QUESTIONS * APART;
/// What was sent so long before a neighbour was given up was sent to it: a conversation that is quiet for longer rests.
const WAITED: u64 = crate::flow::table::AT_REST;
/// From one hook of the host to the next a packet takes microseconds, where nothing holds it.
const BETWEEN_HOOKS: u64 = 1_000_000;

/// Goes on with one side's questions: `read` is the kernel side's counter of them, and then come that side's latest
/// packet and the other side's. How many times it gave the other up since.
pub fn follow(known: &mut Questions, read: u16, asked_at: u64, answered_at: u64, now: u64) -> u64 {
    let more = read.wrapping_sub(known.read);
    // A counter that goes back is another entry's.
    known.asked += u64::from(if more > u16::MAX / 2 { read } else { more });
    known.read = read;
    // Whatever the other side sends says that it is there, as the kernel takes it. What is asked in the same reading
    // after that is taken for answered: a failure too few, once, and never one too many.
    if answered_at > known.answered_at {
        known.answered_at = answered_at;
        known.settled = known.asked;
    }
    let quiet = now.saturating_sub(asked_at);
    let open = known.asked.saturating_sub(known.settled);
    // A fourth question says that after the third it was given up.
    let given_up = if quiet >= APART { open } else { open.saturating_sub(1) };
    let mut failed = given_up / QUESTIONS;
    known.settled += failed * QUESTIONS;
    if quiet >= GIVEN_UP && known.asked > known.settled {
        known.settled = known.asked;
        failed += 1;
    }
    failed
}

/// The facts.
pub(super) fn facts(conversation: &Conversation) -> impl Iterator<Item = Fact> {
    HopDirection::BOTH.into_iter().flat_map(|direction| {
        conversation.unanswered_toward(direction).map(move |one| Fact {
            kind: EvidenceKind::NeighborUnanswered,
            count: one.count,
            first_seen: one.first_seen,
            last_seen: one.last_seen,
            place: one.place.unwrap_or(NOWHERE),
            detail: Some(detail(one, direction).into()),
        })
    })
}

fn detail(one: &Unanswered, direction: HopDirection) -> String {
    let toward = if direction == HopDirection::Reply { ", asked for an answer's sake" } else { "" };
    format!("{} did not answer{toward}", one.address)
}

/// Whether the other side cannot be reached for want of a neighbour that answers; for as long as nothing of it has been
/// seen since. Of a question, either side's: who asked first is chance.
#[must_use]
pub fn is_unreachable(conversation: &Conversation) -> bool {
    // What ended by the other side's word is judged by that.
    let ended = |one: &Sighting| one.latest.rst != 0 || one.latest.fin != 0;
    if conversation.unanswered.is_empty() || conversation.toward(HopDirection::Reply).any(ended) {
        return false;
    }
    let is_question = conversation.is_question();
    HopDirection::BOTH.into_iter().filter(|one| is_question || *one == HopDirection::Forward).any(
        |direction| {
            let answered = conversation.last_seen_toward(direction.turned());
            conversation.unanswered_toward(direction).any(|one| one.last_seen > answered)
        },
    )
}

/// Whether the last of what one side sent has no answer.
#[must_use]
pub fn is_unanswered(conversation: &Conversation, direction: HopDirection) -> bool {
    conversation.last_seen_toward(direction) > conversation.last_seen_toward(direction.turned())
}

/// Whether packets of one side waited for a neighbour that was given up at that moment: the last of them have no answer.
#[must_use]
pub fn waits(conversation: &Conversation, direction: HopDirection, at: u64) -> bool {
    let first = conversation.toward(direction).map(|one| one.first_seen).min();
    let sent = conversation.last_seen_toward(direction);
    let is_over = conversation.protocol() == Protocol::TCP
        && (conversation.signs().rst || conversation.signs().forward_fin && conversation.signs().reply_fin);
    first.is_some_and(|first| first < at)
        && is_unanswered(conversation, direction)
        && at.saturating_sub(sent) <= WAITED
        && !is_over
}

/// How far a packet is at a hook, on its way to one of several equal next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The host has it, and may have to wait until it knows where to send it.
    Before,
    /// It leaves to the neighbour in question, known or taken to be.
    ToIt,
    /// It leaves, and to another one as it may be.
    ToOthers,
    /// Neither.
    Elsewhere,
}

/// When a neighbour was given up, and up to when packets were looked at. Nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When it was given up.
    pub at: u64,
    /// Whatever was first seen by then has a conversation.
    pub until: u64,
    /// When the reading began: hooks are read one after the other, so what came later may be known at one and not yet at
    /// the next.
    pub now: u64,
}

/// Whether one that was given up `at` that moment was asked for only after another one, at the usual pace.
#[must_use]
pub const fn was_asked(since: u64, at: u64) -> bool {
    since + GIVEN_UP <= at
}

/// Whether packets of one side that may go to several next hops went to the one that was given up. What waits for a
/// neighbour does not leave (`neigh_resolve_output` queues it, Linux 6.18), so none of them did to the others since it
/// was asked for, and one came after the last that did. While an entry that was known is asked for again, packets leave
/// to where it was: which of several on one link they went to, no hook tells, and the next failure has to.
#[must_use]
pub fn chose(
    conversation: &Conversation,
    direction: HopDirection,
    stage: impl Fn(Place) -> Stage,
    heard: &Heard,
) -> bool {
    let latest = |wanted| {
        let there = conversation.toward(direction).filter(|one| stage(one.place()) == wanted);
        there.map(Sighting::last_seen).max().unwrap_or(0)
    };
    let (came, left, left_to_others) = (latest(Stage::Before), latest(Stage::ToIt), latest(Stage::ToOthers));
    let waits = came > left_to_others && came + BETWEEN_HOOKS <= heard.now;
    // Where hops have no entry, whether it left is not known.
    let is_known = heard.at + BETWEEN_HOOKS <= heard.until
        && !conversation.toward(direction).any(|one| one.amid_overflow);
    is_known && was_asked(left_to_others, heard.at) && (waits || left > left_to_others)
}

#[cfg(test)]
mod tests {
    use netobs_common::{counters::FlowCounters, hook::Hook, key::FlowKey};

    use super::*;
    use crate::{
        evidence::verdict::{self, UNANSWERED},
        flow::made_up::tcp,
        report::{Outcome, Verdict},
    };

    const SECOND: u64 = 1_000_000_000;

    /// Readings at these seconds, of questions at those; how many failures each brings. `answers` come at these moments.
    fn failures(questions: &[f64], answers: &[f64], readings: &[f64]) -> Vec<u64> {
        let at = |seconds: f64| (seconds * 1e9) as u64 + SECOND;
        let mut known = Questions::default();
        let told = readings.iter().map(|now| {
            let until =
                |all: &[f64]| all.iter().filter(|one| *one <= now).map(|one| at(*one)).max().unwrap_or(0);
            let read = questions.iter().filter(|one| *one <= now).count();
            follow(&mut known, read as u16, until(questions), until(answers), at(*now))
        });
        told.collect()
    }

    #[test]
    fn three_questions_and_a_second_are_one_failure() {
        assert_eq!(
            failures(&[0.0, 1.0, 2.0], &[], &[0.5, 1.5, 2.5, 2.9, 3.5, 4.5, 9.5]),
            [0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn whoever_goes_on_asking_fails_every_third_time() {
        let questions: Vec<f64> = (0..12).map(f64::from).collect();
        let readings: Vec<f64> = (0..20).map(|one| f64::from(one) + 0.3).collect();
        assert_eq!(failures(&questions, &[], &readings).iter().sum::<u64>(), 4);
        assert_eq!(failures(&questions, &[], &[11.3, 13.3]), [3, 1], "read late");
    }

    #[test]
    fn whoever_asks_once_or_twice_has_given_up_after_three_seconds() {
        assert_eq!(failures(&[0.0], &[], &[0.5, 2.9, 3.1, 9.0]), [0, 0, 1, 0]);
        assert_eq!(failures(&[0.0, 1.0], &[], &[3.1, 4.1]), [0, 1]);
        assert_eq!(failures(&[0.0, 1.0, 2.0, 3.0], &[], &[3.1, 5.9, 6.1]), [1, 0, 1]);
    }

    #[test]
    fn an_answer_settles_what_was_asked_before_it() {
        assert_eq!(failures(&[0.0, 1.0, 2.0], &[2.5], &[0.5, 1.5, 2.4, 9.0]), [0; 4]);
        assert_eq!(failures(&[0.0, 0.5, 1.0], &[0.1], &[0.3, 1.2, 2.1, 4.1]), [0, 0, 0, 1]);
        assert_eq!(failures(&[0.0], &[0.5], &[9.0]), [0], "both in one reading");
    }

    #[test]
    fn an_answer_of_the_askers_is_no_question() {
        let mut known = Questions::default();
        assert_eq!(follow(&mut known, 1, SECOND, SECOND + 1, 2 * SECOND), 0);
        // The other side asks, and is answered.
        assert_eq!(follow(&mut known, 1, 5 * SECOND + 1, 5 * SECOND, 9 * SECOND), 0);
    }

    #[test]
    fn the_counter_may_turn_over_and_its_entry_begin_anew() {
        let mut known = Questions { read: u16::MAX, asked: 7, settled: 7, answered_at: 0 };
        assert_eq!(follow(&mut known, 2, SECOND, 0, 2 * SECOND), 1);
        assert_eq!((known.asked, known.settled), (10, 10));
        let mut anew = Questions { read: 90, asked: 90, settled: 90, answered_at: 0 };
        assert_eq!(follow(&mut anew, 3, SECOND, 0, 2 * SECOND), 1);
    }

    const ADDRESS: &str = "10.0.0.3";

    fn given_up(along: bool, at: u64) -> Unanswered {
        Unanswered {
            address: ADDRESS.parse().unwrap(),
            along,
            place: None,
            count: 1,
            first_seen: at,
            last_seen: at,
            latest: at,
        }
    }

    fn seen(along: bool, read: FlowCounters) -> Sighting {
        Sighting::new(FlowKey::default(), along, read)
    }

    fn attempt() -> Conversation {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        one.sightings.push(seen(
            true,
            FlowCounters { syn: 1, first_seen: 1, last_seen: 1, ..FlowCounters::default() },
        ));
        one
    }

    #[test]
    fn an_attempt_that_waits_for_a_neighbour_in_vain_is_unreachable() {
        let mut one = attempt();
        assert_eq!(verdict::of(&one, UNANSWERED), Verdict::Unknown);
        one.tell_unanswered(given_up(true, 3 * SECOND));
        assert_eq!(verdict::of(&one, 3 * SECOND), Verdict::Unreachable);
        assert_eq!(verdict::outcome(&one, 3 * SECOND), Some(Outcome::Unreachable));
        let facts: Vec<_> = facts(&one).map(|fact| (fact.kind, fact.count, fact.detail)).collect();
        let detail = "10.0.0.3 did not answer".into();
        assert_eq!(facts, [(EvidenceKind::NeighborUnanswered, 1, Some(detail))]);
    }

    #[test]
    fn it_is_reachable_once_it_answers_after_all() {
        let mut one = attempt();
        one.tell_unanswered(given_up(true, 3 * SECOND));
        let answer = FlowCounters {
            syn_ack: 1,
            first_seen: 4 * SECOND,
            last_seen: 4 * SECOND,
            ..FlowCounters::default()
        };
        one.sightings.push(seen(false, answer));
        assert_eq!(verdict::of(&one, 4 * SECOND), Verdict::Reachable);
        one.tell_unanswered(given_up(true, 9 * SECOND));
        assert_eq!(verdict::of(&one, 9 * SECOND), Verdict::Unreachable, "and is gone again");
    }

    #[test]
    fn an_answer_that_finds_no_neighbour_is_evidence_and_no_verdict() {
        let mut one = attempt();
        one.tell_unanswered(given_up(false, 3 * SECOND));
        assert_eq!(verdict::of(&one, 2 * SECOND), Verdict::Unknown);
        let fact = facts(&one).next().unwrap();
        assert_eq!(fact.detail.as_deref(), Some("10.0.0.3 did not answer, asked for an answer's sake"));
    }

    #[test]
    fn what_is_told_twice_is_told_once() {
        let mut one = attempt();
        one.tell_unanswered(given_up(true, 3 * SECOND));
        one.moved = false;
        one.tell_unanswered(given_up(true, 3 * SECOND));
        assert_eq!((one.unanswered[0].count, one.moved), (1, false));
        one.tell_unanswered(given_up(true, 6 * SECOND));
        assert_eq!((one.unanswered.len(), one.unanswered[0].count), (1, 2));
        assert_eq!((one.unanswered[0].first_seen, one.unanswered[0].last_seen), (3 * SECOND, 6 * SECOND));
    }

    const IN: Place = Place { interface: 1, hook: Hook::INGRESS };
    const LEFT: Place = Place { interface: 2, hook: Hook::EGRESS };
    const RIGHT: Place = Place { interface: 3, hook: Hook::EGRESS };

    /// Given up after ten seconds on the left, on a link that others share or not; whether what was last seen at these
    /// tenths of a second went there, as it is known at another tenth.
    fn chose_left(shared: bool, seen_at: &[(Place, u64)], read: u64) -> bool {
        let tenth = SECOND / 10;
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        for (place, at) in seen_at {
            let key = FlowKey { interface: place.interface, hook: place.hook, ..FlowKey::default() };
            let read = FlowCounters { first_seen: 1, last_seen: at * tenth, ..FlowCounters::default() };
            one.sightings.push(Sighting::new(key, true, read));
        }
        let stage = |place: Place| match place {
            IN => Stage::Before,
            LEFT if !shared => Stage::ToIt,
            LEFT | RIGHT => Stage::ToOthers,
            _ => Stage::Elsewhere,
        };
        let heard = Heard { at: 10 * SECOND, until: read * tenth - 2 * tenth, now: read * tenth };
        chose(&one, HopDirection::Forward, stage, &heard)
    }

    #[test]
    fn of_equal_next_hops_what_came_and_did_not_leave_went_to_the_one_that_is_gone() {
        assert!(chose_left(true, &[(IN, 99)], 103));
        assert!(!chose_left(true, &[(IN, 99), (LEFT, 99)], 103), "it left, to either");
        assert!(!chose_left(true, &[(IN, 99), (LEFT, 80)], 103), "some left while it was asked for");
        assert!(chose_left(true, &[(IN, 99), (LEFT, 60)], 103), "what left did so before");
        assert!(!chose_left(true, &[(LEFT, 60)], 103), "nothing waits for long");
        assert!(!chose_left(true, &[(IN, 99)], 101), "a hop may have no conversation yet");
        assert!(!chose_left(true, &[(IN, 103), (LEFT, 60)], 103), "it may be on its way out");
    }

    #[test]
    fn by_links_of_their_own_equal_next_hops_are_told_apart() {
        assert!(chose_left(false, &[(IN, 99), (LEFT, 99)], 103), "to where it was known to be");
        assert!(!chose_left(false, &[(IN, 99), (RIGHT, 99)], 103));
        assert!(chose_left(false, &[(LEFT, 99)], 103), "made here");
        assert!(!chose_left(false, &[(LEFT, 60), (RIGHT, 61)], 103), "another way since");
    }

    #[test]
    fn while_the_flow_table_is_full_no_choice_is_known() {
        let mut one = attempt();
        let heard = Heard { at: 10 * SECOND, until: 11 * SECOND, now: 11 * SECOND };
        let came = |one: &Conversation| chose(one, HopDirection::Forward, |_| Stage::Before, &heard);
        assert!(came(&one));
        one.sightings[0].amid_overflow = true;
        assert!(!came(&one));
    }

    #[test]
    fn only_what_was_sent_lately_and_has_no_answer_waited() {
        let mut one = attempt();
        assert!(waits(&one, HopDirection::Forward, 3 * SECOND));
        assert!(!waits(&one, HopDirection::Reply, 3 * SECOND), "nothing was sent that way");
        assert!(!waits(&one, HopDirection::Forward, 9 * SECOND), "long ago");
        assert!(!waits(&one, HopDirection::Forward, 1), "given up before");
        let answer = FlowCounters { first_seen: 2, last_seen: 2, ..FlowCounters::default() };
        one.sightings.push(seen(false, answer));
        assert!(!waits(&one, HopDirection::Forward, 3 * SECOND), "it was answered");
    }
}
