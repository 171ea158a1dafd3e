//! A path → a unix socket that only its owner can open, or who listens there already.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::net::UnixListener;

use crate::{failure::Failure, instance::peer_pid};

/// The file of a socket that is being listened to; removed in the end, unless it became somebody else's.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|one| one.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{} stays behind: {error}", self.path.display());
        }
    }
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nobody,
    /// A socket nobody listens to any more.
    Stale,
    /// Somebody who answers; its process, if it is visible here.
    Alive(Option<i32>),
    /// Something that is no socket.
    NoSocket,
    /// The caller may not ask.
    Denied,
}

/// Looks who is at a path, without waiting.
///
/// # Errors
/// If the file system does not say.
pub fn occupant(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Occupant::NoSocket),
        Ok(_) => (),
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Occupant::Nobody),
                io::ErrorKind::PermissionDenied => Ok(Occupant::Denied),
                _ => Err(error),
            };
        }
    }
    match connect(path) {
        Ok(stream) => Ok(Occupant::Alive(peer_pid(&stream))),
        // The backlog is full: somebody listens, and is busy.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Occupant::Alive(None)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Occupant::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Occupant::Nobody),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Occupant::Denied),
        Err(error) => Err(error),
    }
}

/// Connects without waiting: the standard library's connect sleeps while a backlog is full.
fn connect(path: &Path) -> io::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &UnixAddr::new(path)?)?;
    Ok(descriptor.into())
}

/// Listens at a path with mode 0600, in the place of a stale socket if there is one.
///
/// # Errors
/// If somebody answers there, if something else is there, or if the file system refuses.
pub(super) fn bind(path: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
    let name = || format!("--socket {}", path.display());
    let parent = path.parent().unwrap_or(Path::new("/"));
    // 0755: who may talk is said by the socket itself, and where it is is no secret.
    DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(name)?;
    match occupant(path).with_context(name)? {
        Occupant::Nobody | Occupant::Stale => (),
        Occupant::Alive(pid) => {
            let pid = pid.map_or("its process is not visible here".to_owned(), |pid| format!("pid {pid}"));
            return Err(Failure::access(format!(
                "{}: an agent answers there already ({pid}); stop it, or choose another path",
                name()
            ))
            .into());
        }
        Occupant::NoSocket => {
            return Err(Failure::usage(format!("{}: something that is no socket is there", name())).into());
        }
        Occupant::Denied => return Err(Failure::access(format!("{}: permission denied", name())).into()),
    }
    // Bound under a name of its own, closed to others, then put in place at once: there is no moment in
    // which the socket is missing, or open to everybody.
    let fresh = parent.join(format!(".netobs.{}", std::process::id()));
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(name);
    }
    let listener = UnixListener::bind(&fresh).with_context(name)?;
    let placed = fs::set_permissions(&fresh, Permissions::from_mode(0o600))
        .and_then(|()| fs::symlink_metadata(&fresh))
        .and_then(|metadata| fs::rename(&fresh, path).map(|()| metadata.ino()));
    match placed {
        Ok(inode) => Ok((listener, SocketFile { path: path.to_owned(), inode })),
        Err(error) => {
            drop(fs::remove_file(&fresh));
            Err(error).with_context(name)
        }
    }
}

/// Removes a socket file nobody listens to. Returns whether there was one.
///
/// # Errors
/// If the file system refuses.
pub fn remove_stale(path: &Path) -> io::Result<bool> {
    if occupant(path)? != Occupant::Stale {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/netobs.sock");
        let (_listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(occupant(&path).unwrap(), Occupant::Alive(Some(std::process::id() as i32)));
        drop(file);
        assert_eq!(occupant(&path).unwrap(), Occupant::Nobody);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netobs.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(occupant(&path).unwrap(), Occupant::Stale);
        let (_listener, file) = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error:#}");
        assert_eq!(crate::failure::status(&error).code(), 3);
        // Somebody put another socket in its place: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn something_else_in_its_place_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netobs.sock");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("no socket"));
        assert!(!remove_stale(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn only_a_stale_socket_is_cleaned_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netobs.sock");
        assert!(!remove_stale(&path).unwrap());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(!remove_stale(&path).unwrap());
        drop(listener);
        assert!(remove_stale(&path).unwrap());
        assert!(!path.exists());
    }
}
