//! libvirt's status files (`/run/libvirt/qemu/NAME.xml`) → what it says of the guests that run. Parsing is pure.
//!
//! The files are libvirt's own state, not an interface it promises to keep; every element is optional here.
//! Shape: `virDomainObjFormat`, src/conf/domain_conf.c, libvirt 9.0.

use std::path::Path;

use roxmltree::{Document, Node};

use super::file;
use crate::{
    identity::text,
    runtime::facts::guest::{self, Names},
};

/// A status file has some 20 KiB.
const LONGEST: u64 = 1 << 20;
/// Most guests of one host whose files are read.
const MOST: usize = 4_096;

/// What one status file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The monitor's process.
    pub pid: u32,
    /// The guest's names.
    pub names: Names,
    /// Its cards: name of the interface and hardware address.
    pub cards: Vec<(String, Option<[u8; 6]>)>,
}

/// What a directory of status files says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// One for each guest that runs.
    pub guests: Vec<Status>,
    /// Why a file could not be used, if one could not.
    pub trouble: Option<String>,
}

/// Reads a directory of status files; `None` if there is none. Blocking.
#[must_use]
pub fn read(directory: &Path) -> Option<Read> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            let trouble = Some(format!("{}: {error}", directory.display()));
            return Some(Read { guests: Vec::new(), trouble });
        }
    };
    let mut read = Read::default();
    let files = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
    for path in files.take(MOST) {
        let name = || text::clean(&path.display().to_string());
        match load(&path).map_err(|error| error.to_string()).and_then(|text| parse(&text)) {
            Ok(status) => read.guests.extend(status),
            Err(why) => read.trouble = Some(format!("{}: {}", name(), text::clean(&why))),
        }
    }
    Some(read)
}

fn load(path: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&file::read(path, LONGEST)?).into_owned())
}

/// What a status file says; `None` for one of a guest that does not run, or that is no status file.
///
/// # Errors
/// It is no XML.
pub fn parse(xml: &str) -> Result<Option<Status>, String> {
    let document = Document::parse(xml).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name("domstatus") {
        return Ok(None);
    }
    let Some(pid) = root.attribute("pid").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0) else {
        return Ok(None);
    };
    let Some(domain) = child(root, "domain") else { return Ok(None) };
    let word = |name| child(domain, name).and_then(|node| node.text()).map(text::clean);
    let names = Names {
        name: word("name").map(Into::into),
        uuid: word("uuid").map(|uuid| uuid.to_lowercase().into()),
    };
    let interfaces = child(domain, "devices")
        .into_iter()
        .flat_map(|devices| devices.children().filter(|node| node.has_tag_name("interface")));
    let cards = interfaces.filter_map(|interface| {
        let device = child(interface, "target")?.attribute("dev")?.to_owned();
        let mac = child(interface, "mac").and_then(|node| node.attribute("address")).and_then(guest::mac);
        Some((device, mac))
    });
    Ok(Some(Status { pid, names, cards: cards.collect() }))
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|one| one.has_tag_name(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUNNING: &str = r#"<!-- WARNING: THIS IS AN AUTO-GENERATED FILE. -->
<domstatus state='running' reason='booted' pid='4711'>
  <monitor path='/var/lib/libvirt/qemu/domain-1-web/monitor.sock' type='unix'/>
  <domain type='qemu' id='1'>
    <name>web</name>
    <uuid>1B4E28BA-2fa1-11d2-883f-0016d3cca427</uuid>
    <devices>
      <interface type='network'>
        <mac address='52:54:00:12:34:56'/>
        <source network='default' bridge='virbr0'/>
        <target dev='vnet0'/>
      </interface>
      <interface type='user'><mac address='52:54:00:12:34:57'/></interface>
    </devices>
  </domain>
</domstatus>"#;

    #[test]
    fn a_running_guest_is_read() {
        let status = parse(RUNNING).unwrap().unwrap();
        assert_eq!(status.pid, 4711);
        assert_eq!(status.names.name.as_deref(), Some("web"));
        assert_eq!(status.names.uuid.as_deref(), Some("1b4e28ba-2fa1-11d2-883f-0016d3cca427"));
        assert_eq!(status.cards, [("vnet0".to_owned(), Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]))]);
    }

    #[test]
    fn what_is_no_running_guest_is_nothing() {
        assert_eq!(parse("<domain><name>x</name></domain>").unwrap(), None);
        assert_eq!(parse("<domstatus pid='0'><domain/></domstatus>").unwrap(), None);
        assert_eq!(parse("<domstatus pid='7'/>").unwrap(), None);
        assert!(parse("<domstatus").is_err());
    }

    #[test]
    fn a_hostile_name_is_made_harmless() {
        let xml = "<domstatus pid='7'><domain><name>a&#x1b;[2J&#x202e;</name></domain></domstatus>";
        // Escape is no character of XML 1.0 at all, however it is written.
        assert!(parse(xml).is_err());
        let xml = xml.replace("&#x1b;", "");
        let name = parse(&xml).unwrap().unwrap().names.name.unwrap();
        assert!(!name.chars().any(text::is_hostile), "{name:?}");
    }

    #[test]
    fn a_directory_with_a_broken_file_gives_the_others() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("web.xml"), RUNNING).unwrap();
        std::fs::write(directory.path().join("bad.xml"), b"<\xff").unwrap();
        std::fs::write(directory.path().join("other.pid"), "7").unwrap();
        let found = read(directory.path()).unwrap();
        assert_eq!(found.guests.len(), 1);
        assert!(found.trouble.unwrap().contains("bad.xml"));
        assert_eq!(read(&directory.path().join("none")), None);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(cut in 0..RUNNING.len(), text in ".{0,60}") {
            let head = RUNNING.get(..cut).unwrap_or_default();
            drop(parse(&format!("{head}{text}")));
        }
    }
}
