//! Holders of taps, libvirt's files and leases → guests. Joining is pure.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    command_line::{self, NamedCard},
    leases::{self, Leases},
    libvirt::{self, Status},
};
use crate::{
    host::{
        facts::TapDevice,
        tap::{self, TapHolder},
    },
    runtime::{
        backoff,
        facts::guest::{Card, Guest},
        meter::Meter,
    },
};

/// Where guests are looked for, beside `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// libvirt's status files, if they are to be read.
    pub libvirt: Option<PathBuf>,
    /// Its DHCP leases.
    pub leases: PathBuf,
}

/// Everything known of guests at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    /// Those that hold taps.
    pub guests: Vec<Arc<Guest>>,
    /// Monitors that could not be looked at.
    pub refused: usize,
    /// Monitors left out because there were too many.
    pub left_out: usize,
    /// How libvirt's files are.
    pub libvirt: LibvirtState,
}

/// How libvirt's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LibvirtState {
    /// They are not to be read.
    #[default]
    Off,
    /// There is no such directory.
    Absent,
    /// All could be read.
    Ready,
    /// One could not, and why.
    Failing(Arc<str>),
}

/// What libvirt's files said, which are not read anew at once where they are long and broken.
#[derive(Debug, Default)]
pub struct Files {
    said: Option<libvirt::Read>,
    rest_until: Option<Instant>,
}

impl Files {
    fn read(&mut self, directory: &Path, now: Instant) -> Option<libvirt::Read> {
        if self.rest_until.is_none_or(|until| now >= until) {
            let meter = Meter::default();
            let said = meter.poll(|| libvirt::read(directory));
            self.take(said, meter.spent(), now);
        }
        self.said.clone()
    }

    /// Only what is wrong was read in vain.
    fn take(&mut self, said: Option<libvirt::Read>, spent: Duration, now: Instant) {
        let is_wrong = said.as_ref().is_some_and(|said| said.trouble.is_some());
        self.rest_until = is_wrong.then(|| now.checked_add(backoff::rest(spent))).flatten();
        self.said = said;
    }
}

/// Looks at all of it. Blocking.
#[must_use]
pub fn read(places: &Places, now: i64, files: &mut Files) -> Guests {
    let found = tap::holders();
    let (statuses, libvirt) = match places.libvirt.as_deref().map(|one| files.read(one, Instant::now())) {
        None => (Vec::new(), LibvirtState::Off),
        Some(None) => (Vec::new(), LibvirtState::Absent),
        Some(Some(read)) => {
            let state = read.trouble.map_or(LibvirtState::Ready, |why| LibvirtState::Failing(why.into()));
            (read.guests, state)
        }
    };
    let leases = if statuses.is_empty() { Leases::new() } else { leases::read(&places.leases, now) };
    let statuses: BTreeMap<u32, &Status> = statuses.iter().map(|one| (one.pid, one)).collect();
    let join = |holder: &TapHolder| Arc::new(guest(holder, statuses.get(&holder.pid).copied(), &leases));
    let guests = found.holders.iter().map(join).collect();
    Guests { guests, refused: found.refused, left_out: found.left_out, libvirt }
}

/// One holder of taps with what the others say of it.
fn guest(holder: &TapHolder, status: Option<&Status>, leases: &Leases) -> Guest {
    let monitor = command_line::monitor_of(&holder.command);
    let said = command_line::read(monitor, &holder.arguments);
    // A status file outlives its guest where libvirt did not clean up, and the number may be another monitor's by now:
    // libvirt starts every guest with its UUID on the command line.
    let status = status.filter(|one| one.names.uuid.is_none() || one.names.uuid == said.names.uuid);
    let mut devices: Vec<&TapDevice> = Vec::new();
    let mut ordered: Vec<&tap::HeldTap> = holder.taps.iter().collect();
    ordered.sort_by_key(|one| (place(&said.cards, one), one.descriptor));
    for held in ordered {
        if !devices.contains(&&held.device) {
            devices.push(&held.device);
        }
    }
    let cards = devices.into_iter().map(|device| {
        let by_command = holder
            .taps
            .iter()
            .filter(|held| held.device == *device)
            .find_map(|held| said.cards.get(place(&said.cards, held)).and_then(|card| card.mac));
        let by_libvirt = status.and_then(|status| {
            let named = |name: &str| matches!(device, TapDevice::Named(own) if own == name);
            status.cards.iter().find(|(name, _)| named(name)).and_then(|(_, mac)| *mac)
        });
        let mac = by_libvirt.or(by_command);
        let leased = mac.and_then(|mac| leases.get(&mac).cloned()).unwrap_or_default();
        Card { device: device.clone(), mac, leased }
    });
    Guest {
        pid: holder.pid,
        start_time: holder.start_time,
        monitor: monitor.into(),
        cards: cards.collect(),
        by_libvirt: status.map(|status| status.names.clone()),
        by_process: said.names,
    }
}

/// Which card of the command line a descriptor belongs to; one past the last if none says so.
fn place(cards: &[NamedCard], held: &tap::HeldTap) -> usize {
    let named = |card: &NamedCard| match &held.device {
        TapDevice::Named(name) => card.interface.as_ref() == Some(name),
        TapDevice::Index(_) => false,
    };
    let at = cards.iter().position(|card| named(card) || card.descriptors.contains(&held.descriptor));
    at.unwrap_or(cards.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::tap::HeldTap,
        runtime::facts::guest::{Leased, Names},
    };

    fn holder(arguments: &[&str], taps: &[(u32, &str)]) -> TapHolder {
        TapHolder {
            pid: 7,
            start_time: 70,
            command: "qemu-system-x86".into(),
            arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
            taps: taps
                .iter()
                .map(|(descriptor, name)| HeldTap {
                    descriptor: *descriptor,
                    device: TapDevice::Named((*name).to_owned()),
                })
                .collect(),
        }
    }

    #[test]
    fn cards_come_in_the_order_of_the_command_line_each_once() {
        let line = [
            "qemu",
            "-netdev",
            "tap,id=b,ifname=tapb,queues=2",
            "-device",
            "virtio-net,netdev=b,mac=52:54:00:00:00:0b",
            "-netdev",
            "tap,id=a,fd=9",
            "-device",
            "virtio-net,netdev=a,mac=52:54:00:00:00:0a",
        ];
        let guest = guest(&holder(&line, &[(9, "tapa"), (10, "tapb"), (11, "tapb")]), None, &Leases::new());
        let cards: Vec<_> =
            guest.cards.iter().map(|card| (card.device.clone(), card.mac.unwrap()[5])).collect();
        let named = |name: &str| TapDevice::Named(name.into());
        assert_eq!(cards, [(named("tapb"), 0xb), (named("tapa"), 0xa)]);
    }

    #[test]
    fn files_that_are_long_and_broken_are_not_read_again_soon() {
        let now = Instant::now();
        let rests = |trouble: Option<&str>, spent| {
            let mut files = Files::default();
            let trouble = trouble.map(Into::into);
            files.take(Some(libvirt::Read { guests: Vec::new(), trouble }), spent, now);
            files.rest_until.map_or(Duration::ZERO, |until| until - now)
        };
        let (cheap, dear) = (Duration::from_micros(200), Duration::from_millis(200));
        assert!(rests(Some("no XML"), dear) >= Duration::from_secs(20));
        assert!(rests(Some("no XML"), cheap) < Duration::from_secs(1));
        assert_eq!(rests(None, dear), Duration::ZERO);
    }

    #[test]
    fn libvirts_word_stands_beside_the_command_lines() {
        let status = Status {
            pid: 7,
            names: Names { name: Some("db".into()), uuid: None },
            cards: vec![("vnet0".into(), Some([2, 0, 0, 0, 0, 1]))],
        };
        let lease = Leased { bridge: "virbr0".into(), address: "192.0.2.7".parse().unwrap() };
        let leases = Leases::from([([2, 0, 0, 0, 0, 1], vec![lease.clone()])]);
        let guest =
            guest(&holder(&["qemu", "-name", "guest=other"], &[(5, "vnet0")]), Some(&status), &leases);
        assert_eq!(guest.by_libvirt.unwrap().name.as_deref(), Some("db"));
        assert_eq!(guest.by_process.name.as_deref(), Some("other"));
        assert_eq!(guest.cards[0].leased, [lease]);
    }

    #[test]
    fn a_status_file_of_another_guest_with_that_process_number_says_nothing() {
        const UUID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        let names = Names { name: Some("db".into()), uuid: Some(UUID.into()) };
        let status = Status { pid: 7, names, cards: Vec::new() };
        let named = |arguments: &[&str]| {
            let guest = guest(&holder(arguments, &[(5, "vnet0")]), Some(&status), &Leases::new());
            guest.by_libvirt.is_some()
        };
        assert!(named(&["qemu", "-name", "guest=db", "-uuid", &UUID.to_uppercase()]));
        assert!(!named(&["qemu", "-uuid", "2b4e28ba-2fa1-11d2-883f-0016d3cca427"]));
        assert!(!named(&["qemu", "-name", "guest=by-hand"]));
    }
}
