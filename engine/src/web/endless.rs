//! Streams without end: HTTP-FLV, FLV over WebSocket, MPEG-TS.
//!
//! The connection is taken over from HTTP: after the head it carries the form's log as it lies there, like any other
//! reader's. The body has no length; it ends with the connection (RFC 9112, section 6.3). An HTTP/2 connection is shared,
//! so there the machine is given what is due.

use super::Stream;
use super::head::Facts;
use super::request::{insert_text, plain};
use super::target::Kind;
use crate::http::{Body, ExchangeId};
use crate::modules::{Rejection, RejectionKind, Request};
use crate::shard::{ConnectionKey, SessionKey, Shard};
use crate::stream::form::Framing;
use crate::stream::reader::Sink;
use crate::stream::{Form, StreamKey};
use ::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SERVER, UPGRADE};
use ::http::{HeaderValue, Response, StatusCode};
use bytes::{BufMut, Bytes, BytesMut};
use headwater_protocols::flv::Capabilities;
use headwater_protocols::websocket;

impl Shard {
    /// Begins an endless response of a stream that is on this shard.
    pub(super) fn begin_endless(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        exchange: ExchangeId,
        facts: &Facts,
        kind: Kind,
        source: StreamKey,
    ) -> Result<(), Rejection> {
        let shared = self.state.web.get(key).is_some_and(|web| web.machine.is_shared());
        if facts.is_head {
            let mut head = endless_head(kind);
            facts.finish(&mut head);
            self.respond_web(key, exchange, head, Body::Empty);
            return Ok(());
        }
        // CORS does not hold for WebSockets, and browsers show what they know of the user.
        if facts.websocket.is_some() && facts.is_foreign {
            let reason = "pages of that origin may not read here (hlsAllowOrigins)";
            return Err(Rejection::new(RejectionKind::Invalid, reason));
        }
        let accept = match (&facts.websocket, kind) {
            (Some(offered), Kind::Flv) => Some(websocket::accept(offered).ok_or_else(|| {
                Rejection::new(RejectionKind::Invalid, "Sec-WebSocket-Key is not 16 bytes in base64")
            })?),
            (Some(_), Kind::MpegTs) => {
                return Err(Rejection::new(RejectionKind::Invalid, "only FLV is served over WebSocket"));
            }
            (None, _) => None,
        };
        if shared && accept.is_some() {
            return Err(Rejection::new(RejectionKind::Invalid, "WebSocket needs HTTP/1.1"));
        }
        let (stream, skipped) = match kind {
            Kind::Flv => {
                let framing = if accept.is_some() { Framing::WebSocket } else { Framing::Tags };
                self.state.in_flv(source, framing, Capabilities::all())
            }
            Kind::MpegTs => self.state.in_mpegts(source),
        }
        .map_err(|unfit| self.state.unfit(request, &unfit))?;
        debug_assert!(!matches!(self.state.streams[stream].form, Form::Rtp | Form::Units));
        let session = self.state.open_reader(key, request, stream, skipped)?;
        let mut head = match &accept {
            Some(accept) => switching(accept),
            None => endless_head(kind),
        };
        facts.finish(&mut head);
        if shared {
            self.begin_body(key, exchange, session, head, stream);
            return Ok(());
        }
        let Some(web) = self.state.web.get_mut(key) else { return Ok(()) };
        let rest = web.machine.take_over(exchange);
        web.stream = Some(match accept {
            Some(_) => Stream::WebSocket(websocket::Reader::new()),
            None => Stream::Plain,
        });
        self.state.tell_web_connection(key);
        let mut greeting = BytesMut::from(&write_head(&head)[..]);
        greeting.extend_from_slice(&self.state.greeting(stream));
        self.state.start_on_connection(session, greeting.freeze());
        self.state.tell_state(session);
        if !rest.is_empty() {
            self.web_raw(key, rest);
        }
        Ok(())
    }
}

impl Shard {
    /// The same on an HTTP/2 connection, which others share: the machine sends it.
    fn begin_body(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        session: SessionKey,
        mut head: Response<()>,
        stream: StreamKey,
    ) {
        // HTTP/2 has no such header (RFC 9113, section 8.2.2).
        head.headers_mut().remove(CONNECTION);
        self.respond_web(key, exchange, head, Body::Endless);
        let greeting = self.state.greeting(stream);
        if let Some(web) = self.state.web.get_mut(key)
            && !greeting.is_empty()
        {
            // It is the first, so there is room.
            web.push(exchange, greeting);
        }
        self.state.tell_web_connection(key);
        self.state.start_reader_at(session, Sink::Body { connection: key, exchange });
        self.state.tell_state(session);
    }
}

fn endless_head(kind: Kind) -> Response<()> {
    let mut head = plain(StatusCode::OK);
    let headers = head.headers_mut();
    let content_type = match kind {
        Kind::Flv => "video/x-flv",
        Kind::MpegTs => "video/mp2t",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    head
}

fn switching(accept: &str) -> Response<()> {
    let mut head = plain(StatusCode::SWITCHING_PROTOCOLS);
    head.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    head.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    insert_text(&mut head, SEC_WEBSOCKET_ACCEPT, accept);
    head
}

/// A head as it goes out (RFC 9112, section 4).
fn write_head(head: &Response<()>) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(format!("HTTP/1.1 {}\r\n", head.status()).as_bytes());
    out.put_slice(format!("{SERVER}: headwater\r\n").as_bytes());
    for (name, value) in head.headers() {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
    out.freeze()
}
