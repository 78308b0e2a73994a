// What the address of a player page says: the path, and how to play it.

const YES = ['1', 'yes', 'true'];
const NO = ['0', 'no', 'false'];

/// The options of the query, by MediaMTX's names in any case: `controls`, `muted`, `autoplay`, `playsInline`, all true unless
/// switched off, and `disablePictureInPicture`, false unless switched on.
export function options(search) {
  const query = new Map([...new URLSearchParams(search)].map(([name, value]) => [name.toLowerCase(), value.toLowerCase()]));
  const flag = (name, otherwise) => {
    const value = query.get(name);
    return YES.includes(value) || (!NO.includes(value) && otherwise);
  };
  return {
    controls: flag('controls', true),
    muted: flag('muted', true),
    autoplay: flag('autoplay', true),
    playsInline: flag('playsinline', true),
    disablePictureInPicture: flag('disablepictureinpicture', false),
  };
}

/// The addresses of the path that this page shows. The query goes along: it may carry a token.
export function addresses(location) {
  const folder = location.pathname.replace(/[^/]*$/, '');
  const at = (rest) => new URL(rest + location.search, location.origin).href;
  const path = folder.replace(/\/$/, '');
  let name = path.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch (error) {
    // Shown as it is.
  }
  return { name, hls: at(`${folder}index.m3u8`), flv: at(`${path}.flv`), ts: at(`${path}.ts`), home: at('/') };
}
