//! Where a machine writes: the socket itself, or the TLS session before it.

use crate::limits;
use crate::net::tcp;
use rustls::ServerConnection;
use std::io::{self, IoSlice, Write};
use std::os::fd::RawFd;

/// The way out of a connection, lent to the machine while it advances.
pub(crate) enum Sink {
    /// Nothing can be written; between two advances.
    Gone,
    Plain(RawFd),
    Tls {
        fd: RawFd,
        session: Box<ServerConnection>,
    },
    #[cfg(test)]
    Memory(super::tests::Memory),
}

impl Sink {
    /// Writes to `fd`, through `session` where the connection is encrypted.
    pub(crate) fn new(fd: RawFd, session: Option<Box<ServerConnection>>) -> Sink {
        match session {
            Some(session) => Sink::Tls { fd, session },
            None => Sink::Plain(fd),
        }
    }

    /// Gives the TLS session back.
    pub(crate) fn into_session(self) -> Option<Box<ServerConnection>> {
        match self {
            Sink::Tls { session, .. } => Some(session),
            _ => None,
        }
    }

    /// Writes as much as goes. `WouldBlock` when nothing does. An encrypted connection takes at most
    /// [`limits::COPIED_BYTES_MAX`] before the kernel has taken what was encrypted earlier.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Sink::Gone => Err(io::ErrorKind::NotConnected.into()),
            Sink::Plain(fd) => tcp::send_vectored(*fd, &slices[..slices.len().min(limits::SEND_SLICES_MAX)]),
            Sink::Tls { fd, session } => {
                drain(*fd, session)?;
                let mut taken = 0;
                for slice in slices {
                    let part = &slice[..slice.len().min(limits::COPIED_BYTES_MAX - taken)];
                    let n = session.writer().write(part)?;
                    taken += n;
                    if n < part.len() {
                        break;
                    }
                }
                match drain(*fd, session) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ if taken == 0 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => Ok(taken),
                }
            }
            #[cfg(test)]
            Sink::Memory(memory) => memory.write(slices),
        }
    }

    /// Gives the kernel what was encrypted. `WouldBlock` while something is left.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Tls { fd, session } => drain(*fd, session),
            _ => Ok(()),
        }
    }
}

fn drain(fd: RawFd, session: &mut ServerConnection) -> io::Result<()> {
    let mut wire = tcp::Wire(fd);
    while session.wants_write() {
        session.write_tls(&mut wire)?;
    }
    Ok(())
}
