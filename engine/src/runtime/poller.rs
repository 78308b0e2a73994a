//! Socket readiness and timers from an io_uring of the shard's own.
//!
//! Reading is watched by one multishot poll per socket: it reports each wakeup, so the caller reads until the kernel
//! has no more. Writing is watched only while a send is blocked, by a single-shot poll. A token names its owner with a
//! generation, so an event that was under way when its socket closed finds nobody.

#![allow(unsafe_code)]

use super::wake::Wake;
use io_uring::{IoUring, opcode, squeue, types};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 8192;
const WRITABLE: u64 = 1 << 31;
const TIMER: u64 = u64::MAX;
const CANCEL: u64 = u64::MAX - 1;

/// Who is to be told. The low 32 bits are an index below 2³¹, the high ones a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    /// `raw` is a slot map key in its integer form.
    pub(crate) fn new(raw: u64) -> Token {
        debug_assert_eq!(raw & WRITABLE, 0);
        Token(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }
}

/// One thing that became possible.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// `watched`: the poll goes on; otherwise it must be set up again.
    Readable {
        token: Token,
        watched: bool,
    },
    Writable {
        token: Token,
    },
}

pub(crate) struct Poller {
    ring: IoUring,
    timer: Option<Instant>,
    timespec: Box<types::Timespec>,
}

impl Poller {
    /// Must be called on the thread that will poll.
    pub(crate) fn new(wake: &Wake) -> io::Result<Poller> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)
            .or_else(|_| IoUring::builder().setup_cqsize(COMPLETIONS).build(ENTRIES))?;
        ring.submitter().register_eventfd(wake.as_raw_fd())?;
        Ok(Poller { ring, timer: None, timespec: Box::default() })
    }

    /// Reports when `fd` becomes readable or is hung up, until [`Poller::forget`].
    pub(crate) fn watch_readable(&mut self, fd: RawFd, token: Token) {
        let entry = opcode::PollAdd::new(types::Fd(fd), (libc::POLLIN | libc::POLLRDHUP) as u32)
            .multi(true)
            .build()
            .user_data(token.0);
        self.push(&entry);
    }

    /// Reports once when `fd` becomes writable.
    pub(crate) fn watch_writable(&mut self, fd: RawFd, token: Token) {
        let entry =
            opcode::PollAdd::new(types::Fd(fd), libc::POLLOUT as u32).build().user_data(token.0 | WRITABLE);
        self.push(&entry);
    }

    /// Ends both watches. Must be called before the descriptor is closed, since a poll keeps the socket open.
    pub(crate) fn forget(&mut self, token: Token) {
        for data in [token.0, token.0 | WRITABLE] {
            let entry = opcode::AsyncCancel::new(data).build().user_data(CANCEL);
            self.push(&entry);
        }
        self.submit();
    }

    /// Makes sure the shard is signalled at `deadline` or earlier.
    pub(crate) fn wake_at(&mut self, now: Instant, deadline: Instant) {
        if self.timer.is_some_and(|armed| armed <= deadline && armed > now) {
            return;
        }
        // A timer that was armed for later still fires; it only causes a turn without work.
        self.timer = Some(deadline);
        *self.timespec =
            types::Timespec::from(deadline.saturating_duration_since(now).max(Duration::from_micros(1)));
        let entry = opcode::Timeout::new(&*self.timespec).build().user_data(TIMER);
        self.push(&entry);
        // The kernel copies the timespec at submission, so one is enough.
        self.submit();
    }

    /// About to sleep: from here on events signal the shard. Returns false when something has happened already.
    pub(crate) fn arm(&mut self) -> bool {
        // A watch that is only queued watches nothing.
        if !self.ring.submission().is_empty() {
            self.submit();
        }
        self.ring.completion().enable_eventfd();
        // The kernel must see the flag before we look: what comes later signals, what came before is found here.
        fence(Ordering::SeqCst);
        let submission = self.ring.submission();
        let quiet = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        let quiet = quiet && self.ring.completion().is_empty();
        if !quiet {
            self.disarm();
        }
        quiet
    }

    /// Awake: events are found by polling, and signals would only cause turns without work.
    pub(crate) fn disarm(&mut self) {
        self.ring.completion().disable_eventfd();
    }

    /// Submits what is queued and appends what happened to `events`. Never blocks.
    pub(crate) fn poll(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        loop {
            self.enter()?;
            self.collect(events);
            // One enter runs a bounded number of the kernel's deferred tasks (20 on Linux 6.18); the rest waits without
            // signalling anything, so sleeping now would miss it.
            let submission = self.ring.submission();
            if !submission.taskrun() && !submission.cq_overflow() {
                return Ok(());
            }
        }
    }

    fn enter(&mut self) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        // With deferred task running, completions appear only inside an enter that asks for events.
        // IORING_ENTER_GETEVENTS with a minimum of zero never blocks.
        const GETEVENTS: u32 = 1;
        // SAFETY: no argument pointer is passed.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) };
        if let Err(error) = entered
            && !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
        {
            return Err(error);
        }
        Ok(())
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        for completion in self.ring.completion() {
            let data = completion.user_data();
            if data == TIMER {
                if self.timer.is_some_and(|armed| armed <= Instant::now()) {
                    self.timer = None;
                }
            } else if data == CANCEL || completion.result() == -libc::ECANCELED {
                continue;
            } else if data & WRITABLE != 0 {
                events.push(Event::Writable { token: Token(data & !WRITABLE) });
            } else {
                let watched = io_uring::cqueue::more(completion.flags());
                events.push(Event::Readable { token: Token(data), watched });
            }
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: the entries of this module carry no pointers but the timespec, which is boxed and lives as long as the ring.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    fn submit(&self) {
        // An error here (a full completion queue) is met again, and handled, by the next poll.
        let _ = self.ring.submit();
    }
}

/// What the kernel's io_uring offers, by name.
pub(crate) fn features() -> io::Result<Vec<&'static str>> {
    let ring = IoUring::new(2)?;
    let offered = ring.params();
    let features = [
        ("noDrop", offered.is_feature_nodrop()),
        ("submitStable", offered.is_feature_submit_stable()),
        ("fastPoll", offered.is_feature_fast_poll()),
        ("extArg", offered.is_feature_ext_arg()),
        ("nativeWorkers", offered.is_feature_native_workers()),
        ("resourceTagging", offered.is_feature_resource_tagging()),
        ("skipCqeOnSuccess", offered.is_feature_skip_cqe_on_success()),
        ("linkedFile", offered.is_feature_linked_file()),
        ("recvSendBundle", offered.is_feature_recvsend_bundle()),
        ("minTimeout", offered.is_feature_min_timeout()),
    ];
    Ok(features.into_iter().filter_map(|(name, there)| there.then_some(name)).collect())
}
