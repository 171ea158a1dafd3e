//! Reading the host: links, addresses, routes, neighbours, namespaces, conntrack, processes. Nothing is
//! judged here: `facts` and the other plain values go to `identity`, `path` and `evidence`.

pub mod cgroup;
pub mod conntrack;
pub mod counters;
pub mod decode;
pub mod environment;
pub mod facts;
pub mod firewall;
pub mod health;
pub mod kallsyms;
pub mod listeners;
pub mod mirror;
pub mod namespaces;
pub mod netlink;
pub mod probe;
pub mod proc;
pub mod processes;
pub mod settings;
pub mod sockets;
pub mod stack;
pub mod sysctl;
pub mod tap;
pub mod watch;
