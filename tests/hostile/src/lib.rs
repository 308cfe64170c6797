//! Guests that mean harm, each with what must come of it.
//!
//! [`corpus`] is the table. Tests of the runtime run it in this process, journeys run it through a real server, and the
//! bench runs it in three tenants while a fourth goes about its work. Most are made here, from text or byte by byte;
//! those that need a language's library are the words of `tests/guests/misbehave`.
//!
//! To add one: a row in the file it belongs to, with what must come of it.

mod build;
mod bytes;
mod describing;
mod running;
mod sized;
mod words;

use serde::{Deserialize, Serialize};

pub use build::{dear, harmless, remembering};

/// A guest that means harm.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// What it is called: a file name, and a plugin's name.
    pub name: String,
    /// What is uploaded.
    pub component: Component,
    /// The configuration that it is activated with: a word for `misbehave`, else anything.
    pub config: String,
    /// What must come of it.
    pub expected: Expected,
}

/// What is uploaded.
#[derive(Debug, Clone)]
pub enum Component {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The guest `misbehave`, which does what its configuration says.
    Misbehave,
}

/// What must come of a hostile guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "comes_to", content = "how", rename_all = "snake_case")]
pub enum Expected {
    /// Refused before anything of it runs or is compiled, with at least this code.
    Refused(String),
    /// Refused when it is prepared: `compile`, `link`, `descriptor`, or `describe:` and the code of a fault.
    Unfit(String),
    /// Taken; every row of it ends in a fault of this code.
    Fault(String),
    /// Taken; only the row with the id that the configuration names ends in a fault of this code.
    Poison(String),
    /// Taken; its rows are answered, and whatever it tried came to nothing.
    Harmless,
}

/// A row of the table as the file `table.json` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// The file beside the table.
    pub file: String,
    /// The configuration that it is activated with.
    pub config: String,
    /// What must come of it.
    pub expected: Expected,
}

/// All of them; names are unique.
#[must_use]
pub fn corpus() -> Vec<Hostile> {
    let mut all = bytes::all();
    all.extend(sized::all());
    all.extend(describing::all());
    all.extend(running::all());
    all.extend(words::all());
    all
}

/// A row of bytes.
fn row(name: &str, component: Vec<u8>, expected: Expected) -> Hostile {
    Hostile {
        name: name.to_owned(),
        component: Component::Bytes(component),
        config: "{}".to_owned(),
        expected,
    }
}

fn refused(code: &str) -> Expected {
    Expected::Refused(code.to_owned())
}

fn unfit(how: &str) -> Expected {
    Expected::Unfit(how.to_owned())
}

fn fault(code: &str) -> Expected {
    Expected::Fault(code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn there_are_forty_and_more_and_names_are_unique() {
        let all = super::corpus();
        let names: BTreeSet<_> = all.iter().map(|hostile| &hostile.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 40, "{}", all.len());
    }
}
