//! The `Range` header (RFC 2326, section 12.29): normal play time, UTC clock, SMPTE time code (sections 3.5 to 3.7).
//!
//! Parameters after a semicolon (`;time=`) are skipped.

use super::error::Error;
use super::message::Status;
use std::fmt;
use std::time::Duration;

/// A range of a presentation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Seconds from the beginning of the presentation; `start` `None` is `now`, `end` `None` is open.
    Npt { start: Option<f64>, end: Option<f64> },
    /// Wall clock time since 1970 in UTC.
    Clock { start: Duration, end: Option<Duration> },
    /// Time codes counted in frames.
    Smpte { rate: SmpteRate, start: TimeCode, end: Option<TimeCode> },
}

/// The frame rate of SMPTE time codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmpteRate {
    /// `smpte`, and `smpte-30-drop`: 29.97 frames per second with drop frames.
    Drop30,
    /// `smpte-25`.
    Fps25,
}

/// `hours:minutes:seconds:frames.subframes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeCode {
    pub hours: u8,
    pub minutes: u8,
    pub seconds: u8,
    pub frames: u8,
    /// Hundredths of a frame.
    pub subframes: u8,
}

impl Range {
    /// From now on, open ended: what a live stream answers with.
    pub const NOW: Range = Range::Npt { start: None, end: None };

    /// Reads a header value.
    ///
    /// # Errors
    /// [`Error::Unsupported`] (457) for another unit, [`Error::Invalid`] for values that are no time.
    pub fn parse(value: &str) -> Result<Range, Error> {
        let value = value.split(';').next().unwrap_or("");
        let (unit, range) = value.split_once('=').ok_or(INVALID)?;
        let (start, end) = match range.trim().split_once('-') {
            Some((start, end)) => (start.trim(), end.trim()),
            None => (range.trim(), ""),
        };
        match unit.trim().to_ascii_lowercase().as_str() {
            "npt" => {
                let start = if start.is_empty() || start == "now" { None } else { Some(npt(start)?) };
                Ok(Range::Npt { start, end: optional(end, npt)? })
            }
            "clock" => Ok(Range::Clock { start: clock(start)?, end: optional(end, clock)? }),
            unit @ ("smpte" | "smpte-30-drop" | "smpte-25") => {
                let rate = if unit == "smpte-25" { SmpteRate::Fps25 } else { SmpteRate::Drop30 };
                Ok(Range::Smpte { rate, start: time_code(start)?, end: optional(end, time_code)? })
            }
            _ => Err(Error::unsupported("range unit", Status::INVALID_RANGE)),
        }
    }
}

const INVALID: Error = Error::invalid("Range");

fn optional<T>(text: &str, read: impl Fn(&str) -> Result<T, Error>) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

/// Unsigned decimal digits, at most `digits` of them.
fn number(text: &str, digits: usize) -> Result<u64, Error> {
    if text.is_empty() || text.len() > digits || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(INVALID);
    }
    text.parse().map_err(|_| INVALID)
}

/// `12.5` or `1:02:03.5`, in seconds.
fn npt(text: &str) -> Result<f64, Error> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
        return Err(INVALID);
    }
    let mut seconds = 0;
    let parts: Vec<&str> = whole.splitn(4, ':').collect();
    match parts[..] {
        [whole] => seconds += number(whole, 12)?,
        [hours, minutes, rest] => {
            let (minutes, rest) = (number(minutes, 2)?, number(rest, 2)?);
            if minutes > 59 || rest > 59 {
                return Err(INVALID);
            }
            seconds += number(hours, 8)? * 3600 + minutes * 60 + rest;
        }
        _ => return Err(INVALID),
    }
    format!("{seconds}.{fraction}0").parse().map_err(|_| INVALID)
}

/// `19961108T143720.25Z`, since 1970.
fn clock(text: &str) -> Result<Duration, Error> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = text.split_once(['T', 't']).ok_or(INVALID)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    if date.len() != 8 || time.len() != 6 || fraction.len() > 9 || !text.is_ascii() {
        return Err(INVALID);
    }
    let (year, month, day) = (number(&date[..4], 4)?, number(&date[4..6], 2)?, number(&date[6..], 2)?);
    let (hour, minute, second) = (number(&time[..2], 2)?, number(&time[2..4], 2)?, number(&time[4..], 2)?);
    // The leap second 60 is read as the second after.
    if hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return Err(INVALID);
    }
    let days = days_since_epoch(year, month, day).ok_or(INVALID)?;
    let nanoseconds = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<9}"), 9)? };
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: u64 = (1..month).map(|month| days_in_month(year, month)).sum();
    Some(years + months + day - 1)
}

/// `10:07:33`, `10:07:33:12`, `10:07:33:12.50`.
fn time_code(text: &str) -> Result<TimeCode, Error> {
    let mut parts = text.splitn(4, ':');
    let mut next = |max: u64| -> Result<u8, Error> {
        let value = number(parts.next().ok_or(INVALID)?, 2)?;
        if value > max { Err(INVALID) } else { u8::try_from(value).map_err(|_| INVALID) }
    };
    let (hours, minutes, seconds) = (next(99)?, next(59)?, next(59)?);
    let (frames, subframes) = match parts.next() {
        Some(frames) => {
            let (frames, subframes) = frames.split_once('.').unwrap_or((frames, "0"));
            (number(frames, 2)?, number(subframes, 2)?)
        }
        None => (0, 0),
    };
    let byte = |value: u64| u8::try_from(value).map_err(|_| INVALID);
    Ok(TimeCode { hours, minutes, seconds, frames: byte(frames)?, subframes: byte(subframes)? })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Npt { start, end } => {
                match start {
                    Some(start) => write!(f, "npt={start}-")?,
                    None => f.write_str("npt=now-")?,
                }
                end.map_or(Ok(()), |end| write!(f, "{end}"))
            }
            Range::Clock { start, end } => {
                f.write_str("clock=")?;
                write_clock(*start, f)?;
                f.write_str("-")?;
                end.map_or(Ok(()), |end| write_clock(end, f))
            }
            Range::Smpte { rate, start, end } => {
                f.write_str(if *rate == SmpteRate::Fps25 { "smpte-25=" } else { "smpte=" })?;
                write!(f, "{start}-")?;
                end.map_or(Ok(()), |end| write!(f, "{end}"))
            }
        }
    }
}

impl fmt::Display for TimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:02}:{:02}:{:02}", self.hours, self.minutes, self.seconds, self.frames)?;
        if self.subframes > 0 { write!(f, ".{}", self.subframes) } else { Ok(()) }
    }
}

fn write_clock(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}", days + 1)?;
    if time.subsec_nanos() > 0 {
        let fraction = format!("{:09}", time.subsec_nanos());
        write!(f, ".{}", fraction.trim_end_matches('0'))?;
    }
    f.write_str("Z")
}
