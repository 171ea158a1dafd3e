//! Servers in place of the sources of identity that answer well, or as no server should: asked by word, from one moment
//! to the next.

mod cri;
mod http;

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Result;
use nix::sys::socket::{Shutdown, shutdown};

use crate::netns::Stack;

/// What a source does instead of answering well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// It accepts connections and says nothing.
    Hung,
    /// Its lists have a gigabyte.
    Gigabyte,
    /// Its answers end in the middle of a frame.
    Cut,
    /// Its answers mean nothing.
    Wrong,
    /// Its lists are long, and wrong at their end.
    WrongLarge,
    /// It tells of changes without end, none of which means anything.
    Stream,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Hung, Self::Gigabyte, Self::Cut, Self::Wrong, Self::WrongLarge, Self::Stream];

    /// Whether it costs next to nothing to find out.
    #[must_use]
    pub const fn is_cheap(self) -> bool {
        matches!(self, Self::Hung | Self::Cut | Self::Wrong)
    }
}

/// Which source is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The Engine API.
    Docker,
    /// The container runtime interface.
    Cri,
    /// The Kubernetes API.
    Kubernetes,
}

/// More than any bound of the agent.
const GIGABYTE: usize = 1 << 30;

#[derive(Debug, Default)]
struct Shared {
    abuse: Option<Abuse>,
    connections: Vec<File>,
    /// Which listener is the present one.
    run: u64,
}

/// What the threads of a server know.
#[derive(Clone, Debug, Default)]
struct Switch(Arc<Mutex<Shared>>);

impl Switch {
    fn locked(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abuse(&self) -> Option<Abuse> {
        self.locked().abuse
    }

    fn close_all(&self) {
        for connection in self.locked().connections.drain(..) {
            shutdown(connection.as_raw_fd(), Shutdown::Both).ok();
        }
    }
}

/// A server; its threads end when it is dropped.
#[derive(Debug)]
pub struct Server {
    role: Role,
    switch: Switch,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Socket(PathBuf),
    Address(Stack, SocketAddr),
}

impl Server {
    /// Listens at a unix socket.
    ///
    /// # Errors
    /// When there is something else.
    pub fn at(role: Role, socket: &Path, abuse: Option<Abuse>) -> Result<Self> {
        Self::start(role, Place::Socket(socket.to_owned()), abuse)
    }

    /// Listens at an address inside a stack.
    ///
    /// # Errors
    /// When it is taken.
    pub fn within(role: Role, stack: &Stack, address: SocketAddr, abuse: Option<Abuse>) -> Result<Self> {
        Self::start(role, Place::Address(stack.clone(), address), abuse)
    }

    fn start(role: Role, place: Place, abuse: Option<Abuse>) -> Result<Self> {
        let server = Self { role, switch: Switch::default(), place };
        server.switch.locked().abuse = abuse;
        server.listen()?;
        Ok(server)
    }

    /// Behaves otherwise from now on: what is open is closed.
    pub fn turn(&self, abuse: Option<Abuse>) {
        self.switch.locked().abuse = abuse;
        self.switch.close_all();
    }

    /// Makes a unix socket anew, as a daemon does that starts again.
    ///
    /// # Errors
    /// When that is refused.
    pub fn restart(&self) -> Result<()> {
        let Place::Socket(path) = &self.place else { return Ok(()) };
        fs::remove_file(path)?;
        self.listen()?;
        self.switch.close_all();
        Ok(())
    }

    fn listen(&self) -> Result<()> {
        let run = {
            let mut shared = self.switch.locked();
            shared.run += 1;
            shared.run
        };
        let (role, switch) = (self.role, self.switch.clone());
        let mut accept: Box<dyn FnMut() -> io::Result<OwnedFd> + Send> = match &self.place {
            Place::Socket(path) => {
                let listener = UnixListener::bind(path)?;
                Box::new(move || listener.accept().map(|(stream, _)| stream.into()))
            }
            Place::Address(stack, address) => {
                let address = *address;
                let listener = stack.within(move || TcpListener::bind(address))??;
                Box::new(move || listener.accept().map(|(stream, _)| stream.into()))
            }
        };
        thread::spawn(move || {
            while let Ok(connection) = accept() {
                let connection = File::from(connection);
                let mut shared = switch.locked();
                if shared.run != run {
                    return;
                }
                // Kept, so that it can be closed; those that are long closed are few.
                shared.connections.extend(connection.try_clone());
                drop(shared);
                let switch = switch.clone();
                thread::spawn(move || match role {
                    Role::Cri => cri::serve(connection, &switch).ok(),
                    Role::Docker => http::serve(connection, &switch, http::docker).ok(),
                    Role::Kubernetes => http::serve(connection, &switch, http::kubernetes).ok(),
                });
            }
        });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.switch.locked().run += 1;
        self.switch.close_all();
    }
}
