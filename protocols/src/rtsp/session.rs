//! The state machine of one session (RFC 2326, appendix A.2), and what of an offered transport is taken.
//!
//! ```text
//!          SETUP            PLAY                      role Read
//!   Init ────────▶ Ready ◀────────▶ Playing
//!                    ▲     PAUSE
//!                    └────────────▶ Recording         role Publish
//!                          RECORD / PAUSE
//! ```
//! TEARDOWN ends the session in every state. Stricter than the RFC where gortsplib is, and clients know it: no SETUP while
//! media flow, no second SETUP of a track, one lower transport for all tracks, RECORD only once.

use super::message::{Method, Status, Uri};
use super::transport::{Lower, Transport};
use crate::limits::TRACKS_MAX;
use crate::sdp::resolve_control;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No track is set up.
    Init,
    Ready,
    Playing,
    Recording,
}

/// What the client does with the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Publish,
    Read,
}

/// How the packets of one track travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackTransport {
    /// Channels of the RTSP connection.
    Interleaved { rtp: u8, rtcp: u8 },
    /// Ports of the client.
    Udp { client_rtp: u16, client_rtcp: u16 },
}

impl TrackTransport {
    pub fn lower(self) -> Lower {
        match self {
            TrackTransport::Interleaved { .. } => Lower::Tcp,
            TrackTransport::Udp { .. } => Lower::Udp,
        }
    }
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    id: Box<str>,
    role: Role,
    state: State,
    /// Track number and its transport, in the order of the SETUPs.
    tracks: Vec<(usize, TrackTransport)>,
}

impl Session {
    /// A session in [`State::Init`]; a publisher's begins with ANNOUNCE, a reader's with its first SETUP.
    pub fn new(id: Box<str>, role: Role) -> Session {
        Session { id, role, state: State::Init, tracks: Vec::new() }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Whether media flow.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Playing | State::Recording)
    }

    /// Whether `method` is allowed now.
    ///
    /// # Errors
    /// 455 where the state forbids it, 405 for REDIRECT (servers send it), 501 for methods unknown here.
    pub fn allows(&self, method: &Method) -> Result<(), Status> {
        let allowed = match method {
            Method::Options | Method::Describe | Method::Teardown => true,
            Method::GetParameter | Method::SetParameter => true,
            Method::Announce => self.state == State::Init && self.role == Role::Publish,
            Method::Setup => matches!(self.state, State::Init | State::Ready),
            // PLAY while playing changes the range in the RFC; of a live stream it asks for nothing.
            Method::Play => self.role == Role::Read && matches!(self.state, State::Ready | State::Playing),
            Method::Record => self.role == Role::Publish && self.state == State::Ready,
            Method::Pause => self.state != State::Init,
            Method::Redirect => return Err(Status::METHOD_NOT_ALLOWED),
            Method::Other(_) => return Err(Status::NOT_IMPLEMENTED),
        };
        if allowed { Ok(()) } else { Err(Status::METHOD_NOT_VALID_IN_THIS_STATE) }
    }

    /// The transport of the next track, from what [`negotiate`] chose: channels that the client left open are picked here.
    ///
    /// # Errors
    /// 461 when neither ports nor free channels are there.
    pub fn assign(&self, transport: &Transport) -> Result<TrackTransport, Status> {
        match transport.lower {
            Lower::Udp => {
                let (client_rtp, client_rtcp) = transport.client_port.ok_or(Status::UNSUPPORTED_TRANSPORT)?;
                Ok(TrackTransport::Udp { client_rtp, client_rtcp })
            }
            Lower::Tcp => {
                let free =
                    || (0..u8::MAX).step_by(2).map(|rtp| (rtp, rtp + 1)).find(|&pair| !self.uses(pair));
                let (rtp, rtcp) = transport.interleaved.or_else(free).ok_or(Status::UNSUPPORTED_TRANSPORT)?;
                Ok(TrackTransport::Interleaved { rtp, rtcp })
            }
        }
    }

    /// SETUP of `track`.
    ///
    /// # Errors
    /// 455 where the state forbids it or the track is set up already; 400 for another lower transport than the other
    /// tracks' and for channels or ports in use; 453 beyond [`TRACKS_MAX`] tracks.
    pub fn set_up(&mut self, track: usize, transport: TrackTransport) -> Result<(), Status> {
        self.allows(&Method::Setup)?;
        if self.tracks.iter().any(|(other, _)| *other == track) {
            return Err(Status::METHOD_NOT_VALID_IN_THIS_STATE);
        }
        if self.tracks.first().is_some_and(|(_, first)| first.lower() != transport.lower()) {
            return Err(Status::BAD_REQUEST);
        }
        let in_use = match transport {
            TrackTransport::Interleaved { rtp, rtcp } => rtp == rtcp || self.uses((rtp, rtcp)),
            TrackTransport::Udp { client_rtp, client_rtcp } => {
                client_rtp == client_rtcp || self.uses_ports(client_rtp, client_rtcp)
            }
        };
        if in_use {
            return Err(Status::BAD_REQUEST);
        }
        if self.tracks.len() == TRACKS_MAX {
            return Err(Status::NOT_ENOUGH_BANDWIDTH);
        }
        self.tracks.push((track, transport));
        self.state = State::Ready;
        Ok(())
    }

    /// PLAY.
    ///
    /// # Errors
    /// 455, as [`Session::allows`].
    pub fn play(&mut self) -> Result<(), Status> {
        self.allows(&Method::Play)?;
        self.state = State::Playing;
        Ok(())
    }

    /// RECORD.
    ///
    /// # Errors
    /// 455, as [`Session::allows`].
    pub fn record(&mut self) -> Result<(), Status> {
        self.allows(&Method::Record)?;
        self.state = State::Recording;
        Ok(())
    }

    /// PAUSE; in [`State::Ready`] it changes nothing.
    ///
    /// # Errors
    /// 455, as [`Session::allows`].
    pub fn pause(&mut self) -> Result<(), Status> {
        self.allows(&Method::Pause)?;
        self.state = State::Ready;
        Ok(())
    }

    /// The tracks set up, in the order of their SETUPs.
    pub fn tracks(&self) -> impl Iterator<Item = (usize, &TrackTransport)> {
        self.tracks.iter().map(|(track, transport)| (*track, transport))
    }

    fn uses(&self, (rtp, rtcp): (u8, u8)) -> bool {
        self.tracks.iter().any(|(_, transport)| match transport {
            TrackTransport::Interleaved { rtp: a, rtcp: b } => [rtp, rtcp].iter().any(|c| c == a || c == b),
            TrackTransport::Udp { .. } => false,
        })
    }

    fn uses_ports(&self, rtp: u16, rtcp: u16) -> bool {
        self.tracks.iter().any(|(_, transport)| match transport {
            TrackTransport::Udp { client_rtp: a, client_rtcp: b } => {
                [rtp, rtcp].iter().any(|p| p == a || p == b)
            }
            TrackTransport::Interleaved { .. } => false,
        })
    }
}

/// Which transports the path and the listener take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub udp: bool,
    pub tcp: bool,
    /// SRTP profiles (`RTP/SAVP`); the plain ones are always taken.
    pub secure: bool,
}

/// The first alternative of the client that is allowed, as it stands in the request; the answer echoes it.
///
/// # Errors
/// 461 when none fits: not allowed, multicast, encrypted, or UDP without `client_port`. 400 when one would fit but its
/// mode is the other role's, which is a fault of the client that another transport would not cure.
pub fn negotiate(offered: &[Transport], allowed: Allowed, role: Role) -> Result<Transport, Status> {
    let fits = |transport: &&Transport| {
        let lower = match transport.lower {
            Lower::Udp => {
                allowed.udp && transport.client_port.is_some_and(|(rtp, rtcp)| rtp != 0 && rtcp != 0)
            }
            Lower::Tcp => allowed.tcp,
        };
        lower && !transport.multicast && (allowed.secure || !transport.profile.is_secure())
    };
    let mut refused = Status::UNSUPPORTED_TRANSPORT;
    for transport in offered.iter().filter(fits) {
        if transport.mode_record == (role == Role::Publish) {
            return Ok(transport.clone());
        }
        refused = Status::BAD_REQUEST;
    }
    Err(refused)
}

/// Which of a publisher's tracks a SETUP means: the track whose control, resolved against `base`, is `uri`.
///
/// `controls` are the `a=control` values of the announced tracks in order. Credentials in URIs, a final slash, and the
/// host (a proxy or NAT may have changed it) are not compared. A stream of one track may be set up by `base` itself.
pub fn find_track(base: &str, controls: &[Option<&str>], uri: &str) -> Option<usize> {
    let wanted = tail(uri);
    let exact = controls.iter().position(|control| {
        control.is_some() && !wanted.is_empty() && tail(&resolve_control(base, *control)) == wanted
    });
    exact.or_else(|| (controls.len() == 1 && tail(base) == wanted).then_some(0))
}

/// What follows the authority of a URI, without slashes at its ends.
fn tail(uri: &str) -> &str {
    let rest =
        uri.split_once("://").map_or(uri, |(_, rest)| &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]);
    rest.trim_matches('/')
}

/// Takes a reader's SETUP URI apart: path, query, and the number after `trackID=`, which [`crate::sdp::describe`] gave.
///
/// Clients append the control to the URL as a whole, so it may stand behind the query: `cam?user=a/trackID=1`.
pub fn split_track<'a>(uri: &Uri<'a>) -> (&'a str, Option<&'a str>, Option<usize>) {
    let number = |text: &'a str| -> Option<(&'a str, usize)> {
        let (before, number) = text.rsplit_once("trackID=")?;
        let digits = !number.is_empty() && number.len() <= 4 && number.bytes().all(|b| b.is_ascii_digit());
        let before = before.strip_suffix('/').or_else(|| before.is_empty().then_some(before))?;
        digits.then(|| number.parse().ok().map(|number| (before, number))).flatten()
    };
    if let Some((query, track)) = uri.query.and_then(number) {
        return (uri.path.trim_end_matches('/'), Some(query), Some(track));
    }
    match number(uri.path) {
        Some((path, track)) => (path.trim_end_matches('/'), uri.query, Some(track)),
        None => (uri.path.trim_end_matches('/'), uri.query, None),
    }
}
