//! A batch seen row by row.

use crate::Presence;
use crate::bindings::cdp::plugin::types::{Batch, Cells, Column};

/// One event: the fields that were declared and granted, by their position in `reads`.
///
/// The typed getters give None for anything that is not present and of the kind that was declared.
///
/// # Panics
/// The getters panic when a position is beyond `reads` or the getter does not fit the declared kind: a mistake in the
/// plugin, which its first test shows.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) at: usize,
}

impl<'a> Row<'a> {
    /// The event type.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        let at = self.view.batch.event_type[self.at] as usize;
        match self.view.event_types {
            [] => &self.view.batch.types[at],
            types => types[at],
        }
    }

    /// When it happened, in milliseconds since 1970.
    #[must_use]
    pub fn occurred_at(&self) -> i64 {
        self.view.batch.occurred_at[self.at]
    }

    /// When the host received it, in milliseconds since 1970.
    #[must_use]
    pub fn received_at(&self) -> i64 {
        self.view.batch.received_at[self.at]
    }

    /// Whether a field has a value, and if not, why.
    #[must_use]
    pub fn presence(&self, read: usize) -> Presence {
        self.view.columns[read].presence.get(self.at).copied().unwrap_or(Presence::Present)
    }

    /// A field of kind `text`.
    #[must_use]
    #[inline]
    pub fn text(&self, read: usize) -> Option<&'a str> {
        match self.present(read)? {
            Values::Texts { ends, text } => {
                let start = if self.at == 0 { 0 } else { ends[self.at - 1] };
                text.get(start as usize..ends[self.at] as usize)
            }
            _ => unfit(read, "is not carried as text"),
        }
    }

    /// A field of kind `decimal`, in plain notation such as `64.2`.
    #[must_use]
    #[inline]
    pub fn decimal(&self, read: usize) -> Option<&'a str> {
        self.text(read)
    }

    /// A field of kind `json`, as JSON text.
    #[must_use]
    #[inline]
    pub fn json(&self, read: usize) -> Option<&'a str> {
        self.text(read)
    }

    /// A field of kind `integer`.
    #[must_use]
    #[inline]
    pub fn integer(&self, read: usize) -> Option<i64> {
        match self.present(read)? {
            Values::Integers(list) => Some(list[self.at]),
            _ => unfit(read, "is not declared as an integer"),
        }
    }

    /// A field of kind `number`.
    #[must_use]
    #[inline]
    pub fn number(&self, read: usize) -> Option<f64> {
        match self.present(read)? {
            Values::Numbers(list) => Some(list[self.at]),
            _ => unfit(read, "is not declared as a number"),
        }
    }

    /// A field of kind `boolean`.
    #[must_use]
    #[inline]
    pub fn boolean(&self, read: usize) -> Option<bool> {
        match self.present(read)? {
            Values::Booleans(list) => Some(list[self.at]),
            _ => unfit(read, "is not declared as a boolean"),
        }
    }

    #[inline]
    fn present(&self, read: usize) -> Option<&'a Values<'a>> {
        let column = &self.view.columns[read];
        let present = column.presence.is_empty() || column.presence[self.at] == Presence::Present;
        present.then_some(&column.values)
    }
}

/// Kept out of the getters, which are a few instructions without it.
#[cold]
#[inline(never)]
fn unfit(read: usize, why: &str) -> ! {
    panic!("field {read} {why}");
}

/// A batch whose columns were told apart and whose texts were checked once, as a whole: a getter is called for each event.
pub(crate) struct View<'a> {
    batch: &'a Batch,
    event_types: &'static [&'static str],
    columns: Vec<Seen<'a>>,
}

/// One field of all events.
struct Seen<'a> {
    /// Empty when all are present.
    presence: &'a [Presence],
    values: Values<'a>,
}

enum Values<'a> {
    Texts { ends: &'a [u32], text: &'a str },
    Integers(&'a [i64]),
    Numbers(&'a [f64]),
    Booleans(&'a [bool]),
}

impl<'a> View<'a> {
    pub(crate) fn new(batch: &'a Batch, event_types: &'static [&'static str]) -> Self {
        let seen =
            |column: &'a Column| Seen { presence: &column.presence, values: Values::of(&column.cells) };
        Self { batch, event_types, columns: batch.fields.iter().map(seen).collect() }
    }
}

impl<'a> Values<'a> {
    fn of(cells: &'a Cells) -> Self {
        match cells {
            Cells::Texts(list) => Self::Texts {
                ends: &list.ends,
                text: std::str::from_utf8(&list.data).expect("the contract says that texts are UTF-8"),
            },
            Cells::Integers(list) => Self::Integers(list),
            Cells::Numbers(list) => Self::Numbers(list),
            Cells::Booleans(list) => Self::Booleans(list),
        }
    }
}
