//! Documents from an agent → a live picture of the flows on a terminal, or one table of them.
//!
//! [`State`] and [`view()`] are pure; [`run()`] is the only part that touches a terminal.

mod ended;
mod facts;
mod filter;
mod head;
mod input;
mod keys;
#[cfg(test)]
pub(crate) mod made_up;
mod once;
mod order;
mod run;
mod state;
mod terminal;
mod view;

pub use ended::has_ended;
pub use filter::Filter;
pub use input::{TopInput, Update};
pub use once::{once, shown};
pub use order::{Sort, SortBy};
pub use run::run;
pub use state::{Event, Screen, State};
pub use view::view;
