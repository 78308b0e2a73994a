//! A [`Feed`] published in real time on a thread of its own, by RTMP or RTSP, until it is dropped.

use crate::feed::Feed;
use crate::rtp_push::{self, Packing};
use crate::server::Server;
use crate::{rtmp_push, wait};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// By which protocol.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Rtmp,
    Rtsp(Packing),
}

/// How a unit's times are moved, in microseconds, by its decode time in the film.
pub type Offset = fn(i64) -> i64;

/// A publisher.
pub struct Pusher {
    stop: Arc<AtomicBool>,
    sent_us: Arc<AtomicI64>,
    thread: Option<JoinHandle<Result<()>>>,
}

enum Connection {
    Rtmp(rtmp_push::Connection),
    Rtsp(Box<rtp_push::Connection>),
}

impl Pusher {
    /// Publishes `feed`, its times as they are.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn start(server: &Server, path: &str, by: By, feed: &Feed) -> Result<Pusher> {
        Pusher::start_all(server, path, by, &[feed], |_| 0)
    }

    /// Publishes one feed after the other, each with its own parameter sets, the times moved as `offset` says.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn start_all(server: &Server, path: &str, by: By, feeds: &[&Feed], offset: Offset) -> Result<Pusher> {
        let first = feeds[0];
        let mut connection = match by {
            By::Rtmp => Connection::Rtmp(rtmp_push::Connection::publish(server.media["rtmp"], path)?),
            By::Rtsp(packing) => Connection::Rtsp(Box::new(rtp_push::Connection::publish(
                server.rtsp,
                &server.url(path),
                first,
                packing,
            )?)),
        };
        let feeds: Vec<Feed> = feeds.iter().map(|feed| (*feed).clone()).collect();
        let (stop, sent_us) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(-1)));
        let (thread_stop, thread_sent) = (stop.clone(), sent_us.clone());
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut shift_us = 0;
            for mut feed in feeds {
                match &mut connection {
                    Connection::Rtmp(rtmp) => rtmp.send_headers(&feed, 0)?,
                    Connection::Rtsp(rtsp) => rtsp.change_sets(&feed)?,
                }
                let mut end_us = 0;
                for unit in &mut feed.units {
                    let moved = offset(unit.dts_us);
                    (unit.dts_us, unit.pts_us) = (unit.dts_us + shift_us, unit.pts_us + shift_us);
                    end_us = end_us.max(unit.dts_us + crate::feed::PICTURE_US);
                    let due = Duration::from_micros(unit.dts_us.max(0) as u64);
                    // The pace is the film's own, not a wait for something to happen.
                    std::thread::sleep(due.saturating_sub(started.elapsed()));
                    if thread_stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    match &mut connection {
                        Connection::Rtmp(rtmp) => rtmp.send_unit(unit, moved)?,
                        Connection::Rtsp(rtsp) => rtsp.send_unit(unit, moved)?,
                    }
                    thread_sent.store(unit.dts_us, Ordering::Relaxed);
                }
                shift_us = end_us;
            }
            // The film is over; the stream stays until the test ends it.
            while !thread_stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        Ok(Pusher { stop, sent_us, thread: Some(thread) })
    }

    /// Waits until the film has come to that time.
    ///
    /// # Errors
    /// When it does not within 20 s.
    pub fn wait_until(&self, time_us: i64) -> Result<()> {
        wait::until_true("the film to go on", Duration::from_secs(20), || {
            self.sent_us.load(Ordering::Relaxed) >= time_us
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the server had closed the connection.
    pub fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the publisher does not panic"))
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
