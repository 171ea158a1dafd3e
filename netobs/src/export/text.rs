//! An `Accept` header and a page in OpenMetrics text → the form the scraper can read. Pure.

/// The two text forms Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The classic text format, version 0.0.4.
    Classic,
}

impl Format {
    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What an `Accept` header prefers; classic if it does not say, for every scraper reads that.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let (mut open_metrics, mut classic) = (0.0_f64, 0.0_f64);
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let best = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => &mut open_metrics,
                "text/plain" => &mut classic,
                _ => continue,
            };
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            *best = best.max(quality.unwrap_or(0.0));
        }
        if open_metrics > 0.0 && open_metrics >= classic { Self::OpenMetrics } else { Self::Classic }
    }
}

/// OpenMetrics text → classic text: a counter's metadata carries the name of its samples, units and the end
/// mark, which the classic format does not know, go.
#[must_use]
pub fn classic(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len() + 4096);
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                page.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            page.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            page.extend([line, "\n"]);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_prefers() {
        let table = [
            ("", Format::Classic),
            ("*/*", Format::Classic),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5", Format::Classic),
            ("application/openmetrics-text;q=0", Format::Classic),
            ("Application/OpenMetrics-Text; q=0.3", Format::OpenMetrics),
            ("application/openmetrics-text;q=x", Format::Classic),
            (";;,,=;q", Format::Classic),
        ];
        for (header, format) in table {
            assert_eq!(Format::accepted(header), format, "{header}");
        }
    }

    #[test]
    fn the_classic_form_names_a_counter_as_its_samples_do() {
        let page = "# HELP a_bytes Sum.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"# EOF\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        assert_eq!(
            classic(page),
            "# HELP a_bytes_total Sum.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# EOF\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n"
        );
    }
}
