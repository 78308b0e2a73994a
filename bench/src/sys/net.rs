//! Sockets: epoll, a timer, receive calls that discard, stamp or batch, and the segmented send.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::SockAddr;

use crate::limits;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Whether a descriptor has nothing now.
pub(crate) fn would_block(error: &io::Error) -> bool {
    // Events come before the connect is through: then the socket is not connected yet.
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOTCONN)
}

/// What a descriptor is watched for. Always edge triggered: take all there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    ReadWrite,
}

/// What became of a watched descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) writable: bool,
}

/// An epoll instance, edge triggered.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(crate) fn new(events_max: usize) -> io::Result<Epoll> {
        // SAFETY: a plain system call; its result is a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; events_max] })
    }

    /// Watches `fd`; closing the descriptor ends that.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut flags = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
        if interest == Interest::ReadWrite {
            flags |= libc::EPOLLOUT;
        }
        let mut event = libc::epoll_event { events: flags.cast_unsigned(), u64: token };
        // SAFETY: `event` lives during the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
    }

    /// Waits for events and appends them to `ready`. A signal ends the wait without one.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` has room for as many events as are asked for.
        let waited =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, timeout) };
        let count = match check(waited) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        for event in self.events.iter().take(usize::try_from(count).unwrap_or(0)) {
            let writable = event.events & libc::EPOLLOUT.cast_unsigned() != 0;
            ready.push(Ready { token: event.u64, writable });
        }
        Ok(())
    }
}

/// A timer as a descriptor: precise to microseconds, where the timeout of epoll has whole milliseconds.
pub(crate) struct Timer {
    fd: OwnedFd,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: a plain system call; its result is a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?) };
        Ok(Timer { fd })
    }

    /// Becomes readable once, after `delay`.
    pub(crate) fn arm(&self, delay: Duration) -> io::Result<()> {
        // SAFETY: itimerspec is plain integers.
        let mut spec: libc::itimerspec = unsafe { zeroed() };
        spec.it_value.tv_sec = libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX);
        // A value of zero would disarm the timer.
        spec.it_value.tv_nsec = libc::c_long::from(delay.subsec_nanos()).max(1);
        // SAFETY: `spec` lives during the call; the old value is not asked for.
        check(unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &spec, std::ptr::null_mut()) }).map(drop)
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Takes what has arrived on a TCP socket without copying it anywhere; returns how much it was, 0 at the end.
pub(crate) fn discard(fd: RawFd, scratch: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: the kernel may write at most `scratch.len()` bytes to `scratch` (with MSG_TRUNC it writes none).
    check_size(unsafe { libc::recv(fd, scratch.as_mut_ptr().cast(), scratch.len(), flags) })
}

/// Room for the control messages of one receive call.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// The kernel's receive time in a received message's control part, ns since 1970.
///
/// # Safety
/// `header` was filled by recvmsg or recvmmsg and its control buffer is still alive.
unsafe fn receive_time(header: &libc::msghdr) -> Option<u64> {
    // SAFETY: by the contract above the control part is valid; CMSG_FIRSTHDR and CMSG_NXTHDR stay in it.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            let is_time =
                (*control).cmsg_level == libc::SOL_SOCKET && (*control).cmsg_type == libc::SCM_TIMESTAMPNS;
            if is_time {
                let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                let seconds = u64::try_from(time.tv_sec).ok()?;
                return Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?);
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Receives from a TCP socket: bytes (0 at the end) and when the kernel got the newest of them.
pub(crate) fn receive_stamped(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
    let mut control = Control([0; 64]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain integers and pointers; null pointers mean absent.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: all that `header` points at lives until the end of this function.
    unsafe {
        let bytes = check_size(libc::recvmsg(fd, &mut header, libc::MSG_DONTWAIT))?;
        Ok((bytes, receive_time(&header)))
    }
}

/// Buffers for `recvmmsg`, made once.
pub(crate) struct DatagramBatch {
    headers: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    controls: Vec<Control>,
    bytes: Vec<u8>,
}

/// One datagram of a batch. `bytes` may be cut; `length` is what was sent.
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) length: usize,
    pub(crate) received_at: Option<u64>,
}

impl DatagramBatch {
    pub(crate) fn new() -> DatagramBatch {
        let count = limits::DATAGRAMS_PER_RECEIVE;
        // SAFETY: mmsghdr and iovec are plain integers and pointers, null meaning absent.
        let (headers, slices) = unsafe { (vec![zeroed(); count], vec![zeroed(); count]) };
        let bytes = vec![0; count * limits::DATAGRAM_BYTES_MAX];
        DatagramBatch { headers, slices, controls: vec![Control([0; 64]); count], bytes }
    }

    /// Receives up to a batch; of each datagram only the first `keep` bytes are copied. Returns how many came.
    pub(crate) fn receive(&mut self, fd: RawFd, keep: usize, stamped: bool) -> io::Result<usize> {
        let keep = keep.min(limits::DATAGRAM_BYTES_MAX);
        let rooms = self.bytes.chunks_mut(limits::DATAGRAM_BYTES_MAX);
        for (((header, slice), control), room) in
            self.headers.iter_mut().zip(&mut self.slices).zip(&mut self.controls).zip(rooms)
        {
            *slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: keep };
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            if stamped {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = control.0.len() as _;
            } else {
                header.msg_hdr.msg_control = std::ptr::null_mut();
                header.msg_hdr.msg_controllen = 0;
            }
        }
        let count = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: each header points at one slice, one buffer and one control part, all owned by `self`.
        let received = check(unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), count, flags, std::ptr::null_mut())
        })?;
        Ok(usize::try_from(received).unwrap_or(0))
    }

    /// The datagram `index` of the last receive, which returned more than `index`.
    pub(crate) fn get(&self, index: usize) -> Datagram<'_> {
        let header = &self.headers[index];
        let length = header.msg_len as usize;
        let kept = length.min(self.slices[index].iov_len);
        let start = index * limits::DATAGRAM_BYTES_MAX;
        // SAFETY: the header was filled by recvmmsg and its control part belongs to `self`.
        let received_at = unsafe { receive_time(&header.msg_hdr) };
        Datagram { bytes: &self.bytes[start..start + kept], length, received_at }
    }
}

/// Sends one datagram after the other, each `segment` bytes (the last may be shorter), in one call (UDP GSO).
/// `to` is None on a connected socket. At most [`limits::SEGMENTS_MAX`] segments.
pub(crate) fn send_segmented(
    fd: RawFd,
    bytes: &[u8],
    segment: u16,
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    let mut control = Control([0; 64]);
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: msghdr is plain integers and pointers; null pointers mean absent.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut slice;
    header.msg_iovlen = 1;
    if let Some(to) = to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: the control part has room for one message with two bytes of data; `bytes` and `to` outlive the
    // call, which only reads them.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(message).cast(), segment);
        check_size(libc::sendmsg(fd, &header, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT))
    }
}

fn set_option(fd: RawFd, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an int that lives during the call.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, (&raw const value).cast(), length) };
    check(result).map(drop)
}

/// Lets the kernel note when it received what is read from this socket.
pub(crate) fn enable_receive_times(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::SO_TIMESTAMPNS, 1)
}

/// Makes the receive buffer large: past the system's limit where that is permitted, else up to it.
pub(crate) fn enlarge_receive_buffer(fd: RawFd) -> io::Result<()> {
    let bytes = limits::UDP_RECEIVE_BUFFER_BYTES as libc::c_int;
    set_option(fd, libc::SO_RCVBUFFORCE, bytes).or_else(|_| set_option(fd, libc::SO_RCVBUF, bytes))
}

/// Datagrams the kernel dropped because this socket's receive buffer was full: the load's fault, not the server's.
pub(crate) fn receive_drops(fd: RawFd) -> io::Result<u32> {
    const DROPS: usize = 8; // SK_MEMINFO_DROPS of <linux/sock_diag.h>
    let mut values = [MaybeUninit::<u32>::zeroed(); 16];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes of u32 to the array, all of which is initialised.
    unsafe {
        let at = values.as_mut_ptr().cast();
        check(libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, at, &mut length))?;
        Ok(values[DROPS].assume_init())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    fn now_ns() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
    }

    fn wait(fd: RawFd) {
        let mut epoll = Epoll::new(4).expect("epoll");
        epoll.add(fd, 7, Interest::Read).expect("add");
        let mut ready = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        while ready.is_empty() {
            assert!(Instant::now() < deadline, "nothing arrived");
            epoll.wait(Duration::from_millis(50), &mut ready).expect("wait");
        }
        assert_eq!(ready[0].token, 7);
    }

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        (client, listener.accept().expect("accept").0)
    }

    #[test]
    fn discard_counts_what_it_does_not_copy() {
        let (mut sender, receiver) = tcp_pair();
        sender.write_all(&[9; 5_000]).expect("write");
        wait(receiver.as_raw_fd());
        let mut scratch = vec![1; limits::RECEIVE_BYTES];
        assert_eq!(discard(receiver.as_raw_fd(), &mut scratch).expect("discard"), 5_000);
        assert!(scratch.iter().all(|&byte| byte == 1));
        drop(sender);
        assert_eq!((&receiver).read(&mut [0; 8]).expect("end"), 0);
    }

    #[test]
    fn tcp_reads_carry_the_time_the_kernel_got_them() {
        let (mut sender, receiver) = tcp_pair();
        enable_receive_times(receiver.as_raw_fd()).expect("option");
        let before = now_ns();
        sender.write_all(b"hello").expect("write");
        wait(receiver.as_raw_fd());
        let mut buffer = [0; 64];
        let (bytes, at) = receive_stamped(receiver.as_raw_fd(), &mut buffer).expect("receive");
        let at = at.expect("a receive time");
        assert_eq!(&buffer[..bytes], b"hello");
        assert!((before..=now_ns()).contains(&at), "{at} is not between {before} and now");
    }

    #[test]
    fn a_segmented_send_arrives_as_datagrams_with_times() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("bind");
        enable_receive_times(receiver.as_raw_fd()).expect("option");
        enlarge_receive_buffer(receiver.as_raw_fd()).expect("buffer");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let to = SockAddr::from(receiver.local_addr().expect("address"));
        let bytes: Vec<u8> = (0..250_u8).collect();
        assert_eq!(send_segmented(sender.as_raw_fd(), &bytes, 100, Some(&to)).expect("send"), 250);
        wait(receiver.as_raw_fd());
        let mut batch = DatagramBatch::new();
        assert_eq!(batch.receive(receiver.as_raw_fd(), 12, true).expect("receive"), 3);
        let lengths: Vec<usize> = (0..3).map(|index| batch.get(index).length).collect();
        assert_eq!(lengths, [100, 100, 50]);
        assert_eq!(batch.get(2).bytes, &bytes[200..212]);
        assert!(batch.get(1).received_at.is_some());
        assert_eq!(receive_drops(receiver.as_raw_fd()).expect("drops"), 0);
    }

    #[test]
    fn the_timer_fires_after_its_delay() {
        let timer = Timer::new().expect("timer");
        let start = Instant::now();
        timer.arm(Duration::from_millis(3)).expect("arm");
        wait(timer.as_raw_fd());
        assert!(start.elapsed() >= Duration::from_millis(3));
    }
}
