//! What the registry promises, told by small worlds.

mod addresses;
mod away;
mod guests;
mod names;
mod numbers;
mod pairing;
mod world;
