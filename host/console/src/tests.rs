//! What templates make of values: texts stay texts, and drawings are where they should be.

use askama::Template as _;

use crate::blocks::{
    Action, Block, Cell, Empty, Fact, Figure, Job, Link, Notice, Section, Step, Table, Tone, When, Words,
};
use crate::chart::{Bars, Graph, Line, Stack, percent, spark, thousands};
use crate::form::{Choice, Field, Form, Kind};
use crate::frame::Frame;
use crate::pages::{Bare, Page};

const BAD: &str = "\"><script>alert('x')</script>&";

/// Every block, with a text that would be a script in every place that takes one.
fn everything() -> Vec<Block> {
    let bad = || BAD.to_owned();
    let when = When { local: bad(), utc: bad() };
    let action =
        || Action { to: bad(), label: bad(), fields: vec![("a", bad())], tone: Tone::Bad, ask: bad() };
    let cells = vec![
        Cell::None,
        Cell::text(BAD),
        Cell::number(BAD),
        Cell::code(BAD),
        Cell::go(BAD, BAD),
        Cell::At(when.clone()),
        Cell::badge(Tone::Good, BAD),
        Cell::Share(12.5, bad()),
        Cell::Many(vec![Cell::text(BAD), Cell::Do(action())]),
        Cell::Do(Action { ask: String::new(), ..action() }),
        Cell::Delta(Tone::Bad, bad()),
        Cell::Spark(bad()),
    ];
    let field = |kind| Field {
        problem: bad(),
        suggestions: vec![bad()],
        ..Field::new(BAD, BAD, kind).value(BAD).hint(BAD)
    };
    let choices = || vec![Choice { value: bad(), text: bad(), chosen: true }];
    let kinds = [
        Kind::Text,
        Kind::Password,
        Kind::Number,
        Kind::Date,
        Kind::Hidden,
        Kind::File,
        Kind::Lines(3),
        Kind::Select(choices()),
        Kind::Checks(choices()),
        Kind::Radios(choices()),
    ];
    let notice = || Notice {
        title: bad(),
        detail: bad(),
        code: bad(),
        request_id: bad(),
        help: bad(),
        secret: bad(),
        problems: vec![(bad(), bad())],
        link: Some(Link::new(BAD, BAD)),
        tone: Tone::Bad,
    };
    let words = Words {
        text: bad(),
        note: bad(),
        tone: Tone::Good,
        inner: vec![Words { text: bad(), ..Words::default() }],
    };
    vec![
        Block::Text(bad()),
        Block::Figures(vec![Figure {
            label: bad(),
            value: bad(),
            note: bad(),
            href: bad(),
            tone: Tone::Bad,
        }]),
        Block::Facts(vec![Fact { name: bad(), value: Some(Cell::text(BAD)), note: bad() }]),
        Block::Table(Table {
            caption: bad(),
            head: vec!["#a", "b"],
            rows: vec![cells],
            more: Some(Link::new(BAD, BAD)),
        }),
        Block::Line(Line::of(BAD, BAD, &[(bad(), bad(), 1), (bad(), bad(), 2)])),
        Block::Bars(Bars::of(BAD, Some(2), vec![(bad(), 1, Tone::Plain)])),
        Block::Stack(Stack::of(BAD, vec![("a", "one")], &[(bad(), vec![3])])),
        Block::Graph(Graph::around(BAD, BAD, vec![(bad(), bad(), bad(), "links")])),
        Block::Form(Form::new(BAD, BAD, kinds.into_iter().map(field).collect()).also(BAD, BAD)),
        Block::Forms(vec![action()]),
        Block::Empty(Empty { what: bad(), next: Some(Link::new(BAD, BAD)), command: bad() }),
        Block::Notice(notice()),
        Block::Jobs(vec![Job {
            id: bad(),
            kind: bad(),
            status: bad(),
            percent: Some(3),
            counted: bad(),
            rate: bad(),
            left: bad(),
            error: bad(),
            tone: Tone::Bad,
        }]),
        Block::Steps(vec![Step {
            title: bad(),
            tone: Tone::Bad,
            at: Some(when),
            facts: vec![Fact::new(BAD, Cell::text(BAD))],
        }]),
        Block::Words(words),
        Block::Code(bad(), bad()),
        Block::Folded(bad(), vec![Block::Notice(notice())]),
    ]
}

#[test]
fn a_text_is_a_text_wherever_it_stands() {
    let section = Section::new("s", BAD, everything()).note(BAD).link(BAD, BAD).refresh(1);
    let frame = Frame {
        title: BAD.to_owned(),
        tenant: BAD.to_owned(),
        user: BAD.to_owned(),
        role: BAD.to_owned(),
        lag: BAD.to_owned(),
        crumbs: vec![Link::new(BAD, BAD)],
        ..Frame::default()
    };
    let page = Page {
        frame,
        intro: BAD.to_owned(),
        actions: vec![Link::new(BAD, BAD)],
        sections: vec![section],
        ..Page::default()
    };
    let text = page.render().unwrap();
    assert!(!text.contains("<script>alert"), "{text}");
    assert!(
        text.matches("&lt;script&gt;").count() + text.matches("&#60;script&#62;").count() > 80,
        "they are all there, as texts"
    );
    let bare = Bare { title: BAD.to_owned(), intro: BAD.to_owned(), after: everything(), ..Bare::default() };
    assert!(!bare.render().unwrap().contains("<script>alert"));
}

#[test]
fn no_template_marks_a_value_as_safe_or_carries_a_script_or_a_style() {
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut seen = 0;
    for entry in std::fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for bad in [
            "|safe",
            "| safe",
            "escape=\"none\"",
            "<style",
            " style=",
            "onclick",
            "onload",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!text.contains(bad), "{} has {bad}", path.display());
        }
        let inline = text.split("<script").skip(1).any(|rest| !rest.starts_with(" src="));
        assert!(!inline, "{} has a script inside", path.display());
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn the_first_load_is_small() {
    let bytes: usize = crate::assets::ASSETS.iter().map(|asset| asset.bytes.len()).sum();
    assert!(bytes < 60 * 1024, "{bytes} bytes, before they are compressed");
    let script = String::from_utf8_lossy(crate::assets::ASSETS[1].bytes);
    for bad in [
        "eval(",
        "innerHTML",
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "document.write",
        "new Function",
    ] {
        assert!(!script.contains(bad), "the script has {bad}");
    }
    assert_eq!(
        crate::assets::find(crate::assets::style().rsplit('/').next().unwrap()).unwrap().name,
        "console.css"
    );
    assert!(crate::assets::find("console.css").is_none());
}

#[test]
fn numbers_are_easy_to_read() {
    assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(
        (percent(1, 0).as_str(), percent(1, 3).as_str(), percent(1, 100_000).as_str()),
        ("–", "33.3 %", "< 0.1 %")
    );
    assert_eq!(spark(&[5]), "");
    assert_eq!(spark(&[0, 10]), "M1 21 L95 3");
}

#[test]
fn a_line_stays_in_its_box_and_its_axis_is_round() {
    let points: Vec<_> = (0..30).map(|n| (n.to_string(), n.to_string(), n * 137)).collect();
    let line = Line::of("x", "People", &points);
    assert!(line.dots.iter().all(|dot| (52.0..=706.0).contains(&dot.0) && (10.0..=176.0).contains(&dot.1)));
    assert_eq!(
        line.up.iter().map(|tick| tick.text.as_str()).collect::<Vec<_>>(),
        ["0", "1,000", "2,000", "3,000", "4,000"]
    );
    assert!(line.across.len() <= 7 && line.rows.len() == 30);
    let none = Line::of("x", "People", &[]);
    assert!(none.path.is_empty() && none.area.is_empty());
    let flat = Line::of("x", "People", &[("a".into(), "a".into(), 0), ("b".into(), "b".into(), 0)]);
    assert!(flat.dots.iter().all(|dot| dot.1.is_finite()));
}

#[test]
fn columns_stand_on_each_other() {
    let stack = Stack::of(
        "x",
        vec![("a", "one"), ("b", "two")],
        &[("1".into(), vec![1, 3]), ("2".into(), vec![0, 0])],
    );
    assert_eq!(stack.bars.len(), 2, "what is nothing is not drawn");
    assert!(
        stack.bars[0].1 > stack.bars[1].1
            && (stack.bars[0].1 - stack.bars[1].3 - stack.bars[1].1).abs() < 0.2
    );
    assert_eq!(stack.rows.len(), 1);
}
