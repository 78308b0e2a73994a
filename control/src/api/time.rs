//! Times as MediaMTX's API prints them: RFC 3339 in the local time zone, as many digits of the second as it has.

use jiff::{Timestamp, tz::TimeZone};
use std::time::SystemTime;

/// `2026-08-22T10:00:00.1234+02:00`; `Z` where the offset is zero.
pub(crate) fn text(time: SystemTime) -> String {
    in_zone(time, TimeZone::system())
}

fn in_zone(time: SystemTime, zone: TimeZone) -> String {
    let zoned = Timestamp::try_from(time).unwrap_or_default().to_zoned(zone);
    let offset =
        if zoned.offset().seconds() == 0 { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
    format!("{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S%.f"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_look_as_go_prints_them() {
        let at = |nanoseconds| SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, nanoseconds);
        assert_eq!(in_zone(at(0), TimeZone::UTC), "2023-11-14T22:13:20Z");
        assert_eq!(in_zone(at(120_000_000), TimeZone::UTC), "2023-11-14T22:13:20.12Z");
        assert_eq!(in_zone(at(1), TimeZone::UTC), "2023-11-14T22:13:20.000000001Z");
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(in_zone(at(5_000), east), "2023-11-15T00:13:20.000005+02:00");
    }
}
