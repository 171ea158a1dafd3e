//! A report → the picture of a host: who hangs where, and what flows between them. Pure.

mod build;
mod document;
mod dot;
mod fold;
#[cfg(test)]
pub(crate) mod made_up;
mod mermaid;
mod picture;
mod places;
#[cfg(test)]
mod tests;
mod way;

pub use build::build;
pub use document::{MapDocument, MapEdge, MapNode};
pub use dot::dot;
pub use fold::fold;
pub(crate) use mermaid::escaped;
pub use mermaid::mermaid;
