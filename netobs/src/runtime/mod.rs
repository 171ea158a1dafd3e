//! Reading container runtimes and machine monitors: what runs here, as plain data, kept current.

pub mod backoff;
pub mod cri;
pub mod docker;
pub mod facts;
pub mod follow;
pub mod guests;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod meter;
pub mod namespaces;
pub mod owner;
