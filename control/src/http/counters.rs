//! What one control port counts. Plain atomics: the metrics part reads them without asking.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection or request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The listener has all the connections it may have.
    Connections,
    /// One address has all the connections it may have: one that was idle made room, or the new one was refused.
    ConnectionsOfAddress,
    TlsHandshake,
    /// The head came too slowly.
    HeadTimeout,
    /// The head is no HTTP; answered by the protocol machine.
    Malformed,
    HeadTooLarge,
    UrlTooLong,
    /// A page of another origin wanted to change something.
    ForeignOrigin,
    /// A page reached this machine by a name that is not its own.
    ForeignHost,
    BodyTooLarge,
    BodyTimeout,
    RequestTimeout,
    /// The client took nothing of its answer.
    WriteTimeout,
    /// Credentials are needed and none were shown.
    NoCredentials,
    WrongCredentials,
    /// Wrong credentials that were answered without the delay, because too many waited.
    NotDelayed,
    /// Nobody could be asked who the client is.
    AuthenticationUnavailable,
    /// Large answers that wait for their readers have filled their bound.
    LargeAnswers,
}

impl Refusal {
    pub(crate) const ALL: [Refusal; 18] = [
        Refusal::Connections,
        Refusal::ConnectionsOfAddress,
        Refusal::TlsHandshake,
        Refusal::HeadTimeout,
        Refusal::Malformed,
        Refusal::HeadTooLarge,
        Refusal::UrlTooLong,
        Refusal::ForeignOrigin,
        Refusal::ForeignHost,
        Refusal::BodyTooLarge,
        Refusal::BodyTimeout,
        Refusal::RequestTimeout,
        Refusal::WriteTimeout,
        Refusal::NoCredentials,
        Refusal::WrongCredentials,
        Refusal::NotDelayed,
        Refusal::AuthenticationUnavailable,
        Refusal::LargeAnswers,
    ];

    /// The label of the metric.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Refusal::Connections => "connections",
            Refusal::ConnectionsOfAddress => "connections_of_address",
            Refusal::TlsHandshake => "tls_handshake",
            Refusal::HeadTimeout => "head_timeout",
            Refusal::Malformed => "malformed",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::UrlTooLong => "url_too_long",
            Refusal::ForeignOrigin => "foreign_origin",
            Refusal::ForeignHost => "foreign_host",
            Refusal::BodyTooLarge => "body_too_large",
            Refusal::BodyTimeout => "body_timeout",
            Refusal::RequestTimeout => "request_timeout",
            Refusal::WriteTimeout => "write_timeout",
            Refusal::NoCredentials => "no_credentials",
            Refusal::WrongCredentials => "wrong_credentials",
            Refusal::NotDelayed => "not_delayed",
            Refusal::AuthenticationUnavailable => "authentication_unavailable",
            Refusal::LargeAnswers => "large_answers",
        }
    }
}

/// The counts of one control port, over all the listeners it has had.
#[derive(Debug)]
pub(crate) struct HttpCounters {
    /// `api`, `metrics` or `pprof`.
    pub(crate) name: &'static str,
    classes: [AtomicU64; 5],
    refused: [AtomicU64; Refusal::ALL.len()],
    in_flight: AtomicU64,
    connections: AtomicU64,
    accepted: AtomicU64,
    panics: AtomicU64,
}

impl HttpCounters {
    pub(crate) fn new(name: &'static str) -> HttpCounters {
        HttpCounters {
            name,
            classes: Default::default(),
            refused: Default::default(),
            in_flight: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Answered requests by class of their status: `1xx` to `5xx`.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .zip(&self.classes)
            .map(|(class, count)| (class, count.load(Ordering::Relaxed)))
    }

    /// Refused connections and requests by reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Refusal::ALL.into_iter().map(|reason| (reason.word(), self.refused_for(reason)))
    }

    pub(crate) fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    /// Requests being worked on now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Requests whose handler panicked; they were answered with 500.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self, status: u16) {
        if let Some(class) = self.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refuse(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as in flight while the value lives.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Counts a connection as open while the value lives.
    pub(super) fn open(&self) -> InFlight<'_> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.connections)
    }
}

pub(super) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_class_and_reason() {
        let counters = HttpCounters::new("api");
        counters.answered(204);
        counters.answered(404);
        counters.answered(99);
        counters.refuse(Refusal::UrlTooLong);
        let running = counters.begin();
        assert_eq!(counters.in_flight(), 1);
        drop(running);
        assert_eq!(counters.in_flight(), 0);
        let classes: Vec<u64> = counters.requests().map(|(_, count)| count).collect();
        assert_eq!(classes, [0, 1, 0, 1, 0]);
        assert!(counters.refused().any(|refused| refused == ("url_too_long", 1)));
        for (index, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
