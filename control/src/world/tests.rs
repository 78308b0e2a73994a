use super::{Happening, World};
use headwater_engine::counters::Counter;
use headwater_engine::records::{
    Census, Connection, Event, Id, Muxer, Protocol, Session, SessionCounts, SessionState, Stream, Transport,
};
use std::sync::Arc;
use std::time::SystemTime;

/// The `n`-th thing of a shard.
fn id(shard: u8, n: u8) -> Id {
    format!("00000000-0000-80{shard:02x}-8000-0000000000{n:02x}").parse().expect("an id")
}

fn connection(id: Id) -> Arc<Connection> {
    connection_of(Protocol::Rtsp, id)
}

fn connection_of(protocol: Protocol, id: Id) -> Arc<Connection> {
    Arc::new(Connection {
        id,
        created: SystemTime::now(),
        protocol,
        remote: ([127, 0, 0, 1], 1000).into(),
        inbound_bytes: Counter::default(),
        outbound_bytes: Counter::default(),
    })
}

fn session(id: Id, path: &str) -> Arc<Session> {
    session_of(Protocol::Rtsp, id, path)
}

fn session_of(protocol: Protocol, id: Id, path: &str) -> Arc<Session> {
    Arc::new(Session {
        id,
        created: SystemTime::now(),
        protocol,
        remote: ([127, 0, 0, 1], 1000).into(),
        path: path.into(),
        query: "a=b".into(),
        user: "".into(),
        user_agent: "".into(),
        kind: Default::default(),
        skipped: Default::default(),
        counts: SessionCounts::default(),
    })
}

fn stream(number: u64, shard: u8, home: bool) -> Arc<Stream> {
    Arc::new(Stream {
        id: number,
        path: "cam".into(),
        shard,
        home,
        created: SystemTime::now(),
        tracks: Vec::new(),
        inbound_bytes: Counter::default(),
        inbound_frames_in_error: Counter::default(),
        outbound_bytes: Counter::default(),
        readers: Counter::default(),
        log_bytes: Counter::default(),
    })
}

fn muxer(stream: u64) -> Arc<Muxer> {
    Arc::new(Muxer {
        stream,
        path: "cam".into(),
        created: SystemTime::now(),
        variant: "lowLatency",
        last_request_ms: Counter::default(),
        outbound_bytes: Counter::default(),
        outbound_frames_discarded: Counter::default(),
        skipped: Box::default(),
    })
}

fn name(happening: &Happening) -> &'static str {
    match happening {
        Happening::ConnectionOpened(_) => "connect",
        Happening::ConnectionClosed { .. } => "disconnect",
        Happening::PathAvailable { .. } => "available",
        Happening::PathUnavailable { .. } => "unavailable",
        Happening::PathOnline { .. } => "online",
        Happening::PathOffline { .. } => "offline",
        Happening::SessionStarted(_) => "started",
        Happening::SessionEnded { .. } => "ended",
        Happening::ConfigurationChanged { .. } | Happening::ConfigurationRefused { .. } => "configuration",
    }
}

/// Applies events and returns what was told.
fn told(world: &World, events: Vec<Event>) -> Vec<&'static str> {
    let mut heard = world.listen();
    events.into_iter().for_each(|event| world.apply(event));
    std::iter::from_fn(|| heard.try_recv().ok()).map(|happening| name(&happening)).collect()
}

fn published(world: &World) -> Vec<&'static str> {
    let publisher = id(0, 1);
    let session = session(publisher, "cam");
    told(
        world,
        vec![
            Event::ConnectionOpened(connection(id(0, 100))),
            Event::SessionOpened { session, connection: Some(id(0, 100)) },
            Event::StreamOpened(stream(7, 0, true)),
            Event::StreamPublisher { id: 7, session: Some(publisher) },
            Event::SessionChanged {
                id: publisher,
                state: SessionState::Publish,
                transport: Some(Transport::Tcp),
            },
        ],
    )
}

#[test]
fn a_path_is_available_with_its_publisher_and_its_replicas_count_with_it() {
    let world = World::new();
    assert_eq!(published(&world), ["connect", "available", "online", "started"]);
    let replica = stream(7, 1, false);
    replica.outbound_bytes.add(5);
    let reader = id(1, 2);
    let read = Event::SessionChanged { id: reader, state: SessionState::Read, transport: None };
    let open = Event::SessionOpened { session: session(reader, "cam"), connection: None };
    assert_eq!(told(&world, vec![Event::StreamOpened(replica), open, read]), ["started"]);
    let view = world.path("cam").expect("live");
    assert_eq!((view.outbound_bytes, view.readers.len()), (5, 1));
    assert_eq!(view.source.map(|party| party.kind), Some("rtspSession"));
    assert_eq!(world.connection(id(0, 100)).expect("open").session, Some(id(0, 1)));
    let closed = Event::SessionClosed { id: reader, reason: "x".into() };
    assert_eq!(told(&world, vec![closed]), ["ended"]);
    assert!(world.path("cam").expect("live").readers.is_empty());
}

#[test]
fn a_publisher_that_returns_in_time_leaves_the_path_available() {
    let world = World::new();
    published(&world);
    let gone = Event::StreamPublisher { id: 7, session: None };
    assert_eq!(told(&world, vec![gone]), ["offline"]);
    assert!(world.path("cam").expect("still live").online.is_none());
    let back = id(0, 9);
    let open = Event::SessionOpened { session: session(back, "cam"), connection: None };
    let publisher = Event::StreamPublisher { id: 7, session: Some(back) };
    assert_eq!(told(&world, vec![open, publisher]), ["online"]);
    let closed = Event::StreamClosed { id: 7, shard: 0 };
    assert_eq!(told(&world, vec![closed]), ["offline", "unavailable"]);
    assert!(world.path("cam").is_none());
}

#[test]
fn a_stream_with_other_tracks_replaces_the_old_one() {
    let world = World::new();
    published(&world);
    let open = Event::SessionOpened { session: session(id(0, 3), "cam"), connection: None };
    let publisher = Event::StreamPublisher { id: 8, session: Some(id(0, 3)) };
    let replaced = vec![
        open,
        Event::StreamOpened(stream(8, 0, true)),
        publisher,
        Event::StreamClosed { id: 7, shard: 0 },
    ];
    assert_eq!(told(&world, replaced), ["offline", "unavailable", "available", "online"]);
    assert_eq!(world.path("cam").and_then(|path| path.source).map(|source| source.id), Some(id(0, 3)));
}

#[test]
fn a_census_sets_right_what_was_lost() {
    let world = World::new();
    published(&world);
    // The end of everything that was published, and a new connection, were dropped.
    let census = Census {
        shard: 0,
        connections: vec![connection(id(0, 101))],
        sessions: Vec::new(),
        streams: Vec::new(),
        muxers: Vec::new(),
    };
    let mut heard = told(&world, vec![Event::Census(Box::new(census))]);
    heard.sort_unstable();
    assert_eq!(heard, ["connect", "disconnect", "ended", "offline", "unavailable"]);
    assert!(world.path("cam").is_none() && world.session(id(0, 1)).is_none());
    assert_eq!(world.connections(Protocol::Rtsp).len(), 1);
}

#[test]
fn with_rtmp_sources_and_readers_are_connections() {
    let world = World::new();
    let (wire, publisher, reader) = (id(0, 100), id(0, 1), id(0, 2));
    let state = |id, state| Event::SessionChanged { id, state, transport: None };
    let open = |session, connection| Event::SessionOpened { session, connection };
    told(
        &world,
        vec![
            Event::ConnectionOpened(connection_of(Protocol::Rtmp, wire)),
            open(session_of(Protocol::Rtmp, publisher, "cam"), Some(wire)),
            Event::StreamOpened(stream(7, 0, true)),
            Event::StreamPublisher { id: 7, session: Some(publisher) },
            state(publisher, SessionState::Publish),
            Event::ConnectionOpened(connection_of(Protocol::Rtmps, id(0, 101))),
            open(session_of(Protocol::Rtmps, reader, "cam"), Some(id(0, 101))),
            state(reader, SessionState::Read),
            open(session_of(Protocol::Hls, id(0, 3), "cam"), None),
            state(id(0, 3), SessionState::Read),
            Event::MuxerOpened(muxer(7)),
        ],
    );
    let path = world.path("cam").expect("live");
    let source = path.source.expect("a publisher");
    assert_eq!((source.kind, source.id, source.session), ("rtmpConn", wire, publisher));
    let mut readers: Vec<_> = path.readers.iter().map(|party| (party.kind, party.id)).collect();
    readers.sort();
    // The muxer is no reader.
    assert_eq!(readers, [("hlsSession", id(0, 3)), ("rtmpsConn", id(0, 101))]);
}

#[test]
fn a_muxer_goes_with_its_stream_and_its_successor_is_shown() {
    let world = World::new();
    published(&world);
    told(&world, vec![Event::MuxerOpened(muxer(7))]);
    assert_eq!(world.muxer("cam").expect("there").stream.expect("its stream").id, 7);
    let successor = vec![Event::StreamOpened(stream(8, 0, true)), Event::MuxerOpened(muxer(8))];
    told(&world, successor);
    assert_eq!(world.muxers().iter().map(|view| view.record.stream).collect::<Vec<_>>(), [8]);
    told(&world, vec![Event::MuxerClosed { stream: 8 }]);
    assert_eq!(world.muxer("cam").expect("the first one").record.stream, 7);
    told(&world, vec![Event::StreamClosed { id: 7, shard: 0 }]);
    assert!(world.muxer("cam").is_none() && world.muxers().is_empty());
}

#[test]
fn a_census_sets_muxers_right_on_its_shard_only() {
    let world = World::new();
    published(&world);
    let mut far = Arc::into_inner(stream(9, 1, true)).expect("alone");
    far.path = "far".into();
    let of_far = Muxer { path: "far".into(), ..Arc::into_inner(muxer(9)).expect("alone") };
    let lost = muxer(55);
    told(
        &world,
        vec![
            Event::StreamOpened(Arc::new(far)),
            Event::MuxerOpened(Arc::new(of_far)),
            Event::MuxerOpened(lost),
        ],
    );
    let census = Census {
        shard: 0,
        connections: Vec::new(),
        sessions: Vec::new(),
        streams: vec![(stream(7, 0, true), None)],
        muxers: vec![muxer(7)],
    };
    told(&world, vec![Event::Census(Box::new(census))]);
    assert_eq!(world.muxers().iter().map(|view| view.record.stream).collect::<Vec<_>>(), [7, 9]);
}

#[test]
fn events_of_unknown_things_change_nothing() {
    let world = World::new();
    let events = vec![
        Event::ConnectionClosed { id: id(0, 1), reason: "".into() },
        Event::SessionClosed { id: id(0, 1), reason: "".into() },
        Event::SessionMoved { id: id(0, 1), connection: Some(id(0, 2)) },
        Event::SessionChanged { id: id(0, 1), state: SessionState::Read, transport: None },
        Event::StreamPublisher { id: 1, session: Some(id(0, 1)) },
        Event::StreamClosed { id: 1, shard: 0 },
        Event::MuxerClosed { stream: 1 },
    ];
    assert!(told(&world, events).is_empty());
    assert!(world.paths().is_empty());
}
