//! What Docker 20.10 answered, and what others may.

use proptest::prelude::*;

use super::super::fixtures::{INSPECT, NETWORKS, VERSION, WEB};
use super::*;

fn networks() -> BTreeMap<String, Network> {
    let all: Vec<Network> = serde_json::from_str(NETWORKS).unwrap();
    all.into_iter().map(|one| (one.id.clone(), one)).collect()
}

fn inspected(change: impl Fn(&mut serde_json::Value)) -> Option<RuntimeContainer> {
    let mut json = serde_json::from_str(INSPECT).unwrap();
    change(&mut json);
    container(&serde_json::from_value(json).unwrap(), RuntimeName::Docker, &networks())
}

#[test]
fn a_container_as_docker_describes_it() {
    let web = inspected(|_| {}).unwrap();
    assert_eq!((&*web.id, &*web.name, &*web.image, web.pid), (WEB, "web", "netobs-id:1", 27436));
    assert_eq!(web.started_at.unwrap().to_string(), "2026-11-22T15:59:33.127278561Z");
    let labels: Vec<_> = web.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["com.docker.compose.project=shop", "com.docker.compose.service=front"]);
    assert_eq!((&*web.network_mode, web.joined(), web.is_host_network()), ("default", None, false));
    assert_eq!(web.sandbox_key.as_deref(), Some("/var/run/docker/netns/d62a278942d3"));
}

#[test]
fn a_bridge_has_the_name_docker_gave_it() {
    let web = inspected(|_| {}).unwrap();
    let [first, second] = &web.networks[..] else { panic!("{:?}", web.networks) };
    assert_eq!((&*first.name, first.bridge_interface.as_deref()), ("bridge", Some("docker0")));
    assert_eq!((&*second.name, second.bridge_interface.as_deref()), ("usernet", Some("br-1e66300b4f05")));
    assert_eq!((first.address, first.prefix), (Some(IpAddr::from([10, 213, 0, 2])), 24));
    assert_eq!((first.address6, first.gateway), (None, Some(IpAddr::from([10, 213, 0, 1]))));
    assert_eq!(second.address6, Some("2001:db8::3".parse().unwrap()));
    assert_eq!(first.mac, Some([0x02, 0x42, 0x0a, 0xd5, 0x00, 0x02]));
}

#[test]
fn podman_names_its_bridges_otherwise_so_none_is_guessed() {
    let said = serde_json::from_str(INSPECT).unwrap();
    let web = container(&said, RuntimeName::Podman, &networks()).unwrap();
    assert_eq!(web.networks[1].bridge_interface, None);
}

#[test]
fn a_macvlan_network_names_its_parent_and_no_bridge() {
    let web = inspected(|json| {
        json["NetworkSettings"]["Networks"] = serde_json::json!({"macnet": {
            "NetworkID": "186e6e937753b1d523294b9c46c11abfda38e31a8a9593d408657e842e7d7ab3",
            "IPAddress": "10.213.9.2"}});
    });
    let network = &web.unwrap().networks[0];
    assert_eq!((&*network.driver, network.parent.as_deref()), ("macvlan", Some("eth0")));
    assert_eq!((network.bridge_interface.as_deref(), network.mac), (None, None));
}

#[test]
fn every_published_port_appears_once_for_each_address() {
    let ports: Vec<_> = inspected(|_| {})
        .unwrap()
        .ports
        .iter()
        .map(|one| format!("{}:{}->{}/{}", one.host_ip, one.host_port, one.container_port, one.protocol))
        .collect();
    assert_eq!(ports, ["0.0.0.0:8080->80/6", "127.0.0.1:5353->53/17", ":::8080->80/6"]);
    let old = inspected(|json| json["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"] = "".into()).unwrap();
    assert_eq!(old.ports[0].host_ip, IpAddr::from([0, 0, 0, 0]), "old daemons say nothing for all");
}

#[test]
fn what_does_not_run_is_no_container_here() {
    assert_eq!(inspected(|json| json["State"]["Running"] = false.into()), None);
    assert_eq!(inspected(|json| json["State"]["Pid"] = 0.into()), None);
    assert_eq!(inspected(|json| json["State"]["Pid"] = (-1).into()), None);
    assert_eq!(inspected(|json| json["State"] = serde_json::Value::Null), None);
}

#[test]
fn never_started_is_no_time() {
    let web = inspected(|json| json["State"]["StartedAt"] = "0001-01-01T00:00:00Z".into());
    assert_eq!(web.unwrap().started_at, None);
}

#[test]
fn hostile_names_are_clean_before_anybody_sees_them() {
    let web = inspected(|json| {
        json["Name"] = "/a\u{1b}]0;owned\u{7}\u{202e}b".into();
        json["Config"]["Image"] = "x".repeat(100_000).into();
        json["Config"]["Labels"] = serde_json::json!({"netobs.workload": "w\n# HELP"});
    });
    let web = web.unwrap();
    assert_eq!(&*web.name, "a?]0;owned??b");
    assert_eq!(web.image.chars().count(), text::NAME_LIMIT);
    assert_eq!(web.label("netobs.workload").map(|value| &**value), Some("w?# HELP"));
}

#[test]
fn a_version_is_spoken_that_both_sides_know() {
    let dialect = |json: &str| super::dialect(&serde_json::from_str(json).unwrap());
    let docker = dialect(VERSION).unwrap();
    assert_eq!((docker.runtime, &*docker.api), (RuntimeName::Docker, "1.41"));
    assert_eq!(&*dialect(r#"{"ApiVersion":"1.60","MinAPIVersion":"1.44"}"#).unwrap().api, "1.48");
    assert_eq!(&*dialect(r#"{"ApiVersion":"1.60","MinAPIVersion":"1.50"}"#).unwrap().api, "1.50");
    let podman = r#"{"ApiVersion":"1.40","Components":[{"Name":"Podman Engine"}]}"#;
    assert_eq!(dialect(podman).unwrap().runtime, RuntimeName::Podman);
    for nonsense in ["{}", r#"{"ApiVersion":"../.."}"#, r#"{"ApiVersion":"1.x\r\nHost: a"}"#] {
        assert_eq!(dialect(nonsense), None, "{nonsense}");
    }
}

#[test]
fn a_hardware_address_is_six_bytes_and_not_zero() {
    assert_eq!(mac("02:42:ac:11:00:02"), Some([2, 0x42, 0xac, 0x11, 0, 2]));
    for wrong in ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "00:00:00:00:00:00", "2:42:ac:11:00:+2"] {
        assert_eq!(mac(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn whatever_the_daemon_writes_into_its_fields_nothing_panics_and_all_is_clean(
        name in any::<String>(), mode in any::<String>(), address in any::<String>(), port in any::<String>(),
        key in any::<String>(), pid in any::<i64>(), bits in any::<i64>(),
    ) {
        let found = inspected(|json| {
            json["Name"] = name.clone().into();
            json["State"]["Pid"] = pid.into();
            json["HostConfig"]["NetworkMode"] = mode.clone().into();
            json["NetworkSettings"]["SandboxKey"] = key.clone().into();
            json["NetworkSettings"]["Ports"] = serde_json::json!({key.clone(): [{"HostPort": port.clone()}]});
            let network = &mut json["NetworkSettings"]["Networks"]["bridge"];
            network["IPAddress"] = address.clone().into();
            network["MacAddress"] = address.clone().into();
            network["IPPrefixLen"] = bits.into();
        });
        if let Some(found) = found {
            let texts = [&found.name, &found.network_mode, &found.image];
            prop_assert!(!texts.iter().any(|text| text.chars().any(text::is_hostile)));
            prop_assert!(found.networks.iter().all(|one| one.prefix <= 128));
        }
    }
}
