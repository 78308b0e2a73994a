//! TCP: accept, receive, and the sends of the egress.

#![allow(unsafe_code)]

use super::address::{Peer, from_storage};
use crate::limits;
use bytes::BytesMut;
use socket2::{SockRef, Socket, TcpKeepalive};
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

/// Unacknowledged data older than this ends a connection even while nothing is being sent.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes one waiting connection. `WouldBlock` when there is none.
pub(crate) fn accept(listener: &Socket) -> io::Result<(Socket, Peer)> {
    // SAFETY: sockaddr_storage is plain bytes, for which all zeros is a value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the pointers are to locals of the stated size.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::from_mut(&mut storage).cast(),
            &raw mut len,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fd is a fresh descriptor that nobody else owns.
    let socket = unsafe { Socket::from_raw_fd(fd) };
    let peer = from_storage(&storage).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((socket, Peer::new(peer)))
}

/// Sets what a media connection wants: no Nagle delay, an end for half-open peers.
pub(crate) fn prepare(socket: &Socket) {
    // Each of these is an optimisation or a safeguard; a kernel that refuses one still carries the connection.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// Appends what the kernel has to `buffer`, within its spare capacity. `Ok(0)` is the peer's end.
pub(crate) fn receive(fd: RawFd, buffer: &mut BytesMut) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    // SAFETY: the pointer and length describe the buffer's own spare memory.
    let n = unsafe { libc::recv(fd, spare.as_mut_ptr().cast(), spare.len(), 0) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let n = n as usize;
    // SAFETY: the kernel initialised n more bytes, n ≤ spare.len().
    unsafe { buffer.set_len(buffer.len() + n) };
    Ok(n)
}

/// Sends without waiting. Returns how much the kernel took.
#[inline]
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are the slice's.
    let n = unsafe {
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// The same for several slices in one call.
pub(crate) fn send_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [one] = slices {
        return send(fd, one);
    }
    // SAFETY: msghdr is plain data, for which all zeros is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice is guaranteed to have the layout of iovec on Unix.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len();
    // SAFETY: the header points to slices that outlive the call; sendmsg does not write through them.
    let n = unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Writes to a socket without waiting and without the standard library's retries.
pub(crate) struct Wire(pub(crate) RawFd);

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send_vectored(self.0, &slices[..slices.len().min(limits::SEND_SLICES_MAX)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes sent but not acknowledged yet; 0 where the kernel does not say.
pub(crate) fn unacknowledged(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is to a local integer, as TIOCOUTQ wants.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { 0 } else { usize::try_from(bytes).unwrap_or(0) }
}

/// Ends both directions: the peer sees FIN, and the poll that still holds the socket sees a hang-up.
pub(crate) fn shutdown(socket: &Socket) {
    let _ = socket.shutdown(std::net::Shutdown::Both);
}

/// Ends our direction and leaves the peer time to read what is under way.
pub(crate) fn shutdown_write(socket: &Socket) {
    let _ = socket.shutdown(std::net::Shutdown::Write);
}
