//! Owns a plot as SVG: points on two logarithmic axes. Never knows what they mean.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#c2410c", "#15803d", "#7e22ce"];

/// One line of a plot.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(u64, u64)>,
}

/// Draws the lines; nothing where there are no points.
pub(super) fn svg(title: &str, x_name: &str, y_name: &str, all: &[Series]) -> Option<String> {
    let points = || all.iter().flat_map(|series| series.points.iter().copied());
    let (x_from, x_to) = decades(points().map(|(x, _)| x))?;
    let (y_from, y_to) = decades(points().map(|(_, y)| y))?;
    let x_at = |x: u64| LEFT + (WIDTH - LEFT - RIGHT) * part(x, x_from, x_to);
    let y_at = |y: u64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part(y, y_from, y_to);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for power in x_from..=x_to {
        let (value, x) = (10_u64.pow(power), x_at(10_u64.pow(power)));
        push(
            &mut out,
            &format!(
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#dddddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
                bottom + 16.0
            ),
        );
    }
    for power in y_from..=y_to {
        let (value, y) = (10_u64.pow(power), y_at(10_u64.pow(power)));
        push(
            &mut out,
            &format!(
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#dddddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                LEFT - 6.0,
                y + 4.0
            ),
        );
    }
    push(&mut out, &format!("<text x=\"{LEFT}\" y=\"{:.1}\">{x_name}</text>", HEIGHT - 12.0));
    push(&mut out, &format!("<text x=\"{LEFT}\" y=\"36\" fill=\"#555555\">{y_name}</text>"));
    for ((index, series), colour) in all.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let list: Vec<String> =
            series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y))).collect();
        push(
            &mut out,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                list.join(" ")
            ),
        );
        let down = u32::try_from(index).map_or(0.0, f64::from) * 18.0 + TOP + 12.0;
        push(
            &mut out,
            &format!(
                "<text x=\"{:.1}\" y=\"{down:.1}\" fill=\"{colour}\">{}</text>",
                right + 8.0,
                series.name
            ),
        );
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn push(out: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(out, "{line}").unwrap_or_default();
}

/// The powers of ten around all values.
fn decades(values: impl Iterator<Item = u64>) -> Option<(u32, u32)> {
    let values: Vec<u64> = values.filter(|value| *value > 0).collect();
    let (least, most) = (values.iter().min()?, values.iter().max()?);
    let to = most.ilog10() + u32::from(!is_power_of_ten(*most));
    Some((least.ilog10(), to.max(least.ilog10() + 1)))
}

fn is_power_of_ten(value: u64) -> bool {
    10_u64.checked_pow(value.ilog10()) == Some(value)
}

/// Where a value lies between two powers of ten, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a place on paper")]
fn part(value: u64, from: u32, to: u32) -> f64 {
    ((value.max(1) as f64).log10() - f64::from(from)) / f64::from(to - from)
}

#[cfg(test)]
mod tests {
    use super::{Series, decades, svg};

    #[test]
    fn a_plot_spans_whole_decades_and_shows_each_line() {
        assert_eq!(decades([5, 2048].into_iter()), Some((0, 4)));
        assert_eq!(decades([10, 1000].into_iter()), Some((1, 3)));
        assert_eq!(decades([1].into_iter()), Some((0, 1)));
        let series =
            |name: &str| Series { name: name.to_owned(), points: vec![(1, 10), (100, 1000)] };
        let text =
            svg("Title", "ranges", "instructions", &[series("a"), series("b")]).expect("points");
        assert_eq!(text.matches("<polyline points=\"80.0,350.0 490.0,40.0\"").count(), 2);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert_eq!(svg("x", "y", "z", &[]), None);
    }
}
