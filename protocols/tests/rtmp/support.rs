//! What several tests need.

use bytes::{Bytes, BytesMut};
use headwater_protocols::amf0::{Value, parse_all};
use headwater_protocols::rtmp::chunk::Reader;
use headwater_protocols::rtmp::message::{Message, type_id};
use headwater_protocols::rtmp::server::{Config, Event};
use headwater_protocols::rtmp::{Server, handshake::ClientHandshake};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const IDLE: Duration = Duration::from_secs(10);

pub(crate) fn server(now: Instant) -> Server {
    Server::new(Arc::new(Config { idle_timeout: IDLE }), now, 1)
}

/// All events of `bytes` in pieces of `piece_bytes`; what asks for an answer is accepted.
pub(crate) fn events_in_pieces(server: &mut Server, bytes: &[u8], piece_bytes: usize) -> Vec<Event> {
    let now = Instant::now();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        server.handle_input(now, Bytes::copy_from_slice(piece));
        while let Some(event) = server.poll_event() {
            events.push(event);
            if server.is_waiting() {
                server.accept();
            }
        }
    }
    events
}

/// A hand-driven client: writes single messages, reads the server's.
pub(crate) struct Peer {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    reader: Reader,
}

impl Peer {
    /// After the handshake.
    pub(crate) fn new() -> Peer {
        let now = Instant::now();
        let mut server = server(now);
        let mut out = BytesMut::new();
        let mut handshake = ClientHandshake::new(5, &mut out);
        server.handle_input(now, out.split().freeze());
        assert_eq!(server.poll_event(), None);
        let mut input = server.poll_transmit().expect("an answer");
        assert!(handshake.handle_input(&mut input, &mut out).expect("a handshake"));
        server.handle_input(now, out.freeze());
        Peer { server, now, reader: Reader::new(1 << 20) }
    }

    /// Connected to `app`.
    pub(crate) fn connected(app: &str) -> Peer {
        let mut peer = Peer::new();
        let object =
            Value::object([("app", app.into()), ("tcUrl", format!("rtmp://h/{app}").as_str().into())]);
        let events = peer.send(&["connect".into(), 1.0.into(), object]);
        assert!(matches!(events[..], [Event::Connect(_)]), "{events:?}");
        peer.server.accept();
        peer.received();
        peer
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, values: &[Value]) -> Vec<Event> {
        let mut body = BytesMut::new();
        values.iter().for_each(|value| value.write(&mut body));
        self.send_message(type_id::COMMAND_AMF0, &body)
    }

    /// A command of name, transaction and arguments, with null for the object.
    pub(crate) fn call(&mut self, name: &str, transaction: f64, arguments: &[Value]) -> Vec<Event> {
        self.send(&[&[name.into(), transaction.into(), Value::Null], arguments].concat())
    }

    /// Sends a message in chunks of 128 bytes.
    pub(crate) fn send_message(&mut self, type_id: u8, body: &[u8]) -> Vec<Event> {
        let mut wire = vec![3, 0, 0, 9];
        wire.extend(&(body.len() as u32).to_be_bytes()[1..]);
        wire.push(type_id);
        wire.extend([1, 0, 0, 0]);
        for (index, piece) in body.chunks(128).enumerate() {
            if index > 0 {
                wire.push(0xC3);
            }
            wire.extend(piece);
        }
        self.server.handle_input(self.now, wire.into());
        self.events()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }

    /// What the server has sent since.
    pub(crate) fn received(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(mut output) = self.server.poll_transmit() {
            while let Some(message) = self.reader.read(&mut output).expect("chunks of the server") {
                if message.type_id == type_id::SET_CHUNK_SIZE {
                    let size = message.payload[..].try_into().expect("four bytes");
                    self.reader.set_chunk_bytes(u32::from_be_bytes(size)).expect("a size");
                }
                messages.push(message);
            }
        }
        messages
    }

    /// The commands among it, each as its values.
    pub(crate) fn commands(&mut self) -> Vec<Vec<Value>> {
        let received = self.received().into_iter();
        let commands = received.filter(|message| message.type_id == type_id::COMMAND_AMF0);
        commands.map(|message| parse_all(&message.payload).expect("AMF0")).collect()
    }

    /// Name of each command and, where it has one, the code of its information.
    pub(crate) fn outline(&mut self) -> Vec<String> {
        let line = |values: Vec<Value>| {
            let code = values.iter().rev().find_map(|value| value.get("code")).and_then(Value::as_str);
            let name = values[0].as_str().expect("a name");
            code.map_or(name.to_owned(), |code| format!("{name} {code}"))
        };
        self.commands().into_iter().map(line).collect()
    }
}
