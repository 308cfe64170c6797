//! Who is in a segment, may they be reached, and what is known of them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cdp_domain::consent::{ContactPoint, Current};
use cdp_domain::ids::{FragmentId, Ordinal, Position};
use cdp_domain::segment::Needs;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use compact_str::CompactString;
use roaring::RoaringBitmap;

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

/// Where a change of a membership stands in the order of all of them: a record's position, and a number there.
pub type Place = (Position, u32);

/// Who entered or left a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedSince {
    /// Their profiles at the time, in order.
    pub profiles: Vec<FragmentId>,
    /// The place behind the last of them.
    pub next: Place,
    /// The version of the segment.
    pub version: u32,
}

/// A segment's members, taken at one moment.
#[derive(Debug, Clone)]
pub struct Members {
    ordinals: RoaringBitmap,
    /// The last record that is in it, and how many changes of memberships stand there: later changes come from here on.
    pub place: Place,
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

    /// Some of them only, from an ordinal on.
    fn from(&self, from: Ordinal, limit: usize) -> Vec<Ordinal> {
        self.ordinals.range(from.0..).take(limit).map(Ordinal).collect()
    }
}

/// On what grounds a person's values may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Where the person may be reached.
    pub point: ContactPoint,
    /// The decision that stands there; None where the purpose's legal basis asks for none.
    pub decision: Option<Current>,
}

/// A member as an audience sees it.
#[derive(Debug, Clone)]
pub struct AudienceRow {
    /// Their dense number.
    pub ordinal: Ordinal,
    /// Who.
    pub profile_id: FragmentId,
    /// How long it took to ask for consent.
    pub asked: Duration,
    /// The values asked for, in order, and why they may leave; or why the person is withheld.
    pub values: Result<(Vec<Option<Value>>, Granted), Withheld>,
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
        let place = (view.inner.summary.last, view.inner.summary.changes_at_last);
        Ok(Members { ordinals, place, version: active.version })
    }

    /// Who entered or left the version of a segment that serves, from a place on and in order; at most `limit`.
    ///
    /// # Errors
    /// As [`take_members`](Self::take_members); the store's.
    pub fn moved_since(&self, segment: &str, from: Place, limit: usize) -> Result<MovedSince> {
        let view = self.core.rows.read();
        let known = view.inner.config.segments.get(segment).ok_or(Refused::NotFound("segment"))?;
        let active = known.active.as_ref();
        let active = active.ok_or_else(|| Refused::Conflict("the segment is being built".to_owned()))?;
        let mut turns = view.turns_from(active.no, from);
        let mut moved = MovedSince { profiles: Vec::new(), next: from, version: active.version };
        while moved.profiles.len() < limit
            && let Some(logged) = turns.next()?
        {
            let (position, n) = logged.place();
            moved.next = (position, n.saturating_add(1));
            moved.profiles.push(logged.turn.profile);
        }
        Ok(moved)
    }

    /// The number of a profile, by any of its fragments, when it is a member of a segment now.
    ///
    /// # Errors
    /// As [`take_members`](Self::take_members); the store's.
    pub fn member(&self, segment: &str, profile: FragmentId) -> Result<Option<Ordinal>> {
        let view = self.core.rows.read();
        let known = view.inner.config.segments.get(segment).ok_or(Refused::NotFound("segment"))?;
        let Some(members) = known.active.as_ref().and_then(|active| view.members(active.no)) else {
            return Ok(None);
        };
        let fragments = view.profile(profile)?;
        let head = fragments.first().and_then(|(_, root)| root.head.as_ref());
        Ok(head.map(|head| head.ordinal).filter(|ordinal| members.contains(ordinal.0)))
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
        let ordinals = members.from(from, limit);
        let next = ordinals.last().filter(|_| ordinals.len() == limit);
        let next = next.map(|last| Ordinal(last.0.saturating_add(1)));
        Ok(Page { items: self.audience_of(&ordinals, fields, consent)?, next })
    }

    /// The same for these numbers, in their order; a number that is nobody's any more is left out.
    ///
    /// # Errors
    /// As [`audience`](Self::audience).
    pub fn audience_of(
        &self,
        ordinals: &[Ordinal],
        fields: &[Source],
        consent: &Consent,
    ) -> Result<Vec<AudienceRow>> {
        let view = self.core.rows.read();
        if self.core.replaying.load(Ordering::Acquire) {
            return Err(Refused::Unavailable("state is being brought forward from the journal".to_owned()));
        }
        let plan = self.core.plan(&view.inner.config);
        let as_of = self.core.clock.now().max(view.inner.summary.as_of);
        let mut items = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            let Some(root) = view.root(*ordinal)? else { continue };
            let fragments = view.profile(root)?;
            let person = Person {
                fragments: &fragments,
                plan: &plan,
                digests: &self.core.digests,
                look: &view,
                overlay: None,
            };
            let began = Instant::now();
            let granted = person.granted(&consent.channel, &consent.purpose, as_of);
            let asked = began.elapsed();
            let values = granted.map(|granted| {
                let values = fields.iter().map(|field| value_of(&person, field, &granted.point, as_of));
                (values.collect(), granted)
            });
            items.push(AudienceRow { ordinal: *ordinal, profile_id: root, asked, values });
        }
        Ok(items)
    }

    /// The same for one profile, by any of its fragments; None when there is no such any more.
    ///
    /// # Errors
    /// As [`audience`](Self::audience).
    pub fn audience_member(
        &self,
        profile: FragmentId,
        fields: &[Source],
        consent: &Consent,
    ) -> Result<Option<AudienceRow>> {
        let ordinal = {
            let view = self.core.rows.read();
            let fragments = view.profile(profile)?;
            fragments.first().and_then(|(_, root)| root.head.as_ref()).map(|head| head.ordinal)
        };
        let Some(ordinal) = ordinal else { return Ok(None) };
        Ok(self.audience_of(&[ordinal], fields, consent)?.pop())
    }

    /// The fragments of a profile, by any of them; the first is the profile's id.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn fragments_of(&self, profile: FragmentId) -> Result<Vec<FragmentId>> {
        let fragments = self.core.rows.read().profile(profile)?;
        if fragments.is_empty() {
            return Err(Refused::NotFound("profile"));
        }
        Ok(fragments.into_iter().map(|(id, _)| id).collect())
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

    /// The versions of plugins that derive what a segment and the fields of an audience read, now, by the plugin's name:
    /// name, version, digest of the component.
    #[must_use]
    pub fn plugins_behind(&self, segment: &str, fields: &[Source]) -> Vec<(CompactString, u32, String)> {
        let config = self.config();
        let active = config.segments.get(segment).and_then(|segment| segment.active.as_ref());
        let mut slots = active.map(|active| active.formula.needs().derivations).unwrap_or_default();
        for field in fields {
            if let Source::Attribute(name) = field
                && let Some(active) = config.attributes.get(name).and_then(|one| one.active.as_ref())
            {
                slots.extend(Needs::of_expr(&active.expr).derivations);
            }
        }
        let mut found = Vec::new();
        for slot in slots.iter().filter_map(|slot| config.slots.get(slot)) {
            if let Some(version) = slot.active.and_then(|no| config.derivations.get(&no)) {
                found.push((slot.plugin.clone(), version.version, version.digest.clone()));
            }
        }
        found.sort();
        found.dedup();
        found
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
    consented: &ContactPoint,
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
