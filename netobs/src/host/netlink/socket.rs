//! One netlink socket: datagrams as they come, and whether the kernel had to drop some.

use std::io;

use anyhow::Context as _;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

/// The kernel builds dumps in pieces no larger than what was read into, notifications are far smaller; what is larger
/// is recognised as cut off.
const DATAGRAM: usize = 64 * 1024;

/// What a socket had to give.
#[derive(Debug)]
pub enum Datagram<'a> {
    /// Messages from the kernel.
    Messages(&'a [u8]),
    /// Messages were lost: the receive buffer was full, or a datagram was larger than ours.
    Lost,
}

/// A netlink socket of the network namespace the calling thread is in; it stays there.
#[derive(Debug)]
pub struct NetlinkSocket {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens a socket and joins multicast groups. `receive_buffer` is in bytes, asked for beyond the system's
    /// limit where the privilege allows it.
    ///
    /// # Errors
    /// The protocol is not in this kernel, or joining needs a privilege we do not have.
    pub fn open(protocol: isize, groups: &[u32], receive_buffer: usize) -> anyhow::Result<Self> {
        let mut socket = Socket::new(protocol).context("cannot open a netlink socket")?;
        socket.set_non_blocking(true).context("cannot make a netlink socket non-blocking")?;
        if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &receive_buffer)
                .context("cannot size a netlink receive buffer")?;
        }
        socket.bind_auto().context("cannot bind a netlink socket")?;
        for group in groups {
            socket
                .add_membership(*group)
                .with_context(|| format!("cannot listen to netlink group {group} (CAP_NET_ADMIN?)"))?;
        }
        // SAFETY: the socket owns its descriptor, gives the same one for all of its life and closes it when
        // dropped, which `AsyncFd` does last.
        let socket = unsafe { AsyncFd::register(socket) }.context("cannot watch a netlink socket")?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// Sends one datagram to the kernel.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| socket.get_ref().send_to(datagram, &SocketAddr::new(0, 0), 0)) {
                Ok(sent) => return sent.map(drop),
                Err(_would_block) => {}
            }
        }
    }

    /// Waits for the next datagram of the kernel. Cancelling it loses nothing.
    ///
    /// # Errors
    /// What the kernel says, except that its buffer was full: that is [`Datagram::Lost`].
    pub async fn receive(&mut self) -> io::Result<Datagram<'_>> {
        let read = loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| read(socket.get_ref(), &mut self.buffer)) {
                Ok(result) => match result? {
                    Read::Foreign => {}
                    read => break read,
                },
                Err(_would_block) => {}
            }
        };
        Ok(read.datagram(&self.buffer))
    }

    /// The next datagram if there is one already.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn try_receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        loop {
            match read(self.socket.get_ref(), &mut self.buffer) {
                Ok(Read::Foreign) => {}
                Ok(read) => return Ok(Some(read.datagram(&self.buffer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

enum Read {
    Bytes(usize),
    Lost,
    /// Not from the kernel: another process may address our port.
    Foreign,
}

impl Read {
    fn datagram(self, buffer: &[u8]) -> Datagram<'_> {
        match self {
            Self::Bytes(length) => buffer.get(..length).map_or(Datagram::Lost, Datagram::Messages),
            Self::Lost | Self::Foreign => Datagram::Lost,
        }
    }
}

fn read(socket: &Socket, mut buffer: &mut [u8]) -> io::Result<Read> {
    match socket.recv_from(&mut buffer, libc::MSG_TRUNC) {
        Ok((_, sender)) if sender.port_number() != 0 => Ok(Read::Foreign),
        Ok((length, _)) if length > DATAGRAM => Ok(Read::Lost),
        Ok((length, _)) => Ok(Read::Bytes(length)),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Read::Lost),
        Err(error) => Err(error),
    }
}
