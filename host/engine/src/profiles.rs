//! Reading profiles: by identifier, by id, and their timelines.

use cdp_domain::consent::ContactPoint;
use cdp_domain::expr::Expr;
use cdp_domain::identifier::Identifier;
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_store::seal::{is_empty, open_in_place};
use compact_str::CompactString;

use crate::born::Place;
use crate::config::Config;
use crate::error::{Refused, Result};
use crate::feed::Item;
use crate::past::Past;
use crate::retention::Stub;
use crate::rows::{Fragment, Look, View};
use crate::tenant::{Page, Tenant};
use crate::writer::{Person, name_of};

/// What is known of a profile now.
#[derive(Debug, Clone)]
pub struct ProfileView {
    /// The id of its earliest fragment.
    pub id: FragmentId,
    /// Every fragment, the earliest first.
    pub fragments: Vec<FragmentId>,
    /// Sorted, each once.
    pub identifiers: Vec<Identifier>,
    /// Traits that have a value, by name.
    pub traits: Vec<(CompactString, TraitView)>,
    /// Derived attributes that serve, by name.
    pub attributes: Vec<(CompactString, AttributeView)>,
    /// Contact points with what was decided on them.
    pub channels: Vec<ChannelView>,
    /// The segments it belongs to, by name.
    pub segments: Vec<CompactString>,
    /// The restrictions that hold for it, with when each was made.
    pub restrictions: Vec<(u32, Timestamp)>,
    /// The time of its first event.
    pub first_seen: Timestamp,
    /// The time of its last.
    pub last_seen: Timestamp,
    /// The last record of the journal that this view includes.
    pub position: Position,
}

/// A trait's value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraitView {
    /// The value.
    pub value: Value,
    /// The time of the event that last changed it.
    pub time: Timestamp,
    /// That event's source.
    pub source: CompactString,
    /// That event's id.
    pub event_id: CompactString,
}

/// An attribute's reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeView {
    /// The value; None when it is missing.
    pub value: Option<Value>,
    /// When it may change by itself.
    pub valid_until: Option<Timestamp>,
    /// What computed it.
    pub computed_by: CompactString,
}

/// A contact point and the consents on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// The channel and the address.
    pub contact: ContactPoint,
    /// By purpose.
    pub consents: Vec<(CompactString, ConsentView)>,
}

/// What holds for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentView {
    /// `granted`, `denied`, `withdrawn` or `expired`.
    pub status: &'static str,
    /// When it was decided.
    pub time: Timestamp,
}

/// An event on a timeline.
#[derive(Debug, Clone)]
pub struct TimelineEvent {
    /// The event as sent; one that a transformer made, in the form in which events are sent.
    pub event: Value,
    /// When it happened.
    pub time: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// Where it stands in the journal, or what it was made of.
    pub position: Position,
}

/// What readers see of a person.
pub(crate) fn describe(
    person: &Person<'_>,
    config: &Config,
    as_of: Timestamp,
    segments: Vec<CompactString>,
    position: Position,
) -> ProfileView {
    let traits = person.traits().into_iter().map(|(name, value, stamp)| {
        let of = TraitView {
            value,
            time: stamp.time(),
            source: stamp.source().into(),
            event_id: stamp.id().into(),
        };
        (name, of)
    });
    let attributes = config.attributes.iter().filter_map(|(name, attribute)| {
        let active = attribute.active.as_ref()?;
        let reading = person.attribute(name, as_of);
        let derivation = match &active.expr {
            Expr::Derived(slot, _) => config
                .slots
                .get(slot)
                .and_then(|slot| Some((&slot.plugin, config.derivations.get(&slot.active?)?))),
            _ => None,
        };
        let computed_by = match derivation {
            Some((plugin, by)) => name_of(plugin, by.version, &by.digest),
            None => compact_str::format_compact!("{name}@{}", active.version),
        };
        let view = AttributeView { value: reading.value, valid_until: reading.valid_until, computed_by };
        Some((name.clone(), view))
    });
    let channels = person.contacts().into_iter().map(|point| {
        let contact = person.contact(&point);
        let consents = contact.iter().flat_map(|contact| &contact.consents).map(|(purpose, current)| {
            (purpose.clone(), ConsentView { status: current.read(as_of).0.as_str(), time: current.at })
        });
        ChannelView { consents: consents.collect(), contact: point }
    });
    let fragments = person.fragments;
    let every = |of: fn(&Fragment) -> Timestamp| fragments.iter().map(move |(_, fragment)| of(fragment));
    ProfileView {
        id: fragments.first().map_or(FragmentId([0; 16]), |(id, _)| *id),
        fragments: fragments.iter().map(|(id, _)| *id).collect(),
        identifiers: person.all_identifiers(),
        traits: traits.collect(),
        attributes: attributes.collect(),
        channels: channels.collect(),
        segments,
        restrictions: person.restrictions().into_iter().collect(),
        first_seen: every(|fragment| fragment.first.time()).min().unwrap_or_default(),
        last_seen: every(Fragment::last_seen).max().unwrap_or_default(),
        position,
    }
}

impl Tenant {
    /// Now, by the clock that this tenant goes by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// The profile that an identifier belongs to.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for a value that cannot be normalised, [`Refused::NotFound`].
    pub fn lookup(&self, kind: &str, value: &str) -> Result<ProfileView> {
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let view = self.core.rows.read();
        let owner = self.owner(&view, &identifier)?.ok_or(Refused::NotFound("profile"))?;
        self.view(view, owner)
    }

    /// The profile that a fragment belongs to.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn profile(&self, id: FragmentId) -> Result<ProfileView> {
        self.view(self.core.rows.read(), id)
    }

    fn view(&self, view: View<'_>, id: FragmentId) -> Result<ProfileView> {
        let fragments = view.profile(id)?;
        let (_, root) = fragments.first().ok_or(Refused::NotFound("profile"))?;
        let config = view.inner.config.clone();
        let plan = self.core.plan(&config);
        let as_of = self.core.clock.now().max(view.inner.summary.as_of);
        let person = Person {
            fragments: &fragments,
            plan: &plan,
            digests: &self.core.digests,
            look: &view,
            overlay: None,
        };
        let ordinal = root.head.as_ref().map(|head| head.ordinal.0);
        let segments = config.segments.iter().filter_map(|(name, segment)| {
            let members = view.members(segment.active.as_ref()?.no)?;
            ordinal.is_some_and(|ordinal| members.contains(ordinal)).then(|| name.clone())
        });
        Ok(describe(&person, &config, as_of, segments.collect(), view.inner.summary.last))
    }

    /// A profile's events, newest first. `before` continues a page.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn timeline(
        &self,
        id: FragmentId,
        limit: usize,
        before: Option<[u8; 16]>,
    ) -> Result<Page<TimelineEvent, [u8; 16]>> {
        let fragments = self.core.rows.read().profile(id)?;
        if fragments.is_empty() {
            return Err(Refused::NotFound("profile"));
        }
        let mut values = Vec::new();
        for (id, _) in &fragments {
            values.extend(self.core.timeline.scan_back(&id.0, before, limit)?);
        }
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.truncate(limit);
        let next = values.last().copied().filter(|_| values.len() == limit);
        let places: Vec<_> = values.iter().map(crate::past::place_of).collect();
        let held = self.held(&places)?.into_iter();
        let items = values.iter().zip(&places).zip(held).map(|((value, place), (event, received_at))| {
            TimelineEvent { event, time: crate::past::time_of(value), received_at, position: place.position }
        });
        Ok(Page { items: items.collect(), next })
    }

    /// What stands at these places, and when it was received: accepted events as they were sent, others as transformers
    /// made them.
    pub(crate) fn held(&self, places: &[Place]) -> Result<Vec<(Value, Timestamp)>> {
        let born: Vec<_> = places.iter().copied().filter(|place| place.nth > 0).collect();
        let mut made = match born.is_empty() {
            true => Vec::new(),
            false => Past::new(&self.core, self.config()).events_at(&born)?,
        }
        .into_iter();
        let held = places.iter().map(|place| {
            let (event, received_at) = self.event_at(place.position)?;
            if place.nth == 0 {
                return Ok((event, received_at));
            }
            let made = made.next().flatten();
            if Stub::is_shown(&event) {
                return Ok((Stub::show_born(event, place.nth), received_at));
            }
            Ok(match made {
                Some(Item::Event(pending)) => (crate::born::as_sent(&pending.event), received_at),
                _ => (crate::born::not_made_again(&event, place.nth), received_at),
            })
        });
        held.collect()
    }

    /// The event at a position, as sent, and when it was received.
    pub(crate) fn event_at(&self, position: Position) -> Result<(Value, Timestamp)> {
        let mut record = self.core.journal.read_at(position)?;
        if is_empty(&record.header, &record.payload) {
            // It is being taken out of the timeline.
            return Ok((Stub::show_nothing(), record.header.received_at));
        }
        match open_in_place(&self.core.keys, self.no(), &record.header, &mut record.payload) {
            Err(cdp_store::Error::KeyDestroyed) => return Err(Refused::NotFound("event")),
            opened => opened?,
        }
        if record.header.redacted {
            return Ok((Stub::show(&record.payload)?, record.header.received_at));
        }
        Ok((crate::rows::decode(&record.payload)?, record.header.received_at))
    }
}
