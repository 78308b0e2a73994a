//! What the test picture shows: colour bars of 75 % (ITU-R BT.709), the time of day with tenths of a second, and a bar
//! that runs below.
//!
//! All but the running bar lies on the grid of macroblocks, where the encoder needs a few bits for each.

use super::canvas::{Canvas, Colour, HEIGHT, MACROBLOCK, WIDTH};

/// White, yellow, cyan, green, magenta, red, blue, black.
const BARS: [Colour; 8] = [
    Colour(180, 128, 128),
    Colour(168, 44, 136),
    Colour(145, 147, 44),
    Colour(133, 63, 52),
    Colour(63, 193, 204),
    Colour(51, 109, 212),
    Colour(28, 212, 120),
    Colour(16, 128, 128),
];
const PANEL: Colour = Colour(32, 128, 128);
const INK: Colour = Colour(235, 128, 128);
/// Macroblocks above the clock, and of its panel with a margin of one.
const CLOCK_ROW: usize = 6;
const CLOCK_ROWS: usize = GLYPH_ROWS + 2;
const GLYPH_ROWS: usize = 5;
/// The track of the running bar, in pixels.
const TRACK_Y: usize = 18 * MACROBLOCK;
const TRACK_HEIGHT: usize = 2 * MACROBLOCK;
const BAR_WIDTH: usize = MACROBLOCK;
/// Pixels that the bar runs from one picture to the next: 6.4 s for the whole way.
const BAR_STEP: usize = 4;

/// Rows of a character, three bits each, the left one highest; and its width. `None` for what is not drawn.
fn glyph(character: char) -> Option<([u8; GLYPH_ROWS], usize)> {
    Some(match character {
        '0' => ([7, 5, 5, 5, 7], 3),
        '1' => ([2, 6, 2, 2, 7], 3),
        '2' => ([7, 1, 7, 4, 7], 3),
        '3' => ([7, 1, 7, 1, 7], 3),
        '4' => ([5, 5, 7, 1, 1], 3),
        '5' => ([7, 4, 7, 1, 7], 3),
        '6' => ([7, 4, 7, 5, 7], 3),
        '7' => ([7, 1, 1, 1, 1], 3),
        '8' => ([7, 5, 7, 5, 7], 3),
        '9' => ([7, 5, 7, 1, 7], 3),
        ':' => ([0, 1, 0, 1, 0], 1),
        '.' => ([0, 0, 0, 0, 1], 1),
        _ => return None,
    })
}

/// The picture before anything moves.
pub(super) fn background() -> Canvas {
    let mut canvas = Canvas::new(PANEL);
    let width = WIDTH / BARS.len();
    for (index, colour) in BARS.into_iter().enumerate() {
        canvas.fill(index * width, 0, width, TRACK_Y - MACROBLOCK, colour);
    }
    canvas
}

/// Draws what has changed by the picture of that number; `clock` is the time of day, as `12:34:56.7`.
pub(super) fn draw(canvas: &mut Canvas, number: u64, clock: &str) {
    draw_clock(canvas, clock);
    canvas.fill(0, TRACK_Y, WIDTH, TRACK_HEIGHT, PANEL);
    let places = (WIDTH - BAR_WIDTH) / BAR_STEP;
    // There and back again.
    let step = (number % (2 * places as u64)) as usize;
    let place = if step <= places { step } else { 2 * places - step };
    canvas.fill(place * BAR_STEP, TRACK_Y, BAR_WIDTH, TRACK_HEIGHT, INK);
}

fn draw_clock(canvas: &mut Canvas, clock: &str) {
    let glyphs = clock.chars().filter_map(glyph);
    let width = glyphs.clone().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1) * MACROBLOCK;
    let (row, margin) = (CLOCK_ROW * MACROBLOCK, MACROBLOCK);
    let Some(left) = WIDTH.checked_sub(width).map(|rest| rest / 2 / MACROBLOCK * MACROBLOCK) else { return };
    let panel_left = left.saturating_sub(margin);
    let panel_width = (width + 2 * margin).min(WIDTH - panel_left);
    canvas.fill(panel_left, row, panel_width, CLOCK_ROWS * MACROBLOCK, PANEL);
    let mut x = left;
    for (rows, width) in glyphs {
        for (line, bits) in rows.into_iter().enumerate() {
            for column in (0..width).filter(|column| bits >> (width - 1 - column) & 1 == 1) {
                let y = row + margin + line * MACROBLOCK;
                canvas.fill(x + column * MACROBLOCK, y, MACROBLOCK, MACROBLOCK, INK);
            }
        }
        x += (width + 1) * MACROBLOCK;
    }
}

const _: () = assert!(TRACK_Y + TRACK_HEIGHT <= HEIGHT && WIDTH.is_multiple_of(BARS.len() * MACROBLOCK));
