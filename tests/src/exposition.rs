//! The text a scrape returns → samples that can be summed and compared. Classic text and OpenMetrics.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// One line of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name as written, with `_total`, `_bucket` and their like.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value; counters of netobs are whole numbers far below 2^53.
    pub value: f64,
}

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Every sample.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads an exposition.
    ///
    /// # Errors
    /// With the first line that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines
            .map(|line| sample(line).with_context(|| format!("sample {line:?}")))
            .collect::<Result<_>>()?;
        Ok(Self { samples })
    }

    /// Samples of this name that carry all these labels.
    pub fn select<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|own| own == value))
        })
    }

    /// Sum over [`Self::select`], 0 where nothing matches.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.select(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether a family has any sample.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// What grew since an earlier scrape, series by series; series that did not are left out.
    #[must_use]
    pub fn since(&self, earlier: &Self, name: &str) -> BTreeMap<BTreeMap<String, String>, f64> {
        let mut growth = BTreeMap::new();
        for (scrape, sign) in [(self, 1.0), (earlier, -1.0)] {
            for sample in scrape.select(name, &[]) {
                *growth.entry(sample.labels.clone()).or_insert(0.0) += sign * sample.value;
            }
        }
        growth.retain(|_, value| *value != 0.0);
        growth
    }
}

fn sample(line: &str) -> Result<Sample> {
    let (name, rest) = match line.find('{') {
        Some(brace) => (&line[..brace], &line[brace + 1..]),
        None => {
            let (name, value) = line.split_once(' ').context("no value")?;
            return Ok(Sample { name: name.into(), labels: BTreeMap::new(), value: number(value)? });
        }
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(Sample { name: name.into(), labels, value: number(after)? });
        }
        let (key, after) = rest.split_once("=\"").context("label without value")?;
        let (value, after) = quoted(after)?;
        if labels.insert(key.to_owned(), value).is_some() {
            bail!("label {key} twice");
        }
        rest = after;
    }
}

/// A label's value up to its closing quote, escapes undone, and what follows.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next().context("escape at the end")?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    bail!("label value without end")
}

/// The value, without a timestamp or an exemplar behind it.
fn number(text: &str) -> Result<f64> {
    let word = text.split_whitespace().next().context("no value")?;
    Ok(match word {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ => word.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_quotes_braces_and_commas() {
        let sample = sample(r#"a_total{x="1,\"}{",y="2"} 7 1700000000"#).unwrap();
        assert_eq!(sample.labels["x"], "1,\"}{");
        assert_eq!(sample.value, 7.0);
    }

    #[test]
    fn sums_count_only_what_carries_every_label() {
        let all =
            Exposition::parse("# TYPE a counter\na{p=\"tcp\",q=\"1\"} 1\na{p=\"udp\",q=\"1\"} 2\nb 4\n")
                .unwrap();
        assert_eq!(all.sum("a", &[("q", "1")]), 3.0);
        assert_eq!(all.sum("a", &[("q", "1"), ("p", "udp")]), 2.0);
        assert_eq!(all.sum("b", &[]), 4.0);
        assert_eq!(all.sum("c", &[]), 0.0);
    }

    #[test]
    fn a_series_that_appears_counts_from_zero_and_a_still_one_is_left_out() {
        let before = Exposition::parse("a{p=\"x\"} 3\n").unwrap();
        let after = Exposition::parse("a{p=\"x\"} 3\na{p=\"y\"} 5\n").unwrap();
        let growth = after.since(&before, "a");
        assert_eq!(growth.values().copied().collect::<Vec<_>>(), [5.0]);
    }
}
