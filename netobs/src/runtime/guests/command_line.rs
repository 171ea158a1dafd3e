//! The command line of a virtual machine monitor → the guest's name, UUID and cards. Pure.
//!
//! qemu writes options as `key=value,…`, where a doubled comma is a comma, or as JSON (since 6.0, which is how
//! libvirt starts it). See qemu-system-x86_64(1): `-name`, `-uuid`, `-netdev`, `-device`, `-nic`, `-net`.

use std::collections::BTreeMap;

use crate::{
    identity::text,
    runtime::facts::guest::{self, Names},
};

/// Options read of one command line: a guest has a few dozen devices.
const MOST: usize = 4_096;

/// What a command line says of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// How the guest is called.
    pub names: Names,
    /// Its cards, in order.
    pub cards: Vec<NamedCard>,
}

/// A card as the command line has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedCard {
    /// The tap, if it is named.
    pub interface: Option<String>,
    /// The descriptors of the tap, if it was opened by somebody else (libvirt).
    pub descriptors: Vec<u32>,
    /// The guest's hardware address.
    pub mac: Option<[u8; 6]>,
}

/// Reads a monitor's command line; `monitor` as [`monitor_of`] says it.
#[must_use]
pub fn read(monitor: &str, arguments: &[String]) -> CommandLine {
    match monitor {
        "qemu" => qemu(arguments),
        "firecracker" => {
            let name = after(arguments, "--id").map(|name| text::clean(name).into());
            CommandLine { names: Names { name, uuid: None }, cards: Vec::new() }
        }
        "cloud-hypervisor" => CommandLine { names: Names::default(), cards: cloud_hypervisor(arguments) },
        _ => CommandLine::default(),
    }
}

/// The monitor that a process of this name is.
#[must_use]
pub fn monitor_of(command: &str) -> &'static str {
    let table = [
        ("qemu", "qemu"),
        ("kvm", "qemu"),
        ("cloud-hyp", "cloud-hypervisor"),
        ("firecracker", "firecracker"),
        ("crosvm", "crosvm"),
    ];
    table.iter().find(|(start, _)| command.starts_with(start)).map_or("monitor", |(_, name)| *name)
}

fn after<'a>(arguments: &'a [String], option: &str) -> Option<&'a str> {
    let inline = arguments.iter().find_map(|one| one.strip_prefix(option)?.strip_prefix('='));
    inline.or_else(|| {
        let at = arguments.iter().position(|one| one == option)?;
        arguments.get(at + 1).map(String::as_str)
    })
}

fn qemu(arguments: &[String]) -> CommandLine {
    let mut names = Names::default();
    let mut backends: BTreeMap<String, NamedCard> = BTreeMap::new();
    let mut macs: BTreeMap<String, [u8; 6]> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut unnamed = 0;
    let options = arguments.iter().zip(arguments.iter().skip(1)).take(MOST);
    for (option, value) in options {
        match option.strip_prefix("--").or_else(|| option.strip_prefix('-')) {
            Some("name") => {
                let options = Options::of(value, "guest");
                names.name = options.get("guest").map(|name| text::clean(name).into());
            }
            Some("uuid") => names.uuid = Some(text::clean(value).to_lowercase().into()),
            Some("netdev") => {
                let options = Options::of(value, "type");
                if options.get("type") == Some("tap")
                    && let Some(id) = options.get("id")
                {
                    backends.insert(id.to_owned(), options.card());
                    order.push(id.to_owned());
                }
            }
            Some("device") => {
                let options = Options::of(value, "driver");
                if let (Some(netdev), Some(mac)) =
                    (options.get("netdev"), options.get("mac").and_then(guest::mac))
                {
                    macs.insert(netdev.to_owned(), mac);
                }
            }
            // Both ends in one: `-nic tap,…`. The older `-net nic` and `-net tap` name each other by nothing.
            Some("nic" | "net") => {
                let options = Options::of(value, "type");
                if options.get("type") == Some("tap") {
                    unnamed += 1;
                    let id = format!("\0{unnamed}");
                    backends.insert(id.clone(), options.card());
                    order.push(id);
                }
            }
            _ => {}
        }
    }
    let cards = order.into_iter().filter_map(|id| {
        let mut card = backends.remove(&id)?;
        card.mac = card.mac.or_else(|| macs.get(&id).copied());
        Some(card)
    });
    CommandLine { names, cards: cards.collect() }
}

/// `--net tap=NAME,mac=…`, one or several after it.
fn cloud_hypervisor(arguments: &[String]) -> Vec<NamedCard> {
    let mut cards = Vec::new();
    let mut of_net = false;
    for argument in arguments.iter().take(MOST) {
        if argument.starts_with("--") {
            of_net = argument == "--net";
        } else if of_net {
            let options = Options::of(argument, "tap");
            let interface = options.get("tap").map(str::to_owned);
            let descriptors = options.descriptors();
            cards.push(NamedCard { interface, descriptors, mac: options.get("mac").and_then(guest::mac) });
        }
    }
    cards
}

/// The parts of one option.
struct Options(BTreeMap<String, String>);

impl Options {
    /// `first` is the key of a value that stands alone at the beginning.
    fn of(text: &str, first: &str) -> Self {
        if text.starts_with('{')
            && let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text)
        {
            let parts = map.into_iter().filter_map(|(key, value)| match value {
                serde_json::Value::String(value) => Some((key, value)),
                serde_json::Value::Number(value) => Some((key, value.to_string())),
                _ => None,
            });
            return Self(parts.collect());
        }
        let mut map = BTreeMap::new();
        for (at, part) in split(text).into_iter().enumerate() {
            match part.split_once('=') {
                Some((key, value)) => map.insert(key.to_owned(), value.to_owned()),
                None if at == 0 => map.insert(first.to_owned(), part),
                None => None,
            };
        }
        Self(map)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn descriptors(&self) -> Vec<u32> {
        let all = [self.get("fd"), self.get("fds")];
        all.into_iter()
            .flatten()
            .flat_map(|text| text.split(':'))
            .filter_map(|one| one.parse().ok())
            .collect()
    }

    fn card(&self) -> NamedCard {
        NamedCard {
            interface: self.get("ifname").map(str::to_owned),
            descriptors: self.descriptors(),
            mac: self.get("mac").or_else(|| self.get("macaddr")).and_then(guest::mac),
        }
    }
}

/// At commas, of which a doubled one is a comma of the value.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        match (one, parts.last_mut()) {
            (',', Some(part)) if rest.next_if_eq(&',').is_some() => part.push(','),
            (',', _) => parts.push(String::new()),
            (one, Some(part)) => part.push(one),
            (_, None) => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_guest_started_by_hand() {
        let line = words(
            "qemu-system-x86_64 -name guest=web,debug-threads=on -uuid 1B4E28BA-2FA1-11D2-883F-0016D3CCA427 \
             -netdev tap,id=n0,ifname=tap1,script=no -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01 \
             -netdev user,id=n1 -device e1000,netdev=n1,mac=52:54:00:00:00:02",
        );
        let read = read("qemu", &line);
        assert_eq!(read.names.name.as_deref(), Some("web"));
        assert_eq!(read.names.uuid.as_deref(), Some("1b4e28ba-2fa1-11d2-883f-0016d3cca427"));
        let mac = Some([0x52, 0x54, 0, 0, 0, 1]);
        assert_eq!(read.cards, [NamedCard { interface: Some("tap1".into()), descriptors: vec![], mac }]);
    }

    #[test]
    fn a_guest_started_by_libvirt_has_descriptors_and_json() {
        let line = vec![
            "/usr/bin/qemu-system-x86_64".into(),
            "-name".into(),
            "guest=db,debug-threads=on".into(),
            "-netdev".into(),
            r#"{"type":"tap","fd":"28","vhost":true,"vhostfd":"30","id":"hostnet0"}"#.into(),
            "-device".into(),
            r#"{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:aa:bb:cc"}"#.into(),
        ];
        let read = read("qemu", &line);
        assert_eq!(read.names.name.as_deref(), Some("db"));
        let mac = Some([0x52, 0x54, 0, 0xaa, 0xbb, 0xcc]);
        assert_eq!(read.cards, [NamedCard { interface: None, descriptors: vec![28], mac }]);
    }

    #[test]
    fn the_short_forms_are_understood() {
        let line = words("kvm -name plain -nic tap,ifname=tap7,mac=52:54:00:00:00:07 -nic user");
        let read = read("qemu", &line);
        assert_eq!(read.names.name.as_deref(), Some("plain"));
        let mac = Some([0x52, 0x54, 0, 0, 0, 7]);
        assert_eq!(read.cards, [NamedCard { interface: Some("tap7".into()), descriptors: vec![], mac }]);
    }

    #[test]
    fn a_doubled_comma_belongs_to_the_name() {
        let line = vec!["qemu".into(), "-name".into(), "guest=a,,b,process=x".into()];
        assert_eq!(read("qemu", &line).names.name.as_deref(), Some("a,b"));
    }

    #[test]
    fn other_monitors_say_what_they_have() {
        let line = words("firecracker --id vm-7 --api-sock /run/fc.sock");
        assert_eq!(read("firecracker", &line).names.name.as_deref(), Some("vm-7"));
        let line = words("cloud-hypervisor --net tap=ch0,mac=52:54:00:00:00:09 tap=ch1 --kernel x");
        let cards = read("cloud-hypervisor", &line).cards;
        let names: Vec<_> = cards.iter().map(|one| one.interface.as_deref()).collect();
        assert_eq!(names, [Some("ch0"), Some("ch1")]);
        assert_eq!(monitor_of("cloud-hyperviso"), "cloud-hypervisor");
    }

    #[test]
    fn a_hostile_name_is_made_harmless() {
        let line = vec!["qemu".into(), "-name".into(), "guest=\u{1b}[2Jx\n\u{202e}y".into()];
        let name = read("qemu", &line).names.name.unwrap();
        assert!(!name.chars().any(text::is_hostile), "{name:?}");
    }

    proptest! {
        #[test]
        fn no_command_line_makes_it_panic(arguments in proptest::collection::vec(
            prop_oneof!["-(name|uuid|netdev|device|nic|net)", "[a-z=,{}\":0-9]{0,30}", ".{0,20}"], 0..20))
        {
            for monitor in ["qemu", "firecracker", "cloud-hypervisor", "crosvm"] {
                let read = read(monitor, &arguments);
                prop_assert!(read.cards.len() <= arguments.len());
            }
        }
    }
}
