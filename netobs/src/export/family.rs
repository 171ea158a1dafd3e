//! What a metric family is: name, type, unit, help and labels, as the page and its documentation need them.

use prometheus_client::registry::Unit;

use crate::report::BOUNDS;

/// How a family behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows while the agent runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counters by size, with the bounds of [`crate::report::BOUNDS`].
    Histogram,
}

impl Type {
    /// The word of the exposition formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// When a family is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Always; finite whatever runs on the host, for all label values come from closed sets.
    Always,
    /// From `--detail workload` on, within `--max-series`.
    Workload,
    /// With `--detail endpoint`, within `--max-series`.
    Endpoint,
    /// Always; about the agent itself.
    Itself,
}

/// The values a label can have.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These and no others.
    Closed(fn() -> Vec<&'static str>),
    /// What runs on the host decides; the text says what it is.
    Open(&'static str),
}

/// A label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// A metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name as scraped, with unit and `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Type,
    /// The unit at the end of its name, if it is one of the base units.
    pub unit: Option<BaseUnit>,
    /// What it says, without a full stop: the encoder adds one.
    pub help: &'static str,
    /// Its labels, in the order of the values.
    pub labels: &'static [Label],
    /// When it is there.
    pub shown: Shown,
}

/// The base units netobs uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseUnit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// A part of one.
    Ratio,
}

impl BaseUnit {
    const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
        }
    }

    /// The encoder's word for it. Its own `Ratios` is written `ratios`, which is not the suffix in use.
    #[must_use]
    pub fn encoded(self) -> Unit {
        match self {
            Self::Bytes => Unit::Bytes,
            Self::Seconds => Unit::Seconds,
            Self::Ratio => Unit::Other("ratio".to_owned()),
        }
    }
}

impl Family {
    /// The name without what the encoder appends: unit, `_total`.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let Some(unit) = self.unit else { return name };
        name.strip_suffix(unit.name()).and_then(|stem| stem.strip_suffix('_')).unwrap_or(name)
    }

    /// The most series it can have, if all its labels are closed.
    #[must_use]
    pub fn worst_case(&self) -> Option<usize> {
        // A histogram's buckets with the one without a bound, its sum, its count.
        let each = if self.kind == Type::Histogram { BOUNDS.len() + 3 } else { 1 };
        self.labels.iter().try_fold(each, |product, label| match label.values {
            Values::Closed(all) => Some(product * all().len()),
            Values::Open(_) => None,
        })
    }
}
