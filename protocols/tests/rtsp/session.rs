//! The states of a session, transport negotiation, and which track a URL means.

use headwater_protocols::limits::TRACKS_MAX;
use headwater_protocols::rtsp::message::{Method, Status, Uri};
use headwater_protocols::rtsp::session::{
    Allowed, Role, Session, State, TrackTransport, find_track, negotiate, split_track,
};
use headwater_protocols::rtsp::transport::{Lower, Transport};

const TCP: TrackTransport = TrackTransport::Interleaved { rtp: 0, rtcp: 1 };

fn session(role: Role, state: State) -> Session {
    let mut session = Session::new("1".into(), role);
    if state != State::Init {
        session.set_up(0, TCP).unwrap();
    }
    match state {
        State::Playing => session.play().unwrap(),
        State::Recording => session.record().unwrap(),
        State::Init | State::Ready => {}
    }
    assert_eq!(session.state(), state);
    session
}

/// RFC 2326, appendix A.2; rows of (role, state, methods that are allowed besides those that always are).
#[test]
fn methods_are_allowed_by_state() {
    use Method::{
        Announce, Describe, GetParameter, Options, Pause, Play, Record, Redirect, SetParameter, Setup,
        Teardown,
    };
    let rows: [(Role, State, &[Method]); 6] = [
        (Role::Read, State::Init, &[Setup]),
        (Role::Read, State::Ready, &[Setup, Play, Pause]),
        (Role::Read, State::Playing, &[Play, Pause]),
        (Role::Publish, State::Init, &[Announce, Setup]),
        (Role::Publish, State::Ready, &[Setup, Record, Pause]),
        (Role::Publish, State::Recording, &[Pause]),
    ];
    for (role, state, allowed) in rows {
        let session = session(role, state);
        for method in [Announce, Setup, Play, Pause, Record] {
            let expected =
                if allowed.contains(&method) { Ok(()) } else { Err(Status::METHOD_NOT_VALID_IN_THIS_STATE) };
            assert_eq!(session.allows(&method), expected, "{role:?} {state:?} {method:?}");
        }
        for method in [Options, Describe, Teardown, GetParameter, SetParameter] {
            assert_eq!(session.allows(&method), Ok(()), "{role:?} {state:?} {method:?}");
        }
        assert_eq!(session.allows(&Redirect), Err(Status::METHOD_NOT_ALLOWED));
        assert_eq!(session.allows(&Method::Other("X".into())), Err(Status::NOT_IMPLEMENTED));
    }
}

#[test]
fn pause_goes_back_to_ready() {
    let mut reader = session(Role::Read, State::Playing);
    reader.pause().unwrap();
    assert_eq!((reader.state(), reader.is_active()), (State::Ready, false));
    reader.play().unwrap();
    let mut publisher = session(Role::Publish, State::Recording);
    assert_eq!(publisher.play(), Err(Status::METHOD_NOT_VALID_IN_THIS_STATE));
    publisher.pause().unwrap();
    publisher.record().unwrap();
}

#[test]
fn tracks_are_set_up_once_on_one_transport() {
    let udp = |port| TrackTransport::Udp { client_rtp: port, client_rtcp: port + 1 };
    let interleaved = |rtp, rtcp| TrackTransport::Interleaved { rtp, rtcp };
    let mut reader = session(Role::Read, State::Ready);
    assert_eq!(
        reader.set_up(0, interleaved(2, 3)),
        Err(Status::METHOD_NOT_VALID_IN_THIS_STATE),
        "the track again"
    );
    assert_eq!(reader.set_up(1, udp(5000)), Err(Status::BAD_REQUEST), "another lower transport");
    for (rtp, rtcp) in [(0, 1), (1, 2), (5, 0), (4, 4)] {
        assert_eq!(
            reader.set_up(1, interleaved(rtp, rtcp)),
            Err(Status::BAD_REQUEST),
            "channels {rtp}-{rtcp}"
        );
    }
    assert_eq!(reader.set_up(1, interleaved(2, 3)), Ok(()));
    assert_eq!(reader.tracks().map(|(track, _)| track).collect::<Vec<_>>(), [0, 1]);

    let mut over_udp = Session::new("2".into(), Role::Read);
    over_udp.set_up(0, udp(5000)).unwrap();
    assert_eq!(over_udp.set_up(1, udp(5001)), Err(Status::BAD_REQUEST), "a port in use");
    assert_eq!(over_udp.set_up(1, udp(5002)), Ok(()));
}

#[test]
fn tracks_are_bounded() {
    let mut reader = Session::new("1".into(), Role::Read);
    for track in 0..TRACKS_MAX {
        let transport = reader.assign(&Transport::new(Lower::Tcp)).unwrap();
        reader.set_up(track, transport).unwrap();
    }
    let next = reader.assign(&Transport::new(Lower::Tcp)).unwrap();
    assert_eq!(reader.set_up(TRACKS_MAX, next), Err(Status::NOT_ENOUGH_BANDWIDTH));
}

#[test]
fn open_channels_are_picked() {
    let mut reader = session(Role::Read, State::Ready);
    let open = Transport::new(Lower::Tcp);
    assert_eq!(reader.assign(&open), Ok(TrackTransport::Interleaved { rtp: 2, rtcp: 3 }));
    reader.set_up(1, TrackTransport::Interleaved { rtp: 3, rtcp: 2 }).unwrap();
    assert_eq!(reader.assign(&open), Ok(TrackTransport::Interleaved { rtp: 4, rtcp: 5 }));
    assert_eq!(reader.assign(&Transport::new(Lower::Udp)), Err(Status::UNSUPPORTED_TRANSPORT));
}

/// Rows of (header, allowed, role, chosen alternative or status).
#[test]
fn the_first_fitting_transport_is_taken() {
    let both = Allowed { udp: true, tcp: true, secure: false };
    let tcp = Allowed { udp: false, ..both };
    let udp = Allowed { tcp: false, ..both };
    let secure = Allowed { secure: true, ..both };
    let offer = "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1";
    let rows = [
        (offer, both, Role::Read, Ok(0)),
        (offer, tcp, Role::Read, Ok(2)),
        (offer, udp, Role::Read, Ok(0)),
        (offer, both, Role::Publish, Err(400)),
        ("RTP/AVP;multicast", both, Role::Read, Err(461)),
        ("RTP/AVP;multicast;client_port=5000-5001", both, Role::Read, Err(461)),
        ("RTP/AVP;unicast", both, Role::Read, Err(461)),
        ("RTP/AVP;unicast;client_port=0-1", both, Role::Read, Err(461)),
        ("RTP/AVP/TCP;interleaved=0-1", udp, Role::Read, Err(461)),
        ("RTP/SAVP/TCP;interleaved=0-1", both, Role::Read, Err(461)),
        ("RTP/SAVP/TCP;interleaved=0-1", secure, Role::Read, Ok(0)),
        ("RTP/AVP/TCP;mode=record", both, Role::Publish, Ok(0)),
        ("RTP/AVP/TCP;mode=record", both, Role::Read, Err(400)),
        ("RTP/AVP/TCP, RTP/AVP/TCP;mode=record", both, Role::Publish, Ok(1)),
    ];
    for (text, allowed, role, expected) in rows {
        let offered = Transport::parse_list(text).unwrap();
        let chosen = negotiate(&offered, allowed, role);
        match expected {
            Ok(index) => assert_eq!(chosen.as_ref(), Ok(&offered[index]), "{text} {allowed:?} {role:?}"),
            Err(status) => assert_eq!(chosen, Err(Status(status)), "{text} {allowed:?} {role:?}"),
        }
    }
}

/// (base of ANNOUNCE, controls, URI of SETUP, track).
type PublishedRow = (&'static str, &'static [Option<&'static str>], &'static str, Option<usize>);

#[test]
fn publishers_tracks_are_found() {
    let two: &'static [Option<&'static str>] = &[Some("streamid=0"), Some("streamid=1")];
    let rows: [PublishedRow; 12] = [
        ("rtsp://h:8554/a", two, "rtsp://h:8554/a/streamid=1", Some(1)),
        ("rtsp://h:8554/a/", two, "rtsp://h:8554/a/streamid=0", Some(0)),
        ("rtsp://h:8554/a", two, "rtsp://proxy/a/streamid=1", Some(1)),
        ("rtsp://h/a", two, "rtsp://u:p@h/a/streamid=1/", Some(1)),
        ("rtsp://h/a?x=y", two, "rtsp://h/a?x=y/streamid=1", Some(1)),
        ("rtsp://h/a", two, "rtsp://h/a", None),
        ("rtsp://h/a", two, "rtsp://h/a/streamid=2", None),
        ("rtsp://h/a", two, "rtsp://h/b/streamid=1", None),
        ("rtsp://h/a", &[None], "rtsp://h/a", Some(0)),
        ("rtsp://h/a", &[Some("*")], "rtsp://h/a/", Some(0)),
        ("rtsp://h/a", &[Some("rtsp://h/a/track1"), Some("rtsp://h/a/track2")], "rtsp://h/a/track2", Some(1)),
        ("rtsp://h/a", &[], "rtsp://h/a", None),
    ];
    for (base, controls, uri, expected) in rows {
        assert_eq!(find_track(base, controls, uri), expected, "{base} {controls:?} {uri}");
    }
}

/// Rows of (URI of SETUP, path, query, track).
#[test]
fn readers_tracks_are_found() {
    let rows = [
        ("rtsp://h/live/x/trackID=0", "live/x", None, Some(0)),
        ("rtsp://h/live/x?u=a&p=b/trackID=12", "live/x", Some("u=a&p=b"), Some(12)),
        ("rtsp://h/live/x/?u=a/trackID=1", "live/x", Some("u=a"), Some(1)),
        ("rtsp://h/live/x/trackID=1?u=a", "live/x", Some("u=a"), Some(1)),
        ("rtsp://h/trackID=1", "", None, Some(1)),
        ("rtsp://h/live/x", "live/x", None, None),
        ("rtsp://h/live/x/", "live/x", None, None),
        ("rtsp://h/live/xtrackID=1", "live/xtrackID=1", None, None),
        ("rtsp://h/live/trackID=", "live/trackID=", None, None),
        ("rtsp://h/live/trackID=-1", "live/trackID=-1", None, None),
        ("rtsp://h/live/trackID=99999", "live/trackID=99999", None, None),
    ];
    for (text, path, query, track) in rows {
        assert_eq!(split_track(&Uri::parse(text).unwrap()), (path, query, track), "{text}");
    }
}
