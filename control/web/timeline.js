// Media times against the wall clock, for all renditions of a session.
//
// The server's media times go on without a jump across a discontinuity. Where they jump nevertheless (another server behind
// the same page), the times after the discontinuity are moved to where those before it ended, in every rendition alike.

/// A difference that is no jump, in seconds: rounding, and tracks that end at different times.
const JUMP = 1;
/// Places remembered: more than lie in the buffer.
const PLACES_MAX = 200;

export class Timeline {
  constructor() {
    this.offsets = new Map();
    this.places = [];
  }

  /// What to add to media times in this discontinuity sequence number, of which a file begins at `start`, where `end` is the
  /// end of the rendition's media before it (null at the beginning).
  offset(discontinuity, start, end) {
    if (!this.offsets.has(discontinuity)) {
      const before = this.offsets.get(discontinuity - 1) || 0;
      const jumps = end !== null && Math.abs(start + before - end) > JUMP;
      this.offsets.set(discontinuity, jumps ? end - start : before);
    }
    return this.offsets.get(discontinuity);
  }

  /// A segment begins at media time `time` and was live at `wall` (milliseconds).
  place(time, wall) {
    this.places.push({ time, wall });
    if (this.places.length > PLACES_MAX) {
      this.places.shift();
    }
  }

  /// When the media at `time` were live, in milliseconds; null if that is not known.
  wall(time) {
    let best = null;
    for (const place of this.places) {
      if (best === null || (place.time <= time + 0.001 && place.time >= best.time)) {
        best = place;
      }
    }
    return best && best.wall + (time - best.time) * 1000;
  }
}
