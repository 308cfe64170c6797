//! Random histories, definitions and rules, from a seed.

#![allow(dead_code, reason = "each test that includes the model uses a part of it")]

/// A small generator, so that a seed names a history.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub(crate) fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.roll(of.len() as u64) as usize]
    }

    pub(crate) fn chance(&mut self, in_ten: u64) -> bool {
        self.roll(10) < in_ten
    }
}

const HOUR: i64 = 3_600_000;

/// The zones in which calendar days are counted.
pub(crate) const ZONES: [&str; 4] = ["UTC", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"];

/// Where histories begin: shortly before New York and, in 2018, São Paulo changed their clocks.
pub(crate) const BEGINS: i64 = 1_541_030_400_000;

/// An instant of a history: on whole hours mostly, so that events fall on the edges of windows and on each other.
pub(crate) fn instant(dice: &mut Dice) -> i64 {
    let hours = BEGINS + dice.roll(24 * 9) as i64 * HOUR;
    if dice.chance(3) { hours + dice.roll(3) as i64 - 1 } else { hours }
}

/// `"properties"` and `"traits"` of an event.
pub(crate) fn payload(dice: &mut Dice) -> String {
    let mut properties = Vec::new();
    if dice.chance(9) {
        properties.push(match dice.roll(5) {
            0 => format!(r#""total": "{}.{}""#, dice.roll(90), dice.roll(100)),
            1 => format!(r#""total": -{}"#, dice.roll(20)),
            2 => r#""total": 0.1"#.to_owned(),
            3 => r#""total": "many""#.to_owned(),
            _ => format!(r#""total": {}"#, dice.roll(60)),
        });
    }
    if dice.chance(9) {
        properties.push(format!(r#""currency": "{}""#, dice.pick(&["EUR", "EUR", "JPY", "KWD", "eu"])));
    }
    if dice.chance(8) {
        properties.push(format!(r#""sku": {}"#, dice.pick(&["\"a\"", "\"b\"", "\"a!\"", "3", "null"])));
    }
    let traits = match dice.roll(6) {
        0 => format!(r#","traits": {{"city": "{}"}}"#, dice.pick(&["Riga", "Tartu"])),
        1 => format!(r#","traits": {{"age": {}}}"#, dice.roll(90)),
        2 => r#","traits": {"city": null}"#.to_owned(),
        _ => String::new(),
    };
    format!(r#""properties": {{{}}}{traits}"#, properties.join(","))
}

pub(crate) fn kind(dice: &mut Dice) -> &'static str {
    dice.pick(&["buy", "buy", "buy", "view", "view", "quit"])
}

fn window(dice: &mut Dice) -> String {
    match dice.roll(5) {
        0 => format!(r#"{{"hours": {}}}"#, 1 + dice.roll(60)),
        1 => format!(r#"{{"minutes": {}}}"#, 60 * (1 + dice.roll(60))),
        2 => format!(r#"{{"calendar_days": {}}}"#, 1 + dice.roll(5)),
        _ => format!(r#"{{"days": {}}}"#, 1 + dice.roll(6)),
    }
}

fn rolling(dice: &mut Dice) -> String {
    if dice.chance(5) {
        format!(r#"{{"hours": {}}}"#, 1 + dice.roll(60))
    } else {
        format!(r#"{{"days": {}}}"#, 1 + dice.roll(5))
    }
}

fn events(dice: &mut Dice) -> &'static str {
    dice.pick(&["\"buy\"", "\"buy\"", "\"view\"", "[\"buy\", \"view\"]", "\"*\""])
}

fn filter(dice: &mut Dice) -> String {
    if dice.chance(6) {
        return String::new();
    }
    let condition = match dice.roll(7) {
        0 => r#"{"property": "/sku", "op": "eq", "value": "a"}"#.to_owned(),
        1 => r#"{"property": "/sku", "op": "exists"}"#.to_owned(),
        2 => r#"{"property": "/sku", "op": "in", "value": ["a!", 3]}"#.to_owned(),
        3 => r#"{"property": "/sku", "op": "not_exists"}"#.to_owned(),
        4 => r#"{"property": "/sku", "op": "starts_with", "value": "a"}"#.to_owned(),
        _ => format!(r#"{{"property": "/total", "op": "gt", "value": {}}}"#, dice.roll(40)),
    };
    format!(r#", "where": [{condition}]"#)
}

/// An attribute read of a fold. `coarse`: elapsed time is counted in hours at least, so that formulas may refer to it.
pub(crate) fn aggregate(dice: &mut Dice, coarse: bool) -> String {
    let kind = dice.pick(&[
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "first",
        "last",
        "most_frequent",
        "distinct_count",
        "unique_list",
        "time_since_first",
        "time_since_last",
    ]);
    let mut more = String::new();
    match kind {
        "sum" | "min" | "max" | "avg" => {
            more.push_str(r#", "property": "/total""#);
            if dice.chance(5) {
                more.push_str(&format!(r#", "currency": "{}""#, dice.pick(&["EUR", "JPY", "KWD", "each"])));
                if dice.chance(5) {
                    more.push_str(r#", "minor_units": true"#);
                }
            }
        }
        "most_frequent" | "distinct_count" | "unique_list" => {
            more.push_str(r#", "property": "/sku""#);
            if kind == "most_frequent" && dice.chance(5) {
                more.push_str(r#", "weight": "/total""#);
            }
        }
        "first" | "last" if dice.chance(7) => {
            more.push_str(&format!(r#", "property": "{}""#, dice.pick(&["/sku", "/total"])));
        }
        "time_since_first" | "time_since_last" if coarse => {
            more.push_str(&format!(r#", "unit": "{}""#, dice.pick(&["hours", "days"])));
        }
        "time_since_first" | "time_since_last" if dice.chance(7) => {
            more.push_str(&format!(r#", "unit": "{}""#, dice.pick(&["minutes", "hours", "days"])));
        }
        _ => {}
    }
    if dice.chance(6) {
        more.push_str(&format!(r#", "window": {}"#, window(dice)));
    }
    format!(r#"{{"kind": "{kind}", "event": {}{}{more}}}"#, events(dice), filter(dice))
}

/// A formula over the attributes `a0` to `a{n-1}`.
pub(crate) fn formula(dice: &mut Dice, n: u64, depth: u32) -> String {
    let leaf = depth == 0 || dice.chance(3);
    if leaf {
        return match dice.roll(4) {
            0 => dice.roll(30).to_string(),
            1 => r#"{"trait": "age"}"#.to_owned(),
            _ => format!(r#"{{"attribute": "a{}"}}"#, dice.roll(n)),
        };
    }
    let part = |dice: &mut Dice| formula(dice, n, depth - 1);
    match dice.roll(6) {
        0 => format!(
            r#"{{"{}": [{}, {}]}}"#,
            dice.pick(&["add", "sub", "mul", "min", "max"]),
            part(dice),
            part(dice)
        ),
        1 => format!(r#"{{"coalesce": [{}, {}]}}"#, part(dice), part(dice)),
        2 => format!(r#"{{"{}": [{}, {}]}}"#, dice.pick(&["gt", "eq", "lte"]), part(dice), part(dice)),
        3 => format!(
            r#"{{"if": [{{"gte": [{}, {}]}}, {}, {}]}}"#,
            part(dice),
            part(dice),
            part(dice),
            part(dice)
        ),
        4 => format!(r#"{{"floor": {}}}"#, part(dice)),
        _ => format!(r#"{{"round": [{{"div": [{}, {}]}}, 3]}}"#, part(dice), part(dice)),
    }
}

/// A test of a number.
fn number_test(dice: &mut Dice) -> String {
    match dice.roll(5) {
        0 => format!(r#""op": "between", "value": [{}, {}]"#, dice.roll(10), 10 + dice.roll(60)),
        1 => r#""op": "exists""#.to_owned(),
        2 => format!(r#""op": "in", "value": [0, {}, {}]"#, dice.roll(10), dice.roll(50)),
        _ => format!(
            r#""op": "{}", "value": {}"#,
            dice.pick(&["eq", "ne", "gt", "gte", "lt", "lte"]),
            dice.roll(dice_sides(dice))
        ),
    }
}

fn dice_sides(dice: &Dice) -> u64 {
    [3, 10, 100][(dice.0 >> 40) as usize % 3]
}

/// A rule over the attributes `a0` to `a{n-1}` and the segments `s0` to `s{m-1}`.
/// `numeric` are the attributes that are numbers.
pub(crate) fn rule(dice: &mut Dice, numeric: &[String], m: u64, depth: u32) -> String {
    if depth > 0 && dice.chance(5) {
        let parts: Vec<String> = (0..1 + dice.roll(3)).map(|_| rule(dice, numeric, m, depth - 1)).collect();
        return match dice.roll(3) {
            0 => format!(r#"{{"all": [{}]}}"#, parts.join(",")),
            1 => format!(r#"{{"any": [{}]}}"#, parts.join(",")),
            _ => format!(r#"{{"not": {}}}"#, parts[0]),
        };
    }
    match dice.roll(11) {
        0 => r#"{"trait": "city", "op": "eq", "value": "Riga"}"#.to_owned(),
        1 => format!(r#"{{"trait": "age", {}}}"#, number_test(dice)),
        2 if m > 0 => format!(r#"{{"segment": "s{}"}}"#, dice.roll(m)),
        2..=4 if !numeric.is_empty() => {
            let name = numeric[dice.roll(numeric.len() as u64) as usize].clone();
            format!(r#"{{"attribute": "{name}", {}}}"#, number_test(dice))
        }
        5 => {
            let steps: Vec<String> = (0..2 + dice.roll(2))
                .map(|_| {
                    let within = if dice.chance(2) {
                        format!(r#", "within": {}"#, window(dice))
                    } else {
                        String::new()
                    };
                    format!(r#"{{"event": {}{}{within}}}"#, events(dice), filter(dice))
                })
                .collect();
            let same = if dice.chance(5) { r#", "same": "/sku""# } else { "" };
            let within =
                if dice.chance(6) { format!(r#", "within": {}"#, rolling(dice)) } else { String::new() };
            format!(r#"{{"sequence": {{"steps": [{}]{same}{within}}}}}"#, steps.join(","))
        }
        _ => did(dice),
    }
}

fn did(dice: &mut Dice) -> String {
    let head = format!(r#""event": {}{}"#, events(dice), filter(dice));
    let tail = match dice.roll(8) {
        0 => format!(r#", "first_time": true, "within": {}"#, window(dice)),
        1 => {
            format!(r#", "stopped": {{"for": {{"hours": {}}}, "within": {{"days": 4}}}}"#, 1 + dice.roll(90))
        }
        2 => format!(r#", "restarted": {{"after": {}, "within": {}}}"#, rolling(dice), window(dice)),
        3 => {
            let periods = 1 + dice.roll(6);
            format!(
                r#", "regularly": {{"periods": {periods}, "of": {{"hours": {}}}, "at_least": {}}}"#,
                6 + dice.roll(30),
                1 + dice.roll(periods)
            )
        }
        4 => {
            let at = |hours: u64| cdp_domain::time::Timestamp(BEGINS + hours as i64 * HOUR).to_string();
            let from = dice.roll(100);
            format!(r#", "between": ["{}", "{}"]"#, at(from), at(from + dice.roll(100)))
        }
        _ => {
            let within =
                if dice.chance(7) { format!(r#", "within": {}"#, window(dice)) } else { String::new() };
            let count = if dice.chance(7) {
                format!(
                    r#", "count": {{"op": "{}", "value": {}}}"#,
                    dice.pick(&["eq", "gte", "lt", "lte", "gt", "ne"]),
                    dice.roll(4)
                )
            } else {
                String::new()
            };
            format!("{count}{within}")
        }
    };
    format!(r#"{{"did": {{{head}{tail}}}}}"#)
}
