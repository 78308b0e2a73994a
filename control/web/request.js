// Requests to the server: with a deadline, told apart by what went wrong, and with the server's clock learnt on the way.

/// A request that came to nothing. `status` is the HTTP status, 0 if the server was not reached, -1 if it took too long.
export class RequestError extends Error {
  constructor(status, url) {
    const name = new URL(url).pathname.split('/').pop() || '/';
    const what = { 0: 'the server was not reached', '-1': 'no answer in time' }[status] || `status ${status}`;
    super(`${name}: ${what}`);
    this.status = status;
    this.url = url;
  }

  /// The thing is not there (any more), and asking again will not bring it.
  get gone() {
    return this.status === 404 || this.status === 410;
  }

  get forbidden() {
    return this.status === 401 || this.status === 403;
  }
}

/// Resolves after so many milliseconds, or at once when the signal aborts.
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal && signal.aborted) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      if (signal) {
        signal.removeEventListener('abort', end);
      }
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    if (signal) {
      signal.addEventListener('abort', end);
    }
  });
}

/// What to wait before attempt number `attempt` (from 1), in milliseconds: doubled each time, with jitter, so that an
/// audience whose server went away does not come back in step.
export function backOff(attempt, first, most) {
  return Math.min(most, first * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
}

/// The server's clock against this machine's. A Date header has whole seconds, so one answer narrows the difference down to a
/// second or so, and many answers narrow it further: each says that the difference lies between two bounds.
export class ServerClock {
  constructor() {
    [this.low, this.high] = [-Infinity, Infinity];
  }

  /// An answer whose head says `date`, to a request sent and answered at these local times (milliseconds).
  learn(date, sent, answered) {
    const second = Date.parse(date);
    if (Number.isNaN(second)) {
      return;
    }
    const [low, high] = [second - answered, second + 1000 - sent];
    this.low = Math.max(this.low, low);
    this.high = Math.min(this.high, high);
    if (this.low > this.high) {
      [this.low, this.high] = [low, high]; // one of the clocks was set
    }
  }

  now() {
    return Date.now() + (Number.isFinite(this.low) ? (this.low + this.high) / 2 : 0);
  }
}

/// Fetches an address. `as` is 'text' or 'arrayBuffer'; `seconds` is the deadline for head and body. Resolves to
/// `{ body, url }`, with the address after redirects; rejects with a RequestError, or an AbortError if `signal` aborts.
export async function request(url, { as, seconds, signal, clock }) {
  const abort = new AbortController();
  let late = false;
  const onAbort = () => abort.abort();
  const timer = setTimeout(() => {
    late = true;
    abort.abort();
  }, seconds * 1000);
  signal.addEventListener('abort', onAbort);
  try {
    if (signal.aborted) {
      abort.abort();
    }
    const sent = Date.now();
    const response = await fetch(url, { signal: abort.signal });
    // What a cache answers with tells the time of long ago.
    if (clock && response.headers.has('Date') && !response.headers.has('Age')) {
      clock.learn(response.headers.get('Date'), sent, Date.now());
    }
    if (!response.ok) {
      throw new RequestError(response.status, url);
    }
    return { body: await response[as](), url: response.url };
  } catch (error) {
    if (error instanceof RequestError || signal.aborted) {
      throw error;
    }
    throw new RequestError(late ? -1 : 0, url);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
