//! What was measured along an axis, as rows of a table and as plots.

use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::*;

/// What a line costs at each number of something.
pub struct Axis {
    name: &'static str,
    /// The number, and nanoseconds a line.
    points: Vec<(u64, f64)>,
}

impl Axis {
    /// Measures at each of these numbers, and says so.
    pub fn measure(name: &'static str, numbers: &[u64], mut cost: impl FnMut(u64) -> f64) -> Self {
        let points = numbers.iter().map(|number| {
            let cost = cost(*number);
            eprintln!("{name} {number}: {cost:.0} ns a line");
            (*number, cost)
        });
        Self { name, points: points.collect() }
    }

    /// The rows of a table: axis, number, nanoseconds a line, and how many times the first number's that is.
    pub fn rows(&self) -> String {
        let mut rows = String::new();
        let first = self.points.first().map_or(1.0, |(_, cost)| *cost);
        for (number, cost) in &self.points {
            let ratio = cost / first;
            writeln!(rows, "| {} | {number} | {cost:.0} | {ratio:.2} |", self.name).unwrap();
        }
        rows
    }
}

const SIZE: (u32, u32) = (900, 560);
const LINE: RGBColor = RGBColor(0, 90, 160);

/// A number as there is room for it: `100k`, `10M`.
fn short(number: u64) -> String {
    match number {
        1_000_000.. if number % 1_000_000 == 0 => format!("{}M", number / 1_000_000),
        10_000.. if number % 1000 == 0 => format!("{}k", number / 1000),
        _ => number.to_string(),
    }
}

/// Draws a plot of each axis into an SVG file: numbers from left to right, each as far from the next, and nanoseconds a
/// line upwards, from zero.
pub fn draw(path: &Path, axes: &[Axis]) {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).unwrap();
    for (area, axis) in root.split_evenly((2, 3)).iter().zip(axes) {
        let most = axis.points.iter().map(|(_, cost)| *cost).fold(1.0, f64::max);
        let numbers: Vec<String> = axis.points.iter().map(|(number, _)| short(*number)).collect();
        let mut chart = ChartBuilder::on(area)
            .caption(format!("ns a line, by {}", axis.name), ("sans-serif", 14))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(44)
            .build_cartesian_2d(
                (0..axis.points.len().saturating_sub(1)).into_segmented(),
                0.0..most * 1.2,
            )
            .unwrap();
        let label = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(at) => numbers.get(*at).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(axis.points.len())
            .x_label_formatter(&label)
            .max_light_lines(1)
            .y_labels(6)
            .y_label_formatter(&|cost| format!("{cost:.0}"))
            .draw()
            .unwrap();
        let at =
            |(number, (_, cost)): (usize, &(u64, f64))| (SegmentValue::CenterOf(number), *cost);
        chart
            .draw_series(LineSeries::new(
                axis.points.iter().enumerate().map(at),
                LINE.stroke_width(2),
            ))
            .unwrap();
        let dots =
            axis.points.iter().enumerate().map(at).map(|at| Circle::new(at, 3, LINE.filled()));
        chart.draw_series(dots).unwrap();
    }
    root.present().unwrap();
}
