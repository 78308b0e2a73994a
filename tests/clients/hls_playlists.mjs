// Reloads the playlists of a path as players do, and has hls-parser judge each in strict mode.
//
//   node hls_playlists.mjs URL RELOADS
//
// Every reload is a blocking one (RFC 8216bis, section 6.2.5.2), for what comes next; of low latency every other is a delta
// update (6.2.5.1), which must be the playlist that it leaves something out of. Every segment and part must be there.

import { check, required, tell } from './packages.mjs';

const HLS = required('hls-parser');
HLS.setOptions({ strictMode: true });
const [url, reloads] = [process.argv[2], Number(process.argv[3])];

async function load(address) {
  const started = Date.now();
  const response = await fetch(address);
  const body = await response.text();
  check(response.status === 200, `${response.status} for ${address}: ${body}`);
  check(response.headers.get('content-type') === 'application/vnd.apple.mpegurl', `${response.headers.get('content-type')}`);
  let playlist;
  try {
    playlist = HLS.parse(body);
  } catch (error) {
    throw new Error(`${error.message} in\n${body}`);
  }
  return { body, playlist, took: Date.now() - started };
}

const fetched = new Set();
let bytes = 0;

async function fetchOnce(address) {
  if (fetched.has(address)) {
    return;
  }
  fetched.add(address);
  const response = await fetch(address);
  const body = await response.arrayBuffer();
  check(response.status === 200 && body.byteLength > 0, `${response.status}, ${body.byteLength} bytes: ${address}`);
  bytes += body.byteLength;
}

/// What the standard says of one playlist, beyond what the parser looks at.
function judge({ body, playlist }) {
  const parts = playlist.partTargetDuration;
  playlist.segments.forEach((segment, index) => {
    if (!segment.duration) {
      return; // It is not whole yet.
    }
    check(Math.round(segment.duration) <= playlist.targetDuration, `a segment of ${segment.duration} s\n${body}`);
    const next = playlist.segments[index + 1];
    if (next && !next.discontinuity && segment.programDateTime && next.programDateTime) {
      const apart = (next.programDateTime - segment.programDateTime) / 1000;
      check(Math.abs(apart - segment.duration) < 0.05, `dates ${apart} s apart, a segment of ${segment.duration} s\n${body}`);
    }
    if (segment.parts.length) {
      const sum = segment.parts.reduce((total, part) => total + part.duration, 0);
      check(Math.abs(sum - segment.duration) < 0.002, `parts of ${sum} s in a segment of ${segment.duration} s\n${body}`);
    }
    const closed = segment.parts.filter((part) => !part.hint);
    closed.forEach((part, place) => {
      check(part.duration <= parts + 1e-6, `a part of ${part.duration} s\n${body}`);
      const last = place === closed.length - 1;
      check(last || part.duration >= 0.85 * parts - 1e-6, `a short part of ${part.duration} s\n${body}`);
    });
    if (closed.length && closed[0].duration) {
      check(closed[0].independent, `a segment whose first part is not independent\n${body}`);
    }
  });
}

/// The segments that are whole, by their media sequence numbers.
function whole(playlist) {
  const segments = playlist.segments.filter((segment) => segment.duration);
  return new Map(segments.map((segment) => [segment.mediaSequenceNumber, segment]));
}

function sameWhereBoth(before, after) {
  for (const [number, segment] of whole(after)) {
    const known = whole(before).get(number);
    const same = !known || (known.uri === segment.uri && known.duration === segment.duration && Number(known.programDateTime) === Number(segment.programDateTime));
    check(same, `segment ${number} was ${known?.uri} (${known?.duration} s), and is ${segment.uri} (${segment.duration} s)`);
  }
}

/// The newest segment and part.
function end(playlist) {
  const last = playlist.segments.at(-1);
  const parts = last.parts.filter((part) => !part.hint).length;
  return last.duration ? { msn: last.mediaSequenceNumber + 1, part: 0 } : { msn: last.mediaSequenceNumber, part: parts };
}

async function follow(address) {
  let { body, playlist } = await load(address);
  judge({ body, playlist });
  let [deltas, blocked, hint] = [0, 0, null];
  for (let reload = 0; reload < reloads; reload += 1) {
    const low = playlist.lowLatencyCompatibility?.canBlockReload && playlist.partTargetDuration;
    check(playlist.lowLatencyCompatibility?.canBlockReload, `no CAN-BLOCK-RELOAD\n${body}`);
    const wanted = end(playlist);
    const target = new URL(address);
    target.searchParams.set('_HLS_msn', wanted.msn);
    if (low) {
      target.searchParams.set('_HLS_part', wanted.part);
    }
    const skip = low && reload % 2 === 1;
    if (skip) {
      target.searchParams.set('_HLS_skip', 'YES');
    }
    const next = await load(target);
    blocked += next.took > 20 ? 1 : 0;
    check(next.took < 3000 * playlist.targetDuration, `a reload took ${next.took} ms`);
    judge(next);
    const reached = end(next.playlist);
    const there = low
      ? reached.msn > wanted.msn || (reached.msn === wanted.msn && reached.part > wanted.part)
      : reached.msn > wanted.msn;
    check(there, `asked for ${JSON.stringify(wanted)}, got up to ${JSON.stringify(reached)}\n${next.body}`);
    check(next.playlist.mediaSequenceBase >= playlist.mediaSequenceBase, 'the media sequence went back');
    deltas += next.playlist.skip > 0 ? 1 : 0;
    sameWhereBoth(playlist, next.playlist);
    if (hint && low) {
      const listed = next.playlist.segments.flatMap((segment) => segment.parts).some((part) => !part.hint && part.uri === hint);
      check(listed, `${hint} was hinted at and is not listed\n${next.body}`);
    }
    for (const segment of next.playlist.segments) {
      const uris = [segment.uri, segment.map?.uri, ...segment.parts.filter((part) => !part.hint).map((part) => part.uri)];
      await Promise.all(uris.filter(Boolean).map((uri) => fetchOnce(new URL(uri, address).href)));
    }
    hint = low ? next.playlist.segments.flatMap((segment) => segment.parts).find((part) => part.hint)?.uri : null;
    check(!low || hint, `no preload hint\n${next.body}`);
    // A delta update is complemented from the one before, so the next is asked from what it lists last.
    ({ body, playlist } = next);
  }
  return { deltas, blocked };
}

const { playlist: main } = await load(url);
check(main.isMasterPlaylist && main.variants.length === 1, 'no multivariant playlist');
const [variant] = main.variants;
check(variant.bandwidth > 0 && variant.codecs, `bandwidth ${variant.bandwidth}, codecs ${variant.codecs}`);
const addresses = new Set([variant.uri, ...variant.audio.map((rendition) => rendition.uri).filter(Boolean)]);
const results = await Promise.all([...addresses].map((uri) => follow(new URL(uri, url).href)));
tell({ playlists: addresses.size, codecs: variant.codecs, deltas: Math.min(...results.map((one) => one.deltas)), blocked: Math.min(...results.map((one) => one.blocked)), files: fetched.size, bytes });
