//! The multivariant playlist (sections 4.4.6 and 6.2.4): one variant stream, and renditions of its sound.

use super::Variant;
use super::playlist::version;
use super::rendition::Rendition;
use super::text::Text;
use crate::codec::configuration::Picture;
use std::fmt::Write;

/// Writes the playlist, with what was measured in the segments of the media playlists.
pub(super) fn write(variant: Variant, renditions: &[Rendition], frame_rate: f64) -> Text {
    let mut text = Text::default();
    let Some(first) = renditions.first() else { return text };
    text.put(format_args!("#EXTM3U\n#EXT-X-VERSION:{}\n", version(variant)));
    if renditions.iter().all(|rendition| rendition.window.independent) {
        text.put(format_args!("#EXT-X-INDEPENDENT-SEGMENTS\n"));
    }
    let grouped = renditions.len() > 1;
    if grouped {
        let audio = renditions.iter().filter(|rendition| !rendition.video);
        for (number, rendition) in (1..).zip(audio) {
            write_audio(&mut text, rendition, number);
        }
    }
    let (peak, average) = bandwidth(renditions);
    text.put(format_args!("#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}"));
    if let Some(codecs) = codecs(renditions) {
        text.put(format_args!(",CODECS=\"{codecs}\""));
    }
    let picture = first.configurations().iter().find_map(|configuration| configuration.picture());
    if let Some(Picture { width, height }) = picture.filter(|_| first.video) {
        text.put(format_args!(",RESOLUTION={width}x{height}"));
    }
    if first.video {
        text.put(format_args!(",FRAME-RATE={frame_rate:.3}"));
    }
    if grouped {
        text.put(format_args!(",AUDIO=\"audio\""));
    }
    text.put(format_args!("\n"));
    text.uri(&first.names, format_args!(".m3u8"));
    text.put(format_args!("\n"));
    text.finish()
}

fn write_audio(text: &mut Text, rendition: &Rendition, number: u32) {
    let default = if number == 1 { "YES" } else { "NO" };
    text.put(format_args!(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio {number}\",DEFAULT={default},AUTOSELECT=YES"
    ));
    if let Some(channels) =
        rendition.configurations().iter().find_map(|configuration| configuration.channels())
    {
        text.put(format_args!(",CHANNELS=\"{channels}\""));
    }
    // Without video the first one is the variant stream itself; the same URI is allowed, and players share it.
    text.put(format_args!(",URI=\""));
    text.uri(&rendition.names, format_args!(".m3u8"));
    text.put(format_args!("\"\n"));
}

/// Peak and average bits per second of the first rendition with the largest of its group.
fn bandwidth(renditions: &[Rendition]) -> (u64, u64) {
    let mut total = (0, 0);
    let mut group = (0, 0);
    for (index, rendition) in renditions.iter().enumerate() {
        let timescale = f64::from(rendition.window.timescale);
        let (mut peak, mut bits, mut seconds) = (0.0f64, 0.0f64, 0.0f64);
        for segment in rendition.window.listed().filter(|segment| segment.duration > 0) {
            let length = segment.duration as f64 / timescale;
            let size = segment.body.bytes as f64 * 8.0;
            peak = peak.max(size / length);
            bits += size;
            seconds += length;
        }
        let average = if seconds > 0.0 { bits / seconds } else { 0.0 };
        let figures = (peak.ceil() as u64, average.ceil() as u64);
        if index == 0 {
            total = figures;
        } else {
            group = (group.0.max(figures.0), group.1.max(figures.1));
        }
    }
    if renditions.first().is_some_and(|first| !first.video) {
        // The variant stream is one of the group.
        return (total.0.max(group.0).max(1), total.1.max(group.1).max(1));
    }
    ((total.0 + group.0).max(1), (total.1 + group.1).max(1))
}

/// Codecs of all renditions, each once; `None` if one of them cannot be named, since a list must be complete.
fn codecs(renditions: &[Rendition]) -> Option<String> {
    let mut names = Vec::<String>::new();
    for configuration in renditions.iter().flat_map(Rendition::configurations) {
        if matches!(*configuration, crate::codec::Configuration::Klv) {
            continue;
        }
        let name = configuration.codec_string()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut list = String::new();
    for name in names {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{name}");
    }
    (!list.is_empty()).then_some(list)
}
