//! Reading container runtimes and machine monitors: what runs here, as plain data, kept current.

pub mod backoff;
pub mod docker;
pub mod facts;
pub mod guests;
pub mod namespaces;
