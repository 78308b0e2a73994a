//! The demo's RTMP connection: connects, publishes in real time, and connects again when it was ended.

use super::source::Source;
use super::{PASSWORD, PATH, USER};
use crate::core::Core;
use bytes::BytesMut;
use headwater_protocols::flv::{Capabilities, Message, Muxer};
use headwater_protocols::rtmp::Client;
use headwater_protocols::rtmp::client::{Config, Event, Goal};
use headwater_protocols::rtmp::server::PublishKind;
use headwater_protocols::{codec, flv, rtmp};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

/// How long after an end it connects again.
const RETRY: Duration = Duration::from_secs(1);
/// A server that answers or takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// What came late by this much, as after the machine slept, is not made up for.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("RTMP is off")]
    NoListener,
    #[error("connection: {0}")]
    Connection(#[from] io::Error),
    #[error("RTMP: {0}")]
    Rtmp(#[from] rtmp::Error),
    #[error(
        "the server refuses it: {0} {1}; authMethod http and jwt must permit it, or exclude publishing to this path"
    )]
    Refused(Box<str>, Box<str>),
    #[error("ended by the server")]
    Ended,
    #[error("the server takes nothing")]
    Stuck,
    #[error("it is late by {0:?}")]
    Late(Duration),
    #[error("FLV: {0}")]
    Flv(#[from] flv::Error),
    #[error("codec: {0}")]
    Codec(#[from] codec::Error),
}

/// Publishes for as long as it is let; never ends by itself. What goes wrong is said once, until it goes well again.
pub(crate) async fn run(core: Arc<Core>, reachable: fn(SocketAddr) -> SocketAddr) {
    let mut said = String::new();
    loop {
        let listening = core.engine.listening();
        let rtmp = listening.iter().find(|listening| listening.protocol == "rtmp");
        let failure = match rtmp {
            Some(rtmp) => match Publisher::connect(reachable(rtmp.address)).await {
                Ok(publisher) => {
                    said.clear();
                    publisher.publish().await
                }
                Err(failure) => failure,
            },
            None => Failure::NoListener,
        };
        let text = failure.to_string();
        if text != said {
            tracing::error!(path = PATH, "the demo is not published: {text}");
            said = text;
        }
        sleep(RETRY).await;
    }
}

struct Publisher {
    socket: TcpStream,
    client: Client,
    input: BytesMut,
}

impl Publisher {
    /// Connects, up to the server's word that media may come.
    async fn connect(address: SocketAddr) -> Result<Publisher, Failure> {
        let password = PASSWORD.get().map_or("", String::as_str);
        let config = Config {
            url: format!("rtmp://{address}/{PATH}?user={USER}&pass={password}"),
            goal: Goal::Publish(PublishKind::Live),
            flash_version: USER.to_owned(),
            capabilities: Capabilities::legacy(),
        };
        let socket = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(|_| Failure::Stuck)??;
        socket.set_nodelay(true)?;
        let client = Client::new(config, Instant::now(), rand::random())?;
        let mut publisher = Publisher { socket, client, input: BytesMut::new() };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // What is told has often made something that is to be sent.
            let publishing = publisher.events()?;
            publisher.transmit().await?;
            if publishing {
                return Ok(publisher);
            }
            tokio::select! {
                read = publisher.socket.read_buf(&mut publisher.input) => publisher.received(read?),
                () = sleep_until(deadline) => return Err(Failure::Stuck),
            }
        }
    }

    /// Sends units when they are due, until something goes wrong.
    async fn publish(mut self) -> Failure {
        match self.send_units().await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn send_units(&mut self) -> Result<std::convert::Infallible, Failure> {
        let mut source = Source::new(SystemTime::now())?;
        let (mut muxer, _) = Muxer::new(&source.tracks(), Capabilities::legacy())?;
        let begin = tokio::time::Instant::now();
        let mut messages = muxer.headers();
        tracing::info!(path = PATH, "the demo is published");
        loop {
            for Message { kind, timestamp_ms, parts } in messages.drain(..) {
                self.client.send(kind, timestamp_ms, &parts);
            }
            self.transmit().await?;
            let due = begin + source.due();
            let late = due.elapsed();
            if late > LATE_MAX {
                return Err(Failure::Late(late));
            }
            tokio::select! {
                read = self.socket.read_buf(&mut self.input) => {
                    self.received(read?);
                    self.events()?;
                }
                () = sleep_until(due) => {
                    let (track, unit) = source.next_unit();
                    muxer.unit(track, &unit, &mut messages);
                }
            }
        }
    }

    fn received(&mut self, bytes: usize) {
        if bytes == 0 {
            self.client.handle_eof();
        } else {
            self.client.handle_input(Instant::now(), self.input.split().freeze());
        }
    }

    /// Takes what the machine has to tell; whether media may come from now on.
    fn events(&mut self) -> Result<bool, Failure> {
        let mut publishing = false;
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Publishing => publishing = true,
                Event::Refused { code, description } => return Err(Failure::Refused(code, description)),
                Event::Closed(Some(error)) => return Err(error.into()),
                Event::Closed(None) | Event::Ended => return Err(Failure::Ended),
                Event::Connected { .. } | Event::Playing | Event::Media { .. } => {}
            }
        }
        Ok(publishing)
    }

    async fn transmit(&mut self) -> Result<(), Failure> {
        while let Some(bytes) = self.client.poll_transmit() {
            timeout(PATIENCE, self.socket.write_all(&bytes)).await.map_err(|_| Failure::Stuck)??;
        }
        Ok(())
    }
}
