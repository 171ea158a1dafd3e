//! The judging middle as a whole, on a made-up host: packets that travel ways in, reports out.

mod host;
mod journey;
mod kernel;
mod ways;
