//! Rules in small worlds: which one is named, and how far that is proven.

use crate::explain::made_up::World;
use crate::host::facts::firewall::{
    Chain, Counter, Reject, Rule, Step, Table, Verdict as Does, family,
    made_up::{chain, rule, ruleset, to},
};
use crate::report::{CauseName, Confidence};

const FORWARD: (&str, (u32, i32)) = ("filter", (2, 0));
const DROP: Step = Step::Verdict(Does::Drop);

fn filter() -> Table {
    Table { family: family::IPV4, name: "filter".into() }
}

fn ending(chain: &str, steps: Vec<Step>, end: Step) -> Rule {
    let counter = Some(Counter { packets: 3, bytes: 180 });
    Rule { counter, ..rule(&filter(), chain, [steps, vec![Step::Counter, end]].concat()) }
}

fn jump(chain: &str, to: &str) -> Rule {
    rule(&filter(), chain, vec![Step::Verdict(Does::Jump(to.into()))])
}

fn with(world: &mut World, chains: &[&str], rules: Vec<Rule>) {
    let others = chains.iter().map(|name| chain(&filter(), name, None));
    let chains = [chain(&filter(), "FORWARD", Some(FORWARD))].into_iter().chain(others).collect();
    world.host.firewall = Some(ruleset(chains, rules));
    world.stops_at("br1", 3).dropped("netfilter_drop", "br1");
}

#[test]
fn the_rule_is_named_with_its_chains_and_its_counter() {
    let mut world = World::routed();
    let rules = vec![jump("FORWARD", "MINE"), ending("MINE", to("10.2.0.3"), DROP)];
    with(&mut world, &["MINE"], rules);
    assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Certain));
    let configured = &world.causes()[0].configured;
    assert!(configured.contains("-d 10.2.0.3/32 -j DROP` in table filter"), "{configured}");
    assert!(configured.contains("chain FORWARD → MINE, of this host, which took 3 packets"), "{configured}");
}

#[test]
fn rules_for_others_are_not_blamed() {
    let mut world = World::routed();
    with(&mut world, &[], vec![ending("FORWARD", to("10.2.0.4"), DROP)]);
    assert!(world.causes().is_empty(), "{:?}", world.causes());
}

#[test]
fn of_the_answer_the_rule_for_the_answer_is_named() {
    let mut world = World::routed();
    let rules = vec![ending("FORWARD", to("10.2.0.3"), DROP), ending("FORWARD", to("10.1.0.2"), DROP)];
    with(&mut world, &[], rules);
    world.of_answer();
    let configured = &world.causes()[0].configured;
    assert!(configured.contains("-d 10.1.0.2/32"), "{configured}");
}

#[test]
fn a_rejection_and_a_policy_for_pods_have_names_of_their_own() {
    let mut world = World::routed();
    with(&mut world, &[], vec![ending("FORWARD", to("10.2.0.3"), Step::Reject(Reject::TcpReset))]);
    assert_eq!(world.first().0, CauseName::FirewallReject);
    let mut world = World::routed();
    let pod = "KUBE-POD-FW-ABC";
    with(&mut world, &[pod], vec![jump("FORWARD", pod), ending(pod, to("10.2.0.3"), DROP)]);
    assert_eq!(world.first().0, CauseName::NetworkPolicy);
    let mut world = World::routed();
    let comment = Some("default/api:http has no endpoints".to_owned());
    with(&mut world, &[], vec![Rule { comment, ..ending("FORWARD", to("10.2.0.3"), DROP) }]);
    assert_eq!(world.first().0, CauseName::ServiceWithoutEndpoints);
}

#[test]
fn a_policy_for_routed_packets_takes_bridged_ones() {
    let mut world = World::bridged();
    let policy = Chain {
        drops: Some(true),
        counter: Some(Counter { packets: 3, bytes: 180 }),
        ..chain(&filter(), "FORWARD", Some(FORWARD))
    };
    world.host.firewall = Some(ruleset(vec![policy], Vec::new()));
    world.stops_at("va", 2).dropped("netfilter_drop", "va");
    assert!(world.causes().is_empty(), "nothing says that the kernel asks it: {:?}", world.causes());
    world.host.sysctls.insert("net.bridge.bridge-nf-call-iptables".into(), "1".into());
    assert_eq!(world.first(), (CauseName::BridgeNetfilter, Confidence::Certain));
    assert!(world.causes()[0].configured.contains("the policy `-P FORWARD DROP`"), "{:?}", world.causes());
}

#[test]
fn rules_that_cannot_be_seen_are_only_possible() {
    let mut world = World::routed();
    with(&mut world, &[], Vec::new());
    assert!(world.causes().is_empty(), "{:?}", world.causes());
    if let Some(rules) = &mut world.host.firewall {
        rules.legacy.push(filter());
    }
    assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Possible));
}

fn base(name: &str, of: u8, hook: u32, priority: i32) -> Chain {
    let table = Table { family: of, name: name.into() };
    chain(&table, "base", Some(("filter", (hook, priority))))
}

fn taking(table: &Table, steps: Vec<Step>, packets: u64) -> Rule {
    let counter = Some(Counter { packets, bytes: 0 });
    Rule { counter, ..rule(table, "base", [steps, vec![Step::Counter, DROP]].concat()) }
}

fn dropped_by(world: &mut World, chains: Vec<Chain>, rules: Vec<Rule>) {
    world.host.firewall = Some(ruleset(chains, rules));
    world.stops_at("br1", 3).dropped("netfilter_drop", "br1");
}

#[test]
fn a_rule_that_took_nothing_did_not_do_it() {
    let mut world = World::routed();
    let chains = vec![base("one", family::IPV4, 2, 0), base("two", family::IPV4, 2, 1)];
    let rules = chains.iter().zip([0, 3]).map(|(chain, took)| taking(&chain.table, to("10.2.0.3"), took));
    let rules = rules.collect();
    dropped_by(&mut world, chains, rules);
    let causes = world.causes();
    assert!(causes[0].configured.contains("in table two") && causes.len() == 1, "{causes:?}");
    if let Some(rules) = &mut world.host.firewall {
        rules.rules[1].counter = Some(Counter::default());
    }
    assert_eq!(world.first().1, Confidence::Possible, "somebody may have set it to zero");
}

#[test]
fn before_the_translation_the_packet_was_for_another_address() {
    let mut world = World::routed();
    world.opened_to("10.1.0.1", 8080);
    let chains = vec![base("raw", family::IPV4, 0, -300), base("filter", family::IPV4, 2, 0)];
    let rules = chains.iter().map(|chain| taking(&chain.table, to("10.2.0.3"), 3)).collect();
    dropped_by(&mut world, chains.clone(), rules);
    assert_eq!(world.first().1, Confidence::Certain);
    assert!(world.causes()[0].configured.contains("in table filter"), "{:?}", world.causes());
    // What it was opened to is not known: both may have been it.
    world.flow.original_destination = None;
    world.flow.hops.clear();
    assert_eq!(world.first().1, Confidence::Likely);
    let rules = vec![taking(&chains[0].table, to("10.1.0.1"), 3)];
    let mut world = World::routed();
    world.opened_to("10.1.0.1", 8080);
    dropped_by(&mut world, chains, rules);
    assert_eq!(world.first().1, Confidence::Certain);
}

#[test]
fn what_may_have_been_dropped_before_is_not_certain() {
    let mystery = || vec![Step::Unknown("mystery".into())];
    let firsts = [(family::NETDEV, to("10.2.0.3")), (family::NETDEV, mystery()), (family::IPV4, mystery())];
    for (of, first) in firsts {
        let mut world = World::routed();
        let chains = vec![base("first", of, 0, -300), base("filter", family::IPV4, 2, 0)];
        let rules = vec![taking(&chains[0].table, first, 2), taking(&chains[1].table, to("10.2.0.3"), 3)];
        dropped_by(&mut world, chains, rules);
        assert_eq!(world.first().1, Confidence::Likely, "family {of}");
    }
}

#[test]
fn a_mark_that_is_not_known_is_not_known_at_the_next_hook_either() {
    let mut world = World::routed();
    let chains = vec![base("mangle", family::IPV4, 0, -150), base("filter", family::IPV4, 2, 0)];
    let mark = crate::host::facts::firewall::meta::MARK;
    let marks = [
        Step::Unknown("mystery".into()),
        Step::Load { to: 1, value: 1u32.to_ne_bytes().to_vec() },
        Step::SetMeta { from: 1, key: mark },
    ];
    let unmarked = vec![
        Step::Meta { to: 1, key: mark },
        Step::Compare {
            of: 1,
            operator: crate::host::facts::firewall::operator::UNEQUAL,
            with: 1u32.to_ne_bytes().to_vec(),
        },
    ];
    let rules = vec![
        rule(&chains[0].table, "base", marks.to_vec()),
        taking(&chains[1].table, unmarked, 0),
        taking(&chains[1].table, to("10.2.0.3"), 1),
    ];
    dropped_by(&mut world, chains, rules);
    let causes = world.causes();
    assert!(causes[0].configured.contains("10.2.0.3"), "{causes:?}");
}

#[test]
fn rules_of_the_bridge_see_its_ports_and_routed_packets_pass_them_too() {
    let name = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        vec![
            Step::Meta { to: 1, key: crate::host::facts::firewall::meta::IIFNAME },
            Step::Compare { of: 1, operator: crate::host::facts::firewall::operator::EQUAL, with: bytes },
        ]
    };
    for (mut world, hook) in [(World::bridged(), 2), (World::routed(), 1)] {
        let chains = vec![base("frames", family::BRIDGE, hook, 0)];
        let rules = ["vb", "br1", "va"].map(|port| taking(&chains[0].table, name(port), 2)).to_vec();
        world.host.firewall = Some(ruleset(chains, rules));
        world.stops_at("va", 2).dropped("netfilter_drop", "va");
        assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Certain));
        let configured = &world.causes()[0].configured;
        assert!(configured.contains("iifname \"va\""), "{configured}");
    }
}

#[test]
fn a_program_that_is_asked_is_not_blamed() {
    let mut world = World::routed();
    let chains = vec![base("filter", family::IPV4, 2, 0)];
    let asks = rule(&chains[0].table, "base", vec![Step::Unknown("queue".into())]);
    let rules = vec![asks, taking(&chains[0].table, to("10.2.0.3"), 2)];
    dropped_by(&mut world, chains.clone(), rules);
    assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Possible), "only the program is left");
    let chains = vec![base("ips", family::IPV4, 2, -5), chains[0].clone()];
    let asks = rule(&chains[0].table, "base", vec![Step::Unknown("queue".into())]);
    dropped_by(&mut world, chains.clone(), vec![asks, taking(&chains[1].table, to("10.2.0.3"), 2)]);
    assert!(world.causes()[0].configured.contains("10.2.0.3"), "{:?}", world.causes());
}

#[test]
fn what_conntrack_leaves_alone_has_no_state() {
    let mut world = World::routed();
    let chains = vec![base("raw", family::IPV4, 0, -300), base("filter", family::IPV4, 2, 0)];
    let untracked = rule(&chains[0].table, "base", vec![Step::Unknown("notrack".into())]);
    let new = vec![
        Step::Connection { to: 1, key: crate::host::facts::firewall::connection::STATE, direction: None },
        Step::Mask { from: 1, to: 1, mask: 8u32.to_ne_bytes().to_vec(), flip: vec![0; 4] },
        Step::Compare { of: 1, operator: crate::host::facts::firewall::operator::UNEQUAL, with: vec![0; 4] },
        Step::Verdict(Does::Accept),
    ];
    let rules =
        vec![untracked, rule(&chains[1].table, "base", new), taking(&chains[1].table, to("10.2.0.3"), 2)];
    dropped_by(&mut world, chains, rules);
    assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Certain));
}

#[test]
fn a_service_without_endpoints_is_known_by_kube_proxys_map() {
    let mut world = World::routed();
    let table = Table { family: family::IPV4, name: "kube-proxy".into() };
    let base = chain(&table, "base", Some(("filter", (2, 0))));
    let looks = rule(
        &table,
        "base",
        vec![Step::Lookup { of: 1, set: "no-endpoint-services".into(), to: Some(0), absent: false }],
    );
    let reject = rule(&table, "reject-chain", vec![Step::Reject(Reject::TcpReset)]);
    let verdict = crate::host::facts::firewall::Value::Verdict(Does::Goto("reject-chain".into()));
    let element = crate::host::facts::firewall::Element {
        key: Vec::new(),
        to: None,
        ends: false,
        catch_all: true,
        value: verdict,
    };
    let services = crate::host::facts::firewall::Set {
        table: table.clone(),
        name: "no-endpoint-services".into(),
        anonymous: false,
        interval: false,
        key_type: 0,
        key_length: 4,
        data_type: Some(u32::MAX),
        fields: Vec::new(),
        elements: vec![element],
        complete: true,
    };
    let chains = vec![base, chain(&table, "reject-chain", None)];
    dropped_by(&mut world, chains, vec![looks, reject]);
    if let Some(rules) = &mut world.host.firewall {
        rules.sets.push(services);
    }
    assert_eq!(world.first().0, CauseName::ServiceWithoutEndpoints, "{:?}", world.causes());
}

#[test]
fn kube_proxys_own_table_looks_for_endpoints_in_chains_of_its_own() {
    for (check, first) in [
        ("nodeport-endpoints-check", CauseName::ServiceWithoutEndpoints),
        ("cluster-ips-check", CauseName::FirewallReject),
    ] {
        let mut world = World::routed();
        let table = Table { family: family::IPV4, name: "kube-proxy".into() };
        let goes = |chain: &str, to: &str| rule(&table, chain, vec![Step::Verdict(Does::Goto(to.into()))]);
        let chains = vec![
            chain(&table, "filter-forward", Some(FORWARD)),
            chain(&table, check, None),
            chain(&table, "reject-chain", None),
        ];
        let rejects = rule(&table, "reject-chain", vec![Step::Reject(Reject::TcpReset)]);
        let rules = vec![goes("filter-forward", check), goes(check, "reject-chain"), rejects];
        dropped_by(&mut world, chains, rules);
        assert_eq!(world.first().0, first, "{check}");
    }
}
