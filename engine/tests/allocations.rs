//! The data path allocates nothing per packet and reader: counted, with few and with many readers, over RTSP on TCP and
//! UDP, and over HTTP-FLV, whose form is made of the published RTP.

#![allow(unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what the server's threads allocate; this test's own thread is left out.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !LEFT_OUT.try_with(Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: usize = 7;
const PACKET_BYTES: usize = 1200;
const FRAMES: u64 = 100;
const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                   a=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n\
                   a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LADNoFBn58BEAAAAMAQAAAB4PFCqg=,aM4PyA==\r\n";

/// How readers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Tcp,
    Udp,
    Flv,
}

struct Client {
    socket: TcpStream,
    cseq: u32,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket.set_nodelay(true).expect("no delay");
        Client { socket, cseq: 0 }
    }

    /// Asks and reads byte by byte up to the end of the answer's head, so that no media are read.
    fn ask(&mut self, method: &str, url: &str, headers: &str, body: &str) -> String {
        self.cseq += 1;
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request =
            format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}{length}\r\n{body}", self.cseq);
        self.socket.write_all(request.as_bytes()).expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with("RTSP/1.0 200"), "{method}: {answer}");
        answer
    }
}

enum Reader {
    Tcp(Client),
    Flv(TcpStream),
    Udp(#[expect(dead_code, reason = "held open")] (Client, UdpSocket), UdpSocket),
}

/// Sockets on an even port and the one after it.
fn pair() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = rtp.local_addr().expect("bound").port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return (rtp, rtcp);
        }
    }
}

impl Reader {
    fn new(servers: &Servers, url: &str, how: How) -> Reader {
        let mut client = Client::connect(if how == How::Flv { servers.http } else { servers.rtsp });
        if how == How::Flv {
            let path = url.rsplit('/').next().unwrap_or_default();
            let request = format!("GET /{path}.flv HTTP/1.1\r\nHost: x\r\n\r\n");
            client.socket.write_all(request.as_bytes()).expect("written");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.socket.read_exact(&mut byte).expect("an answer");
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
            let mut file_header = [0; 13];
            client.socket.read_exact(&mut file_header).expect("the file's header");
            return Reader::Flv(client.socket);
        }
        let track = format!("{url}/trackID=0");
        if how == How::Tcp {
            client.ask("SETUP", &track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", "");
            client.ask("PLAY", url, "", "");
            return Reader::Tcp(client);
        }
        let (socket, rtcp) = pair();
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let port = socket.local_addr().expect("bound").port();
        let transport = format!("Transport: RTP/AVP;unicast;client_port={port}-{}\r\n", port + 1);
        client.ask("SETUP", &track, &transport, "");
        client.ask("PLAY", url, "", "");
        Reader::Udp((client, rtcp), socket)
    }

    /// Reads until the last packet of picture `number` has come; of FLV, which is whole pictures, that of the one before,
    /// since only the next one tells that a picture is whole.
    fn read_picture(&mut self, number: u64) {
        let mut packet = [0; PACKET_BYTES * (PACKETS + 1)];
        let wanted = match self {
            Reader::Flv(_) if number == 0 => return,
            Reader::Flv(_) => number - 1,
            Reader::Tcp(_) | Reader::Udp(..) => number,
        };
        loop {
            let packet = match self {
                Reader::Flv(socket) => {
                    socket.read_exact(&mut packet[..11]).expect("a tag's header");
                    let len = u32::from_be_bytes([0, packet[1], packet[2], packet[3]]) as usize;
                    socket.read_exact(&mut packet[..len + 4]).expect("a tag");
                    if len < PACKET_BYTES * (PACKETS - 1) {
                        continue;
                    }
                    // Its last NAL unit ends as the packet did.
                    &packet[len - PACKET_BYTES..len]
                }
                Reader::Tcp(client) => {
                    client.socket.read_exact(&mut packet[..4]).expect("a header");
                    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                    client.socket.read_exact(&mut packet[..len]).expect("a packet");
                    &packet[..len]
                }
                Reader::Udp(_, socket) => {
                    let n = socket.recv(&mut packet).expect("a datagram");
                    &packet[..n]
                }
            };
            if packet.len() == PACKET_BYTES {
                let stamp = u64::from_be_bytes(packet[PACKET_BYTES - 8..].try_into().expect("eight bytes"));
                if stamp == wanted * PACKETS as u64 + PACKETS as u64 - 1 {
                    return;
                }
            }
        }
    }
}

/// A picture as one write: interleaved RTP packets, each ending with its number.
fn picture(number: u64, out: &mut Vec<u8>) {
    out.clear();
    for index in 0..PACKETS {
        let serial = number * PACKETS as u64 + index as u64;
        out.extend_from_slice(&[b'$', 0]);
        out.extend_from_slice(&(PACKET_BYTES as u16).to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&[0x80, 96]);
        out.extend_from_slice(&(serial as u16).to_be_bytes());
        out.extend_from_slice(&(number as u32 * 3000).to_be_bytes());
        out.extend_from_slice(&7u32.to_be_bytes());
        out.push(if number.is_multiple_of(30) { 0x65 } else { 0x41 });
        // The first slice begins with macroblock 0: only then is it seen to begin a picture.
        out.push(if index == 0 { 0x88 } else { 0x01 });
        out.resize(start + PACKET_BYTES - 8, 1);
        out.extend_from_slice(&serial.to_be_bytes());
    }
}

struct Servers {
    rtsp: SocketAddr,
    http: SocketAddr,
}

/// Allocations of the server's threads per picture, in the steady state.
fn allocations_per_picture(servers: &Servers, path: &str, readers: usize, how: How) -> f64 {
    let address = servers.rtsp;
    let url = format!("rtsp://{address}/{path}");
    let mut publisher = Client::connect(address);
    publisher.ask("ANNOUNCE", &url, "Content-Type: application/sdp\r\n", SDP);
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    let answer = publisher.ask("SETUP", &format!("{url}/streamid=0"), transport, "");
    let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).expect("a session");
    let session = format!("Session: {}\r\n", session.split(';').next().expect("an id"));
    publisher.ask("RECORD", &url, &session, "");
    let mut bytes = Vec::new();
    let mut readers: Vec<Reader> = (0..readers).map(|_| Reader::new(servers, &url, how)).collect();
    let mut before = 0;
    // Two groups of pictures to warm up: buffers and the log reach their size.
    let warm_up = 70;
    for number in 0..warm_up + FRAMES {
        if number == warm_up {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        picture(number, &mut bytes);
        publisher.socket.write_all(&bytes).expect("written");
        for reader in &mut readers {
            reader.read_picture(number);
        }
    }
    (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / FRAMES as f64
}

#[test]
fn nothing_is_allocated_per_packet_and_reader() {
    LEFT_OUT.set(true);
    let engine = support::engine(true);
    let at = |protocol: &str| {
        let found = engine.listening().into_iter().find(|one| one.protocol == protocol);
        found.expect("it listens").address
    };
    let servers = Servers { rtsp: at("rtsp"), http: at("http") };
    for how in [How::Tcp, How::Udp, How::Flv] {
        let few = allocations_per_picture(&servers, &format!("few-{how:?}"), 5, how);
        let many = allocations_per_picture(&servers, &format!("many-{how:?}"), 105, how);
        eprintln!("{how:?}: {few} allocations per picture with 5 readers, {many} with 105");
        // A picture may cost some allocations (its batch, its place in the log); readers and packets may not.
        assert!(few <= 40.0, "{few} allocations per picture");
        assert!(many - few <= 10.0, "{few} allocations per picture with 5 readers, {many} with 105");
    }
    assert!(engine.shut_down(Duration::from_secs(2)), "the shards end in time");
}
