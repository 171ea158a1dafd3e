//! What the registry promises, told by small worlds.

mod addresses;
mod names;
mod numbers;
mod pairing;
mod world;
