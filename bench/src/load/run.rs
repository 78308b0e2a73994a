//! The run of one contender: publish, ramp, settle, window, drain.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::connection::Ports;
use super::mirror::{Mirror, Mirrored};
use super::publisher::Publisher;
use super::reader::{Reader, Scratch};
use super::{Tally, Token};
use crate::limits;
use crate::media::Media;
use crate::media::pace::Pace;
use crate::media::units::Track;
use crate::options::Publish;
use crate::scenario::{Protocol, Talk, floor, flv, hls, rtmp, rtsp};
use crate::sys::net::{Epoll, Interest, Ready, Timer};
use crate::sys::process::interrupted;

/// How long the load sleeps when it finds nothing: longer than a server takes for a picture, so that what readers do
/// (their acknowledgements among it) does not land inside the server's sends, where it would be charged to the server.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// What to do to whom.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Where publishers connect.
    pub(crate) origin: SocketAddr,
    pub(crate) readers: usize,
    pub(crate) sampled: usize,
    pub(crate) paths: usize,
    pub(crate) media: Media,
    /// None: the contender makes the pictures itself (the floor).
    pub(crate) publish: Option<Publish>,
    /// For how long what was sent may be held back, so that it may fall out of the window.
    pub(crate) held: Duration,
    /// Where to put the segments of the origin, for a contender that serves files.
    pub(crate) mirror: Option<Mirrored>,
}

impl Plan {
    /// The conversation of a reader of `path`; `ports` are its own if its media comes over UDP.
    fn reader(&self, path: usize, ports: Option<(u16, u16)>, sampled: bool) -> Result<Talk> {
        let (address, now) = (self.address, Instant::now());
        if self.publish.is_none() {
            let port = ports.map(|(rtp, _)| rtp);
            return Ok(Talk::Floor(Box::new(floor::Talk::new(self.protocol, path, port)?)));
        }
        Ok(match self.protocol {
            Protocol::RtspTcp | Protocol::RtspUdp => {
                Talk::Rtsp(Box::new(rtsp::Talk::reader(address, path, ports, now)?))
            }
            Protocol::Rtmp => Talk::Rtmp(Box::new(rtmp::Talk::reader(address, path, now)?)),
            Protocol::Flv => Talk::Flv(Box::new(flv::Talk::reader(address, path))),
            Protocol::Hls | Protocol::LlHls => {
                let purpose = if sampled { hls::Use::Check } else { hls::Use::Count };
                let low_latency = self.protocol == Protocol::LlHls;
                Talk::Hls(Box::new(hls::Talk::reader(address, path, low_latency, purpose, now)))
            }
        })
    }
}

/// What a window showed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Length of the window.
    pub(crate) window: Duration,
    /// Bytes all readers received within the window.
    pub(crate) delivered: u64,
    /// Readers that got less than [`limits::RECEIVED_SHARE_MIN`] of what was published.
    pub(crate) starved: u64,
    /// The least that any reader got, as part of what was published.
    pub(crate) received_share_min: f64,
    /// Datagrams dropped at the readers' own sockets.
    pub(crate) receive_drops: u64,
    /// How late a picture was published, at worst.
    pub(crate) publish_late_max: Duration,
    /// Pictures that the server did not take at once.
    pub(crate) publish_stalls: u64,
}

/// See the module.
pub(crate) struct Load {
    pub(super) plan: Plan,
    epoll: Epoll,
    timer: Timer,
    ready: Vec<Ready>,
    scratch: Scratch,
    ports: Ports,
    publishers: Vec<Publisher>,
    pub(super) readers: Vec<Reader>,
    /// Readers started and readers that play.
    started: usize,
    playing: usize,
    /// Empty when nothing is published.
    paces: Vec<(Track, Pace)>,
    /// When readers want to look at the clock, the next first; entries may be out of date.
    wakes: BinaryHeap<Reverse<(Instant, usize)>>,
    mirrors: Vec<Mirror>,
    pub(super) tally: Tally,
    late_max: Duration,
    next_visit: Instant,
    visits: usize,
    opened: Option<(Instant, Vec<u64>)>,
    closed: Option<(Instant, Vec<u64>, u64)>,
}

impl Load {
    pub(crate) fn new(plan: Plan) -> Result<Load> {
        let (epoll, timer) = (Epoll::new(128).context("epoll")?, Timer::new().context("timerfd")?);
        epoll.add(timer.as_raw_fd(), Token::Timer.pack(), Interest::Read)?;
        let every = plan.readers.div_ceil(plan.sampled.max(1));
        let readers = (0..plan.readers).map(|index| {
            // Offset by the path count's remainder so that all paths are sampled.
            let sampled = plan.sampled > 0 && (index / plan.paths) % every == (index % plan.paths) % every;
            Reader::new(index, index % plan.paths, sampled)
        });
        Ok(Load {
            readers: readers.collect(),
            plan,
            epoll,
            timer,
            ready: Vec::new(),
            scratch: Scratch::new(),
            ports: Ports::new(),
            publishers: Vec::new(),
            started: 0,
            playing: 0,
            paces: Vec::new(),
            wakes: BinaryHeap::new(),
            mirrors: Vec::new(),
            tally: Tally::new(),
            late_max: Duration::ZERO,
            next_visit: Instant::now(),
            visits: 0,
            opened: None,
            closed: None,
        })
    }

    /// Connects the publishers and starts the pace.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let Some(publish) = self.plan.publish else { return Ok(()) };
        for path in 0..self.plan.paths {
            let publisher = self.publisher(path, publish)?;
            self.publishers.push(publisher);
        }
        self.run_until(limits::CONNECT_TIMEOUT, "the publishers do not record", |load| {
            load.publishers.iter().all(Publisher::recording)
        })?;
        let start = Instant::now();
        self.paces = self.plan.media.paces(start, self.plan.paths as u32);
        self.timer.arm(Duration::ZERO)?;
        if let Some(mirrored) = &self.plan.mirror {
            for path in 0..self.plan.paths {
                self.mirrors.push(Mirror::start(&self.epoll, mirrored, path)?);
            }
        }
        Ok(())
    }

    fn publisher(&mut self, path: usize, publish: Publish) -> Result<Publisher> {
        let (now, origin) = (Instant::now(), self.plan.origin);
        let shape = match self.plan.media {
            Media::Units(shape) => {
                let talk = Talk::Rtmp(Box::new(rtmp::Talk::publisher(origin, path, now)?));
                return Publisher::of_units(&self.epoll, path, shape, origin, talk);
            }
            Media::Pictures(shape) => shape,
        };
        let sockets = match publish {
            Publish::Udp => Some(self.ports.pair()?),
            Publish::Tcp => None,
        };
        let ports = match &sockets {
            Some((rtp, rtcp)) => Some((rtp.local_addr()?.port(), rtcp.local_addr()?.port())),
            None => None,
        };
        let talk = Talk::Rtsp(Box::new(rtsp::Talk::publisher(origin, path, ports, now)?));
        Publisher::of_pictures(&self.epoll, path, shape, origin, talk, sockets)
    }

    /// Starts all readers, a bounded number at once, and waits until they play.
    pub(crate) fn ramp(&mut self, mut progress: impl FnMut(usize)) -> Result<()> {
        let timeout = limits::RAMP_TIMEOUT + limits::RAMP_TIMEOUT_PER_READER * self.plan.readers as u32;
        let deadline = Instant::now() + timeout;
        while self.playing < self.plan.readers {
            while self.started < self.plan.readers && self.started - self.playing < limits::RAMP_IN_FLIGHT_MAX
            {
                self.start_reader(self.started)?;
                self.started += 1;
            }
            self.pump(deadline, "the ramp")?;
            if self.tally.disconnects > 0 {
                bail!("during the ramp: {}", self.tally.failures.join("; "));
            }
            progress(self.playing);
        }
        self.next_visit = Instant::now();
        Ok(())
    }

    pub(super) fn start_reader(&mut self, index: usize) -> Result<()> {
        let reader = &mut self.readers[index];
        let datagrams = self.plan.protocol.datagrams();
        let ports = if datagrams { Some(reader.bind(&self.epoll, &mut self.ports)?) } else { None };
        let talk = self.plan.reader(index % self.plan.paths, ports, reader.sampled())?;
        reader.start(&self.epoll, self.plan.address, talk).with_context(|| format!("reader {index}"))
    }

    /// Waits until every reader got media, and for `warmup` in all.
    pub(crate) fn settle(&mut self, warmup: Duration) -> Result<()> {
        self.run_for(warmup, |_| {})?;
        self.run_until(limits::SETTLE_TIMEOUT, "not every reader gets media", |load| {
            load.readers.iter().all(|reader| reader.intake.bytes > 0)
        })
    }

    /// The window starts now.
    pub(crate) fn open(&mut self) {
        for reader in &mut self.readers {
            reader.intake.bytes_at_open = reader.intake.bytes;
        }
        self.late_max = Duration::ZERO;
        self.tally.open();
        self.opened = Some((Instant::now(), self.sent()));
    }

    /// Goes on for `length`.
    pub(crate) fn run_for(&mut self, length: Duration, mut progress: impl FnMut(Duration)) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < length {
            self.pump(start + length + limits::CONNECT_TIMEOUT, "the window")?;
            progress(start.elapsed());
        }
        Ok(())
    }

    /// The window ends now, and so does publishing.
    pub(crate) fn close(&mut self) {
        self.tally.close();
        self.paces.clear();
        self.closed = Some((Instant::now(), self.sent(), self.received()));
    }

    /// Lets what is under way arrive, and judges the window, which was opened and closed.
    pub(crate) fn drain(&mut self) -> Result<Outcome> {
        let (Some((opened, before)), Some((closed, after, delivered))) =
            (self.opened.take(), self.closed.take())
        else {
            bail!("there was no window");
        };
        let window = closed - opened;
        let published: Vec<u64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        let held = self.plan.media.bytes_in(self.plan.held, self.plan.protocol.framing());
        let made = self.plan.media.bytes_in(window, self.plan.protocol.framing());
        let expected = |load: &Load, index: usize| match load.plan.publish {
            Some(_) => published[index % load.plan.paths].saturating_sub(held),
            None => made.saturating_sub(held),
        };
        let share = |load: &Load, index: usize| {
            let intake = &load.readers[index].intake;
            (intake.bytes - intake.bytes_at_open) as f64 / expected(load, index).max(1) as f64
        };
        // A contender that makes the pictures itself does not stop: more time would only hide what is missing.
        let timeout = if self.plan.publish.is_some() { limits::DRAIN_TIMEOUT } else { limits::DRAIN_MIN };
        let start = Instant::now();
        while start.elapsed() < timeout {
            self.pump(start + limits::CONNECT_TIMEOUT, "the drain")?;
            let waited = start.elapsed() > limits::DRAIN_MIN;
            if waited
                && (0..self.readers.len()).all(|index| self.readers[index].gone || share(self, index) >= 1.0)
            {
                break;
            }
        }
        let shares: Vec<f64> = (0..self.readers.len()).map(|index| share(self, index)).collect();
        Ok(Outcome {
            tally: self.tally.clone(),
            window,
            delivered,
            starved: shares.iter().filter(|&&share| share < limits::RECEIVED_SHARE_MIN).count() as u64,
            received_share_min: shares.iter().copied().fold(f64::INFINITY, f64::min),
            receive_drops: self.readers.iter().map(Reader::drops).sum(),
            publish_late_max: self.late_max,
            publish_stalls: self.publishers.iter().map(|publisher| publisher.stalls).sum(),
        })
    }

    fn sent(&self) -> Vec<u64> {
        match self.plan.publish {
            Some(_) => self.publishers.iter().map(|publisher| publisher.sent).collect(),
            None => vec![0; self.plan.paths],
        }
    }

    /// Bytes received since the window opened.
    fn received(&self) -> u64 {
        self.readers.iter().map(|reader| reader.intake.bytes - reader.intake.bytes_at_open).sum()
    }

    fn run_until(&mut self, timeout: Duration, what: &str, done: impl Fn(&Load) -> bool) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !done(self) {
            self.pump(deadline, what)?;
        }
        Ok(())
    }

    /// One turn of the loop: publish what is due, wait for events, take them.
    pub(super) fn pump(&mut self, deadline: Instant, what: &str) -> Result<()> {
        if interrupted() {
            bail!("interrupted");
        }
        if Instant::now() > deadline {
            let (playing, readers) = (self.playing, self.plan.readers);
            bail!("{what}: out of time ({playing} of {readers} readers play)");
        }
        self.publish_due()?;
        self.wake_due()?;
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(Duration::ZERO, &mut ready).context("epoll")?;
        if ready.is_empty() {
            // Never asleep inside epoll: each send would then pay for waking this thread, which real readers, on
            // other machines, do not cost a server. Latencies do not suffer: the kernel stamps what arrives.
            let now = Instant::now();
            let due = self.paces.iter().map(|(_, pace)| pace.due().saturating_duration_since(now)).min();
            std::thread::sleep(due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
        }
        let now = Instant::now();
        for event in ready.drain(..) {
            self.dispatch(now, event)?;
        }
        self.ready = ready;
        self.visit_due(now)
    }

    fn publish_due(&mut self) -> Result<()> {
        let mut published = false;
        for (track, pace) in &mut self.paces {
            while let Some((path, late)) = pace.take(Instant::now()) {
                self.late_max = self.late_max.max(late);
                let framing = self.plan.protocol.framing();
                self.publishers[path]
                    .publish(*track, framing)
                    .with_context(|| format!("publisher {path}"))?;
                published = true;
            }
        }
        if let Some(due) = self.paces.iter().map(|(_, pace)| pace.due()).min().filter(|_| published) {
            self.timer.arm(due.saturating_duration_since(Instant::now())).context("timerfd")?;
        }
        Ok(())
    }

    /// Lets those look at the clock whose time has come.
    fn wake_due(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some(&Reverse((at, index))) = self.wakes.peek() {
            if at > now {
                break;
            }
            self.wakes.pop();
            let reader = &mut self.readers[index];
            if reader.due().is_some_and(|due| due <= now)
                && let Err(error) = reader.timer(now)
            {
                self.lose(index, &format!("{error:#}"));
            }
        }
        self.mirrors.iter_mut().try_for_each(|mirror| mirror.wake(now))
    }

    fn dispatch(&mut self, now: Instant, event: Ready) -> Result<()> {
        match Token::unpack(event.token) {
            Token::Timer => Ok(()),
            Token::Publisher(path) => self.publishers[path]
                .ready(now, event.writable, &mut self.scratch)
                .with_context(|| format!("publisher {path}")),
            Token::Reader(index) => {
                let reader = &mut self.readers[index];
                let played = reader.playing();
                let result = reader.connection_ready(now, event.writable, &mut self.scratch, &mut self.tally);
                self.playing += usize::from(!played && reader.playing());
                if let Some(due) = reader.due() {
                    self.wakes.push(Reverse((due, index)));
                }
                match result {
                    Ok(true) => {}
                    Ok(false) => self.lose(index, "the server closed the connection"),
                    Err(error) => self.lose(index, &format!("{error:#}")),
                }
                Ok(())
            }
            Token::Mirror(path) => self.mirrors[path]
                .ready(now, event.writable, &mut self.scratch)
                .with_context(|| format!("mirror {path}")),
            Token::ReaderRtp(index) => self.readers[index].rtp_ready(&mut self.scratch, &mut self.tally),
            Token::ReaderRtcp(index) => {
                self.readers[index].rtcp_ready(&mut self.scratch);
                Ok(())
            }
        }
    }

    fn lose(&mut self, index: usize, why: &str) {
        let reader = &mut self.readers[index];
        if !reader.gone {
            reader.gone = true;
            reader.close();
            self.tally.disconnect(&format!("reader {index}"), why);
        }
    }

    /// Visits each reader and publisher once per report interval, one after the other.
    fn visit_due(&mut self, now: Instant) -> Result<()> {
        let everyone = self.readers.len() + self.publishers.len();
        if self.playing < self.readers.len() {
            return Ok(());
        }
        while self.next_visit <= now {
            self.next_visit += limits::REPORT_INTERVAL / everyone as u32;
            let index = self.visits % everyone;
            self.visits += 1;
            if let Some(reader) = self.readers.get_mut(index) {
                if let Err(error) = reader.visit(now) {
                    self.lose(index, &format!("{error:#}"));
                }
            } else {
                self.publishers[index - self.readers.len()].visit(now).context("a publisher")?;
            }
        }
        Ok(())
    }
}
