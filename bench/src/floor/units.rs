//! The floor of RTMP and HTTP-FLV: each message or tag is framed once and sent to each reader with one call.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use headwater_protocols::flv::{Message, tag};
use headwater_protocols::rtmp::chunk;

use super::fault::{self, Fault};
use super::{Destination, deliver_tcp};
use crate::load::realtime_ns;
use crate::media::Media;
use crate::media::units::{Body, UnitShape, Units};
use crate::options::FloorSenderOptions;
use crate::scenario::Protocol;

/// Runs until a signal ends the process.
pub(super) fn send(
    options: &FloorSenderOptions,
    shape: UnitShape,
    readers: &mut [Vec<Destination>],
) -> Result<()> {
    let stream = &options.stream;
    let mut units: Vec<Units> = (0..stream.paths).map(|path| Units::new(path as u16, shape)).collect();
    for (units, readers) in units.iter().zip(&mut *readers) {
        deliver(readers, &greeting(stream.protocol, units)?)?;
    }
    let fault = Fault::from_environment()?;
    let window = Duration::from_millis(options.window_ms);
    let mut held: Vec<(BytesMut, Instant)> = vec![(BytesMut::new(), Instant::now()); stream.paths];
    let mut paces = Media::Units(shape).paces(Instant::now(), stream.paths as u32);
    let mut count = 0_u64;
    loop {
        let now = Instant::now();
        let mut sent = false;
        for (track, pace) in &mut paces {
            let Some((path, _)) = pace.take(now) else { continue };
            (sent, count) = (true, count + 1);
            let mut body = units[path].next(*track, realtime_ns()).0;
            let mut to = &mut readers[path][..];
            if let Some(fault) = fault.filter(|_| count.is_multiple_of(fault::EVERY)) {
                let Some(wrong) = fault.apply_to_unit(body, &mut readers[path]) else { continue };
                body = wrong;
                to = fault.readers(&mut readers[path]);
            }
            let (waiting, since) = &mut held[path];
            frame(stream.protocol, &body, waiting)?;
            if now.duration_since(*since) >= window {
                *since = now;
                deliver(to, &waiting.split())?;
            }
        }
        if !sent {
            let due = paces.iter().map(|(_, pace)| pace.due()).min().unwrap_or(now);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// What comes before the first unit.
fn greeting(protocol: Protocol, units: &Units) -> Result<BytesMut> {
    let mut out = BytesMut::new();
    if protocol == Protocol::Flv {
        out.extend_from_slice(&tag::file_header(true, true));
    }
    for body in units.headers() {
        frame(protocol, &body, &mut out)?;
    }
    Ok(out)
}

fn frame(protocol: Protocol, body: &Body, out: &mut BytesMut) -> Result<()> {
    let parts: &[Bytes] = std::slice::from_ref(&body.bytes);
    match protocol {
        Protocol::Rtmp => {
            ensure!(chunk::write_message(body.kind, body.timestamp_ms, parts, out), "a message is too long");
        }
        Protocol::Flv => {
            let parts = std::iter::once(body.bytes.clone()).collect();
            let message = Message { kind: body.kind, timestamp_ms: body.timestamp_ms, parts };
            let (header, size) = tag::frame(&message)?;
            out.extend_from_slice(&header);
            out.extend_from_slice(&body.bytes);
            out.extend_from_slice(&size);
        }
        other => bail!("there is no floor of {}", other.as_str()),
    }
    Ok(())
}

fn deliver(readers: &mut [Destination], bytes: &[u8]) -> Result<()> {
    for reader in readers {
        match reader {
            Destination::Tcp(connection) => deliver_tcp(connection, bytes)?,
            Destination::Udp(..) => bail!("units go over TCP"),
        }
    }
    Ok(())
}
