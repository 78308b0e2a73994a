//! An HTTP server of the test's own, in place of an operator's: it records what it is asked and answers as it is told.

use anyhow::{Context, Result};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub body: String,
    pub at: Instant,
}

impl Asked {
    /// A field of the JSON body; null when there is none.
    pub fn field(&self, name: &str) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap_or_default()[name].clone()
    }

    /// A field of the JSON body that is a text; empty when there is none.
    pub fn text(&self, name: &str) -> String {
        self.field(name).as_str().unwrap_or_default().to_owned()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16, String),
    /// Bytes that are no HTTP.
    Garbage,
    /// The connection is closed without a word.
    Close,
    /// Nothing, until [`Mock::release`]; then this.
    Hold(Box<Reply>),
}

impl Reply {
    pub fn ok() -> Reply {
        Reply::Status(200, String::new())
    }

    pub fn status(status: u16) -> Reply {
        Reply::Status(status, String::new())
    }
}

type Decide = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

struct Inner {
    decide: Mutex<Arc<Decide>>,
    asked: Mutex<Vec<Asked>>,
    held: Mutex<bool>,
    released: Condvar,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// A running server; it stops to accept when it is dropped.
pub struct Mock {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

impl Mock {
    /// Listens on a port of its own; one thread per connection.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(decide: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Mock> {
        // The standard library lets 128 connections wait; a crowd of clients comes at once.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).context("a port for a server")?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            decide: Mutex::new(Arc::new(Box::new(decide))),
            asked: Mutex::default(),
            held: Mutex::new(true),
            released: Condvar::new(),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                let serving = Arc::clone(&accepting);
                let thread = std::thread::Builder::new().stack_size(128 << 10);
                // A client that goes away is none of the test's business.
                let _ = thread.spawn(move || drop(serving.serve(&stream)));
            }
        });
        Ok(Mock { address, inner })
    }

    /// `http://…` with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, decide: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *lock(&self.inner.decide) = Arc::new(Box::new(decide));
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.inner.asked).clone()
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::Relaxed)
    }

    /// Lets every held reply go, and those to come.
    pub fn release(&self) {
        *lock(&self.inner.held) = false;
        self.inner.released.notify_all();
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.release();
        self.inner.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(asked) = receive(&mut reader)? {
            lock(&self.asked).push(asked.clone());
            let decide = Arc::clone(&lock(&self.decide));
            let mut reply = decide(&asked);
            while let Reply::Hold(then) = reply {
                let held = lock(&self.held);
                drop(self.released.wait_while(held, |held| *held));
                reply = *then;
            }
            match reply {
                Reply::Status(status, body) => {
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                    (&mut &*stream).write_all(text.as_bytes())?;
                }
                Reply::Garbage => {
                    (&mut &*stream).write_all(b"\x00\xff this is no HTTP\r\n\r\n")?;
                    return Ok(());
                }
                Reply::Close | Reply::Hold(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

fn receive(reader: &mut BufReader<&TcpStream>) -> Result<Option<Asked>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("Content-Length")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        at: Instant::now(),
    }))
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
