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
        let presence = &self.view.batch.fields[read].presence;
        presence.get(self.at).copied().unwrap_or(Presence::Present)
    }

    /// A field of kind `text`.
    #[must_use]
    pub fn text(&self, read: usize) -> Option<&'a str> {
        self.present(read)?;
        let Some(text) = &self.view.texts[read] else { panic!("field {read} is not carried as text") };
        let Cells::Texts(list) = &self.view.batch.fields[read].cells else { return None };
        let start = if self.at == 0 { 0 } else { list.ends[self.at - 1] as usize };
        text.get(start..list.ends[self.at] as usize)
    }

    /// A field of kind `decimal`, in plain notation such as `64.2`.
    #[must_use]
    pub fn decimal(&self, read: usize) -> Option<&'a str> {
        self.text(read)
    }

    /// A field of kind `json`, as JSON text.
    #[must_use]
    pub fn json(&self, read: usize) -> Option<&'a str> {
        self.text(read)
    }

    /// A field of kind `integer`.
    #[must_use]
    pub fn integer(&self, read: usize) -> Option<i64> {
        match &self.present(read)?.cells {
            Cells::Integers(list) => Some(list[self.at]),
            _ => panic!("field {read} is not declared as an integer"),
        }
    }

    /// A field of kind `number`.
    #[must_use]
    pub fn number(&self, read: usize) -> Option<f64> {
        match &self.present(read)?.cells {
            Cells::Numbers(list) => Some(list[self.at]),
            _ => panic!("field {read} is not declared as a number"),
        }
    }

    /// A field of kind `boolean`.
    #[must_use]
    pub fn boolean(&self, read: usize) -> Option<bool> {
        match &self.present(read)?.cells {
            Cells::Booleans(list) => Some(list[self.at]),
            _ => panic!("field {read} is not declared as a boolean"),
        }
    }

    fn present(&self, read: usize) -> Option<&'a Column> {
        (self.presence(read) == Presence::Present).then(|| &self.view.batch.fields[read])
    }
}

/// A batch whose texts were checked once, as a whole.
pub(crate) struct View<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) event_types: &'static [&'static str],
    texts: Vec<Option<&'a str>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(batch: &'a Batch, event_types: &'static [&'static str]) -> Self {
        let text = |column: &'a Column| match &column.cells {
            Cells::Texts(list) => {
                Some(std::str::from_utf8(&list.data).expect("the contract says that texts are UTF-8"))
            }
            _ => None,
        };
        Self { batch, event_types, texts: batch.fields.iter().map(text).collect() }
    }
}
