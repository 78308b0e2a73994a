//! The page: a self-contained HTML file with the figures and three plots in SVG.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, Rectangle, SVGBackend, SeriesLabelPosition, WHITE,
};

use super::{PERCENTILES, Run, machine, table};
use crate::figures::{FIGURES, Summaries, percentile_ms};

const COLORS: [RGBColor; 6] = [
    RGBColor(68, 119, 170),
    RGBColor(238, 102, 119),
    RGBColor(34, 136, 51),
    RGBColor(204, 187, 68),
    RGBColor(102, 204, 238),
    RGBColor(170, 51, 119),
];
const SIZE: (u32, u32) = (720, 360);
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse}td,th{padding:.15em .8em;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}.bad{color:#a00}.good{color:#060}svg{max-width:100%;height:auto}";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One bar: its name, and its parts from the bottom up.
struct Bar {
    name: String,
    parts: Vec<f64>,
}

/// The whole page.
pub(super) fn page(run: &Run<'_>) -> Result<String> {
    let mut page = String::new();
    let title = escape(&run.title());
    let machine = machine();
    let verdict = if run.complaints.is_empty() {
        "<p class=\"good\">All checks passed.</p>".to_owned()
    } else {
        let items: String = run.complaints.iter().map(|what| format!("<li>{}</li>", escape(what))).collect();
        format!("<ul class=\"bad\">{items}</ul>")
    };
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>headwater-bench</title>\
         <style>{STYLE}</style></head><body><h1>headwater-bench</h1><p>{title}</p>\
         <p>Servers on core {:?}, load on core {:?}; {} readers sampled; kernel {}, {}.</p>{verdict}",
        run.cores.server,
        run.cores.load,
        run.options.sampled(),
        escape(machine["kernel"].as_str().unwrap_or("")),
        escape(machine["processor"].as_str().unwrap_or("")),
    )?;
    let parts = |names: &[&str]| bars(run.summaries, names);
    let cpu = parts(&["system_us_per_reader_second", "user_us_per_reader_second"]);
    let plots = [
        (
            "CPU time per reader and second, in µs (below: system, above: user)",
            plot(|area| draw_bars(area, &cpu))?,
        ),
        ("Publish to receive, in ms, by percentile", plot(|area| draw_latency(area, run.summaries))?),
        (
            "Memory of the server per reader, in KiB",
            plot(|area| draw_bars(area, &parts(&["memory_per_reader_kib"])))?,
        ),
    ];
    for (caption, svg) in plots {
        write!(page, "<h2>{caption}</h2>{svg}")?;
    }
    writeln!(page, "<h2>Figures</h2>{}</body></html>", figures(run.summaries)?)?;
    Ok(page)
}

fn figures(summaries: &Summaries) -> Result<String> {
    let mut html = "<table><tr><th>figure</th>".to_owned();
    for summary in &summaries.all {
        write!(html, "<th>{}</th>", escape(&summary.name))?;
    }
    html.push_str("<th>unit</th></tr>");
    for (name, unit, digits) in FIGURES {
        write!(html, "<tr><td>{name}</td>")?;
        for summary in &summaries.all {
            write!(html, "<td>{}</td>", table::cell(summary.figure(name), *digits))?;
        }
        write!(html, "<td>{unit}</td></tr>")?;
    }
    html.push_str("</table>");
    Ok(html)
}

fn bars(summaries: &Summaries, names: &[&str]) -> Vec<Bar> {
    let value = |value: Option<f64>| value.filter(|value| value.is_finite()).unwrap_or(0.0).max(0.0);
    let bar = |summary: &crate::figures::Summary| Bar {
        name: summary.name.clone(),
        parts: names.iter().map(|name| value(summary.figure(name))).collect(),
    };
    summaries.all.iter().map(bar).collect()
}

fn plot(draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot cannot be drawn: {error}")
}

/// A bar per contender, its parts in a lighter shade each.
fn draw_bars(area: &Area<'_>, bars: &[Bar]) -> Result<()> {
    let highest = bars.iter().map(|bar| bar.parts.iter().sum::<f64>()).fold(1e-9, f64::max);
    let name = |at: &f64| {
        let centred = (at.fract() - 0.5).abs() < 1e-6;
        bars.get(at.floor() as usize).filter(|_| centred).map_or_else(String::new, |bar| bar.name.clone())
    };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..bars.len() as f64, 0.0..highest * 1.15)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .x_labels(bars.len() * 2 + 1)
        .x_label_formatter(&name)
        .draw()
        .map_err(failed)?;
    for (index, bar) in bars.iter().enumerate() {
        let (left, right) = (index as f64 + 0.2, index as f64 + 0.8);
        let mut below = 0.0;
        for (part, height) in bar.parts.iter().enumerate() {
            let color = COLORS[index % COLORS.len()].mix(if part == 0 { 1.0 } else { 0.5 });
            let corners = [(left, below), (right, below + height)];
            chart.draw_series([Rectangle::new(corners, color.filled())]).map_err(failed)?;
            below += height;
        }
        let text = plotters::prelude::Text::new(
            format!("{below:.1}"),
            (left, below + highest * 0.06),
            ("sans-serif", 15),
        );
        chart.draw_series([text]).map_err(failed)?;
    }
    Ok(())
}

/// Latency over percentile, both so that the tail can be seen: nines to the right, a logarithm upwards.
fn draw_latency(area: &Area<'_>, summaries: &Summaries) -> Result<()> {
    const NINES_MAX: f64 = 5.0;
    let nines = |percentile: f64| (-(1.0 - percentile / 100.0).log10()).min(NINES_MAX);
    let curve = |summary: &crate::figures::Summary| -> Vec<(f64, f64)> {
        let point =
            |&percentile: &f64| (nines(percentile), percentile_ms(&summary.latency, percentile).max(1e-3));
        PERCENTILES.iter().map(point).collect()
    };
    let all: Vec<f64> = summaries.all.iter().flat_map(&curve).map(|(_, latency)| latency).collect();
    let lowest = all.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = all.iter().copied().fold(lowest * 2.0, f64::max);
    let label = |nines: &f64| match nines.round() as i32 {
        0 => "min".to_owned(),
        1 => "p90".to_owned(),
        2 => "p99".to_owned(),
        3 => "p99.9".to_owned(),
        4 => "p99.99".to_owned(),
        _ => "max".to_owned(),
    };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..NINES_MAX, (lowest * 0.8..highest * 1.2).log_scale())
        .map_err(failed)?;
    chart.configure_mesh().x_labels(6).x_label_formatter(&label).draw().map_err(failed)?;
    for (index, summary) in summaries.all.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        chart
            .draw_series(LineSeries::new(curve(summary), color.stroke_width(2)))
            .map_err(failed)?
            .label(summary.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_show_every_contender() {
        let bars: Vec<Bar> = ["floor", "headwater", "mediamtx"]
            .iter()
            .enumerate()
            .map(|(index, name)| Bar { name: (*name).to_owned(), parts: vec![200.0 * index as f64, 30.0] })
            .collect();
        let svg = plot(|area| draw_bars(area, &bars)).expect("draws");
        for bar in &bars {
            assert!(svg.contains(&bar.name), "{} is missing", bar.name);
        }
        assert!(svg.contains("430.0"));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
