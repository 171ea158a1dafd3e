//! The configuration file → a [`Layer`], or one line that names file, line and column.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::layer::Layer;
use crate::failure::{Failure, flatten};

/// Where the file is looked for when nobody names one.
pub const DEFAULT_FILE: &str = "/etc/netobs/netobs.toml";

/// Larger files are refused unread: a configuration has a dozen lines.
pub(super) const SIZE_LIMIT: u64 = 1 << 20;

/// Reads the named file, or the default one if it exists.
///
/// # Errors
/// A [`Failure`] of one line if a named file does not exist, cannot be read, is too large or is wrong.
pub(super) fn read(named: Option<&Path>) -> Result<Layer, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let bytes = match load(path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Layer::default());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::usage(format!("{}: there is no such configuration file", path.display())));
        }
        Err(error) => return Err(Failure::usage(format!("{}: {error}", path.display()))),
    };
    parse(&bytes).map_err(|error| Failure::usage(format!("{}{error}", path.display())))
}

/// The bytes of a regular file within the limit. Opened without waiting: a pipe in its place must not hang.
fn load(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::other("larger than 1 MiB, which no configuration of netobs is"));
    }
    Ok(bytes)
}

/// TOML → layer; an error starts with `:LINE:COLUMN: `, both counted from one, columns in characters.
///
/// # Errors
/// What is wrong, on one line.
pub(super) fn parse(bytes: &[u8]) -> Result<Layer, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = position(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
        format!(":{line}:{column}: this is not UTF-8 text")
    })?;
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text.get(..start).unwrap_or(text));
        format!(":{line}:{column}: {}", flatten(error.message()))
    })
}

/// Line and column of the place right behind a text.
fn position(before: &str) -> (usize, usize) {
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&one| one != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use std::{ffi::CString, fs};

    use proptest::prelude::*;

    use super::{super::layer::*, *};

    #[test]
    fn every_key_of_the_file_is_understood() {
        let text = r#"
            metrics_listen = "127.0.0.1:1"
            web_listen = "[::1]:2"
            socket = "/run/x.sock"
            detail = "endpoint"
            max_series = 3
            max_flows = 4
            uplink = ["eth0", "eth1"]
            docker_socket = ""
            libvirt_dir = "/run/x"
            kubeconfig = ""
            node_name = "n1"
            network = ["office=203.0.113.0/24"]
            node = ["two=198.51.100.3", "two=10.244.2.0/24"]
            cri_socket = "unix:///run/y.sock"
            attach = "clsact"
            log_level = "debug"
            log_format = "json"
        "#;
        let layer = parse(text.as_bytes()).unwrap();
        assert_eq!(layer.detail, Some(Detail::Endpoint));
        assert_eq!(layer.uplink, ["eth0", "eth1"]);
        assert_eq!(layer.docker_socket.as_deref(), Some(""));
        assert_eq!(layer.attach, Some(Attach::Clsact));
        assert_eq!(layer.log_format, Some(LogFormat::Json));
        assert_eq!(layer.web_listen.unwrap().port(), 2);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_known_ones() {
        let error = parse(b"max_flows = 1\n\n  max_flow = 2\n").unwrap_err();
        assert!(error.starts_with(":3:3: unknown field `max_flow`, expected one of "), "{error}");
        assert!(error.contains("`metrics_listen`"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn bad_types_and_bad_toml_are_refused_with_their_place() {
        let table: [(&[u8], &str); 7] = [
            (b"max_flows = \"many\"", ":1:13: invalid type: string \"many\", expected u32"),
            (b"max_flows = -1", ":1:13: invalid value: integer `-1`, expected u32"),
            (b"# x\nmetrics_listen = \"here\"", ":2:18: invalid socket address syntax"),
            (b"uplink = \"eth0\"", ":1:10: invalid type: string \"eth0\", expected a sequence"),
            (
                b"detail = \"all\"",
                ":1:10: unknown variant `all`, expected one of `path`, `workload`, `endpoint`",
            ),
            (b"socket = ", ":1:10: "),
            (b"# \xc3\xa4\n# \xff", ":2:3: this is not UTF-8 text"),
        ];
        for (text, expected) in table {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{}: {error}", String::from_utf8_lossy(text));
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let error = read(Some(&directory.path().join("none.toml"))).unwrap_err();
        assert!(error.to_string().ends_with("none.toml: there is no such configuration file"));
    }

    #[test]
    fn what_is_no_small_regular_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large.toml");
        fs::write(&large, vec![b'#'; (SIZE_LIMIT + 1) as usize]).unwrap();
        assert!(read(Some(&large)).unwrap_err().to_string().contains("larger than 1 MiB"));

        let pipe = directory.path().join("pipe");
        let name = CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: `name` is a valid C string for the length of the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(read(Some(&pipe)).unwrap_err().to_string().ends_with("not a regular file"));
        assert!(read(Some(directory.path())).unwrap_err().to_string().ends_with("not a regular file"));
    }

    #[test]
    fn a_file_behind_a_link_is_read_as_a_config_map_mounts_it() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "max_flows = 7").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(Some(&link)).unwrap().max_flows, Some(7));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic_or_answer_in_two_lines(bytes in any::<Vec<u8>>(), text in "[a-z_]{0,12} ?= ?.{0,20}\n.{0,20}") {
            for file in [bytes.as_slice(), text.as_bytes()] {
                if let Err(error) = parse(file) {
                    prop_assert!(!error.contains('\n'));
                    prop_assert!(error.starts_with(':'));
                }
            }
        }
    }
}
