//! An H.264 encoder of Constrained Baseline (ITU-T H.264, 7.3 and 9.2), for pictures that are drawn: what decoders show
//! is what was drawn, bit by bit.
//!
//! A macroblock is one of three things: skipped where it is as in the picture before (`P_Skip`); predicted from its
//! neighbours, with the difference as the DC coefficients alone, where it has one colour (`Intra_16x16`, CAVLC); or its
//! samples (`I_PCM`). The quantization parameters are those at which one step of a DC coefficient is one step of the
//! samples. Each picture is one slice and refers to the one before. No deblocking: there is nothing to smooth.

use super::bits::BitWriter;
use super::canvas::{COLUMNS, Canvas, HEIGHT, MACROBLOCK, Plane, ROWS};
use bytes::Bytes;
use headwater_protocols::codec::configuration::H264;

/// First bytes of NAL units: `nal_ref_idc` 3 and the type.
const SPS: u8 = 3 << 5 | 7;
const PPS: u8 = 3 << 5 | 8;
const IDR_SLICE: u8 = 3 << 5 | 5;
const SLICE: u8 = 3 << 5 | 1;

/// Baseline with the constraints of set 0 and 1; level 3: 1620 macroblocks, 40,500 a second.
const PROFILE_IDC: u32 = 66;
const CONSTRAINTS: u32 = 0b1100_0000;
const LEVEL_IDC: u32 = 30;
/// Here a sample of luma differs by `level · 16 · 2^4 / 256`, the level itself (8.5.10); and one of chroma, whose transform
/// has four coefficients for sixteen, with the quantization parameter 22 (8.5.11).
const QP: i32 = 28;
const CHROMA_QP_OFFSET: i32 = -6;
/// `frame_num` has this many bits.
const FRAME_NUM_BITS: u32 = 4;

/// `slice_type` where all slices of the picture are of it (table 7-6).
const P_SLICES: u32 = 5;
const I_SLICES: u32 = 7;
/// `mb_type` (table 7-11); in P slices five more (7.4.5).
const INTRA_16X16_DC: u32 = 1 + 2;
const INTRA_16X16_CHROMA_DC: u32 = 4;
const I_PCM: u32 = 25;
const INTRA_IN_P: u32 = 5;
/// `intra_chroma_pred_mode` (table 7-16).
const CHROMA_DC: u32 = 0;
const CHROMA_HORIZONTAL: u32 = 1;
const CHROMA_VERTICAL: u32 = 2;
/// What is predicted where there are no neighbours.
const MIDDLE: u8 = 128;
const CHROMA_SIDE: usize = MACROBLOCK / 2;

/// The parameter sets of all pictures at `pictures_per_second`.
pub(super) fn parameter_sets(pictures_per_second: u32) -> H264 {
    H264 { sps: sequence_parameter_set(pictures_per_second), pps: vec![picture_parameter_set()] }
}

fn sequence_parameter_set(pictures_per_second: u32) -> Bytes {
    let mut bits = BitWriter::default();
    bits.put(PROFILE_IDC, 8);
    bits.put(CONSTRAINTS, 8);
    bits.put(LEVEL_IDC, 8);
    bits.unsigned(0); // seq_parameter_set_id
    bits.unsigned(FRAME_NUM_BITS - 4);
    bits.unsigned(2); // pic_order_cnt_type: shown in the order of decoding
    bits.unsigned(1); // max_num_ref_frames
    bits.flag(false); // gaps_in_frame_num_value_allowed_flag
    bits.unsigned(COLUMNS as u32 - 1);
    bits.unsigned(ROWS as u32 - 1);
    bits.flag(true); // frame_mbs_only_flag
    bits.flag(true); // direct_8x8_inference_flag
    bits.flag(true); // frame_cropping_flag
    // In steps of two lines, as chroma has half of them.
    [0, 0, 0, (ROWS * MACROBLOCK - HEIGHT) as u32 / 2].into_iter().for_each(|crop| bits.unsigned(crop));
    bits.flag(true); // vui_parameters_present_flag
    usability(&mut bits, pictures_per_second);
    bits.into_unit(SPS)
}

/// Video usability information (E.1.1).
fn usability(bits: &mut BitWriter, pictures_per_second: u32) {
    bits.flag(true); // aspect_ratio_info_present_flag
    bits.put(1, 8); // square samples
    bits.flag(false); // overscan_info_present_flag
    bits.flag(true); // video_signal_type_present_flag
    bits.put(5, 3); // video_format: unspecified
    bits.flag(false); // video_full_range_flag
    bits.flag(true); // colour_description_present_flag
    (0..3).for_each(|_| bits.put(1, 8)); // BT.709
    bits.flag(false); // chroma_loc_info_present_flag
    bits.flag(true); // timing_info_present_flag
    bits.put(1, 32);
    bits.put(2 * pictures_per_second, 32);
    bits.flag(true); // fixed_frame_rate_flag
    (0..3).for_each(|_| bits.flag(false)); // no HRD parameters of either kind, no pic_struct
    bits.flag(true); // bitstream_restriction_flag: nothing is reordered, so decoders show each picture at once
    bits.flag(true);
    // Sizes without limit, motion vectors of up to 2^10, no picture reordered, one buffered.
    [0, 0, 10, 10, 0, 1].into_iter().for_each(|value| bits.unsigned(value));
}

fn picture_parameter_set() -> Bytes {
    let mut bits = BitWriter::default();
    bits.unsigned(0); // pic_parameter_set_id
    bits.unsigned(0); // seq_parameter_set_id
    bits.flag(false); // entropy_coding_mode_flag: CAVLC
    bits.flag(false);
    bits.unsigned(0); // one slice group
    bits.unsigned(0); // num_ref_idx_l0_default_active_minus1
    bits.unsigned(0);
    bits.flag(false); // weighted_pred_flag
    bits.put(0, 2);
    bits.signed(QP - 26);
    bits.signed(0);
    bits.signed(CHROMA_QP_OFFSET);
    bits.flag(true); // deblocking_filter_control_present_flag
    bits.flag(false); // constrained_intra_pred_flag
    bits.flag(false); // redundant_pic_cnt_present_flag
    bits.into_unit(PPS)
}

/// Encodes one picture after the other.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The picture before, as all decoders have it.
    previous: Option<Canvas>,
    frame_num: u32,
    /// `idr_pic_id`: differs from one key picture to the next.
    idr_pic_id: u32,
    /// Which macroblocks of this picture are `I_PCM`, row by row.
    pcm: Vec<bool>,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder { previous: None, frame_num: 0, idr_pic_id: 0, pcm: Vec::new() }
    }

    /// The slice of a picture, and whether decoding can start there, as with the first picture and where `key` asks for it.
    pub(super) fn encode(&mut self, canvas: &Canvas, key: bool) -> (Bytes, bool) {
        let previous = self.previous.take().filter(|_| !key);
        let is_key = previous.is_none();
        let mut bits = BitWriter::default();
        self.slice_header(&mut bits, is_key);
        self.pcm.clear();
        self.pcm.resize(COLUMNS * ROWS, false);
        let mut skipped = 0;
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                if let Some(previous) = &previous {
                    if canvas.same_macroblock(previous, column, row) {
                        skipped += 1;
                        continue;
                    }
                    bits.unsigned(std::mem::take(&mut skipped));
                }
                self.macroblock(&mut bits, canvas, column, row, if is_key { 0 } else { INTRA_IN_P });
            }
        }
        if skipped > 0 {
            bits.unsigned(skipped);
        }
        self.previous = Some(canvas.clone());
        (bits.into_unit(if is_key { IDR_SLICE } else { SLICE }), is_key)
    }

    /// 7.3.3.
    fn slice_header(&mut self, bits: &mut BitWriter, is_key: bool) {
        self.frame_num = if is_key { 0 } else { (self.frame_num + 1) % (1 << FRAME_NUM_BITS) };
        bits.unsigned(0); // first_mb_in_slice
        bits.unsigned(if is_key { I_SLICES } else { P_SLICES });
        bits.unsigned(0); // pic_parameter_set_id
        bits.put(self.frame_num, FRAME_NUM_BITS);
        if is_key {
            bits.unsigned(self.idr_pic_id);
            self.idr_pic_id ^= 1;
            bits.flag(false); // no_output_of_prior_pics_flag
            bits.flag(false); // long_term_reference_flag
        } else {
            bits.flag(false); // num_ref_idx_active_override_flag
            bits.flag(false); // ref_pic_list_modification_flag_l0
            bits.flag(false); // adaptive_ref_pic_marking_mode_flag
        }
        bits.signed(0); // slice_qp_delta
        bits.unsigned(1); // disable_deblocking_filter_idc
    }

    /// 7.3.5.
    fn macroblock(&mut self, bits: &mut BitWriter, canvas: &Canvas, column: usize, row: usize, offset: u32) {
        let Some(plan) = Plan::of(canvas, column, row) else {
            self.pcm[row * COLUMNS + column] = true;
            bits.unsigned(offset + I_PCM);
            bits.align();
            canvas.luma.block(column, row, MACROBLOCK).for_each(|samples| bits.bytes(samples));
            canvas.cb.block(column, row, CHROMA_SIDE).for_each(|samples| bits.bytes(samples));
            canvas.cr.block(column, row, CHROMA_SIDE).for_each(|samples| bits.bytes(samples));
            return;
        };
        let with_chroma = plan.cb != 0 || plan.cr != 0;
        let kind = INTRA_16X16_DC + if with_chroma { INTRA_16X16_CHROMA_DC } else { 0 };
        bits.unsigned(offset + kind);
        bits.unsigned(plan.chroma_mode);
        bits.signed(0); // mb_qp_delta
        let table = if self.beside_pcm(column, row) { &TOKENS_BESIDE_PCM } else { &TOKENS };
        first_coefficient(bits, plan.luma, table);
        if with_chroma {
            first_coefficient(bits, plan.cb, &TOKENS_CHROMA_DC);
            first_coefficient(bits, plan.cr, &TOKENS_CHROMA_DC);
        }
    }

    /// Whether `nC` (9.2.1) is 8 or more: `I_PCM` stands for sixteen coefficients, all others here for none.
    fn beside_pcm(&self, column: usize, row: usize) -> bool {
        let at = row * COLUMNS + column;
        column > 0 && self.pcm[at - 1] || row > 0 && self.pcm[at - COLUMNS]
    }
}

/// How a macroblock of one colour is predicted, and the differences that are left.
struct Plan {
    chroma_mode: u32,
    luma: i32,
    cb: i32,
    cr: i32,
}

impl Plan {
    /// `None` where the macroblock has more than one colour, or chroma no prediction that is the same for all of it.
    fn of(canvas: &Canvas, column: usize, row: usize) -> Option<Plan> {
        let luma = canvas.luma.flat(column, row, MACROBLOCK)?;
        let cb = canvas.cb.flat(column, row, CHROMA_SIDE)?;
        let cr = canvas.cr.flat(column, row, CHROMA_SIDE)?;
        let (chroma_mode, predicted_cb, predicted_cr) = predict_chroma(canvas, column, row)?;
        let difference = |wanted: u8, predicted: u8| i32::from(wanted) - i32::from(predicted);
        Some(Plan {
            chroma_mode,
            luma: difference(luma, mean(&canvas.luma, column, row)),
            cb: difference(cb, predicted_cb),
            cr: difference(cr, predicted_cr),
        })
    }
}

/// `Intra_16x16_DC` (8.3.3.3).
fn mean(plane: &Plane, column: usize, row: usize) -> u8 {
    let sum = |samples: &mut dyn Iterator<Item = u8>| samples.map(u32::from).sum::<u32>();
    let left = plane.left(column, row, MACROBLOCK).map(|mut samples| sum(&mut samples));
    let above = plane.above(column, row, MACROBLOCK).map(|mut samples| sum(&mut samples));
    match (left, above) {
        (Some(left), Some(above)) => ((left + above + 16) >> 5) as u8,
        (Some(one), None) | (None, Some(one)) => ((one + 8) >> 4) as u8,
        (None, None) => MIDDLE,
    }
}

/// A mode that predicts one value for all samples, and the values of both components (8.3.4).
fn predict_chroma(canvas: &Canvas, column: usize, row: usize) -> Option<(u32, u8, u8)> {
    let left = |plane: &Plane| plane.left(column, row, CHROMA_SIDE).and_then(only);
    let above = |plane: &Plane| plane.above(column, row, CHROMA_SIDE).and_then(only);
    if let (Some(cb), Some(cr)) = (left(&canvas.cb), left(&canvas.cr)) {
        return Some((CHROMA_HORIZONTAL, cb, cr));
    }
    if let (Some(cb), Some(cr)) = (above(&canvas.cb), above(&canvas.cr)) {
        return Some((CHROMA_VERTICAL, cb, cr));
    }
    (column == 0 && row == 0).then_some((CHROMA_DC, MIDDLE, MIDDLE))
}

/// The value of samples that are all the same.
fn only(mut samples: impl Iterator<Item = u8>) -> Option<u8> {
    let first = samples.next()?;
    samples.all(|sample| sample == first).then_some(first)
}

/// `coeff_token` (table 9-5) of no coefficient, of one that is 1 or -1, and of one that is more: bits and their count.
type Tokens = [(u32, u32); 3];
/// With nC 0 and 1.
const TOKENS: Tokens = [(0b1, 1), (0b01, 2), (0b00_0101, 6)];
/// With nC 8 and above.
const TOKENS_BESIDE_PCM: Tokens = [(0b00_0011, 6), (0b00_0001, 6), (0b00_0000, 6)];
/// Of the DC coefficients of chroma.
const TOKENS_CHROMA_DC: Tokens = [(0b01, 2), (0b1, 1), (0b00_0111, 6)];

/// A block whose first coefficient may be other than zero (7.3.5.3.2).
fn first_coefficient(bits: &mut BitWriter, level: i32, tokens: &Tokens) {
    let magnitude = level.unsigned_abs();
    let (code, length) = tokens[magnitude.min(2) as usize];
    bits.put(code, length);
    match magnitude {
        0 => return,
        1 => bits.flag(level < 0),
        // 1 and -1 have no code here; what is left counts from zero, the sign last.
        _ => put_level(bits, 2 * (magnitude - 2) + u32::from(level < 0)),
    }
    bits.flag(true); // total_zeros: none
}

/// `level_prefix` and `level_suffix` of a level code, with `suffixLength` 0 (9.2.2.1).
fn put_level(bits: &mut BitWriter, code: u32) {
    let (prefix, suffix, suffix_bits) = match code {
        0..14 => (code, 0, 0),
        14..30 => (14, code - 14, 4),
        _ => (15, code - 30, 12),
    };
    bits.put(0, prefix);
    bits.flag(true);
    bits.put(suffix, suffix_bits);
}
