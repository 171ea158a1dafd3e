//! Numbers → few characters a person can compare: 1.23k, 45.6 MB, 12.3 Mbit/s, 4m12s. Pure.

use std::time::Duration;

/// Powers of a thousand: networks count in them, and so do rates on data sheets.
const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// Three significant digits and a prefix: at most 5 characters below 10^21.
fn scaled(value: f64) -> (String, &'static str) {
    // Neither is a rate; nothing better can be said than that there is none.
    if !value.is_finite() || value <= 0.0 {
        return ("0".to_owned(), "");
    }
    let mut value = value;
    let mut step = 0;
    // 999.5 would be rounded to 1000, which is four digits.
    while value >= 999.5 && step + 1 < PREFIXES.len() {
        value /= 1000.0;
        step += 1;
    }
    let digits = if step == 0 {
        // Less than one is shown as something: it is not nothing.
        format!("{:.0}", value.ceil())
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    (digits, PREFIXES[step])
}

/// A number in at most 5 characters: `0`, `999`, `1.23k`, `45.6M`.
#[must_use]
pub fn short(value: f64) -> String {
    let (digits, prefix) = scaled(value);
    format!("{digits}{prefix}")
}

/// A count in at most 5 characters.
#[must_use]
pub fn count(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    short(value as f64)
}

/// A rate: `12.3 Mbit/s`.
#[must_use]
pub fn bit_rate(bits_per_second: f64) -> String {
    let (digits, prefix) = scaled(bits_per_second);
    format!("{digits} {prefix}bit/s")
}

/// A size: `45.6 MB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (digits, prefix) = scaled(value as f64);
    format!("{digits} {prefix}B")
}

/// An age by its two largest units: `7s`, `4m12s`, `5h03m`, `2d04h`.
#[must_use]
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A short time: `340 µs`, `1.20 ms`, `2.50 s`.
#[must_use]
pub fn seconds(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        "0 s".to_owned()
    } else if value < 0.000_999_5 {
        format!("{:.0} µs", value * 1e6)
    } else if value < 0.999_5 {
        format!("{:.2} ms", value * 1e3)
    } else {
        format!("{value:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_digits_and_a_prefix() {
        let cases = [
            (0.0, "0"),
            (0.2, "1"),
            (999.0, "999"),
            (999.6, "1.00k"),
            (1234.0, "1.23k"),
            (9_996.0, "10.0k"),
            (45_600_000.0, "45.6M"),
            (999_600_000.0, "1.00G"),
            (1e12, "1.00T"),
        ];
        for (value, shown) in cases {
            assert_eq!(short(value), shown, "{value}");
        }
    }

    #[test]
    fn units_are_named() {
        assert_eq!(bit_rate(12_345_678.0), "12.3 Mbit/s");
        assert_eq!(bytes(200_000_000), "200 MB");
        assert_eq!(bytes(12), "12 B");
    }

    #[test]
    fn an_age_has_two_units() {
        let ages = [(7, "7s"), (252, "4m12s"), (18_180, "5h03m"), (187_200, "2d04h")];
        for (seconds, shown) in ages {
            assert_eq!(age(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn a_short_time_keeps_its_digits() {
        assert_eq!(seconds(0.000_34), "340 µs");
        assert_eq!(seconds(0.0012), "1.20 ms");
        assert_eq!(seconds(2.5), "2.50 s");
    }

    #[test]
    fn what_is_no_number_is_no_rate() {
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(short(value), "0");
        }
    }

    proptest! {
        #[test]
        fn a_count_never_outgrows_its_column(value: u64) {
            prop_assert!(count(value).len() <= 5, "{}", count(value));
        }
    }
}
