// units.mjs FOLDER: what the player computes without a browser, from its files in FOLDER.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// As data, so that no package.json decides whether these files are modules.
const load = (name) => import(`data:text/javascript;base64,${readFileSync(join(process.argv[2], name)).toString('base64')}`);
const { parseMedia, parseMultivariant, pieces, startAtEnd, startAtWall } = await load('playlist.js');
const { LiveControl } = await load('live.js');
const { Timeline } = await load('timeline.js');
const { addresses, options } = await load('options.js');
const { backOff, ServerClock } = await load('request.js');
const { decodeTime, mimeType, tracks } = await load('mp4.js');

const BASE = 'http://server/live/test/index.m3u8?jwt=x';
const HEAD = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6,HOLD-BACK=3,PART-HOLD-BACK=0.600
#EXT-X-PART-INF:PART-TARGET=0.200
`;
const part = (number, independent) => `#EXT-X-PART:DURATION=0.2,URI="part${number}.mp4"${independent ? ',INDEPENDENT=YES' : ''}\n`;
const fiveParts = (first) => [0, 1, 2, 3, 4].map((index) => part(first + index, index === 0)).join('');
const LOW_LATENCY = `${HEAD}#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-MAP:URI="init0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.00000,
seg7.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init1.mp4"
${fiveParts(40)}#EXTINF:1.00000,
seg8.mp4
${part(45, true)}${part(46, false)}#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part47.mp4"
`;

const tests = {
  'a multivariant playlist names variants and audio'() {
    const { variants, audio } = parseMultivariant(`#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio, first",DEFAULT=YES,URI="a1.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.42c01e,mp4a.40.2",FRAME-RATE=30.000,AUDIO="audio"
main.m3u8
`, BASE);
    assert.deepEqual(variants, [{ codecs: ['avc1.42c01e', 'mp4a.40.2'], frameRate: 30, audioGroup: 'audio', uri: 'http://server/live/test/main.m3u8' }]);
    assert.deepEqual(audio, [{ group: 'audio', name: 'Audio, first', preferred: true, uri: 'http://server/live/test/a1.m3u8' }]);
    assert.throws(() => parseMultivariant('<html>', BASE), SyntaxError);
  },
  'a media playlist has segments, parts, discontinuities and dates'() {
    const playlist = parseMedia(LOW_LATENCY, BASE, null);
    const [seven, eight, nine] = playlist.segments;
    assert.deepEqual([seven.msn, eight.msn, nine.msn], [7, 8, 9]);
    assert.deepEqual([seven.discontinuity, eight.discontinuity, nine.discontinuity], [2, 3, 3]);
    assert.equal(nine.map, 'http://server/live/test/init1.mp4');
    assert.deepEqual([nine.uri, nine.parts.length, eight.parts.length], [null, 2, 5]);
    assert.equal(nine.wall, Date.UTC(2026, 0, 1, 0, 0, 2));
    assert.equal(playlist.hint, 'http://server/live/test/part47.mp4');
    assert.deepEqual([playlist.partTarget, playlist.partHoldBack, playlist.canBlock], [0.2, 0.6, true]);
  },
  'a delta update takes what it skips from the playlist before it'() {
    const before = parseMedia(LOW_LATENCY, BASE, null);
    const delta = `${HEAD}#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n${fiveParts(45)}#EXTINF:1,\nseg9.mp4\n`;
    const { segments } = parseMedia(delta, BASE, before);
    assert.deepEqual(segments.map(({ msn, discontinuity }) => [msn, discontinuity]), [[7, 2], [8, 3], [9, 3]]);
    assert.equal(segments[2].map, 'http://server/live/test/init1.mp4');
    assert.equal(segments[2].wall, Date.UTC(2026, 0, 1, 0, 0, 2));
    assert.throws(() => parseMedia(delta, BASE, null), SyntaxError);
  },
  'playing begins at the last independent part before the hold back'() {
    const playlist = parseMedia(LOW_LATENCY, BASE, null);
    assert.deepEqual(startAtEnd(playlist), { msn: 8, part: 0 });
    assert.deepEqual(startAtEnd(parseMedia(LOW_LATENCY.replaceAll('0.600', '0.4'), BASE, null)), { msn: 9, part: 0 });
    assert.deepEqual(startAtEnd({ ...playlist, partHoldBack: 60 }), { msn: 7, part: 0 });
    assert.equal(startAtEnd({ ...playlist, segments: [] }), null);
    assert.deepEqual(startAtWall(playlist, Date.UTC(2026, 0, 1, 0, 0, 1, 500)), { msn: 8, part: 0 });
  },
  'pieces are whole segments where these are complete, else parts'() {
    const playlist = parseMedia(LOW_LATENCY, BASE, null);
    const of = (cursor) => pieces(playlist, cursor).filter(({ gap }) => !gap).map(({ uri }) => uri.split('/').pop());
    assert.deepEqual(of({ msn: 7, part: 0 }), ['seg7.mp4', 'seg8.mp4', 'part45.mp4', 'part46.mp4']);
    assert.deepEqual(of({ msn: 8, part: 3 }), ['part43.mp4', 'part44.mp4', 'part45.mp4', 'part46.mp4']);
    assert.deepEqual(of({ msn: 9, part: 2 }), []);
    assert.deepEqual(of({ msn: 8, part: 5 }), ['part45.mp4', 'part46.mp4']);
    assert.deepEqual(pieces(playlist, { msn: 8, part: 4 })[0].next, { msn: 9, part: 0 });
    assert.deepEqual(pieces(playlist, { msn: 9, part: 0 })[1].next, { msn: 9, part: 2 });
  },
  'playing is a little faster when it lags, and jumps when it lags much'() {
    const control = new LiveControl(0.6, 0.2);
    assert.deepEqual(control.decide(0.7, 0.2), { rate: 1 });
    assert.ok(control.decide(1.5, 0.2).rate > 1);
    assert.deepEqual(control.decide(0.65, 0.2), { rate: 1 });
    assert.deepEqual(control.decide(9, 0.2), { jump: 0.6 });
    assert.ok(control.decide(0.1, 0.2).rate < 1);
    control.stalled();
    assert.ok(control.target > 0.8);
    assert.deepEqual([control.decide(0.3, 0.2), control.decide(0.5, 0.2), control.decide(1, 0.2)], [{ rate: 0 }, { rate: 0 }, { rate: 1 }]);
    control.stalled();
    assert.equal(control.decide(0.1, 2.9).rate, 0);
    assert.notEqual(control.decide(0.1, 0.2).rate, 0);
    control.decide(0.9, 1000);
    assert.equal(control.target, 0.6);
  },
  'times that go on are left alone, times that jump are moved in all renditions alike'() {
    const timeline = new Timeline();
    assert.equal(timeline.offset(0, 100, null), 0);
    assert.equal(timeline.offset(1, 110.02, 110), 0);
    assert.equal(timeline.offset(2, 5, 120), 115);
    assert.equal(timeline.offset(2, 5.01, 119.9), 115);
    timeline.place(100, 5000);
    timeline.place(110, 60000);
    assert.deepEqual([timeline.wall(101), timeline.wall(111)], [6000, 61000]);
  },
  'the clock of the server is learnt from whole seconds'() {
    const clock = new ServerClock();
    const now = Date.now();
    const ahead = 90_250;
    for (let at = now; at < now + 5000; at += 130) {
      clock.learn(new Date(Math.floor((at + ahead) / 1000) * 1000).toUTCString(), at - 5, at + 5);
    }
    assert.ok(Math.abs(clock.now() - Date.now() - ahead) < 100, `${clock.now() - Date.now()}`);
    clock.learn(new Date(0).toUTCString(), now, now);
    assert.ok(Math.abs(clock.now() + now - Date.now() - 500) < 600);
  },
  'options have the names and words of MediaMTX'() {
    const all = { controls: true, muted: true, autoplay: true, playsInline: true, disablePictureInPicture: false };
    assert.deepEqual(options(''), all);
    assert.deepEqual(options('?controls=false&MUTED=no&autoplay=0&playsInline=nonsense&disablepictureinpicture=yes'), { ...all, controls: false, muted: false, autoplay: false, disablePictureInPicture: true });
  },
  'a path is found in the address, and the query goes along'() {
    const found = addresses(new URL('http://server:8888/live/a%20b/?jwt=x'));
    assert.equal(found.name, 'live/a b');
    assert.equal(found.hls, 'http://server:8888/live/a%20b/index.m3u8?jwt=x');
    assert.equal(found.flv, 'http://server:8888/live/a%20b.flv?jwt=x');
  },
  'waits double, with jitter, up to a limit'() {
    for (let attempt = 1; attempt < 20; attempt += 1) {
      const wait = backOff(attempt, 100, 1000);
      const middle = Math.min(1000, 100 * 2 ** (attempt - 1));
      assert.ok(wait >= middle * 0.75 && wait <= middle * 1.25);
    }
  },
  'boxes are read, and broken ones end the walk'() {
    const box = (type, ...content) => {
      const body = Buffer.concat(content);
      const head = Buffer.alloc(8);
      head.writeUInt32BE(body.length + 8);
      head.write(type, 4, 'latin1');
      return Buffer.concat([head, body]);
    };
    const words = (...values) => Buffer.concat(values.map((value) => (typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(new Uint32Array([value]).buffer).swap32())));
    const bytes = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.length);
    const track = (id, timescale, media, entry) => box('trak', box('tkhd', words(0, 0, 0, id)), box('mdia', box('mdhd', words(0, 0, 0, timescale, 0)), box('hdlr', words(0, 0, media)), box('minf', box('stbl', box('stsd', words(0, 1, 16, entry, 0))))));
    const init = box('moov', track(1, 90000, 'vide', 'avc1'), track(2, 48000, 'soun', 'mp4a'));
    const known = tracks(bytes(init));
    assert.deepEqual(known.map(({ id, timescale, media, entry }) => [id, timescale, media, entry]), [[1, 90000, 'vide', 'avc1'], [2, 48000, 'soun', 'mp4a']]);
    assert.equal(mimeType(known, ['avc1.42c01e', 'mp4a.40.2']), 'video/mp4; codecs="avc1.42c01e,mp4a.40.2"');
    assert.equal(mimeType(known.slice(1), ['opus', 'mp4a.40.2']), 'audio/mp4; codecs="mp4a.40.2"');
    const fragment = (second) => box('moof', box('traf', box('tfhd', words(0, 1)), box('tfdt', words(0x01000000, 0, 90000 * second))), box('traf', box('tfhd', words(0, 2)), box('tfdt', words(0, 48000 * second + 480))));
    assert.equal(decodeTime(bytes(Buffer.concat([fragment(12), box('mdat'), fragment(1)])), known), 12);
    for (let length = 0; length < init.length; length += 1) {
      tracks(bytes(init.subarray(0, length)));
      decodeTime(bytes(fragment(3).subarray(0, length)), known);
    }
  },
};

for (const [name, test] of Object.entries(tests)) {
  try {
    test();
    console.log(`ok: ${name}`);
  } catch (error) {
    console.error(`FAILED: ${name}\n${error.stack}`);
    process.exitCode = 1;
  }
}
