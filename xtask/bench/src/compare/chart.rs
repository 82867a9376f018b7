//! The chart of `cost.md`: what watching adds to a build's CPU time, with what it is worth beside it.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    observer::Observer,
    summary::{Figures, Summary},
};
use crate::limits::mebibytes;

const WIDTH: u32 = 960;
const ROW: u32 = 44;
const HEAD: u32 = 76;
const FOOT: u32 = 44;
/// Where the bars begin and end, in pixels.
const BARS: (i32, i32) = (170, 590);
/// Middle of the columns behind them: memory, lost, error.
const COLUMNS: [i32; 3] = [660, 755, 880];

const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(208, 215, 222);
const OWN: RGBColor = RGBColor(26, 127, 55);
const OTHER: RGBColor = RGBColor(110, 119, 129);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Percent of the build's CPU time, to pixels.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Holds zero and all intervals, in steps of 2 %.
    fn of(rows: &[(&Summary, &Figures)]) -> Self {
        let ends = rows.iter().flat_map(|(_, figures)| {
            let ratio = figures.total_cpu;
            let [low, high] = ratio.interval.unwrap_or([ratio.value; 2]);
            [percent(low), percent(high)]
        });
        let (low, high) = ends.fold((0.0, 0.0), |(low, high): (f64, f64), end| {
            (low.min(end), high.max(end))
        });
        Self {
            low: (low / STEP).floor() * STEP,
            high: ((high / STEP).ceil() * STEP).max(STEP),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a position on a chart of 960 pixels"
    )]
    fn x(&self, value: f64) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        BARS.0 + (f64::from(BARS.1 - BARS.0) * share).round() as i32
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        // Not more lines than one can read.
        let step = STEP * ((high - low) / STEP / 10.0).ceil();
        (0..)
            .map(move |number| low + step * f64::from(number))
            .take_while(move |tick| *tick <= high)
    }
}

/// Between two lines of the grid, in percent.
const STEP: f64 = 2.0;

fn percent(ratio: f64) -> f64 {
    (ratio - 1.0) * 100.0
}

pub(super) fn draw(target: &Path, title: &str, summaries: &[Summary]) -> Result<()> {
    let rows: Vec<(&Summary, &Figures)> = summaries
        .iter()
        .filter(|summary| summary.observer != Observer::Nothing)
        .filter_map(|summary| Some((summary, summary.measured.as_ref()?)))
        .collect();
    let height = HEAD + ROW * u32::try_from(rows.len())? + FOOT;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw_all(&area, title, &rows).map_err(|error| anyhow!("cannot draw the chart: {error}"))?;
    }
    std::fs::write(target, svg).with_context(|| format!("cannot write {}", target.display()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_all(area: &Area<'_>, title: &str, rows: &[(&Summary, &Figures)]) -> Drawn {
    area.fill(&WHITE)?;
    let scale = Scale::of(rows);
    text(
        area,
        &format!("CPU time added by watching: {title}"),
        (16, 24),
        17,
        HPos::Left,
    )?;
    for (name, x) in ["memory", "lost", "error, bytes"].into_iter().zip(COLUMNS) {
        text(area, name, (x, 58), 13, HPos::Center)?;
    }
    let bottom = i32::try_from(HEAD + ROW * u32::try_from(rows.len())?)?;
    for tick in scale.ticks() {
        let x = scale.x(tick);
        let line = PathElement::new([(x, 66), (x, bottom)], FAINT);
        area.draw(&line)?;
        text(
            area,
            &format!("{tick:+} %"),
            (x, bottom + 14),
            12,
            HPos::Center,
        )?;
    }
    let zero = scale.x(0.0);
    area.draw(&PathElement::new([(zero, 66), (zero, bottom)], INK))?;
    for (number, (summary, figures)) in rows.iter().enumerate() {
        let middle = i32::try_from(HEAD + ROW * u32::try_from(number)? + ROW / 2)?;
        draw_row(area, &scale, middle, summary, figures)?;
    }
    area.present()?;
    Ok(())
}

fn draw_row(
    area: &Area<'_>,
    scale: &Scale,
    middle: i32,
    summary: &Summary,
    figures: &Figures,
) -> Drawn {
    let colour = if summary.observer == Observer::Agent {
        OWN
    } else {
        OTHER
    };
    let ratio = figures.total_cpu;
    text(area, summary.name, (BARS.0 - 12, middle), 14, HPos::Right)?;
    let (from, to) = (scale.x(0.0), scale.x(percent(ratio.value)));
    area.draw(&Rectangle::new(
        [(from.min(to), middle - 9), (from.max(to), middle + 9)],
        colour.filled(),
    ))?;
    // What adds nothing is seen too.
    area.draw(&Circle::new((to, middle), 5, colour.filled()))?;
    if let Some([low, high]) = ratio.interval {
        let (low, high) = (scale.x(percent(low)), scale.x(percent(high)));
        for points in [
            [(low, middle), (high, middle)],
            [(low, middle - 5), (low, middle + 5)],
            [(high, middle - 5), (high, middle + 5)],
        ] {
            area.draw(&PathElement::new(points, INK))?;
        }
    }
    let memory = figures.max_rss_bytes.map_or("-".to_owned(), |bytes| {
        format!("{:.0} MiB", mebibytes(bytes))
    });
    let lost = figures
        .lost
        .map_or("not told".to_owned(), |lost| lost.to_string());
    let error = figures
        .error_bytes
        .map_or("tells none".to_owned(), |error| format!("{error:+}"));
    for (words, x) in [memory, lost, error].into_iter().zip(COLUMNS) {
        text(area, &words, (x, middle), 13, HPos::Center)?;
    }
    Ok(())
}

/// The library takes a font's line for its size.
const PER_EM: f64 = 1.24;

fn text(area: &Area<'_>, words: &str, at: (i32, i32), size: u32, side: HPos) -> Drawn {
    let style = TextStyle::from(("sans-serif", f64::from(size) * PER_EM))
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(words.to_owned(), at, style))?;
    Ok(())
}
