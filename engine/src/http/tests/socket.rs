//! Real sockets, plain and encrypted: whatever the kernel takes at a time, the client reads the same.

use crate::http::{Body, Config, Event, Machine, Sink};
use bytes::Bytes;
use http::Response;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

/// More than a socket takes at once.
const BODY_PIECES: usize = 100;
const PIECE_BYTES: usize = 30_000;

/// A server's session and its client's, without a single byte exchanged.
fn sessions() -> (Box<ServerConnection>, ClientConnection) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a configuration");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let server = ServerConnection::new(Arc::new(server)).expect("a session");
    (Box::new(server), ClientConnection::new(Arc::new(client), name).expect("a session"))
}

/// Asks a machine behind `session` and returns what the client read, with the number of times the socket was full.
fn exchange(session: Option<(Box<ServerConnection>, ClientConnection)>) -> (Vec<u8>, usize) {
    let (near, mut far) = UnixStream::pair().expect("sockets");
    near.set_nonblocking(true).expect("non-blocking");
    far.set_nonblocking(true).expect("non-blocking");
    let (server, mut client) = session.unzip();
    let now = Instant::now();
    let mut machine = Machine::new(Arc::new(Config::default()), false, now);
    machine.handle_input(now, Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    let mut sink = Sink::new(near.as_raw_fd(), server);
    machine.advance(now, &mut sink);
    let Some(Event::Request(exchange, _)) = machine.poll_event() else { panic!("no request") };
    let pieces = (0..BODY_PIECES).map(|n| Bytes::from(vec![n as u8; PIECE_BYTES]));
    machine.respond(exchange, Response::new(()), Body::Pieces(pieces.collect()));
    let (mut got, mut full) = (Vec::new(), 0);
    loop {
        machine.advance(now, &mut sink);
        full += usize::from(machine.wants_write());
        match &mut client {
            None => read_all(&mut far, &mut got),
            Some(client) => {
                let _ = client.read_tls(&mut far);
                client.process_new_packets().expect("TLS");
                read_all(&mut client.reader(), &mut got);
            }
        }
        if let Some(event) = machine.poll_event() {
            assert!(matches!(event, Event::Written { body_bytes: 3_000_000, .. }), "{event:?}");
            break;
        }
    }
    drop(near);
    match &mut client {
        None => read_all(&mut far, &mut got),
        Some(client) => {
            while client.read_tls(&mut far).is_ok_and(|n| n > 0) {
                client.process_new_packets().expect("TLS");
                read_all(&mut client.reader(), &mut got);
            }
        }
    }
    (got, full)
}

fn read_all(from: &mut impl Read, to: &mut Vec<u8>) {
    match from.read_to_end(to) {
        Ok(_) => {}
        Err(error) => {
            assert!(
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof),
                "{error}"
            );
        }
    }
}

#[track_caller]
fn assert_whole((got, full): &(Vec<u8>, usize)) {
    assert!(*full > 2, "the socket was never full");
    let head = got.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let body = &got[head..];
    assert_eq!(body.len(), BODY_PIECES * PIECE_BYTES);
    assert!(body.chunks(PIECE_BYTES).zip(0..).all(|(piece, n)| piece.iter().all(|byte| *byte == n)));
}

#[test]
fn a_plain_socket_gets_everything() {
    assert_whole(&exchange(None));
}

#[test]
fn an_encrypted_socket_gets_everything() {
    let (mut server, mut client) = sessions();
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.write_tls(&mut wire).expect("a vector");
        let mut bytes = &wire[..];
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).expect("a slice");
            server.process_new_packets().expect("TLS");
        }
        wire.clear();
        server.write_tls(&mut wire).expect("a vector");
        let mut bytes = &wire[..];
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).expect("a slice");
            client.process_new_packets().expect("TLS");
        }
        wire.clear();
    }
    assert_whole(&exchange(Some((server, client))));
}
