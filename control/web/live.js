// Keeps the playing position near the live edge: a little faster when it lags, a jump when it is far behind, and a greater
// distance for a while when the buffer ran dry. Numbers in, a decision out; the session applies it.

/// Playback rates: gentle enough that speech sounds as it is.
const FASTER = 1.08;
const MUCH_FASTER = 1.16;
const SLOWER = 0.95;
/// Seconds beyond the target at which playing faster begins, much faster, and at which it is not worth while.
const SLACK = 0.25;
const MUCH = 2;
const JUMP = 6;
/// What a dry buffer adds to the target, at most in all, and what a second of smooth playing takes away again.
const PENALTY = 0.3;
const PENALTY_MAX = 3;
const FORGIVEN = 0.01;
/// Seconds to wait at most, after the buffer ran dry, for it to fill up to the target: else it is dry again at once.
const REFILL_SECONDS = 3;

export class LiveControl {
  /// `target` is the distance to keep from the end of the buffer; the buffer grows in steps of `step`. In seconds.
  constructor(target, step) {
    this.base = target;
    this.step = step;
    this.penalty = 0;
    this.rate = 1;
    this.refill = 0;
  }

  get target() {
    return this.base + this.penalty;
  }

  /// The buffer ran dry.
  stalled() {
    this.penalty = Math.min(PENALTY_MAX, this.penalty + PENALTY);
    this.refill = REFILL_SECONDS;
  }

  /// `ahead` seconds are in the buffer and `elapsed` went by since the last call. Returns the playback rate, or a jump: how far
  /// before the end of the buffer to go on. A rate of 0 waits.
  decide(ahead, elapsed) {
    this.penalty = Math.max(0, this.penalty - FORGIVEN * elapsed);
    const excess = ahead - this.target;
    this.refill = excess < 0 ? Math.max(0, this.refill - elapsed) : 0;
    if (this.refill > 0) {
      this.rate = 0;
      return { rate: 0 };
    }
    this.rate = this.rate || 1;
    // Just before the buffer grows by a step.
    const lowest = Math.max(this.target - this.step, this.target / 2);
    if (excess > JUMP + this.step) {
      this.rate = 1;
      return { jump: this.target };
    }
    if (excess > SLACK + this.step) {
      this.rate = excess > MUCH + this.step ? MUCH_FASTER : FASTER;
    } else if (ahead < lowest / 3) {
      this.rate = SLOWER;
    } else if ((this.rate > 1 && excess < this.step / 2) || (this.rate < 1 && ahead > lowest / 2)) {
      this.rate = 1;
    }
    return { rate: this.rate };
  }
}
