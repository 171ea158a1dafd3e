//! Rule sets shaped like those of Docker, Kubernetes and firewalls, and packets through them.

use proptest::prelude::*;

use super::*;
use crate::host::facts::firewall::{
    Connection, Device, Element, Match, Physdev, Port, Range, Ruleset, Set, Step, Target, Value, connection,
    made_up::{chain, rule, ruleset, to},
    meta, operator, payload,
};

fn filter() -> Table {
    Table { family: 2, name: "filter".into() }
}

fn nat() -> Table {
    Table { family: 2, name: "nat".into() }
}

fn forward() -> Chain {
    chain(&filter(), "FORWARD", Some(("filter", (2, 0))))
}

fn then(mut steps: Vec<Step>, verdict: Verdict) -> Vec<Step> {
    steps.push(Step::Counter);
    steps.push(Step::Verdict(verdict));
    steps
}

fn jump(chain: &str) -> Verdict {
    Verdict::Jump(chain.into())
}

fn mystery() -> Vec<Step> {
    vec![Step::Unknown("mystery".into())]
}

fn packet(to: &str) -> Packet {
    let mut packet = Packet::new("172.17.0.2".parse().unwrap(), to.parse().unwrap(), 17);
    (packet.source_port, packet.destination_port) = (Some(40_000), Some(53));
    packet.incoming = Some(Device::named("docker0"));
    packet.outgoing = Some(Device::named("eth0"));
    packet
}

fn forwarded<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Answer<'a> {
    Firewall::new(ruleset).pass(Layer::Network, Hook::Forward, packet)
}

/// What keeps it, as chain and position, and whether for certain.
fn kept(answer: &Answer<'_>) -> Vec<(String, u32, bool)> {
    let place = |end: &Ended<'_>| {
        (end.place.chain().to_owned(), end.place.rule.map_or(0, |rule| rule.position), end.certain)
    };
    answer.kept.iter().map(place).collect()
}

#[test]
fn a_drop_behind_a_jump_is_named_with_the_way_there() {
    let mut all = ruleset(
        vec![forward(), chain(&filter(), "DOCKER-USER", None)],
        vec![
            rule(&filter(), "FORWARD", then(vec![], jump("DOCKER-USER"))),
            rule(&filter(), "DOCKER-USER", then(to("172.17.0.9"), Verdict::Drop)),
            rule(&filter(), "DOCKER-USER", then(to("10.0.0.1"), Verdict::Drop)),
        ],
    );
    all.rules[2].counter = Some(Counter { packets: 3, bytes: 180 });
    let answer = forwarded(&all, &packet("10.0.0.1"));
    assert_eq!((kept(&answer), answer.goes_on), (vec![("DOCKER-USER".into(), 2, true)], None));
    let place = &answer.keeper().unwrap().place;
    assert_eq!((place.base.name.as_str(), place.via.len()), ("FORWARD", 1));
    assert_eq!(place.counter(), Some(Counter { packets: 3, bytes: 180 }));
    let through = forwarded(&all, &packet("10.0.0.2"));
    assert!(through.certainly_goes_on() && through.kept.is_empty());
    assert!(through.passed[0].place.rule.is_none(), "by the policy");
}

#[test]
fn what_comes_to_the_end_of_a_chain_that_drops_is_dropped_by_its_policy() {
    let mut all =
        ruleset(vec![forward()], vec![rule(&filter(), "FORWARD", then(to("10.0.0.1"), Verdict::Accept))]);
    all.chains[0].drops = Some(true);
    all.chains[0].counter = Some(Counter { packets: 9, bytes: 900 });
    let answer = forwarded(&all, &packet("10.0.0.2"));
    let end = answer.keeper().unwrap();
    assert_eq!((end.end, end.certain, end.place.rule), (End::Dropped, true, None));
    assert_eq!(end.place.counter().unwrap().packets, 9);
    assert!(forwarded(&all, &packet("10.0.0.1")).certainly_goes_on());
}

#[test]
fn a_condition_that_cannot_be_told_leaves_both_ways_open() {
    let all = ruleset(
        vec![forward()],
        vec![
            rule(&filter(), "FORWARD", then(mystery(), Verdict::Drop)),
            rule(&filter(), "FORWARD", then(to("10.0.0.1"), Verdict::Drop)),
        ],
    );
    let answer = forwarded(&all, &packet("10.0.0.1"));
    assert_eq!(kept(&answer), [("FORWARD".into(), 1, false), ("FORWARD".into(), 2, false)]);
    assert_eq!(answer.goes_on, None, "one of the two drops it");
    assert_eq!(forwarded(&all, &packet("10.0.0.2")).goes_on, Some(false));
}

#[test]
fn ways_that_meet_again_are_certain_again() {
    let all = ruleset(
        vec![forward(), chain(&filter(), "A", None)],
        vec![
            rule(&filter(), "FORWARD", then(mystery(), jump("A"))),
            rule(&filter(), "A", then(mystery(), Verdict::Return)),
            rule(&filter(), "A", vec![Step::Counter]),
            rule(&filter(), "FORWARD", then(vec![], Verdict::Drop)),
        ],
    );
    assert_eq!(kept(&forwarded(&all, &packet("10.0.0.1"))), [("FORWARD".into(), 2, true)]);
}

#[test]
fn goto_does_not_come_back_and_return_does() {
    let all = ruleset(
        vec![forward(), chain(&filter(), "A", None), chain(&filter(), "B", None)],
        vec![
            rule(&filter(), "FORWARD", then(vec![], jump("A"))),
            rule(&filter(), "A", then(vec![], Verdict::Goto("B".into()))),
            rule(&filter(), "A", then(vec![], Verdict::Accept)),
            rule(&filter(), "B", then(to("10.0.0.1"), Verdict::Return)),
            rule(&filter(), "FORWARD", then(vec![], Verdict::Drop)),
        ],
    );
    assert_eq!(kept(&forwarded(&all, &packet("10.0.0.1"))), [("FORWARD".into(), 2, true)]);
}

#[test]
fn an_accepted_packet_still_meets_the_next_chain_and_the_last_made_comes_first() {
    let inet = Table { family: 1, name: "fw".into() };
    let bridge = Table { family: 7, name: "fw".into() };
    let other = Table { family: 10, name: "fw".into() };
    let all = ruleset(
        vec![
            forward(),
            chain(&inet, "late", Some(("filter", (2, 10)))),
            chain(&inet, "same", Some(("filter", (2, 0)))),
            chain(&bridge, "no", Some(("filter", (2, -300)))),
            chain(&other, "no", Some(("filter", (2, -300)))),
        ],
        vec![
            rule(&filter(), "FORWARD", then(vec![], Verdict::Accept)),
            rule(&inet, "late", then(vec![], Verdict::Drop)),
            rule(&inet, "same", then(vec![], Verdict::Accept)),
            rule(&bridge, "no", then(vec![], Verdict::Drop)),
            rule(&other, "no", then(vec![], Verdict::Drop)),
        ],
    );
    let answer = forwarded(&all, &packet("10.0.0.1"));
    assert_eq!(kept(&answer), [("late".into(), 1, true)]);
    let passed: Vec<&str> = answer.passed.iter().map(|end| end.place.chain()).collect();
    assert_eq!(passed, ["same", "FORWARD"]);
    let bridged = Firewall::new(&all).pass(Layer::Bridge, Hook::Forward, &packet("10.0.0.1"));
    assert_eq!(kept(&bridged), [("no".into(), 1, true)]);
}

#[test]
fn a_table_that_is_switched_off_drops_nothing() {
    let mut all = ruleset(vec![forward()], vec![rule(&filter(), "FORWARD", then(vec![], Verdict::Drop))]);
    all.dormant.push(filter());
    assert!(forwarded(&all, &packet("10.0.0.1")).certainly_goes_on());
}

#[test]
fn tables_that_are_not_seen_leave_it_open_whether_a_packet_goes_on() {
    let mut all = ruleset(vec![forward()], vec![]);
    all.legacy = vec![filter(), nat(), Table { family: 10, name: "filter".into() }];
    let answer = forwarded(&all, &packet("10.0.0.1"));
    assert_eq!((answer.goes_on, answer.unseen), (Some(false), vec![&filter()]));
}

/// kube-router: what a policy allows is marked, and what is not marked is rejected at the end.
fn kube_router() -> Ruleset {
    let pod = |is: Step| vec![is];
    let table = filter();
    let mark = |value, mask| Step::Target(Target::Mark { value, mask });
    let marked = |inverted| Step::Match(Match::Mark { value: 0x10000, mask: 0x10000, inverted });
    let bridged = Physdev { bridged: Some(true), ..Physdev::default() };
    ruleset(
        vec![forward(), chain(&table, "KUBE-POD-FW-A", None), chain(&table, "KUBE-NWPLCY-A", None)],
        vec![
            rule(
                &table,
                "FORWARD",
                then(
                    [to("10.244.0.5"), pod(Step::Match(Match::Physdev(bridged)))].concat(),
                    jump("KUBE-POD-FW-A"),
                ),
            ),
            rule(&table, "KUBE-POD-FW-A", then(vec![], jump("KUBE-NWPLCY-A"))),
            rule(
                &table,
                "KUBE-POD-FW-A",
                vec![marked(true), Step::Counter, Step::Target(Target::Reject(Reject::Icmp(3)))],
            ),
            rule(&table, "KUBE-NWPLCY-A", [port(53), vec![Step::Counter, mark(0x10000, 0x10000)]].concat()),
            rule(&table, "KUBE-NWPLCY-A", then(vec![marked(false)], Verdict::Return)),
        ],
    )
}

fn port(port: u16) -> Vec<Step> {
    vec![
        Step::Payload { to: 1, base: payload::TRANSPORT, offset: 2, length: 2 },
        Step::Compare { of: 1, operator: operator::EQUAL, with: port.to_be_bytes().to_vec() },
    ]
}

#[test]
fn marks_set_on_the_way_decide_behind() {
    let all = kube_router();
    let mut packet = packet("10.244.0.5");
    (packet.incoming_port, packet.outgoing_port) = (Port::Named("a".into()), Port::Named("b".into()));
    let allowed = forwarded(&all, &packet);
    assert!(allowed.certainly_goes_on());
    assert_eq!(allowed.after.unwrap().mark.value, 0x10000);
    packet.destination_port = Some(80);
    let denied = forwarded(&all, &packet);
    let end = denied.keeper().unwrap();
    assert_eq!((end.end, end.certain), (End::Rejected(Reject::Icmp(3)), true));
    assert_eq!((end.place.chain(), end.place.rule.unwrap().position), ("KUBE-POD-FW-A", 2));
    packet.destination_port = None;
    assert_eq!(kept(&forwarded(&all, &packet)), [("KUBE-POD-FW-A".into(), 2, false)]);
    packet.incoming_port = Port::None;
    assert!(forwarded(&all, &packet).certainly_goes_on(), "it is not bridged");
}

fn target(address: &str, port: u16) -> NatRange {
    let address = address.parse().unwrap();
    NatRange {
        addresses: Some(Range { first: address, last: address }),
        ports: Some(Range { first: port, last: port }),
        flags: 3,
    }
}

/// kube-proxy: half of the connections to each of two pods.
fn kube_proxy() -> Ruleset {
    let half = Step::Match(Match::Random { of_two_to_31: 1 << 30, inverted: false });
    let dnat = |address: &str| vec![Step::Counter, Step::Target(Target::Dnat(target(address, 8080)))];
    ruleset(
        vec![
            chain(&nat(), "PREROUTING", Some(("nat", (0, -100)))),
            chain(&nat(), "KUBE-SVC-A", None),
            chain(&nat(), "KUBE-SEP-A", None),
            chain(&nat(), "KUBE-SEP-B", None),
        ],
        vec![
            rule(&nat(), "PREROUTING", then(to("10.96.0.10"), jump("KUBE-SVC-A"))),
            rule(&nat(), "KUBE-SVC-A", then(vec![half], jump("KUBE-SEP-A"))),
            rule(&nat(), "KUBE-SVC-A", then(vec![], jump("KUBE-SEP-B"))),
            rule(&nat(), "KUBE-SEP-A", dnat("10.244.0.5")),
            rule(&nat(), "KUBE-SEP-B", dnat("10.244.0.6")),
        ],
    )
}

#[test]
fn a_service_may_lead_to_each_of_its_pods() {
    let all = kube_proxy();
    let firewall = Firewall::new(&all);
    let answer = firewall.pass(Layer::Network, Hook::Prerouting, &packet("10.96.0.10"));
    let found: Vec<_> = answer.translations.iter().map(|one| (one.targets.clone(), one.certain)).collect();
    assert_eq!(found, [(vec![target("10.244.0.5", 8080)], false), (vec![target("10.244.0.6", 8080)], false)]);
    assert!(!answer.destination_known && answer.certainly_goes_on());
    let mut later = packet("10.96.0.10");
    later.state = PacketState::Established;
    assert!(firewall.pass(Layer::Network, Hook::Prerouting, &later).translations.is_empty());
}

#[test]
fn a_translated_packet_goes_on_with_its_new_destination() {
    let mut all = kube_proxy();
    all.rules.remove(1);
    let inet = Table { family: 1, name: "fw".into() };
    all.chains.push(chain(&inet, "after", Some(("filter", (0, 0)))));
    all.rules.push(rule(&inet, "after", then(to("10.244.0.6"), Verdict::Drop)));
    all.number_rules();
    let firewall = Firewall::new(&all);
    let answer = firewall.pass(Layer::Network, Hook::Prerouting, &packet("10.96.0.10"));
    assert_eq!((answer.translations.len(), answer.translations[0].certain), (1, true));
    assert_eq!(kept(&answer), [("after".into(), 1, true)]);
    all.rules.pop();
    let firewall = Firewall::new(&all);
    let answer = firewall.pass(Layer::Network, Hook::Prerouting, &packet("10.96.0.10"));
    let after = answer.after.unwrap();
    assert_eq!((after.destination.to_string().as_str(), after.destination_port), ("10.244.0.6", Some(8080)));
    assert_eq!(after.original, Some(("10.96.0.10".parse().unwrap(), Some(53))));
    assert!(answer.destination_known);
}

#[test]
fn states_of_connections_are_told_by_either_kind_of_rule() {
    let table = filter();
    let of_iptables = Connection { states: Some((6, false)), ..Connection::default() };
    let all = |condition: Vec<Step>| {
        ruleset(
            vec![forward()],
            vec![
                rule(&table, "FORWARD", then(condition, Verdict::Accept)),
                rule(&table, "FORWARD", then(vec![], Verdict::Drop)),
            ],
        )
    };
    let native = vec![
        Step::Connection { to: 1, key: connection::STATE, direction: None },
        Step::Mask { from: 1, to: 1, mask: 6_u32.to_ne_bytes().to_vec(), flip: vec![0; 4] },
        Step::Compare { of: 1, operator: operator::UNEQUAL, with: vec![0; 4] },
    ];
    for condition in [vec![Step::Match(Match::Connection(of_iptables))], native] {
        let all = all(condition);
        let mut packet = packet("10.0.0.1");
        assert_eq!(kept(&forwarded(&all, &packet)), [("FORWARD".into(), 2, true)]);
        packet.state = PacketState::Established;
        assert!(forwarded(&all, &packet).certainly_goes_on());
    }
}

#[test]
fn a_map_of_verdicts_is_followed() {
    let table = Table { family: 1, name: "firewalld".into() };
    let entry = |name: &str, to: &str| Element {
        key: [name.as_bytes(), &vec![0; 16 - name.len()]].concat(),
        to: None,
        ends: false,
        catch_all: false,
        value: Value::Verdict(Verdict::Goto(to.into())),
    };
    let mut all = ruleset(
        vec![
            chain(&table, "forward", Some(("filter", (2, 10)))),
            chain(&table, "public", None),
            chain(&table, "docker", None),
        ],
        vec![
            rule(
                &table,
                "forward",
                vec![
                    Step::Meta { to: 1, key: meta::IIFNAME },
                    Step::Lookup { of: 1, set: "__map0".into(), to: Some(0), absent: false },
                ],
            ),
            rule(&table, "public", vec![Step::Reject(Reject::Either(3))]),
            rule(&table, "docker", then(vec![], Verdict::Accept)),
        ],
    );
    all.sets.push(Set {
        table: table.clone(),
        name: "__map0".into(),
        key_length: 16,
        data_type: Some(0xffff_ff00),
        elements: vec![entry("docker0", "docker"), entry("eth0", "public")],
        complete: true,
        ..Set::default()
    });
    let mut packet = packet("10.0.0.1");
    assert!(forwarded(&all, &packet).certainly_goes_on());
    packet.incoming = Some(Device::named("eth0"));
    assert_eq!(kept(&forwarded(&all, &packet)), [("public".into(), 1, true)]);
    packet.incoming = None;
    let open = forwarded(&all, &packet);
    assert_eq!((kept(&open), open.goes_on), (vec![("public".into(), 1, false)], Some(false)));
}

#[test]
fn a_random_number_leads_to_every_entry_of_its_map() {
    let entry = |number: u32, address: [u8; 4]| Element {
        key: number.to_ne_bytes().to_vec(),
        to: None,
        ends: false,
        catch_all: false,
        value: Value::Bytes(address.to_vec()),
    };
    let mut all = ruleset(
        vec![chain(&nat(), "pre", Some(("nat", (0, -100))))],
        vec![rule(
            &nat(),
            "pre",
            vec![
                Step::Number { to: 1, modulus: 2, offset: 0, random: true },
                Step::Lookup { of: 1, set: "__map0".into(), to: Some(1), absent: false },
                Step::Nat { source: false, addresses: Some((1, 1)), ports: None },
            ],
        )],
    );
    all.sets.push(Set {
        table: nat(),
        name: "__map0".into(),
        key_length: 4,
        data_type: Some(7),
        elements: vec![entry(0, [10, 1, 1, 1]), entry(1, [10, 1, 1, 2])],
        complete: true,
        ..Set::default()
    });
    let firewall = Firewall::new(&all);
    let answer = firewall.pass(Layer::Network, Hook::Prerouting, &packet("10.96.0.10"));
    let one = &answer.translations[0];
    let addresses: Vec<String> =
        one.targets.iter().map(|target| target.addresses.unwrap().first.to_string()).collect();
    assert_eq!((addresses, one.certain), (vec!["10.1.1.1".into(), "10.1.1.2".into()], true));
}

#[test]
fn chains_that_jump_in_circles_come_to_an_end_and_say_so() {
    let all = ruleset(
        vec![forward(), chain(&filter(), "A", None)],
        vec![
            rule(&filter(), "FORWARD", then(vec![], jump("A"))),
            rule(&filter(), "A", then(vec![], jump("A"))),
            rule(&filter(), "A", then(vec![], jump("A"))),
        ],
    );
    let answer = forwarded(&all, &packet("10.0.0.1"));
    assert!(answer.incomplete && !answer.certainly_goes_on());
}

fn any_step() -> impl Strategy<Value = Step> {
    let register = 0_u32..26;
    prop_oneof![
        (register.clone(), 0_u32..4, 0_u32..50, 0_u32..80)
            .prop_map(|(to, base, offset, length)| Step::Payload { to, base, offset, length }),
        (register.clone(), 0_u32..40).prop_map(|(to, key)| Step::Meta { to, key }),
        (register.clone(), 0_u32..40).prop_map(|(from, key)| Step::SetMeta { from, key }),
        (register.clone(), 0_u32..25).prop_map(|(to, key)| Step::Connection { to, key, direction: Some(0) }),
        (register.clone(), register.clone(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(from, to, mask)| Step::Mask { from, to, flip: mask.clone(), mask }),
        (register.clone(), 0_u32..9, 0_u32..200).prop_map(|(of, size, length)| Step::ByteOrder {
            from: of,
            to: of,
            size,
            length
        }),
        (register.clone(), 0_u32..7, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(of, operator, with)| Step::Compare { of, operator, with }),
        (register.clone(), any::<bool>()).prop_map(|(of, absent)| Step::Lookup {
            of,
            set: "set".into(),
            to: None,
            absent
        }),
        register.clone().prop_map(|of| Step::Lookup { of, set: "map".into(), to: Some(0), absent: false }),
        (register.clone(), 0_u32..4).prop_map(|(to, modulus)| Step::Number {
            to,
            modulus,
            offset: 0,
            random: true
        }),
        (register.clone(), register).prop_map(|(a, b)| Step::Nat {
            source: false,
            addresses: Some((a, b)),
            ports: Some((b, a))
        }),
        prop::sample::select(vec!["A", "B", "FORWARD"]).prop_map(|chain| Step::Verdict(jump(chain))),
        prop::sample::select(vec!["A", "B"]).prop_map(|chain| Step::Verdict(Verdict::Goto(chain.into()))),
        Just(Step::Verdict(Verdict::Return)),
        Just(Step::Verdict(Verdict::Drop)),
        Just(Step::Verdict(Verdict::Accept)),
        Just(Step::Unknown("mystery".into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_rules_come_to_an_end(
        rules in prop::collection::vec(
            (prop::sample::select(vec!["FORWARD", "A", "B"]), prop::collection::vec(any_step(), 0..6)), 0..12),
        known in any::<bool>(),
    ) {
        let rules = rules.into_iter().map(|(chain, steps)| rule(&filter(), chain, steps)).collect();
        let mut all = ruleset(vec![forward(), chain(&filter(), "A", None), chain(&filter(), "B", None)], rules);
        let element = |verdict| Element {
            key: vec![0; 4], to: None, ends: false, catch_all: false, value: Value::Verdict(verdict),
        };
        for (name, elements) in [("set", vec![]), ("map", vec![element(jump("A")), element(Verdict::Drop)])] {
            let table = filter();
            all.sets.push(Set { table, name: name.into(), key_length: 4, elements, complete: known, ..Set::default() });
        }
        let firewall = Firewall::new(&all);
        let answer = firewall.pass(Layer::Network, Hook::Forward, &packet("10.0.0.1"));
        prop_assert!(answer.goes_on.is_some() || !answer.kept.is_empty() || answer.incomplete);
        prop_assert!(answer.kept.iter().filter(|end| end.certain).count() <= 1);
        for rule in &all.rules {
            drop(firewall.line(rule));
        }
    }
}
