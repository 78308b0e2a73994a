//! The run of one contender: publish, ramp, settle, window, drain.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::connection::Ports;
use super::publisher::Publisher;
use super::reader::{Reader, Scratch};
use super::{Tally, Token};
use crate::limits;
use crate::media::Shape;
use crate::media::pace::Pace;
use crate::options::Publish;
use crate::scenario::{Protocol, Talk, floor, rtsp};
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
    pub(crate) readers: usize,
    pub(crate) sampled: usize,
    pub(crate) paths: usize,
    pub(crate) shape: Shape,
    /// None: the contender makes the pictures itself (the floor).
    pub(crate) publish: Option<Publish>,
    /// Pictures that the floor holds back at most, so that they may fall out of the window.
    pub(crate) held: u64,
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
    pace: Option<Pace>,
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
            pace: None,
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
            let sockets = match publish {
                Publish::Udp => Some(self.ports.pair()?),
                Publish::Tcp => None,
            };
            let ports = match &sockets {
                Some((rtp, rtcp)) => Some((rtp.local_addr()?.port(), rtcp.local_addr()?.port())),
                None => None,
            };
            let talk =
                Talk::Rtsp(Box::new(rtsp::Talk::publisher(self.plan.address, path, ports, Instant::now())?));
            let publisher =
                Publisher::start(&self.epoll, path, self.plan.shape, self.plan.address, talk, sockets)?;
            self.publishers.push(publisher);
        }
        self.run_until(limits::CONNECT_TIMEOUT, "the publishers do not record", |load| {
            load.publishers.iter().all(Publisher::recording)
        })?;
        self.pace = Some(Pace::new(Instant::now(), self.plan.shape.fps, self.plan.paths as u32));
        self.timer.arm(Duration::ZERO)?;
        Ok(())
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
        let path = index % self.plan.paths;
        let talk = match self.plan.publish {
            None => Talk::Floor(floor::Talk::new(path, ports.map(|(rtp, _)| rtp))),
            Some(_) => {
                Talk::Rtsp(Box::new(rtsp::Talk::reader(self.plan.address, path, ports, Instant::now())?))
            }
        };
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
        self.pace = None;
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
        let wire = self.plan.shape.wire_bytes(self.plan.protocol.framing()) as u64;
        let expected = |load: &Load, index: usize| match load.plan.publish {
            Some(_) => published[index % load.plan.paths] * wire,
            None => {
                let made = (window.as_secs_f64() * f64::from(load.plan.shape.fps)) as u64;
                made.saturating_sub(load.plan.held) * wire
            }
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
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(Duration::ZERO, &mut ready).context("epoll")?;
        if ready.is_empty() {
            // Never asleep inside epoll: each send would then pay for waking this thread, which real readers, on
            // other machines, do not cost a server. Latencies do not suffer: the kernel stamps what arrives.
            let now = Instant::now();
            let due = self.pace.as_ref().map_or(LOOK_EVERY, |pace| pace.due().saturating_duration_since(now));
            std::thread::sleep(due.min(LOOK_EVERY));
        }
        let now = Instant::now();
        for event in ready.drain(..) {
            self.dispatch(now, event)?;
        }
        self.ready = ready;
        self.visit_due(now)
    }

    fn publish_due(&mut self) -> Result<()> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        let mut published = false;
        while let Some((path, late)) = pace.take(Instant::now()) {
            self.late_max = self.late_max.max(late);
            self.publishers[path].publish().with_context(|| format!("publisher {path}"))?;
            published = true;
        }
        if published {
            self.timer.arm(pace.due().saturating_duration_since(Instant::now())).context("timerfd")?;
        }
        Ok(())
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
                match result {
                    Ok(true) => {}
                    Ok(false) => self.lose(index, "the server closed the connection"),
                    Err(error) => self.lose(index, &format!("{error:#}")),
                }
                Ok(())
            }
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
