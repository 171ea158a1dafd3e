//! One connection, datagram or echo from the calling thread's network namespace → what became of it. Blocking, and
//! bounded in time and number: a connection that is opened is closed at once, a datagram has one byte, an echo is one.

use std::{
    io::{self, ErrorKind, Read as _},
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Less than a microsecond would mean no limit at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A connection is opened.
    Tcp(SocketAddr),
    /// A datagram of one zero byte is sent.
    Udp(SocketAddr),
    /// An echo request is sent (RFC 792, RFC 4443), which needs `CAP_NET_RAW`.
    Echo(IpAddr),
}

/// What became of it.
#[derive(Debug)]
pub struct Probed {
    /// The port it was sent from; of an echo its identifier.
    pub from_port: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// What the kernel said. `TimedOut`, `WouldBlock` where nothing came back.
    pub result: io::Result<()>,
}

/// Sends it and waits for an answer, no longer than `within`.
#[must_use]
pub fn send(probe: Probe, within: Duration) -> Probed {
    let began = Instant::now();
    let mut from_port = None;
    let result = match probe {
        Probe::Tcp(to) => tcp(to, within, &mut from_port),
        Probe::Udp(to) => udp(to, within, &mut from_port),
        Probe::Echo(to) => echo(to, within, &mut from_port),
    };
    Probed { from_port, took: began.elapsed(), result }
}

fn tcp(to: SocketAddr, within: Duration, from_port: &mut Option<u16>) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    bind(&socket, to, from_port)?;
    socket.connect_timeout(&to.into(), within)
}

fn udp(to: SocketAddr, within: Duration, from_port: &mut Option<u16>) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    bind(&socket, to, from_port)?;
    // Connected, so that ICMP errors are given to it.
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(within.max(SHORTEST)))?;
    socket.send(&[0])?;
    (&socket).read(&mut [0; 64]).map(drop)
}

/// The port is known before anything is sent: what is seen of it can be told by that.
fn bind(socket: &Socket, to: SocketAddr, from_port: &mut Option<u16>) -> io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    *from_port = socket.local_addr()?.as_socket().map(|own| own.port());
    Ok(())
}

/// `ping` takes its process number, which begins low again and again.
static IDENTIFIERS: AtomicU16 = AtomicU16::new(0x6e6f);

/// Types and codes of echo requests and answers.
const REQUEST_V4: u8 = 8;
const ANSWER_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const ANSWER_V6: u8 = 129;

fn echo(to: IpAddr, within: Duration, from_port: &mut Option<u16>) -> io::Result<()> {
    let (domain, protocol, request, wanted) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, REQUEST_V4, ANSWER_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, REQUEST_V6, ANSWER_V6),
    };
    // One that no other echo of this moment has, nor had a while ago.
    let identifier = IDENTIFIERS.fetch_add(1, Ordering::Relaxed);
    *from_port = Some(identifier);
    let [high, low] = identifier.to_be_bytes();
    let socket = Socket::new(domain, Type::RAW.cloexec(), Some(protocol))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let mut packet = [request, 0, 0, 0, high, low, 0, 1];
    if to.is_ipv4() {
        // The kernel fills it in for ICMPv6 alone (RFC 3542, 3.1).
        [packet[2], packet[3]] = checksum(&packet).to_be_bytes();
    }
    socket.send(&packet)?;
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left.max(SHORTEST)))?;
        let mut buffer = [0; 256];
        let length = (&socket).read(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if is_answer(bytes, to.is_ipv4(), wanted, [high, low]) {
            return Ok(());
        }
    }
}

/// Whether a message is the answer to that request. IPv4 sockets get the header before it (raw(7)).
fn is_answer(bytes: &[u8], v4: bool, wanted: u8, identifier: [u8; 2]) -> bool {
    let header = if v4 { bytes.first().map_or(0, |byte| usize::from(byte & 0xf) * 4) } else { 0 };
    let Some(message) = bytes.get(header..) else { return false };
    message.first() == Some(&wanted) && message.get(4..6) == Some(&identifier[..])
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(2);

    #[test]
    fn a_connection_is_opened_and_its_port_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let probed = send(Probe::Tcp(listener.local_addr().unwrap()), SOON);
        assert!(probed.result.is_ok(), "{probed:?}");
        let (_, from) = listener.accept().unwrap();
        assert_eq!(probed.from_port, Some(from.port()));
    }

    #[test]
    fn a_refusal_is_told_as_one() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for probe in [Probe::Tcp(closed), Probe::Udp(closed)] {
            let probed = send(probe, SOON);
            assert_eq!(probed.result.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{probe:?}");
            assert!(probed.from_port.is_some());
        }
    }

    #[test]
    fn a_datagram_that_is_answered_or_not() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let probed = send(Probe::Udp(silent.local_addr().unwrap()), Duration::from_millis(50));
        assert_eq!(probed.result.unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut byte = [9; 4];
        let (length, from) = silent.recv_from(&mut byte).unwrap();
        assert_eq!((length, byte[0], Some(from.port())), (1, 0, probed.from_port));
    }

    #[test]
    fn only_the_answer_to_this_request_is_one() {
        let header = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let answer = |kind: u8, low: u8| [&header[..], &[kind, 0, 0, 0, 7, low, 0, 1]].concat();
        assert!(is_answer(&answer(ANSWER_V4, 9), true, ANSWER_V4, [7, 9]));
        assert!(!is_answer(&answer(ANSWER_V4, 8), true, ANSWER_V4, [7, 9]), "another's");
        assert!(!is_answer(&answer(REQUEST_V4, 9), true, ANSWER_V4, [7, 9]), "the request itself");
        assert!(
            !is_answer(&header[..4], true, ANSWER_V4, [7, 9]) && !is_answer(&[], false, ANSWER_V6, [7, 9])
        );
        assert!(is_answer(&[ANSWER_V6, 0, 0, 0, 7, 9], false, ANSWER_V6, [7, 9]));
    }

    #[test]
    fn a_checksum_is_that_of_the_rfc() {
        // RFC 1071, 3: the sum of these words is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
