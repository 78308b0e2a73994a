//! Media playlists (sections 4.4.1 to 4.4.5), and delta updates of them (6.2.5.1).

use super::date::Date;
use super::text::{Names, Text};
use super::window::{Part, Segment, Window};
use super::{Directives, Variant};

/// Segments older than this many target durations may be left out of a delta update; six is the least allowed.
const SKIP_TARGETS: u32 = 6;
/// Target durations a player keeps from the end without parts; three is the least allowed.
const HOLD_BACK_TARGETS: u32 = 3;
/// Part targets a player keeps from the end; three is the least allowed.
const PART_HOLD_BACK_TARGETS: u32 = 3;
/// Parts are listed for the segments of these last target durations (4.4.4.9), and at most for as many segments, the open
/// one included, even while only its hint stands there: what hls-parser takes for the same, and more than a player within the
/// part hold-back asks for.
const PARTS_TARGETS: u32 = 3;

/// A rendition's own names, and the other renditions of which low latency reports (4.4.5.4).
pub(super) struct Context<'a> {
    pub(super) variant: Variant,
    pub(super) names: Names,
    pub(super) others: &'a [Report],
    /// A server answers that can hold requests back; else the playlist is a file.
    pub(super) served: bool,
}

impl Context<'_> {
    fn has_parts(&self) -> bool {
        self.variant == Variant::LowLatency
    }
}

/// Where another rendition ends: its newest segment, and the index of the newest part in it.
pub(super) struct Report {
    pub(super) names: Names,
    pub(super) last: Option<(u64, Option<u64>)>,
}

/// Seconds with five decimals at most, of ticks.
struct Seconds(i64, u32);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = i128::from(self.1);
        let scaled = (i128::from(self.0) * 100_000 + rate / 2) / rate;
        write!(f, "{}.{:05}", scaled / 100_000, scaled % 100_000)
    }
}

/// Milliseconds as seconds.
struct Millis(u32);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Writes the playlist, or a delta update of it.
pub(super) fn write(window: &Window, context: &Context<'_>, delta: bool) -> Text {
    let mut text = Text::default();
    let (skipped, with_parts) = boundaries(window);
    let skipped = if delta { skipped } else { 0 };
    write_head(&mut text, window, context);
    if skipped > 0 {
        text.put(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"));
    }
    // What went before the first segment written: a client has it from the playlist the delta is of.
    let mut init =
        (skipped > 0).then(|| window.listed().nth(skipped - 1).map(|segment| segment.init)).flatten();
    for (index, segment) in window.listed().enumerate().skip(skipped) {
        write_segment_head(&mut text, segment, context, &mut init);
        if index >= with_parts {
            write_parts(&mut text, window, context, segment);
        }
        text.put(format_args!("#EXTINF:{},\n", Seconds(segment.duration, window.timescale)));
        text.uri(&context.names, format_args!("_seg{}.{}", segment.msn, context.names.extension));
        text.put(format_args!("\n"));
    }
    if context.has_parts() && !window.ended {
        if !window.open.parts.is_empty() {
            write_segment_head(&mut text, &window.open, context, &mut init);
            write_parts(&mut text, window, context, &window.open);
        }
        text.put(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\""));
        text.uri(&context.names, format_args!("_part{}.mp4", window.next_part));
        text.put(format_args!("\"\n"));
        write_reports(&mut text, context);
    }
    if window.ended {
        text.put(format_args!("#EXT-X-ENDLIST\n"));
    }
    text.finish()
}

/// Whether a delta update has anything to leave out.
pub(super) fn can_skip(window: &Window, directives: &Directives) -> bool {
    directives.skip.is_some() && boundaries(window).0 > 0
}

/// Segments that a delta update leaves out, and the index of the first with parts.
fn boundaries(window: &Window) -> (usize, usize) {
    let ticks = |targets: u32| i64::from(window.target) * i64::from(targets) * i64::from(window.timescale);
    let mut from_end = window.open.parts.iter().map(|part| part.duration).sum::<i64>();
    let mut skipped = 0;
    let closed = PARTS_TARGETS as usize - usize::from(!window.ended);
    let mut with_parts = window.listed().len().saturating_sub(closed);
    for (index, segment) in window.listed().enumerate().collect::<Vec<_>>().into_iter().rev() {
        if from_end >= ticks(PARTS_TARGETS) {
            with_parts = with_parts.max(index + 1);
        }
        if from_end >= ticks(SKIP_TARGETS) {
            skipped = index + 1;
            break;
        }
        from_end += segment.duration;
    }
    (skipped, with_parts)
}

fn write_head(text: &mut Text, window: &Window, context: &Context<'_>) {
    let target = window.target;
    text.put(format_args!("#EXTM3U\n#EXT-X-VERSION:{}\n", version(context.variant)));
    text.put(format_args!("#EXT-X-TARGETDURATION:{target}\n"));
    if context.served {
        write_server_control(text, window);
    }
    let first = window.listed().next().map_or(window.open.msn, |segment| segment.msn);
    text.put(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}\n"));
    if window.discontinuity_sequence > 0 {
        text.put(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", window.discontinuity_sequence));
    }
    if window.independent {
        text.put(format_args!("#EXT-X-INDEPENDENT-SEGMENTS\n"));
    }
}

fn write_server_control(text: &mut Text, window: &Window) {
    let target = window.target;
    text.put(format_args!("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"));
    if let Some(part_target) = window.part_target_ms {
        text.put(format_args!(
            ",CAN-SKIP-UNTIL={},HOLD-BACK={},PART-HOLD-BACK={}\n#EXT-X-PART-INF:PART-TARGET={}\n",
            target * SKIP_TARGETS,
            target * HOLD_BACK_TARGETS,
            Millis(part_target * PART_HOLD_BACK_TARGETS),
            Millis(part_target),
        ));
    } else {
        text.put(format_args!(",HOLD-BACK={}\n", target * HOLD_BACK_TARGETS));
    }
}

/// Protocol versions (section 8): 3 for decimal durations, 6 for `EXT-X-MAP`, 9 for `EXT-X-SKIP`.
pub(super) fn version(variant: Variant) -> u32 {
    match variant {
        Variant::MpegTs => 3,
        Variant::Fmp4 => 6,
        Variant::LowLatency => 9,
    }
}

fn write_segment_head(text: &mut Text, segment: &Segment, context: &Context<'_>, init: &mut Option<u32>) {
    if segment.discontinuity {
        text.put(format_args!("#EXT-X-DISCONTINUITY\n"));
    }
    if context.variant != Variant::MpegTs && *init != Some(segment.init) {
        *init = Some(segment.init);
        text.put(format_args!("#EXT-X-MAP:URI=\""));
        text.uri(&context.names, format_args!("_init{}.mp4", segment.init));
        text.put(format_args!("\"\n"));
    }
    text.put(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}\n", Date(segment.wall)));
}

fn write_parts(text: &mut Text, window: &Window, context: &Context<'_>, segment: &Segment) {
    if !context.has_parts() {
        return;
    }
    for Part { number, duration, independent, .. } in &segment.parts {
        text.put(format_args!("#EXT-X-PART:DURATION={},URI=\"", Seconds(*duration, window.timescale)));
        text.uri(&context.names, format_args!("_part{number}.mp4"));
        text.put(format_args!("\"{}\n", if *independent { ",INDEPENDENT=YES" } else { "" }));
    }
}

fn write_reports(text: &mut Text, context: &Context<'_>) {
    for Report { names, last } in context.others {
        let Some((msn, part)) = last else { continue };
        text.put(format_args!("#EXT-X-RENDITION-REPORT:URI=\""));
        text.uri(names, format_args!(".m3u8"));
        text.put(format_args!("\",LAST-MSN={msn}"));
        if let Some(part) = part {
            text.put(format_args!(",LAST-PART={part}"));
        }
        text.put(format_args!("\n"));
    }
}
