//! What the engine listens on: opened all at once, so that every error is met before anything changes, and changed
//! without disturbing what stays.

use crate::door::DatagramChange;
use crate::net::listen::{self, Datagram};
use crate::records::Protocol;
use crate::settings::Settings;
use crate::shard::datagrams::Ports;
use crate::shard::{Listener, ListenerId};
use crate::{Listening, StartError, net};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// What is open now.
#[derive(Clone, Default)]
pub(crate) struct Open {
    tcp: Vec<OpenTcp>,
    datagrams: Option<OpenDatagrams>,
    /// Ports of earlier settings that some shard still has open, for their sessions or for a moment.
    retired: Vec<(u16, Weak<()>)>,
    next: u32,
}

#[derive(Clone)]
struct OpenTcp {
    id: ListenerId,
    protocol: Protocol,
    asked: SocketAddr,
    bound: SocketAddr,
    open: Weak<()>,
}

#[derive(Clone)]
struct OpenDatagrams {
    asked: (SocketAddr, SocketAddr),
    buffer: usize,
    bound: (SocketAddr, SocketAddr),
    open: Weak<()>,
}

/// What a change of settings opens and closes.
pub(crate) struct Change {
    /// What is open afterwards.
    pub(crate) after: Open,
    /// Per shard.
    pub(crate) open: Vec<Vec<Listener>>,
    pub(crate) close: Vec<ListenerId>,
    /// Per shard.
    pub(crate) datagrams: Vec<DatagramChange>,
}

impl Open {
    /// Opens the sockets that `settings` ask for and that are not open yet.
    ///
    /// Errors: an address in use or not of this machine; what was opened for the change is closed again.
    pub(crate) fn change(&self, settings: &Settings) -> Result<Change, StartError> {
        let rtsp = &settings.rtsp;
        let (rtmp, http) = (&settings.rtmp, &settings.http);
        let http_protocol = if http.tls.is_some() { Protocol::Https } else { Protocol::Http };
        let wanted = [
            rtsp.address.map(|address| (Protocol::Rtsp, address, None)),
            rtsp.secure.as_ref().map(|(address, tls)| (Protocol::Rtsps, *address, Some(tls))),
            rtmp.address.map(|address| (Protocol::Rtmp, address, None)),
            rtmp.secure.as_ref().map(|(address, tls)| (Protocol::Rtmps, *address, Some(tls))),
            http.address.map(|address| (http_protocol, address, http.tls.as_ref())),
        ];
        let mut change = Change {
            after: Open { tcp: Vec::new(), datagrams: None, retired: self.ports(), next: self.next },
            open: (0..settings.shards).map(|_| Vec::new()).collect(),
            close: Vec::new(),
            datagrams: Vec::new(),
        };
        for (protocol, address, tls) in wanted.into_iter().flatten() {
            match self.tcp.iter().find(|open| open.protocol == protocol && open.asked == address) {
                Some(open) => change.after.tcp.push(open.clone()),
                None => self.listen(&mut change, protocol, address, tls)?,
            }
        }
        let kept = |id| change.after.tcp.iter().any(|open| open.id == id);
        change.close = self.tcp.iter().map(|open| open.id).filter(|id| !kept(*id)).collect();
        self.change_datagrams(&mut change, settings)?;
        Ok(change)
    }

    pub(crate) fn listening(&self) -> Vec<Listening> {
        let tcp = self.tcp.iter().map(|open| Listening {
            protocol: open.protocol.name(),
            transport: "tcp",
            address: open.bound,
        });
        let udp = self.datagrams.iter().flat_map(|open| {
            [("rtp", open.bound.0), ("rtcp", open.bound.1)].map(|(protocol, address)| Listening {
                protocol,
                transport: "udp",
                address,
            })
        });
        tcp.chain(udp).collect()
    }

    /// The ports that are ours, now or still.
    fn ports(&self) -> Vec<(u16, Weak<()>)> {
        let tcp = self.tcp.iter().map(|open| (open.bound.port(), open.open.clone()));
        let udp = self
            .datagrams
            .iter()
            .flat_map(|open| [open.bound.0, open.bound.1].map(|address| (address.port(), open.open.clone())));
        let all = self.retired.iter().cloned().chain(tcp).chain(udp);
        let mut all: Vec<_> = all.filter(|(_, open)| open.strong_count() > 0).collect();
        all.dedup_by(|a, b| a.0 == b.0 && a.1.ptr_eq(&b.1));
        all
    }

    /// Whether the port is ours already: then that it is taken says nothing.
    fn owns(&self, port: u16) -> bool {
        self.ports().iter().any(|(ours, _)| *ours == port)
    }

    fn listen(
        &self,
        change: &mut Change,
        protocol: Protocol,
        address: SocketAddr,
        tls: Option<&Arc<rustls::ServerConfig>>,
    ) -> Result<(), StartError> {
        let fault = |error| listen_error(protocol.name(), address, error);
        if !self.owns(address.port()) && listen::is_taken(address) {
            return Err(fault(io::ErrorKind::AddrInUse.into()));
        }
        let opened =
            with_fallback(address, |address| listen::tcp(address, change.open.len())).map_err(fault)?;
        let id = ListenerId(change.after.next);
        change.after.next += 1;
        let bound = listen::local(&opened[0]).map_err(fault)?;
        let open = Arc::new(());
        let weak = Arc::downgrade(&open);
        change.after.tcp.push(OpenTcp { id, protocol, asked: address, bound, open: weak });
        for (listeners, socket) in change.open.iter_mut().zip(opened) {
            listeners.push(Listener::new(id, protocol, socket, tls.cloned(), Arc::clone(&open)));
        }
        Ok(())
    }

    fn change_datagrams(&self, change: &mut Change, settings: &Settings) -> Result<(), StartError> {
        let (asked, buffer) = (settings.rtsp.datagrams, settings.rtsp.datagram_buffer);
        let open = self.datagrams.as_ref();
        if open.map(|open| (open.asked, open.buffer)) == asked.map(|asked| (asked, buffer)) {
            change.after.datagrams = open.cloned();
            change.datagrams = change.open.iter().map(|_| DatagramChange::Keep).collect();
            return Ok(());
        }
        let Some(addresses) = asked else {
            change.datagrams = change.open.iter().map(|_| DatagramChange::Replace(None)).collect();
            return Ok(());
        };
        let open = Arc::new(());
        let ports = open_datagrams(addresses, buffer, change.open.len(), |port| self.owns(port), &open)?;
        let bound = (ports[0].rtp_address, ports[0].rtcp_address);
        change.after.datagrams =
            Some(OpenDatagrams { asked: addresses, buffer, bound, open: Arc::downgrade(&open) });
        change.datagrams =
            ports.into_iter().map(|ports| DatagramChange::Replace(Some(Box::new(ports)))).collect();
        Ok(())
    }
}

fn open_datagrams(
    (rtp, rtcp): (SocketAddr, SocketAddr),
    buffer: usize,
    shards: usize,
    ours: impl Fn(u16) -> bool,
    open_token: &Arc<()>,
) -> Result<Vec<Ports>, StartError> {
    let fault = |error| listen_error("rtp and rtcp", rtp, error);
    for (protocol, address) in [("rtp", rtp), ("rtcp", rtcp)] {
        if !ours(address.port()) && listen::is_taken_udp(address) {
            return Err(listen_error(protocol, address, io::ErrorKind::AddrInUse.into()));
        }
    }
    let open = |rtp: SocketAddr| {
        let rtcp = if rtp.is_ipv6() { rtcp } else { listen::without_ipv6(rtcp).unwrap_or(rtcp) };
        listen::udp_pair(rtp, rtcp, shards, buffer)
    };
    let (rtp, rtcp) = with_fallback(rtp, open).map_err(fault)?;
    if !net::udp::segmentation_works(&rtp[0].socket) {
        tracing::warn!("this kernel does not segment datagrams (UDP GSO); readers over UDP will cost more");
    }
    let ports = |(rtp, rtcp): (Datagram, Datagram)| Ports::new(rtp, rtcp, Arc::clone(open_token));
    rtp.into_iter().zip(rtcp).map(ports).collect::<io::Result<_>>().map_err(fault)
}

/// Opens on `address`, or on the IPv4 wildcard where the machine has no IPv6.
fn with_fallback<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    open(address).or_else(|error| match listen::without_ipv6(address) {
        Some(address) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => open(address),
        _ => Err(error),
    })
}

fn listen_error(protocol: &'static str, address: SocketAddr, error: io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program uses this port: stop it or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    StartError::Listen { protocol, address, error, hint }
}
