// What a player needs of fragmented MP4 (ISO/IEC 14496-12): the tracks of an initialization segment, and the decode time
// at which a fragment begins. Malformed boxes end the walk; the browser's own parser judges the bytes.

const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'moof', 'traf']);

// Calls `visit(type, view of the payload)` for every box, outer ones first.
function walk(view, visit) {
  let at = 0;
  while (at + 8 <= view.byteLength) {
    let size = view.getUint32(at);
    let head = 8;
    if (size === 1 && at + 16 <= view.byteLength) {
      size = view.getUint32(at + 8) * 2 ** 32 + view.getUint32(at + 12);
      head = 16;
    } else if (size === 0) {
      size = view.byteLength - at;
    }
    if (size < head || at + size > view.byteLength) {
      return;
    }
    const body = new DataView(view.buffer, view.byteOffset + at + head, size - head);
    const type = fourcc(view, at + 4);
    visit(type, body);
    if (CONTAINERS.has(type)) {
      walk(body, visit);
    }
    at += size;
  }
}

function fourcc(view, at) {
  return String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3));
}

// An integer of 32 bits in version 0 of a box, of 64 bits in version 1.
function sized(view, at, version) {
  return version === 1 ? view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4) : view.getUint32(at);
}

/// Tracks of an initialization segment: `{ id, timescale, media: 'vide' | 'soun' | …, entry: sample entry type }`.
export function tracks(buffer) {
  const found = [];
  let track = {};
  walk(new DataView(buffer), (type, body) => {
    try {
      const version = body.byteLength > 0 ? body.getUint8(0) : 0;
      if (type === 'trak') {
        track = { id: 0, timescale: 1, media: '', entry: '' };
        found.push(track);
      } else if (type === 'tkhd') {
        track.id = body.getUint32(version === 1 ? 20 : 12);
      } else if (type === 'mdhd') {
        track.timescale = body.getUint32(version === 1 ? 20 : 12) || 1;
      } else if (type === 'hdlr') {
        track.media = fourcc(body, 8);
      } else if (type === 'stsd') {
        track.entry = fourcc(body, 12);
      }
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error; // a short box ends in a RangeError, and says nothing
      }
    }
  });
  return found;
}

/// Decode time of the first fragment in seconds, earliest of its tracks; null if the file tells none.
export function decodeTime(buffer, known) {
  let earliest = null;
  let id = 0;
  let fragments = 0;
  walk(new DataView(buffer), (type, body) => {
    fragments += type === 'moof' ? 1 : 0;
    if (fragments > 1) {
      return;
    }
    if (type === 'tfhd' && body.byteLength >= 8) {
      id = body.getUint32(4);
    } else if (type === 'tfdt' && body.byteLength >= 8) {
      const version = body.getUint8(0);
      const track = known.find((candidate) => candidate.id === id);
      if (track && body.byteLength >= (version === 1 ? 12 : 8)) {
        const time = sized(body, 4, version) / track.timescale;
        earliest = earliest === null ? time : Math.min(earliest, time);
      }
    }
  });
  return earliest;
}

/// The MIME type of a file with these tracks. `codecs` is the list of the multivariant playlist, in RFC 6381 form.
export function mimeType(known, codecs) {
  const names = known.map(({ entry }) => codecs.find((codec) => family(codec) === family(entry)) || guess(entry));
  const video = known.some(({ media }) => media === 'vide');
  return `${video ? 'video' : 'audio'}/mp4; codecs="${[...new Set(names)].join(',')}"`;
}

// Sample entries that differ in where parameter sets may lie are one family.
function family(name) {
  const short = name.slice(0, 4).toLowerCase();
  return { avc3: 'avc1', hev1: 'hvc1' }[short] || short;
}

function guess(entry) {
  return { avc1: 'avc1.640028', mp4a: 'mp4a.40.2', Opus: 'opus', fLaC: 'flac', hvc1: 'hvc1.1.6.L120.90' }[entry] || entry;
}
