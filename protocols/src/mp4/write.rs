//! Boxes as they are written (ISO/IEC 14496-12, 4.2).

use bytes::{BufMut, BytesMut};

/// Appends a box; `body` writes what follows its size and type.
pub(super) fn write_box(out: &mut BytesMut, kind: [u8; 4], body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(&kind);
    body(out);
    // Headers are short: sets of at most TRACKS_MAX tracks, and runs of units that were counted.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with version and flags.
pub(super) fn write_full_box(
    out: &mut BytesMut,
    kind: [u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut BytesMut),
) {
    write_box(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags & 0x00FF_FFFF);
        body(out);
    });
}

/// Appends a file or segment type box (`ftyp`, `styp`).
pub(super) fn write_type(out: &mut BytesMut, kind: [u8; 4], major: [u8; 4], compatible: &[[u8; 4]]) {
    write_box(out, kind, |out| {
        out.put_slice(&major);
        out.put_u32(0);
        compatible.iter().for_each(|brand| out.put_slice(brand));
    });
}
