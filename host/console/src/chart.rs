//! Drawings: numbers become places in a box, and the template writes them as SVG without style or script.
//!
//! Everything that is drawn can be read as a table too.

use askama::Template;

use crate::blocks::Tone;

/// The box in which lines and stacks are drawn.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Room for what stands beside and below it.
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;

/// A mark at an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub at: f64,
    pub text: String,
}

/// One number over time.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "line.html")]
pub struct Line {
    pub title: String,
    pub path: String,
    pub area: String,
    pub dots: Vec<(f64, f64, String)>,
    pub across: Vec<Tick>,
    pub up: Vec<Tick>,
    pub rows: Vec<(String, String)>,
    /// What the numbers are.
    pub unit: String,
}

/// Several numbers over time, one on top of the other.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "stack.html")]
pub struct Stack {
    pub title: String,
    /// Names, with the class of each.
    pub names: Vec<(&'static str, &'static str)>,
    /// x, y, width, height, class, words.
    pub bars: Vec<(f64, f64, f64, f64, &'static str, String)>,
    pub across: Vec<Tick>,
    pub up: Vec<Tick>,
    pub rows: Vec<(String, Vec<String>)>,
}

/// Shares, one below the other.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "bars.html")]
pub struct Bars {
    pub title: String,
    pub items: Vec<Bar>,
}

/// A share.
#[derive(Debug, Clone, Default)]
pub struct Bar {
    pub name: String,
    pub value: String,
    /// From 0 to 100.
    pub percent: f64,
    pub tone: Tone,
    pub href: String,
}

/// What is linked with what: one thing in the middle, others around it.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "graph.html")]
pub struct Graph {
    pub title: String,
    pub center: String,
    pub nodes: Vec<Node>,
    pub width: f64,
    pub height: f64,
}

/// Something around the middle.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub x: f64,
    pub y: f64,
    /// Where its text begins or ends.
    pub anchor: &'static str,
    pub kind: String,
    pub text: String,
    /// Who named it first.
    pub edge: String,
    /// Class of the line: `links`, `aside` or `blocked`.
    pub class: &'static str,
}

/// A number without noise, in the box's units.
#[must_use]
pub fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A number that is easy to read and not below `max`, and its tenth part or so for ticks.
fn nice(max: f64) -> (f64, f64) {
    if max <= 0.0 {
        return (1.0, 1.0);
    }
    let magnitude = 10_f64.powf((max / 4.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * magnitude);
    let step = steps.into_iter().find(|step| step * 4.0 >= max).unwrap_or(10.0 * magnitude);
    let step = if max <= 4.0 { 1.0 } else { step };
    ((max / step).ceil().max(1.0) * step, step)
}

/// A whole number with its thousands apart.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn ups(top: f64, step: f64) -> Vec<Tick> {
    let count = (top / step).round() as u32;
    (0..=count)
        .map(|n| {
            let value = f64::from(n) * step;
            let text = if step >= 1.0 { thousands(value as u64) } else { format!("{value}") };
            Tick { at: round(TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top)), text }
        })
        .collect()
}

/// Every so many, so that at most `most` stand beside each other.
fn some(count: usize, most: usize) -> usize {
    count.div_ceil(most).max(1)
}

impl Line {
    /// Draws `points`, oldest first: what each is called below the line, in full, and how much it is.
    pub fn of(title: impl Into<String>, unit: &str, points: &[(String, String, u64)]) -> Self {
        let max = points.iter().map(|point| point.2).max().unwrap_or(0);
        let (top, step) = nice(max as f64);
        let across = WIDTH - LEFT - 14.0;
        let x = |n: usize| {
            let last = points.len().saturating_sub(1).max(1);
            round(LEFT + across * n as f64 / last as f64)
        };
        let y = |value: u64| round(TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value as f64 / top));
        let mut path = String::new();
        for (n, point) in points.iter().enumerate() {
            path.push_str(&format!("{}{} {}", if n == 0 { "M" } else { " L" }, x(n), y(point.2)));
        }
        let floor = HEIGHT - BOTTOM;
        let area = if points.len() > 1 {
            format!("{path} L{} {floor} L{LEFT} {floor} Z", x(points.len() - 1))
        } else {
            String::new()
        };
        let every = some(points.len(), 7);
        let ticks = points.iter().enumerate().rev().step_by(every);
        let ticks = ticks.map(|(n, point)| Tick { at: x(n), text: point.0.clone() });
        Self {
            title: title.into(),
            unit: unit.to_owned(),
            path,
            area,
            dots: points
                .iter()
                .enumerate()
                .map(|(n, point)| (x(n), y(point.2), format!("{}: {}", point.1, thousands(point.2))))
                .collect(),
            across: ticks.collect(),
            up: ups(top, step),
            rows: points.iter().rev().map(|point| (point.1.clone(), thousands(point.2))).collect(),
        }
    }
}

impl Stack {
    /// Draws columns, oldest first: what each is called, and a number for every name.
    pub fn of(
        title: impl Into<String>,
        names: Vec<(&'static str, &'static str)>,
        columns: &[(String, Vec<u64>)],
    ) -> Self {
        let max = columns.iter().map(|column| column.1.iter().sum::<u64>()).max().unwrap_or(0);
        let (top, step) = nice(max as f64);
        let slot = (WIDTH - LEFT - 4.0) / columns.len().max(1) as f64;
        let high = HEIGHT - TOP - BOTTOM;
        let mut bars = Vec::new();
        for (n, (label, values)) in columns.iter().enumerate() {
            let mut below = 0.0;
            for ((name, class), value) in names.iter().zip(values).filter(|(_, value)| **value > 0) {
                let height = (high * *value as f64 / top).max(0.8);
                let x = round(LEFT + slot * n as f64 + slot * 0.1);
                let y = round(HEIGHT - BOTTOM - below - height);
                let words = format!("{label}: {} {name}", thousands(*value));
                bars.push((x, y, round(slot * 0.8), round(height), *class, words));
                below += height;
            }
        }
        let every = some(columns.len(), 7);
        let ticks = columns.iter().enumerate().rev().step_by(every);
        let ticks = ticks
            .map(|(n, (label, _))| Tick { at: round(LEFT + slot * (n as f64 + 0.5)), text: label.clone() });
        Self {
            title: title.into(),
            names,
            bars,
            across: ticks.collect(),
            up: ups(top, step),
            rows: columns
                .iter()
                .rev()
                .filter(|(_, values)| values.iter().any(|value| *value > 0))
                .map(|(label, values)| {
                    (label.clone(), values.iter().map(|value| thousands(*value)).collect())
                })
                .collect(),
        }
    }
}

impl Bars {
    /// Draws shares of the whole, or of the largest where there is no whole.
    pub fn of(title: impl Into<String>, whole: Option<u64>, items: Vec<(String, u64, Tone)>) -> Self {
        let max = whole.unwrap_or_else(|| items.iter().map(|item| item.1).max().unwrap_or(0)).max(1);
        let bar = |(name, value, tone): (String, u64, Tone)| Bar {
            name,
            value: match whole {
                Some(_) => format!("{} · {}", thousands(value), percent(value, max)),
                None => thousands(value),
            },
            percent: round(100.0 * value as f64 / max as f64).min(100.0),
            tone,
            href: String::new(),
        };
        Self { title: title.into(), items: items.into_iter().map(bar).collect() }
    }
}

/// A share in percent.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    if share > 0.0 && share < 0.1 { "< 0.1 %".to_owned() } else { format!("{share:.1} %") }
}

/// A small line over time: the path of it in a box of 96 × 24. Empty for less than two values.
#[must_use]
pub fn spark(values: &[u64]) -> String {
    let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else { return String::new() };
    if values.len() < 2 {
        return String::new();
    }
    let range = (max - min).max(1) as f64;
    let last = (values.len() - 1) as f64;
    let place = |(n, value): (usize, &u64)| {
        let (x, y) = (94.0 * n as f64 / last + 1.0, 21.0 - 18.0 * (value - min) as f64 / range);
        format!("{}{} {}", if n == 0 { "M" } else { " L" }, round(x), round(y))
    };
    values.iter().enumerate().map(place).collect()
}

impl Graph {
    /// Puts nodes around the middle: kind, text, who named it first, its class.
    pub fn around(
        title: impl Into<String>,
        center: impl Into<String>,
        nodes: Vec<(String, String, String, &'static str)>,
    ) -> Self {
        let (width, height) = (760.0, (110.0 + 34.0 * nodes.len() as f64).clamp(180.0, 660.0));
        let (cx, cy) = (width / 2.0, height / 2.0);
        let count = nodes.len().max(1) as f64;
        let placed = nodes.into_iter().enumerate().map(|(n, (kind, text, edge, class))| {
            // Half a step on: no node stands straight above or below, where texts would meet.
            let turn = std::f64::consts::TAU * (n as f64 + 0.5) / count - std::f64::consts::FRAC_PI_2;
            let (x, y) = (cx + turn.cos() * 150.0, cy + turn.sin() * (height / 2.0 - 42.0));
            Node {
                x: round(x),
                y: round(y),
                anchor: if x < cx - 1.0 { "end" } else { "start" },
                kind,
                text,
                edge,
                class,
            }
        });
        Self { title: title.into(), center: center.into(), nodes: placed.collect(), width, height }
    }

    #[must_use]
    pub fn middle(&self) -> (f64, f64) {
        (self.width / 2.0, self.height / 2.0)
    }
}
