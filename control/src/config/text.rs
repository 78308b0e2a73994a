//! Durations and sizes as texts: Go's durations with days in front (`1d12h`), and bytes with binary units (`50M`).

use std::time::Duration;

const DAY: u64 = 86_400;
/// What fits Go's durations.
const SECONDS_MAX: u64 = i64::MAX as u64 / 1_000_000_000;

/// `1h2m3.5s`, `300ms`, `2d`, `1d12h`, `0`; the empty text is zero too.
///
/// # Errors
/// Why it is none.
pub(crate) fn duration_of_text(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    if text.starts_with('-') && text != "-0" {
        return Err("it must not be negative");
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.is_empty() || text == "0" || text == "-0" {
        return Ok(Duration::ZERO);
    }
    let mut sum: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err("a number is missing");
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = nanoseconds(&after[..end])?;
        // More digits do not matter to the nanosecond, and fewer cannot overflow.
        let fraction = &fraction[..fraction.len().min(18)];
        let whole: u128 = if whole.is_empty() { 0 } else { parse(whole)? };
        let part: u128 = if fraction.is_empty() { 0 } else { parse(fraction)? };
        sum += whole * unit + part * unit / 10u128.pow(fraction.len() as u32);
        if sum > u128::from(SECONDS_MAX) * 1_000_000_000 {
            return Err("it is too long");
        }
        rest = &after[end..];
    }
    let seconds = u64::try_from(sum / 1_000_000_000).map_err(|_| "it is too long")?;
    Ok(Duration::new(seconds, (sum % 1_000_000_000) as u32))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn parse(digits: &str) -> Result<u128, &'static str> {
    if digits.len() > 20 {
        return Err("it is too long");
    }
    digits.parse().map_err(|_| "a number is missing")
}

fn nanoseconds(unit: &str) -> Result<u128, &'static str> {
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => u128::from(DAY) * 1_000_000_000,
        "" => return Err("a unit is missing"),
        _ => return Err("the unit is unknown"),
    })
}

/// As MediaMTX prints it: `1d` and the rest in Go's form; zero is `0s`.
pub(crate) fn text_of_duration(duration: Duration) -> String {
    let days = duration.as_secs() / DAY;
    let rest = Duration::new(duration.as_secs() % DAY, duration.subsec_nanos());
    match (days, rest.is_zero()) {
        (0, _) => go_duration(rest),
        (_, true) => format!("{days}d"),
        (_, false) => format!("{days}d{}", go_duration(rest)),
    }
}

/// Go's `Duration.String`.
fn go_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanoseconds, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanoseconds, 1_000_000, 6)),
        _ => {
            let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
            let below = u128::from(seconds) * 1_000_000_000 + u128::from(duration.subsec_nanos());
            let seconds = decimal(below, 1_000_000_000, 9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn decimal(value: u128, unit: u128, places: usize) -> String {
    let text = format!("{}.{:0places$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The powers of 1024 by their letter, greatest first.
const UNITS: [(&str, u64); 6] =
    [("E", 1 << 60), ("P", 1 << 50), ("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];

/// `50M`, `1.5G`, `512KiB`, `100B`, or bytes without a unit.
pub(crate) fn size_of_text(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let factor = match unit {
        "" | "B" => 1,
        _ => {
            let letter = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
            UNITS.iter().find(|(name, _)| *name == letter)?.1
        }
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    (0.0..u64::MAX as f64).contains(&bytes).then_some(bytes as u64)
}

/// As MediaMTX prints it (`50M`, `1.5G`) where that is exact, and in bytes where it is not.
pub(crate) fn text_of_size(bytes: u64) -> String {
    if let Some((letter, factor)) = UNITS.iter().find(|(_, factor)| bytes >= *factor) {
        let text = format!("{:.1}", bytes as f64 / *factor as f64);
        let text = format!("{}{letter}", text.strip_suffix(".0").unwrap_or(&text));
        if size_of_text(&text) == Some(bytes) {
            return text;
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::{duration_of_text, size_of_text, text_of_duration, text_of_size};
    use std::time::Duration;

    #[test]
    fn durations_are_those_of_go_with_days() {
        for (text, milliseconds, printed) in [
            ("10s", 10_000, "10s"),
            ("1h2m3.5s", 3_723_500, "1h2m3.5s"),
            ("300ms", 300, "300ms"),
            ("1d", 86_400_000, "1d"),
            ("36h", 129_600_000, "1d12h0m0s"),
            ("1d12h", 129_600_000, "1d12h0m0s"),
            ("1h", 3_600_000, "1h0m0s"),
            (".5s", 500, "500ms"),
            ("0", 0, "0s"),
            ("", 0, "0s"),
            ("90s", 90_000, "1m30s"),
        ] {
            let duration = duration_of_text(text);
            assert_eq!(duration, Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(text_of_duration(Duration::from_millis(milliseconds)), printed);
        }
        assert_eq!(text_of_duration(Duration::from_nanos(1_500)), "1.5µs");
        for wrong in
            ["10", "s", "-1s", "1x", "1.s.", "1h-2m", "99999999999999999999999s", "300y", "1d d", "é"]
        {
            assert!(duration_of_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        for (text, bytes, printed) in [
            ("50M", 50 << 20, "50M"),
            ("1g", 1 << 30, "1G"),
            ("512K", 512 << 10, "512K"),
            ("1.5GiB", 3 << 29, "1.5G"),
            ("1048576", 1 << 20, "1M"),
            ("1000000", 1_000_000, "1000000B"),
            ("100B", 100, "100B"),
            ("0", 0, "0B"),
        ] {
            assert_eq!(size_of_text(text), Some(bytes), "{text}");
            assert_eq!(text_of_size(bytes), printed);
        }
        for wrong in ["", "M", "-1M", "5X", "1e400M", "20E", "nan", "99999999999999999999K"] {
            assert_eq!(size_of_text(wrong), None, "{wrong}");
        }
    }
}
