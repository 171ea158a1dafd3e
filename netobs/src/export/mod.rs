//! Reports → metrics, in the text forms Prometheus reads. Reads the report, and /proc about this process.

mod cap;
mod documentation;
mod families;
mod family;
mod itself;
mod labels;
mod page;
mod process;
mod rows;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;
mod text;
mod traffic;

pub use documentation::metrics as documentation;
pub use families::{ALL as FAMILIES, ALWAYS_ON_WORST_CASE};
pub use family::{BaseUnit, Family, Label, Shown, Type, Values};
pub use page::Exporter;
pub use process::Process;
pub use text::{Format, classic};
