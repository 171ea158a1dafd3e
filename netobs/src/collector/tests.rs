//! The judging middle as a whole, on a made-up host: packets that travel ways in, reports out.

mod apart;
mod dropping;
mod errors;
mod host;
mod journey;
mod kernel;
mod lifecycle;
mod neighbours;
mod overflow;
mod proof;
mod settling;
mod ways;
