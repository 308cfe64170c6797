//! What exports need of a tenant: who is in a segment, may they be reached, what is known of them; and the record of runs.

use std::sync::atomic::Ordering;

use cdp_domain::ids::{ExportId, FragmentId, Ordinal, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_store::keys::{self, tag};
use cdp_store::kv::Order;
use compact_str::CompactString;
use roaring::RoaringBitmap;

use crate::config::Change;
use crate::consent::Withheld;
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::{Page, Tenant};
use crate::writer::Person;

/// Where a field of an audience comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The profile's id.
    ProfileId,
    /// The first identifier of a type, by bytes.
    Identifier(CompactString),
    /// A trait.
    Trait(CompactString),
    /// A derived attribute.
    Attribute(CompactString),
    /// The address of a channel: the consented one where the channel is the one asked about, else the first by bytes.
    Channel(CompactString),
}

/// For what an audience is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The channel.
    pub channel: CompactString,
    /// The purpose.
    pub purpose: CompactString,
}

/// A segment's members, taken at one moment.
#[derive(Debug, Clone)]
pub struct Members {
    ordinals: RoaringBitmap,
    /// The last record that is in it.
    pub position: Position,
    /// The version of the segment.
    pub version: u32,
}

impl Members {
    /// How many.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ordinals.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }
}

/// A member as an audience sees it.
#[derive(Debug, Clone)]
pub struct AudienceRow {
    /// Who.
    pub profile_id: FragmentId,
    /// The values asked for, in order; or why the person is withheld.
    pub values: Result<Vec<Option<Value>>, Withheld>,
}

impl Tenant {
    /// The members of a segment now.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while its first members are being found.
    pub fn take_members(&self, segment: &str) -> Result<Members> {
        let view = self.core.rows.read();
        let known = view.inner.config.segments.get(segment).ok_or(Refused::NotFound("segment"))?;
        let still_building =
            || Refused::Conflict("the segment is being built; try again when its job is done".to_owned());
        let active = known.active.as_ref().ok_or_else(still_building)?;
        let ordinals = view.members(active.no).cloned().unwrap_or_default();
        Ok(Members { ordinals, position: view.inner.summary.last, version: active.version })
    }

    /// Up to `limit` members from an ordinal on, consent asked for each now. A person who was joined with another
    /// since the members were taken is left to the other's row.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] while state is being brought forward: a withdrawal may stand in what it does not have yet.
    /// The store's.
    pub fn audience(
        &self,
        members: &Members,
        fields: &[Source],
        consent: &Consent,
        from: Ordinal,
        limit: usize,
    ) -> Result<Page<AudienceRow, Ordinal>> {
        let ordinals: Vec<u32> = members.ordinals.range(from.0..).take(limit).collect();
        let next = ordinals
            .last()
            .copied()
            .filter(|_| ordinals.len() == limit)
            .map(|last| Ordinal(last.saturating_add(1)));
        let view = self.core.rows.read();
        if self.core.replaying.load(Ordering::Acquire) {
            return Err(Refused::Unavailable("state is being brought forward from the journal".to_owned()));
        }
        let plan = self.core.plan(&view.inner.config);
        let as_of = self.core.clock.now().max(view.inner.summary.as_of);
        let mut items = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            let Some(root) = view.root(Ordinal(ordinal))? else { continue };
            let fragments = view.profile(root)?;
            let person = Person {
                fragments: &fragments,
                plan: &plan,
                digests: &self.core.digests,
                look: &view,
                overlay: None,
            };
            let values = person
                .consented(&consent.channel, &consent.purpose, as_of)
                .map(|point| fields.iter().map(|field| value_of(&person, field, &point, as_of)).collect());
            items.push(AudienceRow { profile_id: root, values });
        }
        Ok(Page { items, next })
    }

    /// How many people were erased or restricted, ever. What was read before the number grew may hold one who is.
    #[must_use]
    pub fn erased(&self) -> u64 {
        let config = self.config();
        config.erased + u64::from(config.next_restriction)
    }

    /// Lets a file appear, as `appear` does it, unless somebody was erased or restricted since [`erased`](Self::erased) was `since`:
    /// then it must be made anew, and None comes back. Erasures that come later find the file.
    ///
    /// # Errors
    /// What `appear` fails with.
    pub fn hand_out<T>(&self, since: u64, appear: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let _erasures_wait = self.core.handing.read();
        if self.erased() == since { appear().map(Some) } else { Ok(None) }
    }

    /// Writes down that a run began or ended.
    ///
    /// # Errors
    /// The journal's.
    pub async fn record_export(&self, id: ExportId, info: serde_json::Value) -> Result<()> {
        self.core.change(Change::ExportRecorded { id, info }).await.map(|_| ())
    }

    /// A run, as last written down.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn export(&self, id: ExportId) -> Result<serde_json::Value> {
        let key = self.core.rows.context().export(id);
        let row = self.core.rows.read().row(&key)?.ok_or(Refused::NotFound("export"))?;
        serde_json::from_slice(&row).map_err(Refused::internal)
    }

    /// Runs, in the order of their ids.
    ///
    /// # Errors
    /// The store's.
    pub fn exports(
        &self,
        limit: usize,
        after: Option<ExportId>,
    ) -> Result<Page<serde_json::Value, ExportId>> {
        let context = self.core.rows.context();
        let mut range = context.table(tag::EXPORT);
        if let Some(after) = after {
            range = range.after(&context.export(after));
        }
        let found = self.core.rows.read().scan(&range, Order::Forward, limit)?;
        let next = found.last().filter(|_| found.len() == limit).and_then(|(key, _)| keys::export(key));
        let items = found.iter().map(|(_, bytes)| serde_json::from_slice(bytes).map_err(Refused::internal));
        Ok(Page { items: items.collect::<Result<_>>()?, next })
    }

    /// Checks that consent may be asked for this purpose on this channel.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with a pointer into the consent.
    pub fn check_consent(&self, consent: &Consent) -> Result<()> {
        use cdp_domain::problem::{Code, Problem};
        let config = self.config();
        if !config.purposes.contains_key(&consent.purpose) {
            return Err(Refused::invalid(Problem::new(
                "/consent/purpose",
                Code::NotFound,
                "is not a registered purpose",
            )));
        }
        if !config.purpose_covers(&consent.purpose, &consent.channel) {
            let detail = "is not a channel of this purpose";
            return Err(Refused::invalid(Problem::new("/consent/channel", Code::Invalid, detail)));
        }
        Ok(())
    }

    /// Whether such an attribute is defined.
    #[must_use]
    pub fn has_attribute(&self, name: &str) -> bool {
        self.config().attributes.contains_key(name)
    }
}

fn value_of(
    person: &Person<'_>,
    field: &Source,
    consented: &cdp_domain::consent::ContactPoint,
    as_of: Timestamp,
) -> Option<Value> {
    use cdp_domain::expr::Source as _;
    match field {
        Source::ProfileId => Some(Value::Text(person.fragments.first()?.0.to_string().into())),
        Source::Identifier(kind) => person.identifiers(kind).into_iter().next(),
        Source::Trait(name) => person.trait_value(name),
        Source::Attribute(name) => person.attribute(name, as_of).value,
        Source::Channel(name) if *name == consented.channel => Some(Value::Text(consented.address.clone())),
        Source::Channel(name) => {
            let point = person.contacts().into_iter().find(|point| point.channel == *name)?;
            Some(Value::Text(point.address))
        }
    }
}
