//! The lab that stays: built by one command, looked at by hand or by `netobs`, removed by another.

mod down;
mod scene;
mod up;

use std::path::Path;

pub use down::down;
pub use up::{Plan, up};

/// Where the lab keeps its sockets, logs and state.
pub const DIRECTORY: &str = "/run/netobs-lab";
/// What its namespaces' names start with.
pub const NAMES: &str = "netobs-lab-";
/// The bridge of the demonstration in the machine's own namespace.
pub const DEMO_BRIDGE: &str = "netobs-demo0";
/// Its address; the containers of the demonstration are its neighbours.
pub const DEMO_GATEWAY: &str = "198.51.100.1";

/// The file that says what was built; present only once everything is.
fn state_file() -> std::path::PathBuf {
    Path::new(DIRECTORY).join("state")
}
