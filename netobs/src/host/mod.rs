//! Reading the host: links, addresses, routes, neighbours, namespaces, conntrack, processes. Nothing is
//! judged here: `facts` and the other plain values go to `identity`, `path` and `evidence`.

pub mod facts;
