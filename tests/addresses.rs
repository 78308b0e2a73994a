//! On several addresses: what goes out over UDP comes from the address that the client asked.

use anyhow::{Result, ensure};
use headwater_tests::publisher::{Packets, Publisher, Tracks, send_picture};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server, even_udp_pair};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

/// A server on the wildcard; readers and a publisher over UDP at each of `asked`. The sockets check where RTP and RTCP
/// come from.
fn media_comes_from_the_address_asked(asked: &[IpAddr]) -> Result<()> {
    let host = Ipv4Addr::UNSPECIFIED.into();
    let mut server = Server::launch(&Launch { host, shards: Some(2), ..Launch::default() })?;
    // The socket listens everywhere; the tests reach it by the loopback address.
    server.rtsp.set_ip(asked[0]);
    let publisher = Publisher::start(server.rtsp, &server.url("everywhere"), 1)?;
    server.wait_for_stream("everywhere")?;
    for &address in asked {
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(Reader::play_udp(&server, address, "everywhere")?);
        }
        for reader in &mut readers {
            reader.advance(100)?;
            reader.wait("a sender report", |seen| seen.sender_reports > 0)?;
        }
        for reader in readers {
            reader.finish_whole()?;
        }
        publish(&server, address)?;
    }
    publisher.tear_down()?;
    server.stop()
}

/// A publisher over UDP gets its receiver reports from the address that it asked.
fn publish(server: &Server, asked: IpAddr) -> Result<()> {
    let url = server.url_at(asked, "published");
    let mut connection = Connection::open(SocketAddr::new(asked, server.rtsp.port()))?;
    connection.ok("ANNOUNCE", &url, &[("Content-Type", "application/sdp")], &Tracks::Video.sdp())?;
    let (rtp, rtcp) = even_udp_pair(connection.stream().local_addr()?.ip())?;
    let port = rtp.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{};mode=record", port + 1);
    connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    connection.ok("RECORD", &url, &[], "")?;
    let mut packets = Packets::new(2);
    rtcp.set_read_timeout(Some(Duration::from_millis(20)))?;
    for _ in 0..500 {
        send_picture(&rtp, SocketAddr::new(asked, server.rtp.port()), &mut packets)?;
        if let Ok((_, from)) = rtcp.recv_from(&mut [0; 2048]) {
            ensure!(
                from == SocketAddr::new(asked, server.rtcp.port()),
                "{asked} was asked, RTCP comes from {from}"
            );
            connection.ok("TEARDOWN", &url, &[], "")?;
            return Ok(());
        }
    }
    anyhow::bail!("no receiver report within 10 s")
}

#[test]
fn media_comes_from_the_loopback_address_asked() -> Result<()> {
    media_comes_from_the_address_asked(&[Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()])
}

#[test]
fn media_comes_from_the_interface_asked() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        // Said past the test runner's capture: an ordinary user has no network namespaces.
        writeln!(
            std::io::stderr(),
            "NOT RUN: media_comes_from_the_interface_asked needs root, for a network namespace"
        )?;
        return Ok(());
    }
    // A thread in a network namespace of its own: all its sockets and children are there, and nothing can leave.
    let in_the_namespace = std::thread::spawn(|| {
        enter_network_namespace()?;
        for command in [
            "ip link set lo up",
            "ip link add v0 type veth peer name v1",
            "ip addr add 10.99.0.1/24 dev v0",
            "ip addr add 10.99.0.2/24 dev v0",
            "ip addr add 10.98.0.1/24 dev v1",
            "ip link set v0 up",
            "ip link set v1 up",
        ] {
            let mut words = command.split(' ');
            let status = Command::new(words.next().unwrap_or_default()).args(words).status()?;
            ensure!(status.success(), "{command}: {status}");
        }
        let asked = ["127.0.0.1", "10.99.0.1", "10.99.0.2", "10.98.0.1"];
        let asked: Vec<IpAddr> = asked.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        media_comes_from_the_address_asked(&asked)
    });
    in_the_namespace.join().expect("the thread does not panic")
}

#[allow(unsafe_code)]
fn enter_network_namespace() -> Result<()> {
    // SAFETY: only the network namespace is left, no descriptor table: descriptors stay valid in all threads.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET)? };
    Ok(())
}
