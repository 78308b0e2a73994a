use super::{Error, HEADER_BYTES_MAX, Header, decode, write_v1, write_v2};
use crate::limits::{PROXY_TLV_BYTES_MAX, PROXY_V1_BYTES_MAX};
use std::net::SocketAddr;

const ONES: &str = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn header(source: &str, destination: &str) -> Header {
    let read = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Header { source: Some(read(source)), destination: Some(read(destination)) }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// `bytes` alone, with something behind, and cut short at every place.
fn reads_as(bytes: &[u8], expected: Header) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(decode(bytes), Ok(Some((expected, bytes.len()))), "{text}");
    let more = [bytes, b"OPTIONS * RTSP/1.0\r\n\r\n"].concat();
    assert_eq!(decode(&more), Ok(Some((expected, bytes.len()))), "{text} and more");
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]), Ok(None), "{length} bytes of {text}");
    }
}

/// The worst cases and the example of section 2.1, with the lengths given there.
#[test]
fn lines_of_the_specification() {
    let tcp4 = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    assert_eq!(tcp4.len(), 56);
    reads_as(tcp4.as_bytes(), header("255.255.255.255:65535", "255.255.255.255:65535"));
    let tcp6 = format!("PROXY TCP6 {ONES} {ONES} 65535 65535\r\n");
    assert_eq!(tcp6.len(), 104);
    reads_as(tcp6.as_bytes(), header(&format!("[{ONES}]:65535"), &format!("[{ONES}]:65535")));
    reads_as(b"PROXY UNKNOWN\r\n", Header::UNKNOWN);
    let unknown = format!("PROXY UNKNOWN {ONES} {ONES} 65535 65535\r\n");
    assert_eq!(unknown.len(), PROXY_V1_BYTES_MAX);
    reads_as(unknown.as_bytes(), Header::UNKNOWN);
    let example = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    reads_as(example, header("192.168.0.1:56324", "192.168.0.11:443"));
}

#[test]
fn lines_that_are_refused_with_their_place() {
    let cases: [(&[u8], &str, usize); 16] = [
        (b"GET / HTTP/1.1\r\n", "signature", 0),
        (b"PROXX", "signature", 4),
        (b"PROXYTCP4", "signature", 5),
        (b"PROXY \r\n", "protocol", 6),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", "protocol", 6),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "protocol", 6),
        (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", "source address", 11),
        (b"PROXY TCP4 ::1 2.2.2.2 1 2\r\n", "source address", 11),
        (b"PROXY TCP4 1.1.1.1 \xFF 1 2\r\n", "destination address", 19),
        (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", "source address", 11),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", "source port", 27),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", "source port", 27),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 02\r\n", "destination port", 29),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "destination port", 29),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", "end of line", 31),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", "end of line", 31),
    ];
    for (bytes, what, at) in cases {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(decode(bytes), Err(Error::Invalid { what, at }), "{text}");
    }
}

#[test]
fn a_line_without_end_is_refused_when_it_is_too_long() {
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    assert_eq!(decode(&endless[..PROXY_V1_BYTES_MAX - 1]), Ok(None));
    let error = decode(&endless[..PROXY_V1_BYTES_MAX]).expect_err("too long");
    assert_eq!((error, error.kind()), (Error::Limit { what: "line", max: PROXY_V1_BYTES_MAX }, "limit"));
    // One byte too long, though it ends.
    let line = [&endless[..PROXY_V1_BYTES_MAX - 1], b"\r\n"].concat();
    assert_eq!(decode(&line), Err(error));
}

/// What haproxy 2 sent in front of a request of curl, in a capture with two containers.
#[test]
fn a_header_that_haproxy_wrote() {
    let bytes = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0x00, 0x0C, 0xAC,
        0x13, 0x00, 0x01, 0xAC, 0x13, 0x00, 0x03, 0xA6, 0x52, 0x00, 0x50,
    ];
    let expected = header("172.19.0.1:42578", "172.19.0.3:80");
    reads_as(&bytes, expected);
    assert_eq!(write_v2(&expected, false), bytes);
}

#[test]
fn what_is_written_is_read() {
    let cases = [
        header("192.0.2.1:1", "198.51.100.255:65535"),
        header("[2001:db8::1]:554", "[::ffff:1.2.3.4]:0"),
        Header::UNKNOWN,
    ];
    for case in cases {
        reads_as(write_v1(&case).as_bytes(), case);
        for checksum in [false, true] {
            reads_as(&write_v2(&case, checksum), case);
        }
    }
    // Two families at once cannot be said.
    let mixed = header("1.2.3.4:5", "[::1]:6");
    reads_as(write_v1(&mixed).as_bytes(), Header::UNKNOWN);
    reads_as(&write_v2(&mixed, true), Header::UNKNOWN);
}

#[test]
fn every_family_and_transport_of_version_2() {
    let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
    let known = header("1.2.3.4:9", "5.6.7.8:10");
    reads_as(&v2(0x21, 0x11, &v4), known);
    reads_as(&v2(0x21, 0x12, &v4), known);
    reads_as(&v2(0x21, 0x10, &v4), Header::UNKNOWN);
    reads_as(&v2(0x21, 0x31, &[b'/'; 216]), Header::UNKNOWN);
    reads_as(&v2(0x21, 0x00, &[]), Header::UNKNOWN);
    // A health check: whatever is said is ignored, also when it is less than its family needs.
    reads_as(&v2(0x20, 0x11, &v4), Header::UNKNOWN);
    reads_as(&v2(0x20, 0x21, &[0xFF, 0xFF]), Header::UNKNOWN);
}

#[test]
fn version_2_faults_are_found_at_the_first_byte_that_shows_them() {
    let unsupported = |what, value| Err(Error::Unsupported { what, value });
    assert_eq!(decode(b"\r\n\r\n\r"), Err(Error::Invalid { what: "signature", at: 4 }));
    assert_eq!(decode(&v2(0x11, 0, &[])[..13]), unsupported("version", 1));
    assert_eq!(decode(&v2(0x22, 0, &[])[..13]), unsupported("command", 2));
    assert_eq!(decode(&v2(0x21, 0x41, &[])[..14]), unsupported("address family", 4));
    assert_eq!(decode(&v2(0x21, 0x13, &[])[..14]), unsupported("transport", 3));
    assert_eq!(decode(&v2(0x21, 0x11, &[0; 11])[..16]), Err(Error::Invalid { what: "length", at: 14 }));
}

#[test]
fn extensions_are_bounded_and_must_fit() {
    let address = [0; 12];
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[&address, tlvs].concat());
    let known = header("0.0.0.0:0", "0.0.0.0:0");
    // ALPN, padding of nothing, and a type nobody knows.
    reads_as(&with(&[1, 0, 2, b'h', b'2', 4, 0, 0, 0xEE, 0, 1, 0]), known);
    let invalid = |what, at| Err(Error::Invalid { what, at });
    assert_eq!(decode(&with(&[4, 0])), invalid("extension", 28));
    assert_eq!(decode(&with(&[4, 0, 2, 0])), invalid("extension length", 29));
    assert_eq!(decode(&with(&[3, 0, 3, 0, 0, 0])), invalid("checksum length", 29));

    let mut padding = vec![4];
    padding.extend(u16::try_from(PROXY_TLV_BYTES_MAX - 3).expect("short").to_be_bytes());
    padding.resize(PROXY_TLV_BYTES_MAX, 0);
    let longest = with(&padding);
    assert!(longest.len() <= HEADER_BYTES_MAX);
    assert_eq!(decode(&longest), Ok(Some((known, longest.len()))));
    padding.push(0);
    let limit = Error::Limit { what: "extensions", max: PROXY_TLV_BYTES_MAX };
    assert_eq!(decode(&with(&padding)[..16]), Err(limit));
}

#[test]
fn a_wrong_checksum_is_refused_wherever_the_header_was_changed() {
    let written = write_v2(&header("1.2.3.4:5", "6.7.8.9:10"), true);
    for at in 16..written.len() {
        let mut changed = written.clone();
        changed[at] ^= 0x40;
        let read = decode(&changed);
        match at {
            // The type or length of the checksum itself: there is none then, or it does not fit.
            28 => assert!(matches!(read, Ok(Some(_)))),
            29 | 30 => assert!(matches!(read, Err(Error::Invalid { what: "extension length", .. }))),
            _ => assert!(matches!(read, Err(error @ Error::Checksum { .. }) if error.kind() == "invalid")),
        }
    }
    // Before padding as well as behind it; but only once.
    let address = [0; 12];
    let mut twice = v2(0x21, 0x11, &[&address[..], &[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = super::checksum::crc32c(&[&twice]);
    twice[31..35].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(decode(&twice), Err(Error::Invalid { what: "second checksum", at: 35 }));
    let mut first = v2(0x21, 0x11, &[&address[..], &[3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 9]].concat());
    let sum = super::checksum::crc32c(&[&first]);
    first[31..35].copy_from_slice(&sum.to_be_bytes());
    assert!(matches!(decode(&first), Ok(Some(_))));
}
