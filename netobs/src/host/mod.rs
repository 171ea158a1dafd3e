//! Reading the host: links, addresses, routes, neighbours, namespaces, conntrack, processes. Nothing is
//! judged here: `facts` and the other plain values go to `identity`, `path` and `evidence`.

pub mod counters;
pub mod decode;
pub mod facts;
pub mod health;
pub mod mirror;
pub mod netlink;
pub mod watch;
