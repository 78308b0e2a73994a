//! Accepts connections for one control port and drives them.
//!
//! HTTP/2 is spoken over TLS where ALPN chose it, HTTP/1.1 otherwise. A listener that stops accepts nothing more, tells
//! its connections to end after the request under way, and cuts what is left when the time to drain is over.

use super::address::{self, Address, Bound, ListenError};
use super::client::Peer;
use super::counters::{HttpCounters, Refusal};
use super::guard::Guard;
use super::stream::Stream;
use super::{Rules, limits};
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What a control port is to be.
pub(crate) struct Plan {
    pub(crate) address: Address,
    /// `None` is plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) rules: Rules,
    /// Outlive the listener, so that a move to another address keeps the counts.
    pub(crate) counters: Arc<HttpCounters>,
    pub(crate) router: Router,
    /// Until the head of an answer is there.
    pub(crate) patience: Duration,
}

/// An open control port. Dropping it without [`Listener::stop`] cuts its connections.
pub(crate) struct Listener {
    address: Address,
    rules: Arc<ArcSwap<Rules>>,
    era: Arc<ArcSwap<Era>>,
    /// Ends the era that is.
    end: Mutex<watch::Sender<bool>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What new connections get. Where encryption is switched on or off, a new era begins, and the connections of the one
/// before end after the request under way.
struct Era {
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
}

/// Tells answers that stream that their listener is about to end, as a request extension.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Of a listener that does not stop.
    #[cfg(test)]
    pub(crate) fn never() -> Stopping {
        let (stop, stopping) = watch::channel(false);
        std::mem::forget(stop);
        Stopping(stopping)
    }

    /// Returns when the listener stops.
    pub(crate) async fn wait(&mut self) {
        stopped(&mut self.0).await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the listener is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What the connections of one listener share.
struct Shared {
    guard: Guard,
    era: Arc<ArcSwap<Era>>,
    /// Connections by address, the oldest first.
    share: Mutex<HashMap<IpAddr, Vec<Arc<Use>>>>,
}

impl Listener {
    /// Opens the port and begins to accept. Of `closing` some may still listen there: these are about to be stopped.
    ///
    /// # Errors
    /// The address cannot be listened on; the message says why and what to do.
    pub(crate) async fn start(plan: Plan, closing: &[Address]) -> Result<Listener, ListenError> {
        let bound = address::open(plan.counters.name, &plan.address, closing).await?;
        let address = bound.address();
        let rules = Arc::new(ArcSwap::from_pointee(plan.rules));
        let (end, ending) = watch::channel(false);
        let era = Era { tls: plan.tls.as_deref().map(acceptor), stop: ending };
        let era = Arc::new(ArcSwap::from_pointee(era));
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            guard: Guard::new(plan.router, Arc::clone(&rules), plan.counters, plan.patience),
            era: Arc::clone(&era),
            share: Mutex::default(),
        });
        let task = tokio::spawn(accept(bound, shared, stopping));
        Ok(Listener { address, rules, era, end: Mutex::new(end), stop, task })
    }

    /// Where it listens, with the port that the kernel chose where 0 was asked for.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes over other rules from the next request on.
    pub(crate) fn configure(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Takes over another certificate, or none for plain HTTP, from the next connection on.
    pub(crate) fn secure(&self, tls: Option<&ServerConfig>) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.era.load();
        let begins_anew = now.tls.is_some() != tls.is_some();
        let (next, stop) = if begins_anew {
            let (next, stop) = watch::channel(false);
            (Some(next), stop)
        } else {
            (None, now.stop.clone())
        };
        self.era.store(Arc::new(Era { tls: tls.map(acceptor), stop }));
        if let Some(next) = next {
            let _ = std::mem::replace(&mut *end, next).send(true);
        }
    }

    /// Stops accepting and lets running requests finish, for at most [`limits::DRAIN`].
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = self.end.lock().unwrap_or_else(PoisonError::into_inner).send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// With HTTP/2 and HTTP/1.1 to choose from.
fn acceptor(config: &ServerConfig) -> TlsAcceptor {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(bound: Bound, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = next(&bound) => match accepted {
                Ok(connection) => admit(connection, &shared, &mut connections),
                Err(error) => {
                    let name = shared.guard.counters.name;
                    tracing::warn!("{name}: cannot accept a connection: {error}; raise the descriptor limit (LimitNOFILE)");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(bound);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN, drained).await.is_err() {
        let left = connections.len();
        tracing::warn!("{}: {left} connections did not end in time and are cut", shared.guard.counters.name);
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

async fn next(bound: &Bound) -> io::Result<Accepted> {
    loop {
        let accepted = match bound {
            Bound::Tcp(listener, _) => {
                listener.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address))
            }
            Bound::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        };
        match accepted {
            // The client was gone before it was its turn.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            accepted => return accepted,
        }
    }
}

/// Begins to drive a connection, where it is within the limits.
fn admit(accepted: Accepted, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    let peer = Peer(match &accepted {
        Accepted::Tcp(_, address) => Some(*address),
        Accepted::Unix(_) => None,
    });
    if connections.len() >= limits::CONNECTIONS_MAX {
        return shared.guard.counters.refuse(Refusal::Connections);
    }
    let Some(place) = Place::take(shared, peer.ip()) else {
        return shared.guard.counters.refuse(Refusal::ConnectionsOfAddress);
    };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        let _open = shared.guard.counters.open();
        let serve = async {
            match accepted {
                Accepted::Tcp(stream, _) => {
                    // Without it, small answers wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    greet(stream, peer, &shared, &place.used).await;
                }
                Accepted::Unix(stream) => greet(stream, peer, &shared, &place.used).await,
            }
        };
        tokio::select! {
            () = serve => {}
            () = place.used.evicted.notified() => {}
        }
    });
}

/// One of the connections that an address may have.
struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    used: Arc<Use>,
}

impl Place {
    /// Where the address has all its connections, the one that has been idle for longest makes room, so that somebody's
    /// forgotten connections do not lock him out.
    fn take(shared: &Arc<Shared>, address: IpAddr) -> Option<Place> {
        let unbounded = shared.guard.rules.load().trusts(address);
        let mut share = shared.share.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = share.entry(address).or_default();
        if taken.len() >= limits::CONNECTIONS_PER_ADDRESS_MAX && !unbounded {
            let idle = taken.iter().enumerate().filter_map(|(at, used)| Some((used.idle_since()?, at)));
            let (_, longest) = idle.min()?;
            taken.remove(longest).evicted.notify_one();
            shared.guard.counters.refuse(Refusal::ConnectionsOfAddress);
        }
        let used = Arc::new(Use::new());
        taken.push(Arc::clone(&used));
        Some(Place { shared: Arc::clone(shared), address, used })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut share = self.shared.share.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut taken) = share.entry(self.address) {
            taken.get_mut().retain(|used| !Arc::ptr_eq(used, &self.used));
            if taken.get().is_empty() {
                taken.remove();
            }
        }
    }
}

/// Does the TLS handshake, if any, and speaks what was agreed on.
async fn greet<S>(stream: S, peer: Peer, shared: &Arc<Shared>, used: &Arc<Use>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let counters = &shared.guard.counters;
    let stream = Stream::new(stream, Arc::clone(counters));
    let era = shared.era.load_full();
    let Some(tls) = &era.tls else {
        return speak(stream, false, (peer, used), shared, &era.stop).await;
    };
    match tokio::time::timeout(limits::TLS_HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(stream, http2, (peer, used), shared, &era.stop).await;
        }
        Ok(Err(error)) => {
            counters.refuse(Refusal::TlsHandshake);
            tracing::debug!("{}: TLS handshake with {} failed: {error}", counters.name, peer.ip());
        }
        Err(_) => counters.refuse(Refusal::TlsHandshake),
    }
}

/// When a connection was last used.
struct Use {
    running: AtomicUsize,
    last: Mutex<Instant>,
    /// It has to make room for another.
    evicted: Notify,
}

/// A request under way. Dropped with it, also when the client goes away.
struct Running<'a>(&'a Use);

impl Running<'_> {
    fn begin(used: &Use) -> Running<'_> {
        used.running.fetch_add(1, Ordering::Relaxed);
        Running(used)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Use {
    fn new() -> Use {
        Use { running: AtomicUsize::new(0), last: Mutex::new(Instant::now()), evicted: Notify::new() }
    }

    /// `None` while a request is under way.
    fn idle_since(&self) -> Option<Instant> {
        let idle = self.running.load(Ordering::Relaxed) == 0;
        idle.then(|| *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long it is to be kept yet without a request; at least a little while one runs.
    fn patience(&self) -> Duration {
        if self.running.load(Ordering::Relaxed) > 0 {
            return limits::KEEP_ALIVE;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        limits::KEEP_ALIVE.saturating_sub(last.elapsed())
    }
}

async fn speak<S>(
    stream: S,
    http2: bool,
    (peer, used): (Peer, &Arc<Use>),
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (shared, used, stop) = (Arc::clone(shared), Arc::clone(used), stop.clone());
        async move {
            let _running = Running::begin(&used);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Stopping(stop));
            Ok::<_, Infallible>(shared.guard.answer(request, peer).await)
        }
    });
    let io = TokioIo::new(stream);
    let result = if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
            .max_header_list_size(limits::HEAD_BYTES_MAX as u32)
            .keep_alive_interval(limits::KEEP_ALIVE / 3)
            .keep_alive_timeout(limits::KEEP_ALIVE / 3);
        drive(builder.serve_connection(io, service), used, stop.clone()).await
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_READ)
            .max_headers(limits::HEADERS_MAX)
            .max_buf_size(limits::HEAD_BYTES_MAX);
        drive(builder.serve_connection(io, service), used, stop.clone()).await
    };
    if let Err(error) = result {
        note(&error, peer, &shared.guard.counters);
    }
}

/// Drives a connection until it ends, is idle for too long, or the listener stops.
async fn drive<C>(connection: C, used: &Use, mut stop: watch::Receiver<bool>) -> Result<(), hyper::Error>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let mut ending = false;
    loop {
        let patience = used.patience();
        if patience.is_zero() && !ending {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        tokio::select! {
            result = connection.as_mut() => return result,
            () = stopped(&mut stop), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(patience), if !ending => {}
        }
    }
}

/// Counts how a connection went wrong. A client that goes away is nothing to count.
fn note(error: &hyper::Error, peer: Peer, counters: &HttpCounters) {
    if error.is_timeout() {
        counters.refuse(Refusal::HeadTimeout);
    } else if error.is_parse_too_large() {
        counters.refuse(Refusal::HeadTooLarge);
    } else if error.is_parse() {
        counters.refuse(Refusal::Malformed);
    } else {
        return;
    }
    tracing::debug!("{}: connection of {} ended: {error}", counters.name, peer.ip());
}
