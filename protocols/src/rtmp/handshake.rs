//! The handshake of RTMP 1.0 (section 5.2), plain and with digests.
//!
//! ```text
//! client                      server
//!   C0 (1) C1 (1536)  ----->
//!                     <-----  S0 (1) S1 (1536) S2 (1536)
//!   C2 (1536)         ----->
//! ```
//! C1 and S1 hold a time, a version (zero in the plain form), and random bytes; C2 and S2 repeat them. Flash Media Server 3
//! added a digest that the specification does not tell of: HMAC-SHA256 of the block without the digest, at a place that
//! four bytes of the block name, in one half of it or the other (two schemes); and C2 and S2 end in a digest keyed by that
//! of the other side. Encoders that find no digest in S1 fall back to the plain form; some players refuse H.264 without it.
//!
//! The server answers in the form it was asked in. C2 is not examined: nothing depends on it. Encryption (RTMPE, version 6)
//! is left out: its key exchange gives no secrecy.

use super::error::Error;
use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Length of C1, S1, C2 and S2.
const BLOCK_BYTES: usize = 1536;
const DIGEST_BYTES: usize = 32;
/// The version in C0 and S0.
const VERSION: u8 = 3;
/// The tail both keys share.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// What Flash Player 9.0.124.2 calls itself in C1, the version that encoders imitate.
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];
/// Flash Media Server 3.0.1.1.
const SERVER_VERSION: [u8; 4] = [3, 0, 1, 1];

type Block = [u8; BLOCK_BYTES];

/// Where the digest lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// In the first half of the random bytes.
    First,
    /// In the second.
    Second,
}

impl Scheme {
    /// Offset of the digest in `block`.
    fn place(self, block: &Block) -> usize {
        let at = match self {
            Scheme::First => 8,
            Scheme::Second => 772,
        };
        let sum: usize = block[at..at + 4].iter().map(|&byte| usize::from(byte)).sum();
        at + 4 + sum % 728
    }

    /// The digest that `block` should hold in this scheme.
    fn digest(self, key: &[u8], block: &Block) -> [u8; DIGEST_BYTES] {
        let place = self.place(block);
        hmac_sha256(key, &[&block[..place], &block[place + DIGEST_BYTES..]])
    }

    /// The scheme and digest of a block, if it holds one.
    fn find(key: &[u8], block: &Block) -> Option<(Scheme, [u8; DIGEST_BYTES])> {
        [Scheme::First, Scheme::Second].into_iter().find_map(|scheme| {
            let digest = scheme.digest(key, block);
            block[scheme.place(block)..].starts_with(&digest).then_some((scheme, digest))
        })
    }
}

fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let hashed: [u8; DIGEST_BYTES];
    let key = if key.len() > 64 {
        hashed = Sha256::digest(key).into();
        &hashed
    } else {
        key
    };
    let padded = |fill: u8| {
        let mut pad = [fill; 64];
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        pad
    };
    let mut inner = Sha256::new();
    inner.update(padded(0x36));
    message.iter().for_each(|piece| inner.update(piece));
    let mut outer = Sha256::new();
    outer.update(padded(0x5C));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// C2 or S2 of the digest form: random, and a digest keyed by the one of the other side.
fn seal(key: &[u8], other: &[u8; DIGEST_BYTES], random: &mut u64) -> Block {
    let mut block = [0; BLOCK_BYTES];
    fill(&mut block, random);
    let key = hmac_sha256(&[key, &KEY_TAIL].concat(), &[other]);
    let (message, digest) = block.split_at_mut(BLOCK_BYTES - DIGEST_BYTES);
    digest.copy_from_slice(&hmac_sha256(&key, &[message]));
    block
}

/// C1 or S1: time 0, version, random, and the digest of the scheme asked for; version 0 without.
fn open(version: [u8; 4], key: &[u8], scheme: Option<Scheme>, random: &mut u64) -> Block {
    let mut block = [0; BLOCK_BYTES];
    fill(&mut block[8..], random);
    if let Some(scheme) = scheme {
        block[4..8].copy_from_slice(&version);
        let (place, digest) = (scheme.place(&block), scheme.digest(key, &block));
        block[place..place + DIGEST_BYTES].copy_from_slice(&digest);
    }
    block
}

/// SplitMix64 from the seed; the bytes only have to differ, not to be secret.
fn fill(bytes: &mut [u8], state: &mut u64) {
    for piece in bytes.chunks_mut(8) {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        piece.copy_from_slice(&(mixed ^ mixed >> 31).to_be_bytes()[..piece.len()]);
    }
}

/// Collects the bytes of a step; at most 3073 are kept.
#[derive(Debug, Default)]
struct Collector(BytesMut);

impl Collector {
    /// The first `count` bytes, once they are here.
    fn take(&mut self, count: usize, input: &mut Bytes) -> Option<Bytes> {
        if self.0.is_empty() && input.len() >= count {
            return Some(input.split_to(count));
        }
        let part = input.len().min(count - self.0.len());
        self.0.extend_from_slice(&input[..part]);
        input.advance(part);
        (self.0.len() == count).then(|| std::mem::take(&mut self.0).freeze())
    }
}

fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        6 | 8 => Err(Error::unsupported("encrypted RTMP")),
        0..32 => Err(Error::unsupported("version of RTMP")),
        _ => Err(Error::invalid("first byte of an RTMP connection")),
    }
}

fn block(bytes: &[u8]) -> Block {
    let mut block = [0; BLOCK_BYTES];
    block.copy_from_slice(&bytes[..BLOCK_BYTES]);
    block
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Waits for C0 or S0: alone, so that what is not RTMP is noticed at its first byte.
    Version,
    /// Waits for C1, or for S1 and S2.
    Blocks,
    /// The server waits for C2.
    Reply,
}

/// The server's half.
#[derive(Debug)]
pub struct ServerHandshake {
    step: Step,
    collector: Collector,
    random: u64,
}

impl ServerHandshake {
    /// `seed` fills the random bytes.
    pub fn new(seed: u64) -> ServerHandshake {
        ServerHandshake { step: Step::Version, collector: Collector::default(), random: seed }
    }

    /// Takes bytes from the front of `input`; appends S0, S1 and S2 to `output` when C1 is here. True when the handshake
    /// is over: what is left of `input` are chunks.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Unsupported`] at the first byte.
    pub fn handle_input(&mut self, input: &mut Bytes, output: &mut BytesMut) -> Result<bool, Error> {
        loop {
            let count = if self.step == Step::Version { 1 } else { BLOCK_BYTES };
            let Some(taken) = self.collector.take(count, input) else { return Ok(false) };
            self.step = match self.step {
                Step::Version => {
                    check_version(taken[0])?;
                    Step::Blocks
                }
                Step::Blocks => {
                    self.answer(&block(&taken), output);
                    Step::Reply
                }
                Step::Reply => return Ok(true),
            };
        }
    }

    fn answer(&mut self, c1: &Block, output: &mut BytesMut) {
        // Version zero says that there is no digest; the hashes can be saved.
        let found = if c1[4..8] == [0; 4] { None } else { Scheme::find(CLIENT_KEY, c1) };
        let scheme = found.map(|(scheme, _)| scheme);
        output.reserve(1 + 2 * BLOCK_BYTES);
        output.extend_from_slice(&[VERSION]);
        output.extend_from_slice(&open(SERVER_VERSION, SERVER_KEY, scheme, &mut self.random));
        match found {
            Some((_, digest)) => output.extend_from_slice(&seal(SERVER_KEY, &digest, &mut self.random)),
            None => output.extend_from_slice(c1),
        }
    }
}

/// The client's half, with a digest: servers that know none answer in the plain form.
#[derive(Debug)]
pub struct ClientHandshake {
    step: Step,
    collector: Collector,
    random: u64,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `output`.
    pub fn new(seed: u64, output: &mut BytesMut) -> ClientHandshake {
        ClientHandshake::with_scheme(seed, Some(Scheme::First), output)
    }

    fn with_scheme(seed: u64, scheme: Option<Scheme>, output: &mut BytesMut) -> ClientHandshake {
        let mut random = seed;
        output.extend_from_slice(&[VERSION]);
        output.extend_from_slice(&open(CLIENT_VERSION, CLIENT_KEY, scheme, &mut random));
        ClientHandshake { step: Step::Version, collector: Collector::default(), random }
    }

    /// Takes bytes from the front of `input`; appends C2 to `output` at the end. True when the handshake is over. S2 is
    /// not examined.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Unsupported`] at the first byte.
    pub fn handle_input(&mut self, input: &mut Bytes, output: &mut BytesMut) -> Result<bool, Error> {
        if self.step == Step::Version {
            let Some(version) = self.collector.take(1, input) else { return Ok(false) };
            check_version(version[0])?;
            self.step = Step::Blocks;
        }
        let Some(taken) = self.collector.take(2 * BLOCK_BYTES, input) else { return Ok(false) };
        let s1 = block(&taken);
        match Scheme::find(SERVER_KEY, &s1) {
            Some((_, digest)) => output.extend_from_slice(&seal(CLIENT_KEY, &digest, &mut self.random)),
            None => output.extend_from_slice(&s1),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `piece_bytes` at a time until both sides are done; gives what the server sent.
    fn run(scheme: Option<Scheme>, piece_bytes: usize) -> Bytes {
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut client = ClientHandshake::with_scheme(1, scheme, &mut to_server);
        let mut server = ServerHandshake::new(2);
        let c1 = block(&to_server[1..]);
        let feed = |server: &mut ServerHandshake, bytes: BytesMut, out: &mut BytesMut| {
            bytes.chunks(piece_bytes).fold(false, |_, piece| {
                server.handle_input(&mut Bytes::copy_from_slice(piece), out).expect("a handshake")
            })
        };
        assert!(!feed(&mut server, to_server.split(), &mut to_client));
        let sent = to_client.split().freeze();
        let s1 = block(&sent[1..]);
        assert_eq!(Scheme::find(SERVER_KEY, &s1).map(|(scheme, _)| scheme), scheme);
        match scheme {
            None => assert_eq!(&sent[1 + BLOCK_BYTES..], &c1, "S2 repeats C1"),
            Some(scheme) => {
                let key = [SERVER_KEY, &KEY_TAIL].concat();
                let key = hmac_sha256(&key, &[&scheme.digest(CLIENT_KEY, &c1)]);
                let (message, digest) = sent[1 + BLOCK_BYTES..].split_at(BLOCK_BYTES - DIGEST_BYTES);
                assert_eq!(digest, hmac_sha256(&key, &[message]), "S2 is sealed");
            }
        }
        let mut done = false;
        for piece in sent.chunks(piece_bytes) {
            done = client.handle_input(&mut Bytes::copy_from_slice(piece), &mut to_server).expect("answers");
        }
        assert!(done);
        assert!(feed(&mut server, to_server, &mut to_client), "over after C2");
        assert!(to_client.is_empty());
        sent
    }

    #[test]
    fn both_schemes_and_the_plain_form_in_any_pieces() {
        for scheme in [None, Some(Scheme::First), Some(Scheme::Second)] {
            assert_eq!(run(scheme, 5000), run(scheme, 1));
            run(scheme, 700);
        }
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let digest = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(&digest[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e], "test case 2");
        let digest = hmac_sha256(&[0xAA; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(&digest[..8], [0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f], "test case 6");
    }

    #[test]
    fn what_is_not_rtmp_is_refused_at_the_first_byte() {
        let answer = |byte: u8| {
            ServerHandshake::new(0).handle_input(&mut Bytes::from(vec![byte]), &mut BytesMut::new())
        };
        assert_eq!(answer(3), Ok(false));
        assert!(matches!(answer(6), Err(Error::Unsupported { .. })));
        assert!(matches!(answer(b'G'), Err(Error::Invalid { .. })));
    }
}
