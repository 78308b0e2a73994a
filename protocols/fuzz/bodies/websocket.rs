//! WebSocket frames: the same events come out wherever the input is cut.

use bytes::Bytes;
use headwater_protocols::websocket::{Error, Event, Reader};

pub fn websocket(data: &[u8]) {
    let Some((&cut, input)) = data.split_first() else { return };
    // Masked, with a known opcode: past the first checks.
    let mut input = input.to_vec();
    if let [first, second, ..] = &mut input[..] {
        *first = *first & 0x8F | 0x80;
        *second |= 0x80;
    }
    let whole = read(&[&input]);
    let cut = usize::from(cut).min(input.len());
    assert_eq!(whole, read(&[&input[..cut], &input[cut..]]));
}

fn read(pieces: &[&[u8]]) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new();
    let mut events = Vec::new();
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.kind().is_empty() && error.close_code() > 1000);
                    return (events, Some(error));
                }
            }
        }
    }
    (events, None)
}
