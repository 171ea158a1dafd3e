//! Pairs of endpoints and the flows between them → the matrix: for each kind of sender, kind of receiver and way how
//! many pairs are in which verdict, and why that is said. Pure.

mod build;
mod document;
#[cfg(test)]
pub(crate) mod made_up;

pub use build::build;
pub use document::{CellEvidence, MatrixCell, MatrixDocument};
