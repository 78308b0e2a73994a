//! The command line.

use crate::{processors, tls};
use anyhow::{Context, bail};
use clap::Parser;
use headwater_engine::{PathSettings, Rtsp, Settings, User};
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Addresses are HOST:PORT or :PORT for every interface; port 0 lets the kernel choose. Durations are 500ms, 10s, 2m.

Signals: SIGINT and SIGTERM tell every session and end the server within two seconds; SIGUSR1 writes all counters to
the log.

Publish:  ffmpeg -re -i FILE -c copy -f rtsp -rtsp_transport tcp rtsp://HOST:8554/NAME
Play:     ffplay rtsp://HOST:8554/NAME";

/// Headwater takes live media in and gives every stream out to as many readers as the kernel can carry.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, about, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Threads that carry media, one per processor [default: the processors less one for control, at least one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=250))]
    shards: Option<u16>,

    /// Where RTSP clients connect
    #[arg(long, value_name = "ADDRESS", default_value = ":8554", value_parser = address)]
    rtsp_address: SocketAddr,

    /// Where RTP over UDP is received and sent from (an even port)
    #[arg(long, value_name = "ADDRESS", default_value = ":8000", value_parser = address)]
    rtp_address: SocketAddr,

    /// Where RTCP over UDP is received and sent from (the port after)
    #[arg(long, value_name = "ADDRESS", default_value = ":8001", value_parser = address)]
    rtcp_address: SocketAddr,

    /// Serve RTSP over TCP only
    #[arg(long)]
    no_udp: bool,

    /// Where RTSP clients connect with TLS; needs a certificate
    #[arg(long, value_name = "ADDRESS", default_value = ":8322", value_parser = address)]
    rtsps_address: SocketAddr,

    /// Certificate chain for RTSPS (PEM); without it there is no RTSPS
    #[arg(long, value_name = "FILE", requires = "rtsps_key")]
    rtsps_cert: Option<PathBuf>,

    /// Private key for RTSPS (PEM)
    #[arg(long, value_name = "FILE", requires = "rtsps_cert")]
    rtsps_key: Option<PathBuf>,

    /// Write to each reader at most once in this time: more readers per core for more delay (0 to 500ms)
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    delivery_window: Duration,

    /// Delivery window of one path, as NAME=DURATION; may be given several times
    #[arg(long, value_name = "NAME=DURATION", value_parser = path_window)]
    path_delivery_window: Vec<(String, Duration)>,

    /// How long readers stay when their publisher is gone, in case it comes back with the same tracks
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    publisher_grace: Duration,

    /// Refuse a second publisher of a path instead of replacing the first
    #[arg(long)]
    no_publisher_override: bool,

    /// Close a publisher that sends nothing for this long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    read_timeout: Duration,

    /// Close a reader that takes nothing of what is due for this long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    write_timeout: Duration,

    /// Close a session over UDP without request or RTCP for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    session_timeout: Duration,

    /// Let only this user publish, as NAME:PASSWORD; may be given several times. Others on this machine can see it
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = credentials)]
    publish_user: Vec<(String, String)>,

    /// Let only this user (and publishers) read, as NAME:PASSWORD; may be given several times
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = credentials)]
    read_user: Vec<(String, String)>,

    /// How much to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: tracing::Level,
}

impl Cli {
    /// What the engine is to do.
    ///
    /// # Errors
    /// A certificate that cannot be used; a window that is too long; two addresses that contradict each other.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let available = processors::allowed();
        let shards = self.shards.map_or_else(|| available.len().saturating_sub(1).max(1), usize::from);
        let secure = match (&self.rtsps_cert, &self.rtsps_key) {
            (Some(certificate), Some(key)) => {
                let certificates = tls::Certificates::load(certificate, key).context("cannot serve RTSPS")?;
                Some((self.rtsps_address, certificates.server_config(&[])))
            }
            _ => None,
        };
        let path_defaults = PathSettings {
            delivery_window: self.delivery_window,
            publisher_override: !self.no_publisher_override,
            publisher_grace: self.publisher_grace,
            readers_max: 0,
        };
        let paths: HashMap<String, PathSettings> = self
            .path_delivery_window
            .iter()
            .map(|(name, window)| {
                (name.clone(), PathSettings { delivery_window: *window, ..path_defaults.clone() })
            })
            .collect();
        if !self.no_udp {
            self.check_ports()?;
        }
        Ok(Settings {
            shards,
            processors: available,
            rtsp: Rtsp {
                address: Some(self.rtsp_address),
                secure,
                datagrams: (!self.no_udp).then_some((self.rtp_address, self.rtcp_address)),
                session_timeout: self.session_timeout,
            },
            path_defaults,
            paths,
            users: self.users(),
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        })
    }

    fn users(&self) -> Vec<User> {
        let user = |(name, password): &(String, String), may_publish| User {
            name: name.clone(),
            password: password.clone(),
            may_publish,
            may_read: true,
        };
        let publishers = self.publish_user.iter().map(|given| user(given, true));
        publishers.chain(self.read_user.iter().map(|given| user(given, false))).collect()
    }

    /// RTP wants an even port and RTCP the one after (RFC 3550, section 11).
    fn check_ports(&self) -> anyhow::Result<()> {
        let (rtp, rtcp) = (self.rtp_address.port(), self.rtcp_address.port());
        if rtp != 0 && (!rtp.is_multiple_of(2) || rtcp != rtp + 1) {
            bail!(
                "--rtp-address must have an even port and --rtcp-address the port after it, not {rtp} and {rtcp}"
            );
        }
        Ok(())
    }
}

/// `:8554`, `127.0.0.1:8554`, `[::1]:8554`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let parsed = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(any.ip(), port)),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "expected HOST:PORT or :PORT, for example :8554 or 127.0.0.1:8554".to_owned())
}

/// `500ms`, `10s`, `2m`, or `0`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as 500ms, 10s or 2m".to_owned();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("expected a duration between 0 and one day".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn credentials(text: &str) -> Result<(String, String), String> {
    let (name, password) = text.split_once(':').ok_or("expected NAME:PASSWORD")?;
    Ok((name.to_owned(), password.to_owned()))
}

fn path_window(text: &str) -> Result<(String, Duration), String> {
    let (name, window) = text.split_once('=').ok_or("expected NAME=DURATION, for example cam1=100ms")?;
    Ok((name.to_owned(), duration(window)?))
}

#[cfg(test)]
mod tests {
    use super::{Cli, address, duration};
    use clap::{CommandFactory, Parser};
    use std::time::Duration;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_and_durations() {
        assert_eq!(address(":8554").map(|a| a.to_string()), Ok("[::]:8554".to_owned()));
        assert_eq!(address("127.0.0.1:0").map(|a| a.to_string()), Ok("127.0.0.1:0".to_owned()));
        assert!(address("8554").is_err());
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "5", "5h", "-1s", "s", "NaNs", "infs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn contradicting_ports_are_refused() {
        let cli = Cli::try_parse_from(["headwater", "--rtp-address", ":8001"]).expect("parsed");
        assert!(cli.settings().is_err());
        let cli = Cli::try_parse_from(["headwater", "--shards", "3"]).expect("parsed");
        assert_eq!(cli.settings().expect("valid").shards, 3);
    }
}
