//! A line that takes its time: packets from a tunnel device in one network namespace come out of one in another, each
//! so much later. This kernel has no netem.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};

/// The name of the device at both ends.
pub const DEVICE: &str = "relay0";

/// Packets under way in one direction: more than that, and the line is what limits.
const UNDER_WAY: usize = 65_536;

/// Makes a device here and one in the namespace `far`, and carries packets between them until it is killed.
///
/// # Errors
/// Without privilege.
pub fn run(far: &Path, delay: Duration) -> Result<()> {
    let near = open()?;
    let namespace = File::open(far).with_context(|| format!("opening {}", far.display()))?;
    setns(namespace, CloneFlags::CLONE_NEWNET).context("entering the other namespace")?;
    let far = open()?;
    println!("ready");
    let there = carry(Arc::clone(&near), Arc::clone(&far), delay);
    let back = carry(far, near, delay);
    for end in there.into_iter().chain(back) {
        if end.join().is_err() {
            bail!("a direction failed");
        }
    }
    Ok(())
}

fn carry(from: Arc<File>, to: Arc<File>, delay: Duration) -> [thread::JoinHandle<()>; 2] {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        // A device that is down for now is no end.
        loop {
            match (&*from).read(&mut buffer) {
                Ok(length) => {
                    let packet = buffer.get(..length).unwrap_or_default().to_vec();
                    if sender.send((Instant::now() + delay, packet)).is_err() {
                        return;
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    let write = thread::spawn(move || {
        for (due, packet) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A receiver that is down loses packets, as any line does.
            drop((&*to).write(&packet));
        }
    });
    [read, write]
}

/// A tunnel device of network packets without a header of its own (`Documentation/networking/tuntap.rst`, Linux 6.18).
fn open() -> Result<Arc<File>> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").context("/dev/net/tun")?;
    // SAFETY: an all-zero `ifreq` is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: the descriptor is open and the request lives through the call, which writes the name into it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("making a tunnel device");
    }
    Ok(Arc::new(file))
}
