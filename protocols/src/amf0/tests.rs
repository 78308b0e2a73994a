use super::{Error, Value, parse_all};
use crate::limits::{AMF0_DEPTH_MAX, AMF0_NAME_BYTES_MAX, AMF0_VALUES_MAX};
use bytes::BytesMut;

fn written(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| value.write(&mut out));
    out
}

/// A `connect` command with the properties FFmpeg sends, put together by hand after section 2 of the specification.
#[test]
fn connect_command() {
    let bytes = b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0\x03\x00\x03app\x02\x00\x03app\
        \x00\x04type\x02\x00\x0anonprivate\x00\x08flashVer\x02\x00\x24FMLE/3.0 (compatible; Lavf60.16.100)\
        \x00\x05tcUrl\x02\x00\x19rtmp://127.0.0.1:1935/app\x00\x00\x09";
    let values = parse_all(bytes).unwrap();
    assert_eq!(values[0].as_str(), Some("connect"));
    assert_eq!(values[1].as_number(), Some(1.0));
    assert_eq!(values[2].get("app").and_then(Value::as_str), Some("app"));
    assert_eq!(values[2].get("tcUrl").and_then(Value::as_str), Some("rtmp://127.0.0.1:1935/app"));
    assert_eq!(values[2].get("none"), None);
    assert_eq!(written(&values), bytes[..]);
}

#[test]
fn every_type_reads_back() {
    let values = [
        Value::Number(-1.5),
        Value::Boolean(true),
        Value::from("é"),
        Value::object([("a", Value::Null), ("", Value::from(2.0)), ("o", Value::object([]))]),
        Value::Null,
        Value::Undefined,
        Value::EcmaArray(vec![("duration".into(), Value::Number(0.0))]),
        Value::StrictArray(vec![Value::from("avc1"), Value::from(false)]),
        Value::Date { unix_ms: 1e12, time_zone: -60 },
        Value::LongString("long".into()),
    ];
    assert_eq!(parse_all(&written(&values)).unwrap(), values);
    let long = "x".repeat(70_000);
    let read = parse_all(&written(&[Value::from(&*long)])).unwrap();
    assert_eq!(read, [Value::LongString(long.into())]);
}

#[test]
fn what_encoders_bend_is_read() {
    // No UTF-8; XML; a typed object; an unsupported value.
    let values = parse_all(b"\x02\0\x02\xe9a\x0f\0\0\0\x01x\x10\0\x01C\0\x01k\x05\0\0\x09\x0d").unwrap();
    assert_eq!(values[0].as_str(), Some("\u{fffd}a"));
    assert_eq!(values[1].as_str(), Some("x"));
    assert_eq!(values[2], Value::object([("k", Value::Null)]));
    assert_eq!(values[3], Value::Undefined);
    // An ECMA array with a wrong count, and one without end.
    let short = parse_all(b"\x08\0\0\0\x09\0\x01k\x01\x01").unwrap();
    assert_eq!(short[0].get("k").and_then(Value::as_bool), Some(true));
}

#[test]
fn faults_are_told_apart() {
    for (bytes, kind) in [
        (&b"\x00\x3f"[..], "invalid"),
        (b"\x02\0\x05abc", "invalid"),
        (b"\x0c\xff\xff\xff\xffabc", "invalid"),
        (b"\x03\0\x01a\x05", "invalid"),
        (b"\x03\0\0", "invalid"),
        (b"\x0a\xff\xff\xff\xff\x05", "invalid"),
        (b"\x07\0\0", "unsupported"),
        (b"\x11\x01", "unsupported"),
        (b"\x09", "unsupported"),
    ] {
        assert_eq!(parse_all(bytes).unwrap_err().kind(), kind, "{bytes:02x?}");
    }
}

#[test]
fn depth_count_and_names_are_bounded() {
    let nested = |depth: usize| [&b"\x0a\0\0\0\x01".repeat(depth)[..], b"\x05"].concat();
    assert!(parse_all(&nested(AMF0_DEPTH_MAX)).is_ok());
    let depth = Error::Limit { what: "depth", max: AMF0_DEPTH_MAX };
    assert_eq!(parse_all(&nested(AMF0_DEPTH_MAX + 1)), Err(depth));
    assert_eq!(parse_all(&nested(1 << 20)), Err(depth));
    assert!(parse_all(&vec![5; AMF0_VALUES_MAX]).is_ok());
    assert!(parse_all(&vec![5; AMF0_VALUES_MAX + 1]).is_err());
    let name = "n".repeat(AMF0_NAME_BYTES_MAX + 1);
    assert!(parse_all(&written(&[Value::object([(&*name, Value::Null)])])).is_err());
}
