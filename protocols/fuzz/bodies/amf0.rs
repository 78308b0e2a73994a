//! AMF0: what is read can be written, and reads back as the same bytes.

use bytes::BytesMut;
use headwater_protocols::amf0::{Value, parse_all};
use headwater_protocols::limits::AMF0_VALUES_MAX;

/// Reads the bytes as they are, and once more with their markers made known ones.
pub fn amf0(data: &[u8]) {
    check(data);
    let Some((&marker, rest)) = data.split_first() else {
        return;
    };
    // A type that is read, then whatever comes; and the same inside an ECMA array, which need not end.
    const KINDS: [u8; 12] = [0, 1, 2, 3, 5, 6, 8, 10, 11, 12, 15, 16];
    let value = [&[KINDS[usize::from(marker) % KINDS.len()]], rest].concat();
    check(&value);
    check(&[&b"\x08\0\0\0\0\0\x01k"[..], &value].concat());
}

fn check(bytes: &[u8]) {
    match parse_all(bytes) {
        Ok(values) => {
            assert!(values.len() <= AMF0_VALUES_MAX);
            let written = write(&values);
            // By bytes, since NaN equals nothing.
            assert_eq!(write(&parse_all(&written).expect("what we write we read")), written);
        }
        Err(error) => assert!(!error.kind().is_empty() && !error.to_string().is_empty()),
    }
}

fn write(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| value.write(&mut out));
    out
}
