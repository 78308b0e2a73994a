//! NTP timestamps as RTCP carries them (RFC 3550, section 4).

use std::time::Duration;

/// From the NTP epoch (1900) to the Unix epoch (1970), in seconds.
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// Seconds since 1900 in 32.32 fixed point; wraps in 2036.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ntp(pub u64);

impl Ntp {
    /// From the time since the Unix epoch.
    pub fn from_unix(unix: Duration) -> Ntp {
        let seconds = unix.as_secs().wrapping_add(UNIX_EPOCH_SECONDS) << 32;
        // Rounded up, so that a whole number of nanoseconds survives there and back.
        let fraction = (u64::from(unix.subsec_nanos()) << 32).div_ceil(1_000_000_000);
        Ntp(seconds.wrapping_add(fraction))
    }

    /// The time since the Unix epoch. Values with the top bit clear lie after the wrap of 2036 (RFC 4330, section 3);
    /// senders that count from their start come out there, too. What lies before 1970 gives zero.
    pub fn to_unix(self) -> Duration {
        let era = if self.0 >> 63 == 0 { 1 << 32 } else { 0 };
        let seconds = (era + (self.0 >> 32)).saturating_sub(UNIX_EPOCH_SECONDS);
        let nanos = ((self.0 & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        Duration::new(seconds, u32::try_from(nanos).expect("less than one second"))
    }

    /// The middle 32 bits: what "last SR" and round trips are counted in, 1/65,536 s.
    pub fn middle32(self) -> u32 {
        (self.0 >> 16 & 0xFFFF_FFFF) as u32
    }
}
