//! The tables of sockets of the calling thread's network namespace → who waits for connections or datagrams.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use netobs_common::wire::Proto;

use super::{facts::stack::Listener, sockets};

/// `TCP_LISTEN` (include/net/tcp_states.h, Linux 6.18); an unconnected UDP socket is in `TCP_CLOSE`.
const LISTEN: &str = "0A";
const CLOSE: &str = "07";
/// Lines read of one table: a stack with more sockets than this has listeners among the first, where the kernel lists
/// them.
const MOST: usize = 262_144;

/// Sockets that wait, TCP and UDP, both families. Blocking.
#[must_use]
pub fn read() -> Vec<Listener> {
    let tables = [
        ("tcp", Proto::TCP, LISTEN),
        ("tcp6", Proto::TCP, LISTEN),
        ("udp", Proto::UDP, CLOSE),
        ("udp6", Proto::UDP, CLOSE),
    ];
    let mut found = Vec::new();
    for (table, proto, state) in tables {
        // Without IPv6 there is no table of it, and nothing in it.
        let Ok(file) = File::open(format!("/proc/thread-self/net/{table}")) else { continue };
        // Line by line: a table of a million sockets has 150 MB.
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        found.extend(lines.take(MOST).filter_map(|line| parse(&line, proto, state)));
    }
    found
}

/// A line of a table, if its socket is in that state and has no other end.
fn parse(line: &str, proto: Proto, wanted: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state != wanted || sockets::end(remote)?.port() != 0 {
        return None;
    }
    let six = local.split(':').next()?.len() == 32;
    let local = sockets::end(local)?;
    // Whether a socket at `::` takes IPv4 too (`IPV6_V6ONLY`) does not stand there; unless told otherwise it does.
    let both = six && local.ip().is_unspecified();
    Some(Listener { proto, address: local.ip(), port: local.port(), both })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn only_who_waits_is_taken() {
        let line = |state: &str, remote: &str| {
            let line =
                format!("   0: 0100007F:1F90 {remote} {state} 00000000:00000000 00:00000000 00000000 0 0 1");
            parse(&line, Proto::TCP, LISTEN).map(|one| (one.address.to_string(), one.port, one.both))
        };
        assert_eq!(line("0A", "00000000:0000"), Some(("127.0.0.1".into(), 8080, false)));
        assert_eq!(line("01", "00000000:0000"), None);
        assert_eq!(line("0A", "0100007F:0050"), None);
    }

    #[test]
    fn our_own_listeners_are_found() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let kept = std::net::TcpListener::bind("[::]:0").unwrap();
        let six = kept.local_addr().unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = read();
        let has = |proto, port, both| {
            found.iter().any(|one| (one.proto, one.port, one.both) == (proto, port, both))
        };
        assert!(!has(Proto::TCP, four.port(), false), "it was closed");
        assert!(has(Proto::TCP, six.port(), true));
        assert!(has(Proto::UDP, udp.local_addr().unwrap().port(), false));
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,120}") {
            prop_assert_ne!(parse(&line, Proto::TCP, LISTEN).map(|one| one.proto), Some(Proto::UDP));
        }
    }
}
