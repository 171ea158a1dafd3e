//! A family and the values of its labels → lines of the page, counted.

use std::{collections::BTreeMap, fmt, hash::Hash};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::family::{Family, Type};
use crate::report::{BOUNDS, Histogram};

/// A sample's value. Integers are written as integers: a float is exact to 2^53 only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

/// Writes families, and counts what it writes.
pub(super) struct Rows<'a> {
    encoder: DescriptorEncoder<'a>,
    written: u64,
}

impl<'a> Rows<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder, written: 0 }
    }

    /// Samples so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// A family with its samples; without any, its help and type are still there to be found.
    pub(super) fn family<'v, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'v str; N], Number)>,
    ) -> fmt::Result {
        if family.labels.len() != N {
            return Err(fmt::Error);
        }
        let unit = family.unit.map(super::family::BaseUnit::encoded);
        let kind = match family.kind {
            Type::Counter => MetricType::Counter,
            Type::Gauge => MetricType::Gauge,
            Type::Histogram => return Err(fmt::Error),
        };
        let mut metric = self.encoder.encode_descriptor(family.stem(), family.help, unit.as_ref(), kind)?;
        for (values, number) in samples {
            self.written += 1;
            if N == 0 {
                sample(&mut metric, family.kind, number)?;
                continue;
            }
            let labels: Vec<(&str, &str)> =
                family.labels.iter().map(|label| label.name).zip(values).collect();
            sample(&mut metric.encode_family(&labels)?, family.kind, number)?;
        }
        Ok(())
    }

    /// A family of histograms.
    pub(super) fn histograms<'v, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'v str; N], &'v Histogram)>,
    ) -> fmt::Result {
        if family.labels.len() != N || family.kind != Type::Histogram {
            return Err(fmt::Error);
        }
        let unit = family.unit.map(super::family::BaseUnit::encoded);
        let kind = MetricType::Histogram;
        let mut metric = self.encoder.encode_descriptor(family.stem(), family.help, unit.as_ref(), kind)?;
        for (values, one) in samples {
            self.written += BOUNDS.len() as u64 + 3;
            let labels: Vec<(&str, &str)> =
                family.labels.iter().map(|label| label.name).zip(values).collect();
            // The encoder adds them up.
            let buckets: Vec<(f64, u64)> =
                BOUNDS.into_iter().zip(one.counts).chain([(f64::INFINITY, one.longer)]).collect();
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                one.sum,
                one.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    /// A family without labels; no sample if there is no value.
    pub(super) fn single(&mut self, family: &Family, number: Option<Number>) -> fmt::Result {
        self.family::<0>(family, number.map(|number| ([], number)))
    }
}

fn sample(metric: &mut MetricEncoder<'_>, kind: Type, number: Number) -> fmt::Result {
    match (kind, number) {
        (Type::Counter, Number::Whole(value)) => metric.encode_counter::<NoLabelSet, u64, f64>(&value, None),
        (Type::Counter, Number::Real(value)) => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        (Type::Gauge, Number::Whole(value)) => metric.encode_gauge(&value),
        (Type::Gauge, Number::Real(value)) => metric.encode_gauge(&value),
        (Type::Histogram, _) => Err(fmt::Error),
    }
}

/// Samples whose labels became equal, added up: two lines for one series would spoil the whole page.
pub(super) fn merged<K: Ord + Hash>(samples: impl IntoIterator<Item = (K, u64)>) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, value) in samples {
        let sum: &mut u64 = sums.entry(key).or_default();
        *sum = sum.wrapping_add(value);
    }
    sums
}
