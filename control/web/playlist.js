// HLS playlists as values (draft-pantos-hls-rfc8216bis, section 4).
//
// Reads what a live player needs: variants and audio renditions, segments, parts, hints, delta updates. Byte ranges,
// encryption and variable substitution are left out, as the server does not write them. Times are in seconds, wall-clock
// times in milliseconds since the epoch. Nothing here fetches, waits or touches the page.

const ATTRIBUTE = /([A-Z0-9-]+)=("[^"]*"|[^",]*)/g;

function attributes(text) {
  const found = {};
  for (const [, name, value] of text.matchAll(ATTRIBUTE)) {
    found[name] = value.startsWith('"') ? value.slice(1, -1) : value;
  }
  return found;
}

function lines(text) {
  if (!text.startsWith('#EXTM3U')) {
    throw new SyntaxError('This is not a playlist.');
  }
  return text.split(/\r?\n/).filter((line) => line !== '');
}

// Splits '#EXT-X-TAG:value' in two.
function tag(line) {
  const colon = line.indexOf(':');
  return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1)];
}

/// A multivariant playlist: variants in the order of the server, and the audio renditions they refer to by group.
/// A media playlist under the same address counts as its own single variant.
export function parseMultivariant(text, base) {
  const variants = [];
  const audio = [];
  let pending = null;
  for (const line of lines(text)) {
    const [name, value] = tag(line);
    if (name === '#EXT-X-TARGETDURATION') {
      return { variants: [{ uri: base, codecs: [], audioGroup: null }], audio: [] };
    } else if (name === '#EXT-X-STREAM-INF') {
      const list = attributes(value);
      pending = {
        codecs: (list.CODECS || '').split(',').map((codec) => codec.trim()).filter(Boolean),
        frameRate: Number(list['FRAME-RATE']) || null,
        audioGroup: list.AUDIO || null,
      };
    } else if (name === '#EXT-X-MEDIA') {
      const list = attributes(value);
      if (list.TYPE === 'AUDIO') {
        audio.push({
          group: list['GROUP-ID'],
          name: list.NAME || list.LANGUAGE || `Audio ${audio.length + 1}`,
          preferred: list.DEFAULT === 'YES',
          uri: list.URI ? new URL(list.URI, base).href : null,
        });
      }
    } else if (!line.startsWith('#') && pending) {
      variants.push({ ...pending, uri: new URL(line, base).href });
      pending = null;
    }
  }
  return { variants, audio };
}

/// A media playlist. `previous` is the playlist that a delta update is of.
///
/// Each segment has `msn`, `uri` (null while it is open), `duration`, `discontinuity` (its discontinuity sequence number),
/// `map` (address of its initialization segment, or null), `wall`, `gap` and `parts`.
export function parseMedia(text, base, previous) {
  const playlist = {
    target: 0, partTarget: null, holdBack: null, partHoldBack: null,
    canBlock: false, canSkip: false, sequence: 0, ended: false, hint: null, segments: [],
  };
  const state = { map: null, discontinuity: 0, parts: [], wall: null, gap: false, duration: 0 };
  const absolute = (uri) => new URL(uri, base).href;
  const push = (uri) => {
    playlist.segments.push({
      msn: playlist.sequence + playlist.segments.length,
      uri,
      duration: uri ? state.duration : state.parts.reduce((sum, part) => sum + part.duration, 0),
      discontinuity: state.discontinuity,
      map: state.map, wall: state.wall, gap: state.gap, parts: state.parts,
    });
    Object.assign(state, { parts: [], wall: null, gap: false });
  };
  for (const line of lines(text)) {
    if (!line.startsWith('#')) {
      push(absolute(line));
      continue;
    }
    const [name, value] = tag(line);
    switch (name) {
      case '#EXT-X-MAP': state.map = absolute(attributes(value).URI); break;
      case '#EXT-X-DISCONTINUITY': state.discontinuity += 1; break;
      case '#EXT-X-DISCONTINUITY-SEQUENCE': state.discontinuity = Number(value); break;
      case '#EXT-X-PROGRAM-DATE-TIME': state.wall = Date.parse(value); break;
      case '#EXT-X-GAP': state.gap = true; break;
      case '#EXTINF': state.duration = parseFloat(value); break;
      case '#EXT-X-PART': state.parts.push(part(attributes(value), absolute)); break;
      case '#EXT-X-SKIP': skip(playlist, state, previous, Number(attributes(value)['SKIPPED-SEGMENTS'])); break;
      default: header(playlist, name, value, absolute);
    }
  }
  if (state.parts.length > 0) {
    push(null);
  }
  fillWalls(playlist.segments);
  return playlist;
}

function part(list, absolute) {
  return {
    uri: absolute(list.URI),
    duration: Number(list.DURATION),
    independent: list.INDEPENDENT === 'YES',
    gap: list.GAP === 'YES',
  };
}

function header(playlist, name, value, absolute) {
  const list = attributes(value);
  switch (name) {
    case '#EXT-X-TARGETDURATION': playlist.target = Number(value); break;
    case '#EXT-X-MEDIA-SEQUENCE': playlist.sequence = Number(value); break;
    case '#EXT-X-ENDLIST': playlist.ended = true; break;
    case '#EXT-X-PART-INF': playlist.partTarget = Number(list['PART-TARGET']) || null; break;
    case '#EXT-X-SERVER-CONTROL':
      playlist.canBlock = list['CAN-BLOCK-RELOAD'] === 'YES';
      playlist.canSkip = 'CAN-SKIP-UNTIL' in list;
      playlist.holdBack = Number(list['HOLD-BACK']) || null;
      playlist.partHoldBack = Number(list['PART-HOLD-BACK']) || null;
      break;
    case '#EXT-X-PRELOAD-HINT':
      // A hint at a byte range ends in the middle of a file: not for this player.
      if (list.TYPE === 'PART' && !('BYTERANGE-START' in list)) {
        playlist.hint = absolute(list.URI);
      }
      break;
    default:
  }
}

// Takes the segments that a delta update leaves out from the playlist before it.
function skip(playlist, state, previous, count) {
  const known = new Map((previous ? previous.segments : []).map((segment) => [segment.msn, segment]));
  for (let index = 0; index < count; index += 1) {
    const segment = known.get(playlist.sequence + index);
    if (!segment || !segment.uri) {
      throw new SyntaxError('A delta update left out segments that are not known.');
    }
    playlist.segments.push(segment);
    state.map = segment.map;
    state.discontinuity = segment.discontinuity;
  }
}

// Segments without a date follow the one before them, or precede the one after.
function fillWalls(segments) {
  for (let index = 1; index < segments.length; index += 1) {
    const before = segments[index - 1];
    if (segments[index].wall === null && before.wall !== null) {
      segments[index].wall = before.wall + before.duration * 1000;
    }
  }
  for (let index = segments.length - 2; index >= 0; index -= 1) {
    if (segments[index].wall === null && segments[index + 1].wall !== null) {
      segments[index].wall = segments[index + 1].wall - segments[index].duration * 1000;
    }
  }
}

/// Where to begin, so that `holdBack` seconds lie between the place and the end: the last place at or before it from which
/// decoding can start, or the first there is. `{ msn, part }`, or null if nothing can be played.
export function startAtEnd(playlist) {
  const parts = playlist.partTarget !== null;
  const holdBack = (parts ? playlist.partHoldBack : playlist.holdBack) || 3 * (playlist.partTarget || playlist.target);
  let fromEnd = 0;
  let earliest = null;
  for (const segment of [...playlist.segments].reverse()) {
    if (segment.gap) {
      break;
    }
    for (let index = segment.parts.length - 1; index >= 0; index -= 1) {
      fromEnd += segment.parts[index].duration;
      if (segment.parts[index].independent) {
        earliest = { msn: segment.msn, part: index };
        if (fromEnd >= holdBack) {
          return earliest;
        }
      }
    }
    if (segment.parts.length === 0) {
      fromEnd += segment.duration;
    }
    if (segment.uri || (segment.parts.length > 0 && segment.parts[0].independent)) {
      earliest = { msn: segment.msn, part: 0 };
    }
    if (earliest && fromEnd >= holdBack) {
      return earliest;
    }
  }
  return earliest;
}

/// The segment that was live at a wall-clock time, or null.
export function startAtWall(playlist, wall) {
  for (const segment of [...playlist.segments].reverse()) {
    if (!segment.gap && segment.uri && segment.wall !== null && segment.wall <= wall) {
      return { msn: segment.msn, part: 0 };
    }
  }
  return null;
}

/// What follows `cursor` in the playlist: whole segments where these are complete, else parts. `next` is the cursor after it.
export function pieces(playlist, cursor) {
  const found = [];
  let { msn, part: from } = cursor;
  for (const segment of playlist.segments) {
    if (segment.msn < msn) {
      continue;
    }
    const next = { msn: segment.msn + 1, part: 0 };
    // Parts vanish from segments that grow old: a segment begun by parts is then taken whole, over what is there already.
    const whole = segment.uri && (from === 0 || segment.parts.length === 0);
    if (segment.gap) {
      found.push({ segment, gap: true, next });
    } else if (whole) {
      found.push({ segment, first: true, uri: segment.uri, duration: segment.duration, next });
    } else {
      segment.parts.slice(from).forEach(({ uri, duration, gap }, index) => {
        const number = from + index;
        const after = { msn: segment.msn, part: number + 1 };
        found.push({ segment, first: number === 0, uri, duration, gap, next: after });
      });
      if (segment.uri && found.length > 0 && found[found.length - 1].segment === segment) {
        found[found.length - 1].next = next;
      } else if (segment.uri) {
        found.push({ segment, gap: true, next });
      }
    }
    [msn, from] = [segment.msn + 1, 0];
  }
  return found;
}
