//! A picture as its samples: 4:2:0, eight bits, in the limited range of ITU-R BT.709.
//!
//! It has whole macroblocks; what lies below [`HEIGHT`] is coded, but cropped by whoever decodes.

/// Of the visible picture, in pixels.
pub(super) const WIDTH: usize = 640;
pub(super) const HEIGHT: usize = 360;
/// Side of a macroblock in pixels; half of it in chroma samples.
pub(super) const MACROBLOCK: usize = 16;
/// Macroblocks of a row and of a column.
pub(super) const COLUMNS: usize = WIDTH / MACROBLOCK;
pub(super) const ROWS: usize = HEIGHT.div_ceil(MACROBLOCK);

/// One colour as Y, Cb and Cr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// The samples of one component, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) width: usize,
    samples: Vec<u8>,
}

impl Plane {
    fn new(width: usize, height: usize, value: u8) -> Plane {
        Plane { width, samples: vec![value; width * height] }
    }

    /// `length` samples of row `y` from `x` on.
    pub(super) fn row(&self, x: usize, y: usize, length: usize) -> &[u8] {
        let start = y * self.width + x;
        &self.samples[start..start + length]
    }

    /// The rows of the square block of `side` samples at column and row of blocks.
    pub(super) fn block(&self, column: usize, row: usize, side: usize) -> impl Iterator<Item = &[u8]> {
        (0..side).map(move |line| self.row(column * side, row * side + line, side))
    }

    /// The value that all samples of a block have; `None` where they differ.
    pub(super) fn flat(&self, column: usize, row: usize, side: usize) -> Option<u8> {
        let value = self.row(column * side, row * side, 1)[0];
        self.block(column, row, side)
            .all(|samples| samples.iter().all(|&sample| sample == value))
            .then_some(value)
    }

    /// The samples left of a block; `None` at the left edge.
    pub(super) fn left(&self, column: usize, row: usize, side: usize) -> Option<impl Iterator<Item = u8>> {
        let x = (column * side).checked_sub(1)?;
        Some((0..side).map(move |line| self.row(x, row * side + line, 1)[0]))
    }

    /// The samples above a block; `None` at the upper edge.
    pub(super) fn above(&self, column: usize, row: usize, side: usize) -> Option<impl Iterator<Item = u8>> {
        let y = (row * side).checked_sub(1)?;
        Some(self.row(column * side, y, side).iter().copied())
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, value: u8) {
        for line in y..y + height {
            let start = line * self.width + x;
            self.samples[start..start + width].fill(value);
        }
    }
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    pub(super) luma: Plane,
    pub(super) cb: Plane,
    pub(super) cr: Plane,
}

impl Canvas {
    pub(super) fn new(Colour(y, cb, cr): Colour) -> Canvas {
        let (width, height) = (WIDTH, ROWS * MACROBLOCK);
        Canvas {
            luma: Plane::new(width, height, y),
            cb: Plane::new(width / 2, height / 2, cb),
            cr: Plane::new(width / 2, height / 2, cr),
        }
    }

    /// Fills a rectangle that lies in the picture. All numbers are even, as chroma wants it.
    pub(super) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        debug_assert!(
            [x, y, width, height].iter().all(|number| number % 2 == 0),
            "chroma has half the samples"
        );
        self.luma.fill(x, y, width, height, colour.0);
        self.cb.fill(x / 2, y / 2, width / 2, height / 2, colour.1);
        self.cr.fill(x / 2, y / 2, width / 2, height / 2, colour.2);
    }

    /// Whether a macroblock is the same in both.
    pub(super) fn same_macroblock(&self, other: &Canvas, column: usize, row: usize) -> bool {
        let same = |ours: &Plane, theirs: &Plane, side| {
            ours.block(column, row, side).eq(theirs.block(column, row, side))
        };
        same(&self.luma, &other.luma, MACROBLOCK)
            && same(&self.cb, &other.cb, MACROBLOCK / 2)
            && same(&self.cr, &other.cr, MACROBLOCK / 2)
    }
}
