//! Small senders and receivers whose packets can be counted beforehand: exactly N datagrams, exactly N
//! distinct tuples, exactly N connections. Bounded in number and rate; sends where it is told to, nowhere else.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Countable traffic for the lab")]
enum Traffic {
    /// Send `--count` datagrams of one tuple.
    UdpSend {
        /// Where to.
        to: SocketAddr,
        /// Own port, 0 for any.
        #[arg(long, default_value_t = 0)]
        from_port: u16,
        /// How many datagrams.
        #[arg(long, default_value_t = 1000)]
        count: u32,
        /// Payload of each, in bytes.
        #[arg(long, default_value_t = 1000)]
        size: usize,
        /// Datagrams a second.
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
    },
    /// Receive datagrams until `--count` have come or none came for two seconds; print how many.
    UdpSink {
        /// Where to listen.
        listen: SocketAddr,
        /// How many to wait for.
        #[arg(long, default_value_t = 1000)]
        count: u32,
        /// Answer each with as many bytes, of another letter than what was sent.
        #[arg(long)]
        echo: bool,
    },
    /// Send one datagram, wait for the answer, and print the own port.
    UdpAsk {
        /// Where to.
        to: SocketAddr,
        /// Payload in bytes.
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
    /// Send one datagram on each of `--count` distinct tuples: source ports × destination ports.
    Flood {
        /// The address to send to.
        to: IpAddr,
        /// How many tuples.
        #[arg(long)]
        count: u32,
        /// Payload of each, in bytes.
        #[arg(long, default_value_t = 18)]
        size: usize,
        /// Datagrams a second.
        #[arg(long, default_value_t = 60_000)]
        rate: u32,
    },
    /// Accept connections, read each to its end (a GET: to the end of its headers), answer, and close.
    TcpServe {
        /// Where to listen.
        listen: SocketAddr,
        /// Bytes of the answer.
        #[arg(long, default_value_t = 100)]
        answer: usize,
        /// End after this many connections.
        #[arg(long, default_value_t = u32::MAX)]
        count: u32,
    },
    /// Open connections one after the other, send, read the answer; print the local ports.
    TcpConnect {
        /// Where to.
        to: SocketAddr,
        /// How many connections.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Bytes each sends.
        #[arg(long, default_value_t = 100)]
        bytes: usize,
        /// Connections a second.
        #[arg(long, default_value_t = 1000)]
        rate: u32,
    },
    /// Open one connection and, so many times a second, send some bytes and wait for as many; print the own port first.
    TcpTalk {
        /// Where to; somebody who sends back what it gets.
        to: SocketAddr,
        /// Questions a second.
        #[arg(long, default_value_t = 20)]
        rate: u32,
        /// Seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u32,
        /// Bytes of each.
        #[arg(long, default_value_t = 200)]
        bytes: usize,
    },
    /// Accept connections and send back what comes.
    TcpEcho {
        /// Where to listen.
        listen: SocketAddr,
    },
    /// A line between a tunnel device here and one in another network namespace.
    Relay {
        /// The namespace's file.
        far: std::path::PathBuf,
        /// What each packet waits, each way.
        #[arg(long)]
        milliseconds: u64,
    },
}

fn main() -> Result<()> {
    match Traffic::parse() {
        Traffic::UdpSend { to, from_port, count, size, rate } => udp_send(to, from_port, count, size, rate),
        Traffic::UdpSink { listen, count, echo } => udp_sink(listen, count, echo),
        Traffic::UdpAsk { to, size } => udp_ask(to, size),
        Traffic::Flood { to, count, size, rate } => flood(to, count, size, rate),
        Traffic::TcpServe { listen, answer, count } => tcp_serve(listen, answer, count),
        Traffic::TcpConnect { to, count, bytes, rate } => tcp_connect(to, count, bytes, rate),
        Traffic::TcpTalk { to, rate, seconds, bytes } => tcp_talk(to, rate, seconds, bytes),
        Traffic::TcpEcho { listen } => tcp_echo(listen),
        Traffic::Relay { far, milliseconds } => {
            netobs_tests::relay::run(&far, Duration::from_millis(milliseconds))
        }
    }
}

/// Any address of the family of `peer`.
fn any(peer: IpAddr, port: u16) -> SocketAddr {
    let any: IpAddr = if peer.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
    SocketAddr::new(any, port)
}

/// Sleeps until the `sent`-th packet is due.
fn pace(start: Instant, sent: u32, rate: u32) {
    let due = start + Duration::from_secs_f64(f64::from(sent) / f64::from(rate.max(1)));
    let now = Instant::now();
    // Shorter sleeps than this last longer than asked.
    if due > now + Duration::from_micros(500) {
        thread::sleep(due - now);
    }
}

fn udp_send(to: SocketAddr, from_port: u16, count: u32, size: usize, rate: u32) -> Result<()> {
    let socket = UdpSocket::bind(any(to.ip(), from_port)).context("binding")?;
    let payload = vec![b'n'; size];
    let start = Instant::now();
    for sent in 0..count {
        pace(start, sent, rate);
        socket.send_to(&payload, to).with_context(|| format!("datagram {sent} to {to}"))?;
    }
    println!("{}", socket.local_addr()?.port());
    Ok(())
}

fn udp_sink(listen: SocketAddr, count: u32, echo: bool) -> Result<()> {
    let socket = UdpSocket::bind(listen).context("binding")?;
    let mut buffer = vec![0; 65_536];
    let mut received = 0;
    // The first one may take its time, the others follow at once.
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    while received < count {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
        if echo {
            socket.send_to(&vec![b'a'; length], from).context("answering")?;
        }
        received += 1;
        if received == 1 {
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        }
    }
    println!("{received}");
    Ok(())
}

fn udp_ask(to: SocketAddr, size: usize) -> Result<()> {
    let socket = UdpSocket::bind(any(to.ip(), 0)).context("binding")?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.send_to(&vec![b'r'; size], to).context("asking")?;
    socket.recv_from(&mut vec![0; size]).with_context(|| format!("waiting for the answer of {to}"))?;
    println!("{}", socket.local_addr()?.port());
    Ok(())
}

fn flood(to: IpAddr, count: u32, size: usize, rate: u32) -> Result<()> {
    const DESTINATIONS: u32 = 1000;
    const FIRST_PORT: u16 = 20_000;
    let payload = vec![b'f'; size];
    let start = Instant::now();
    let mut sent = 0;
    let mut port = FIRST_PORT;
    while sent < count {
        let socket = UdpSocket::bind(any(to, port)).with_context(|| format!("binding port {port}"))?;
        for destination in 0..DESTINATIONS.min(count - sent) {
            let destination = SocketAddr::new(to, FIRST_PORT + u16::try_from(destination)?);
            if sent % 64 == 0 {
                pace(start, sent, rate);
            }
            socket.send_to(&payload, destination).with_context(|| format!("tuple {sent}"))?;
            sent += 1;
        }
        port = port.checked_add(1).context("out of ports")?;
    }
    println!("{sent}");
    Ok(())
}

fn tcp_serve(listen: SocketAddr, answer: usize, count: u32) -> Result<()> {
    let listener = TcpListener::bind(listen).context("listening")?;
    let answer = vec![b'a'; answer];
    for _ in 0..count {
        let (mut stream, _) = listener.accept().context("accepting")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // A client that gives up is its own affair.
        if let Ok(web) = read_request(&mut stream) {
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.write_all(if web { head.as_bytes() } else { &[] }).ok();
            stream.write_all(&answer).ok();
        }
    }
    Ok(())
}

/// Reads to the end of the stream, or of a GET request's headers; says whether it was the latter.
fn read_request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = Vec::new();
    let mut part = [0; 65_536];
    loop {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Ok(false);
        }
        // Only the beginning can be a GET, and only its headers are kept.
        request.extend_from_slice(&part[..length.min(8_192_usize.saturating_sub(request.len()))]);
        if request.starts_with(b"GET ") && request.ends_with(b"\r\n\r\n") {
            return Ok(true);
        }
    }
}

fn tcp_connect(to: SocketAddr, count: u32, bytes: usize, rate: u32) -> Result<()> {
    let request = vec![b'r'; bytes];
    let start = Instant::now();
    for done in 0..count {
        pace(start, done, rate);
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10)).context("connecting")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        println!("{}", stream.local_addr()?.port());
        stream.write_all(&request)?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).context("reading the answer")?;
    }
    Ok(())
}

fn tcp_talk(to: SocketAddr, rate: u32, seconds: u32, bytes: usize) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10)).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    println!("{}", stream.local_addr()?.port());
    std::io::stdout().flush()?;
    let (question, mut answer) = (vec![b'q'; bytes], vec![0; bytes]);
    let start = Instant::now();
    for done in 0..rate * seconds {
        pace(start, done, rate);
        stream.write_all(&question)?;
        stream.read_exact(&mut answer).context("reading the answer")?;
    }
    Ok(())
}

fn tcp_echo(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).context("listening")?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(buffer.get(..length).unwrap_or_default()).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}
