//! Finding letters: by why, by which plugin, by type, by time, by id.

use cdp_domain::ids::Position;
use cdp_domain::problem::Problem;
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::letter::{Code, Kept, Letter};
use crate::error::Result;
use crate::rows::decode;
use crate::tenant::{Page, Tenant};

/// Letters looked at for one page; a page with fewer items than asked for and a cursor says that the search goes on.
pub const SCANNED_MAX: usize = 10_000;
/// Letters read from the store at a time.
const SCANNED_AT_A_TIME: usize = 256;

/// Which letters: every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// How the event is kept.
    pub kept: Option<Kept>,
    /// Why.
    pub code: Option<Code>,
    /// Which plugin was at fault: its name, or its name and digest as a letter gives them.
    pub plugin: Option<CompactString>,
    /// The event type.
    pub kind: Option<CompactString>,
    /// The event's source.
    pub source: Option<CompactString>,
    /// The event's id.
    pub id: Option<CompactString>,
    /// Received at this instant or later.
    pub from: Option<Timestamp>,
    /// Received before this instant.
    pub to: Option<Timestamp>,
}

impl Filter {
    pub(super) fn accepts(&self, letter: &Letter) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, is: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == is)
        }
        let plugin = |wanted: &CompactString| {
            letter.plugin == wanted.as_str()
                || letter.plugin.rsplit_once('@').is_some_and(|(name, _)| name == wanted.as_str())
        };
        is(&self.kept, &letter.code.kept())
            && is(&self.code, &letter.code)
            && is(&self.kind, &letter.kind)
            && is(&self.source, &letter.source)
            && is(&self.id, &letter.id)
            && self.plugin.as_ref().is_none_or(plugin)
            && self.from.is_none_or(|from| letter.at >= from)
            && self.to.is_none_or(|to| letter.at < to)
    }
}

/// An event that is kept out of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stands in the journal.
    pub position: Position,
    /// Its id.
    pub id: CompactString,
    /// Its source.
    pub source: CompactString,
    /// Its type; empty when it cannot be read.
    pub kind: CompactString,
    /// Why, as a stable word.
    pub code: Code,
    /// The plugin that failed on it or dropped it, with its digest; empty when it was the event's own content.
    pub plugin: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The places at fault, where places are.
    pub problems: Vec<Problem>,
    /// When it was received.
    pub received_at: Timestamp,
}

impl DeadLetter {
    pub(crate) fn new(position: Position, letter: Letter) -> Self {
        let Letter { code, plugin, reason, problems, at, id, source, kind } = letter;
        Self { position, id, source, kind, code, plugin, reason, problems, received_at: at }
    }
}

impl Tenant {
    /// Letters behind `after`, oldest first. Looks at [`SCANNED_MAX`] at most: where `next` is given, there may be more
    /// even when the page is not full.
    ///
    /// # Errors
    /// The store's.
    pub fn dead_letters(
        &self,
        filter: &Filter,
        limit: usize,
        after: Option<Position>,
    ) -> Result<Page<DeadLetter, Position>> {
        let context = *self.core.rows.context();
        let mut range = context.table(tag::DEAD_LETTER);
        if let Some(after) = after {
            range = range.after(&context.dead_letter(after));
        }
        let (mut items, mut scanned) = (Vec::new(), 0);
        loop {
            let found = self.core.rows.read().scan(&range, Order::Forward, SCANNED_AT_A_TIME)?;
            let Some((last, _)) = found.last() else { return Ok(Page { items, next: None }) };
            range = range.after(last);
            for (key, bytes) in &found {
                let Some(position) = keys::dead_letter(key) else { continue };
                scanned += 1;
                let letter: Letter = decode(bytes)?;
                if filter.accepts(&letter) {
                    items.push(DeadLetter::new(position, letter));
                }
                if items.len() == limit || scanned == SCANNED_MAX {
                    return Ok(Page { items, next: Some(position) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            code: Code::PluginRejected,
            plugin: "country-code@0123456789ab".into(),
            reason: "no".into(),
            problems: Vec::new(),
            at: Timestamp(1000),
            id: "1".into(),
            source: "till".into(),
            kind: "buy".into(),
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let none = Filter::default();
        assert!(none.accepts(&letter()));
        let good = Filter {
            kept: Some(Kept::DeadLetter),
            code: Some(Code::PluginRejected),
            plugin: Some("country-code".into()),
            kind: Some("buy".into()),
            source: Some("till".into()),
            id: Some("1".into()),
            from: Some(Timestamp(1000)),
            to: Some(Timestamp(1001)),
        };
        assert!(good.accepts(&letter()));
        assert!(
            Filter { plugin: Some("country-code@0123456789ab".into()), ..good.clone() }.accepts(&letter())
        );
        for bad in [
            Filter { kept: Some(Kept::Dropped), ..good.clone() },
            Filter { code: Some(Code::PluginFuel), ..good.clone() },
            Filter { plugin: Some("country".into()), ..good.clone() },
            Filter { kind: Some("sell".into()), ..good.clone() },
            Filter { source: Some("web".into()), ..good.clone() },
            Filter { id: Some("2".into()), ..good.clone() },
            Filter { from: Some(Timestamp(1001)), ..good.clone() },
            Filter { to: Some(Timestamp(1000)), ..good.clone() },
        ] {
            assert!(!bad.accepts(&letter()), "{bad:?}");
        }
    }
}
