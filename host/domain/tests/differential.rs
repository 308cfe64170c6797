//! Incremental folds and compiled rules against the reference model, on random histories cut and delivered at random.
#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

#[path = "model/dice.rs"]
mod dice;
mod model;

use std::collections::BTreeMap;

use cdp_domain::attribute::Definition;
use cdp_domain::condition::Answer;
use cdp_domain::event::{Defaults, Event};
use cdp_domain::expr::{self, Cutoffs, Expr, Type};
use cdp_domain::fold::{At, Fold, Spec, State};
use cdp_domain::identity::Rules;
use cdp_domain::json;
use cdp_domain::segment::{Catalogue, Formula, Names, Rule, View, compile, compile_expr};
use cdp_domain::time::{Timestamp, Zone};
use cdp_domain::value::Value;
use dice::Dice;
use model::{Person, World};

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// How many histories: some by default, `CDP_CASES` of them when it is set.
fn cases(default: u64) -> u64 {
    std::env::var("CDP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Everything that is defined, in its compiled form.
#[derive(Default)]
struct Book {
    attributes: BTreeMap<String, (Expr, Type)>,
    segments: BTreeMap<String, Formula>,
    folds: Vec<Spec>,
}

impl Names for Book {
    fn attribute(&self, name: &str) -> Option<Type> {
        self.attributes.get(name).map(|(_, kind)| *kind)
    }
    fn has_segment(&self, name: &str) -> bool {
        self.segments.contains_key(name)
    }
}

impl Catalogue for Book {
    fn attribute(&self, name: &str) -> Option<Expr> {
        self.attributes.get(name).map(|(expr, _)| expr.clone())
    }
    fn segment(&self, name: &str) -> Option<Formula> {
        self.segments.get(name).cloned()
    }
    fn fold(&mut self, spec: Spec) -> (u32, i64) {
        let found = self.folds.iter().position(|known| known.covers(&spec));
        let no = found.unwrap_or_else(|| {
            self.folds.push(spec);
            self.folds.len() - 1
        });
        (no as u32, self.folds[no].horizon_ms())
    }
    fn ranking(&mut self, _: &Expr, _: u32) -> u32 {
        0
    }
}

impl Book {
    fn define(&mut self, name: &str, definition: &Value) {
        let (expr, kind) = match Definition::read(definition).unwrap() {
            Definition::Fold(aggregate) => {
                let (fold, horizon) = self.fold(aggregate.spec());
                (Expr::Read(fold, aggregate.read(horizon)), aggregate.value_type())
            }
            Definition::Plugin(_) => unreachable!("no plugin runs here"),
            Definition::Formula(expr) => {
                let kind = expr.kind(&|name| Names::attribute(self, name).unwrap());
                (compile_expr(&expr, self).unwrap(), kind)
            }
        };
        self.attributes.insert(name.to_owned(), (expr, kind));
    }
}

/// A profile of fragments, each with its states.
struct Profile<'a> {
    book: &'a Book,
    fragments: Vec<Vec<State>>,
    traits: BTreeMap<String, Value>,
}

impl expr::Source for Profile<'_> {
    fn trait_value(&self, name: &str) -> Option<Value> {
        self.traits.get(name).cloned()
    }
    fn identifiers(&self, _: &str) -> Vec<Value> {
        Vec::new()
    }
    fn with_state(&self, fold: u32, read: &mut dyn FnMut(&State)) {
        let spec = &self.book.folds[fold as usize];
        let states = self.fragments.iter().map(|states| states[fold as usize].clone());
        read(&states.fold(State::Nothing, |a, b| spec.combine(a, b)));
    }
    fn cutoffs(&self, _: u32) -> Option<&Cutoffs> {
        None
    }
}

impl View for Profile<'_> {
    fn reachable(&self, _: &str, _: &str, _: Timestamp) -> Answer {
        false.into()
    }
}

fn history(dice: &mut Dice) -> Vec<Event> {
    let events = (0..dice.roll(25)).map(|n| {
        let text = format!(
            r#"{{"id": "{}{n}", "source": "{}", "type": "{}", "time": "{}", "identifiers": [{{"type": "u", "value": "1"}}], {}}}"#,
            dice.pick(&["x", "y"]),
            dice.pick(&["app", "till"]),
            dice::kind(dice),
            Timestamp(dice::instant(dice)),
            dice::payload(dice)
        );
        let defaults = Defaults { source: "s", time: Timestamp(0), rules: &Rules::default() };
        Event::from_value(value(&text), defaults).unwrap()
    });
    events.collect()
}

#[test]
fn what_grows_with_events_equals_what_is_computed_from_all_of_them() {
    let mut turned = 0;
    for seed in 0..cases(1500) {
        turned += one(seed);
    }
    assert!(turned > 0, "some rules turn by themselves");
}

/// One history; how many rules turned by themselves.
fn one(seed: u64) -> usize {
    let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut book, mut world) = (Book::default(), World::default());
    let mut numeric = Vec::new();
    for n in 0..8 {
        let text = if n < 6 {
            dice::aggregate(dice, false)
        } else {
            format!(r#"{{"expr": {}}}"#, dice::formula(dice, n, 3))
        };
        let (name, definition) = (format!("a{n}"), value(&text));
        book.define(&name, &definition);
        if matches!(Names::attribute(&book, &name), Some(Type::Number)) {
            numeric.push(name.clone());
        }
        world.attributes.insert(name, definition);
    }
    for n in 0..4 {
        let text = dice::rule(dice, &numeric, n, 2);
        let rule = Rule::read(&value(&text), &book).unwrap_or_else(|problems| panic!("{problems:?} {text}"));
        assert_eq!(Rule::read(&rule.write(), &book).as_ref(), Ok(&rule), "{text}");
        let formula = compile(&rule, &mut book).unwrap();
        book.segments.insert(format!("s{n}"), formula);
        world.segments.insert(format!("s{n}"), value(&text));
    }
    let mut events = history(dice);
    let all: Vec<Event> = events.clone();
    let zone_name = dice::ZONES[dice.roll(4) as usize];
    let zone = Zone::named(zone_name).unwrap();
    let as_of = dice::instant(dice);
    // Taken back before anything is folded: a void is a fold without the event.
    events.retain(|event| event.time.0 <= as_of);
    for n in (1..events.len()).rev() {
        events.swap(n, dice.roll(n as u64 + 1) as usize);
    }
    let parts = 1 + dice.roll(3);
    let mut fragments = vec![vec![State::Nothing; book.folds.len()]; parts as usize];
    for event in &events {
        let states = &mut fragments[dice.roll(parts) as usize];
        book.folds.iter().zip(states).for_each(|(spec, state)| spec.step(state, event));
    }
    let mut traits = BTreeMap::new();
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.stamp());
    for event in sorted {
        event.traits.iter().for_each(|(name, value)| drop(traits.insert(name.to_string(), value.clone())));
    }
    traits.retain(|_, value| *value != Value::Null);
    let profile = Profile { book: &book, fragments, traits };

    let later = |at: i64| {
        let known: Vec<&Event> = all.iter().filter(|event| event.time.0 <= as_of).collect();
        Person::new(known, at, zone_name, &world)
    };
    let person = later(as_of);
    let at = At { as_of: Timestamp(as_of), zone: &zone };
    for (name, (expr, _)) in &book.attributes {
        let reading = expr.read(&profile, at);
        let context =
            || format!("seed {seed} {name} {} at {as_of}", json::to_string(&world.attributes[name]));
        assert_eq!(reading.value, person.attribute(name), "{}", context());
        if let Some(until) = reading.valid_until {
            assert!(until > at.as_of, "{}", context());
            assert_eq!(later(until.0 - 1).attribute(name), reading.value, "until {until}, {}", context());
        } else {
            assert_eq!(
                later(as_of + 40 * 86_400_000).attribute(name),
                reading.value,
                "for ever, {}",
                context()
            );
        }
    }
    let mut turned = 0;
    for (name, formula) in &book.segments {
        let rule = &world.segments[name];
        let context = || format!("seed {seed} {name} {} at {as_of}", json::to_string(rule));
        let mut at = at;
        let mut answer = formula.evaluate(&profile, at);
        assert_eq!(answer.holds, person.rule(rule), "{}", context());
        // From turn to turn, as timers do it.
        for _ in 0..8 {
            let Some(until) = answer.valid_until else {
                for days in [1, 3, 40] {
                    let then = later(at.as_of.0 + days * 86_400_000 + 1);
                    assert_eq!(then.rule(rule), answer.holds, "for ever from {}, {}", at.as_of, context());
                }
                break;
            };
            assert!(until > at.as_of, "{}", context());
            let middle = at.as_of.0 + (until.0 - at.as_of.0) / 2;
            for still in [middle, until.0 - 1] {
                assert_eq!(later(still).rule(rule), answer.holds, "still at {still}, {}", context());
            }
            at = at.moved(until);
            let next = formula.evaluate(&profile, at);
            assert_eq!(next.holds, later(until.0).rule(rule), "from {until}, {}", context());
            turned += usize::from(next.holds != answer.holds);
            answer = next;
        }
    }
    turned
}
