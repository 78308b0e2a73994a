// The bar under the picture, the keys, and the overlays for play and sound.

const FADE_MS = 3000;

export class Controls {
  /// `live()` goes to the live edge, `audio(index)` chooses an audio rendition, `start()` begins playing for the first time.
  constructor({ video, stage, element, shown, live, audio, start }) {
    Object.assign(this, { video, stage, element, shown, live });
    element('bar').hidden = !shown;
    element('play').addEventListener('click', () => this.toggle());
    element('mute').addEventListener('click', () => this.mute(!this.silent));
    element('unmute').addEventListener('click', () => this.mute(false));
    element('live').addEventListener('click', live);
    element('fullscreen').addEventListener('click', () => this.fullscreen());
    element('audio').addEventListener('change', () => audio(element('audio').selectedIndex));
    element('volume').addEventListener('input', () => {
      video.volume = Number(element('volume').value);
      video.muted = video.volume === 0;
    });
    element('start').addEventListener('click', () => {
      element('start').hidden = true;
      start();
    });
    for (const name of ['play', 'pause', 'volumechange', 'loadeddata']) {
      video.addEventListener(name, () => this.show());
    }
    document.addEventListener('fullscreenchange', () => this.show());
    document.addEventListener('keydown', (event) => this.key(event));
    if (shown) {
      for (const name of ['pointermove', 'pointerdown', 'focusin', 'keydown']) {
        stage.addEventListener(name, () => this.wake());
      }
      video.addEventListener('click', () => this.wake());
      video.addEventListener('dblclick', () => this.fullscreen());
    }
    this.show();
  }

  get silent() {
    return this.video.muted || this.video.volume === 0;
  }

  toggle() {
    if (this.video.paused) {
      this.play();
    } else {
      this.video.pause();
    }
  }

  /// Plays; without sound if the browser does not allow it with sound, and behind a button if not even so.
  async play() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== 'NotAllowedError') {
        return; // interrupted by a new source, which plays by itself
      }
      if (!this.video.muted) {
        this.video.muted = true;
        await this.play();
      } else {
        this.element('start').hidden = false;
      }
    }
  }

  mute(off) {
    this.video.muted = off;
    if (!off && this.video.volume === 0) {
      this.video.volume = 1;
    }
    if (!off && this.video.paused) {
      this.play();
    }
    this.asked = true;
    this.show();
  }

  /// The stream has sound, or none.
  sound(present) {
    this.present = present;
    this.show();
  }

  /// Offers a choice if there is one.
  audios(list, chosen) {
    const { element } = this;
    element('audio').replaceChildren(...list.map(({ name }, index) => new Option(name, index, false, index === chosen)));
    element('chooser').hidden = list.length < 2;
  }

  fullscreen() {
    if (document.fullscreenElement) {
      document.exitFullscreen();
    } else if (this.stage.requestFullscreen) {
      this.stage.requestFullscreen().catch(() => {});
    } else if (this.video.webkitEnterFullscreen) {
      this.video.webkitEnterFullscreen(); // a telephone of Apple's enlarges videos only
    }
  }

  key(event) {
    const busy = event.target.closest('input, select, summary, a');
    if (event.ctrlKey || event.metaKey || event.altKey || busy) {
      return;
    }
    const louder = (step) => {
      this.video.volume = Math.min(1, Math.max(0, this.video.volume + step));
    };
    const actions = {
      k: () => this.toggle(),
      m: () => this.mute(!this.silent),
      f: () => this.fullscreen(),
      l: () => this.live(),
      ArrowUp: () => louder(0.1),
      ArrowDown: () => louder(-0.1),
    };
    // A button that has the focus is pressed by the space bar.
    if (!event.target.closest('button')) {
      actions[' '] = actions.k;
    }
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  }

  wake() {
    this.stage.dataset.controls = 'shown';
    clearTimeout(this.fading);
    this.fading = setTimeout(() => {
      if (!this.video.paused) {
        this.stage.dataset.controls = 'faded';
      }
    }, FADE_MS);
  }

  show() {
    const { video, element } = this;
    const set = (id, on, label) => {
      element(id).dataset.on = on ? 'yes' : 'no';
      element(id).setAttribute('aria-label', label);
    };
    set('play', !video.paused, video.paused ? 'Play' : 'Pause');
    set('mute', !this.silent, this.silent ? 'Unmute' : 'Mute');
    const full = document.fullscreenElement !== null && document.fullscreenElement !== undefined;
    set('fullscreen', full, full ? 'Leave full screen' : 'Full screen');
    element('volume').value = video.muted ? 0 : video.volume;
    element('unmute').hidden = !(this.shown && this.present && this.silent && !this.asked && !video.paused);
    if (video.paused) {
      this.stage.dataset.controls = 'shown';
    } else {
      this.wake();
    }
  }
}
