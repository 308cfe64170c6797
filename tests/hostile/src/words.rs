//! What `tests/guests/misbehave` does when its configuration says so.

use crate::{Component, Expected, Hostile, fault};

pub(crate) fn all() -> Vec<Hostile> {
    let faults = [
        ("loop", "fuel"),
        ("log-forever", "fuel"),
        ("grow", "memory"),
        ("grow-in-steps", "memory"),
        ("trap", "trapped"),
        ("exit", "trapped"),
        ("recurse", "trapped"),
        ("too-few-rows", "contract"),
        ("out-of-range", "contract"),
        ("unsorted-rows", "contract"),
        ("backward-ends", "contract"),
        ("wrong-cells", "contract"),
        ("mistyped", "contract"),
        ("fail-without-reason", "contract"),
        ("reason-for-kept", "contract"),
        ("not-utf-8", "contract"),
        ("not-a-number", "contract"),
        ("not-a-decimal", "contract"),
        ("not-json", "contract"),
        ("forbidden-pointer", "contract"),
        ("undeclared-pointer", "contract"),
        ("deep-document", "contract"),
        ("forged-document", "contract"),
        ("far-future", "contract"),
        ("nameless-child", "contract"),
        ("many-children", "contract"),
        ("child-of-nobody", "contract"),
    ];
    let mut all: Vec<_> = faults.into_iter().map(|(word, code)| says(word, fault(code))).collect();
    all.extend(
        ["sleep", "log-flood", "print", "look-around", "look-up-elsewhere"]
            .map(|word| says(word, Expected::Harmless)),
    );
    for (word, code) in [("trap", "trapped"), ("loop", "fuel"), ("grow", "memory"), ("not-json", "contract")]
    {
        let poison = Expected::Poison(code.to_owned());
        all.push(Hostile { name: format!("misbehave-{word}-at-one"), ..says(&format!("{word}:e7"), poison) });
    }
    all
}

fn says(word: &str, expected: Expected) -> Hostile {
    Hostile {
        name: format!("misbehave-{}", word.replace(':', "-")),
        component: Component::Misbehave,
        config: format!(r#"{{"do":"{word}"}}"#),
        expected,
    }
}
