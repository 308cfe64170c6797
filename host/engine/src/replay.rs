//! Time travel: what was known at an instant, made anew from the events that had happened by then.
//!
//! Today's definitions and rules of identity are applied to the events up to the instant; an event counts by its own
//! time, not by when it was received, and a void from its time on (or its receipt, if that is earlier). A profile is made
//! of its own events and those of whoever shares an identifier with it; members and rankings need everybody's, in one
//! pass over the journal. The last results are kept for the next page.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cdp_domain::consent::Current;
use cdp_domain::event::VOID;
use cdp_domain::expr::cutoffs;
use cdp_domain::fold::At;
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::Known;
use cdp_domain::ids::{FragmentId, Ordinal, Position};
use cdp_domain::time::Timestamp;
use cdp_store::keys::{self, Key, TenantContext};
use cdp_store::kv::Order;
use compact_str::CompactString;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::config::Config;
use crate::error::{Refused, Result};
use crate::feed::{Item, Pending};
use crate::past::Past;
use crate::privacy::Restricted;
use crate::profiles::ProfileView;
use crate::rows::{Contact, Fragment, Head, Look};
use crate::tenant::{Core, Page, Tenant};
use crate::writer::{Person, Plan, void_since};

/// Fragments that may share identifiers, directly or through others, for a profile to be made of them alone; beyond,
/// everybody's events are read.
const CLOSURE_FRAGMENTS_MAX: usize = 2_000;
/// Fragments that a past may have, each about 2 KB while it is looked at; a tenant with more is refused.
pub const REPLAY_FRAGMENTS_MAX: u64 = 2_000_000;
/// Pasts of everybody that are kept for the next question about the same instant.
const SCENES_KEPT: usize = 2;
/// A past of more fragments than this is not kept, only who was a member.
const SCENE_KEPT_FRAGMENTS_MAX: usize = 100_000;

/// Rows as they would be at an instant.
pub(crate) struct Scene {
    context: TenantContext,
    fragments: HashMap<FragmentId, Arc<Fragment>>,
    contacts: HashMap<[u8; 16], Arc<Contact>>,
    /// Roots, sorted.
    roots: Vec<FragmentId>,
    plan: Plan,
    config: Arc<Config>,
    as_of: Timestamp,
    /// Who is restricted today: a question about the past is asked today.
    restricted: Arc<Restricted>,
}

impl Look for Scene {
    fn fragment(&self, id: FragmentId) -> Result<Option<Arc<Fragment>>> {
        Ok(self.fragments.get(&id).cloned())
    }
    fn contact(&self, digest: [u8; 16]) -> Result<Option<Arc<Contact>>> {
        Ok(self.contacts.get(&digest).cloned())
    }
    fn row(&self, _: &Key) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn members(&self, _: u32) -> Option<&RoaringBitmap> {
        None
    }
    fn context(&self) -> &TenantContext {
        &self.context
    }
    fn restricted(&self) -> &Restricted {
        &self.restricted
    }
}

/// What is kept of the pasts that were asked about.
#[derive(Default)]
pub(crate) struct Scenes(Mutex<Vec<(Asked, Kept)>>);

/// A past: the instant, and at which place of the journal and revision of the configuration it was asked about.
type Asked = (Timestamp, Position, u64);

#[derive(Default)]
struct Kept {
    scene: Option<Arc<Scene>>,
    members: HashMap<u32, Arc<Vec<FragmentId>>>,
}

impl Scenes {
    /// Forgets every past: they hold what is to be forgotten.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }
}

struct Builder<'a> {
    core: &'a Arc<Core>,
    config: Arc<Config>,
    plan: Plan,
    as_of: Timestamp,
    fragments: HashMap<FragmentId, Fragment>,
    contacts: HashMap<[u8; 16], Contact>,
}

impl<'a> Builder<'a> {
    fn new(core: &'a Arc<Core>, config: Arc<Config>, as_of: Timestamp) -> Self {
        let plan = Plan::new(&config, &[], &core.zone);
        Self { core, config, plan, as_of, fragments: HashMap::new(), contacts: HashMap::new() }
    }

    fn take(&mut self, pending: &Pending) -> Result<()> {
        let event = &pending.event;
        if event.time > self.as_of || event.kind == VOID {
            return Ok(());
        }
        let stamp = event.stamp();
        let void = {
            let view = self.core.rows.read();
            if view.inner.summary.voids == 0 { None } else { void_since(self.core, &view, event)? }
        };
        let fragment = self.fragments.entry(pending.fragment).or_insert_with(|| {
            Fragment::new(event.identifiers.clone(), pending.origin, stamp.clone(), pending.fragment)
        });
        if stamp < fragment.first {
            fragment.first = stamp.clone();
        }
        fragment.events += 1;
        fragment.last_event = fragment.last_event.max(event.time);
        if void.is_none_or(|since| since > self.as_of) {
            fragment.fold_event(event, self.plan.fed_by(&event.kind));
        }
        for point in &event.channels {
            if fragment.add_contact(point) {
                let digest = self.core.digests.contact.wide(&point.canonical_bytes());
                let contact = self.contacts.entry(digest).or_insert_with(|| Contact::new(point.clone()));
                contact.used_by(pending.fragment);
            }
        }
        for (point, verified) in &event.verified {
            let digest = self.core.digests.contact.wide(&point.canonical_bytes());
            let contact = self.contacts.entry(digest).or_insert_with(|| Contact::new(point.clone()));
            contact.verify(&stamp, *verified);
        }
        for decision in &event.consents {
            let digest = self.core.digests.contact.wide(&decision.contact.canonical_bytes());
            let contact =
                self.contacts.entry(digest).or_insert_with(|| Contact::new(decision.contact.clone()));
            contact.decide(&decision.purpose, Current::of(decision, &stamp, pending.received_at));
        }
        Ok(())
    }

    fn finish(mut self, everybody: bool) -> Result<Scene> {
        let known: Vec<Known> = self
            .fragments
            .iter()
            .map(|(id, fragment)| Known {
                id: *id,
                first: fragment.first.clone(),
                identifiers: fragment.identifiers.to_vec(),
                origin: fragment.origin,
            })
            .collect();
        let mut blocks: BTreeMap<FragmentId, Vec<FragmentId>> = BTreeMap::new();
        let resolver = self.core.resolver.read().clone();
        for placed in resolver.resolve(&known) {
            blocks.entry(placed.profile).or_default().push(placed.id);
            if let Some(fragment) = self.fragments.get_mut(&placed.id) {
                let all = 1_u64 << fragment.identifiers.len();
                fragment.aside = ((all - 1) as u32) & !placed.owned;
            }
        }
        for (root, members) in &blocks {
            for member in members {
                if let Some(fragment) = self.fragments.get_mut(member) {
                    fragment.profile = *root;
                }
            }
            let mut others: Vec<_> = members.iter().copied().filter(|member| member != root).collect();
            others.sort_unstable();
            if let Some(fragment) = self.fragments.get_mut(root) {
                fragment.head =
                    Some(Box::new(Head { ordinal: Ordinal(0), others, entangled: false, next_turn: None }));
            }
        }
        let mut scene = Scene {
            context: *self.core.rows.context(),
            fragments: self.fragments.into_iter().map(|(id, fragment)| (id, Arc::new(fragment))).collect(),
            contacts: self
                .contacts
                .into_iter()
                .map(|(digest, contact)| (digest, Arc::new(contact)))
                .collect(),
            roots: blocks.into_keys().collect(),
            plan: self.plan,
            config: self.config,
            as_of: self.as_of,
            restricted: self.core.rows.read().inner.restricted.clone(),
        };
        if everybody {
            scene.rank(self.core)?;
        }
        Ok(scene)
    }
}

impl Scene {
    /// Measures the rankings as of the instant; one may rest on another with a smaller number.
    fn rank(&mut self, core: &Core) -> Result<()> {
        self.plan.rankings.clear();
        for (no, ranking) in &self.config.clone().rankings {
            let mut values = Vec::new();
            for root in &self.roots {
                let reading = self.person(core, *root, |person| {
                    (!person.is_restricted()).then(|| ranking.of.read(person, self.at()))
                })?;
                values.extend(reading.flatten().and_then(|reading| reading.value));
            }
            self.plan.rankings.insert(*no, cutoffs(values, ranking.buckets));
        }
        Ok(())
    }

    fn at(&self) -> At<'_> {
        At { as_of: self.as_of, zone: &self.plan.zone }
    }

    fn person<T>(
        &self,
        core: &Core,
        id: FragmentId,
        ask: impl FnOnce(&Person<'_>) -> T,
    ) -> Result<Option<T>> {
        let fragments = self.profile(id)?;
        if fragments.is_empty() {
            return Ok(None);
        }
        let person = Person {
            fragments: &fragments,
            plan: &self.plan,
            digests: &core.digests,
            look: self,
            overlay: None,
        };
        Ok(Some(ask(&person)))
    }

    fn holds(&self, person: &Person<'_>, formula: &cdp_domain::segment::Formula) -> bool {
        !person.is_restricted() && formula.evaluate(person, self.at()).holds
    }

    /// Who belongs to a version of a segment, sorted by id.
    fn members(&self, core: &Core, segment: u32) -> Result<Vec<FragmentId>> {
        let Some(segment) = self.plan.segments.iter().find(|known| known.no == segment) else {
            return Ok(Vec::new());
        };
        let mut members = Vec::new();
        for root in &self.roots {
            if self.person(core, *root, |person| self.holds(person, &segment.formula))? == Some(true) {
                members.push(*root);
            }
        }
        Ok(members)
    }

    fn view(&self, core: &Core, id: FragmentId, position: Position) -> Result<ProfileView> {
        let fragments = self.profile(id)?;
        if fragments.is_empty() {
            return Err(Refused::NotFound("profile"));
        }
        let person = Person {
            fragments: &fragments,
            plan: &self.plan,
            digests: &core.digests,
            look: self,
            overlay: None,
        };
        let mut segments: Vec<CompactString> = Vec::new();
        for (name, segment) in &self.config.segments {
            let Some(active) = &segment.active else { continue };
            let known = self.plan.segments.iter().find(|known| known.no == active.no);
            if known.is_some_and(|known| self.holds(&person, &known.formula)) {
                segments.push(name.clone());
            }
        }
        Ok(crate::profiles::describe(&person, &self.config, self.as_of, segments, position))
    }
}

impl Tenant {
    /// The profile that a fragment belonged to at an instant.
    ///
    /// # Errors
    /// [`Refused::NotFound`], also when nothing had happened by then; [`Refused::Conflict`] for a tenant that is too large.
    pub fn profile_as_of(&self, id: FragmentId, as_of: Timestamp) -> Result<ProfileView> {
        self.past(id, None, as_of)
    }

    /// The past profile of a fragment, or of who had the identifier then.
    fn past(&self, id: FragmentId, of: Option<&Identifier>, as_of: Timestamp) -> Result<ProfileView> {
        let core = &self.core;
        let (config, position, fragments) = {
            let view = core.rows.read();
            (view.inner.config.clone(), view.inner.summary.last, view.profile(id)?)
        };
        if fragments.is_empty() {
            return Err(Refused::NotFound("profile"));
        }
        let scene = match self.closure(&fragments)? {
            // A ranking is among everybody.
            Some(ids) if config.rankings.is_empty() => {
                let mut builder = Builder::new(core, config.clone(), as_of);
                let mut past = Past::new(core, config);
                for id in ids {
                    let mut before = None;
                    loop {
                        let page = core.timeline.scan_back(&id.0, before, crate::past::PAGE)?;
                        before = page.last().copied();
                        let places: Vec<_> = page.iter().map(crate::past::place_of).collect();
                        for item in past.events(&places)? {
                            if let Item::Event(pending) = item {
                                builder.take(&pending)?;
                            }
                        }
                        if page.len() < crate::past::PAGE {
                            break;
                        }
                    }
                }
                Arc::new(builder.finish(false)?)
            }
            _ => self.scene(as_of)?,
        };
        let id = match of {
            Some(identifier) => {
                let carries = |fragment: &Fragment| fragment.owns(identifier);
                scene.fragments.iter().find(|(_, fragment)| carries(fragment)).map(|(id, _)| *id)
            }
            None => {
                let mut known = std::iter::once(id).chain(fragments.iter().map(|(id, _)| *id));
                known.find(|id| scene.fragments.contains_key(id))
            }
        };
        scene.view(core, id.ok_or(Refused::NotFound("profile"))?, position)
    }

    /// Every fragment that shares an identifier with these, or with one that does; None when there are too many.
    fn closure(&self, fragments: &[(FragmentId, Arc<Fragment>)]) -> Result<Option<Vec<FragmentId>>> {
        // An operator may have joined people who share nothing.
        if !self.core.resolver.read().constraints.is_empty() {
            return Ok(None);
        }
        let view = self.core.rows.read();
        let mut known: HashSet<FragmentId> = fragments.iter().map(|(id, _)| *id).collect();
        let mut queue: Vec<FragmentId> = known.iter().copied().collect();
        let mut asked = HashSet::new();
        while let Some(id) = queue.pop() {
            let Some(fragment) = view.fragment(id)? else { continue };
            for identifier in &fragment.identifiers {
                let digest = self.core.digests.identifier.wide(&identifier.canonical_bytes());
                if !asked.insert(digest) {
                    continue;
                }
                let range = view.context().identifier_range(digest);
                let found = view.scan(&range, Order::Forward, CLOSURE_FRAGMENTS_MAX + 1)?;
                for (_, other) in found.iter().filter_map(|(key, _)| keys::identifier(key)) {
                    if known.insert(other) {
                        queue.push(other);
                    }
                }
                if known.len() > CLOSURE_FRAGMENTS_MAX {
                    return Ok(None);
                }
            }
        }
        let mut all: Vec<_> = known.into_iter().collect();
        all.sort_unstable();
        Ok(Some(all))
    }

    /// The profile that an identifier belonged to at an instant.
    ///
    /// # Errors
    /// As [`Tenant::profile_as_of`]; [`Refused::Invalid`] for a value that cannot be normalised.
    pub fn lookup_as_of(&self, kind: &str, value: &str, as_of: Timestamp) -> Result<ProfileView> {
        let identifier = self.identifier(kind, value, "/identifier/value")?;
        let id = {
            let view = self.core.rows.read();
            self.owner(&view, &identifier)?.ok_or(Refused::NotFound("profile"))?
        };
        self.past(id, Some(&identifier), as_of)
    }

    /// How many belonged to a segment at an instant by the rule that serves today, and which; `after` continues a page.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] for a tenant that is too large.
    pub fn members_as_of(
        &self,
        name: &str,
        as_of: Timestamp,
        limit: usize,
        after: Option<FragmentId>,
    ) -> Result<(u64, Page<FragmentId, FragmentId>)> {
        let config = self.config();
        let segment = config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
        let Some(active) = &segment.active else {
            return Ok((0, Page { items: Vec::new(), next: None }));
        };
        refuse_derived(&active.formula)?;
        let members = self.past_members(active.no, as_of)?;
        let from = after.map_or(0, |after| members.partition_point(|id| *id <= after));
        let items: Vec<_> = members[from..].iter().take(limit).copied().collect();
        let next = items.last().copied().filter(|_| from + items.len() < members.len());
        Ok((members.len() as u64, Page { items, next }))
    }

    fn asked(&self, as_of: Timestamp) -> Asked {
        let view = self.core.rows.read();
        (as_of, view.inner.summary.last, view.inner.config.revision)
    }

    fn past_members(&self, segment: u32, as_of: Timestamp) -> Result<Arc<Vec<FragmentId>>> {
        let mut kept = self.core.scenes.0.lock();
        let asked = self.asked(as_of);
        let found = kept.iter().find(|(known, _)| *known == asked);
        if let Some(members) = found.and_then(|(_, kept)| kept.members.get(&segment)) {
            return Ok(members.clone());
        }
        let scene = self.scene_kept(&mut kept, as_of, asked)?;
        let members = Arc::new(Scene::members(&scene, &self.core, segment)?);
        if let Some((_, kept)) = kept.iter_mut().find(|(known, _)| *known == asked) {
            kept.members.insert(segment, members.clone());
        }
        Ok(members)
    }

    /// Everybody at an instant. One is made at a time, so that many questions do not take the memory of many.
    pub(crate) fn scene(&self, as_of: Timestamp) -> Result<Arc<Scene>> {
        let mut kept = self.core.scenes.0.lock();
        let asked = self.asked(as_of);
        self.scene_kept(&mut kept, as_of, asked)
    }

    fn scene_kept(
        &self,
        kept: &mut Vec<(Asked, Kept)>,
        as_of: Timestamp,
        asked: Asked,
    ) -> Result<Arc<Scene>> {
        let found = kept.iter().find(|(known, _)| *known == asked);
        if let Some(scene) = found.and_then(|(_, kept)| kept.scene.clone()) {
            return Ok(scene);
        }
        let core = &self.core;
        let (config, until, fragments) = {
            let view = core.rows.read();
            let summary = &view.inner.summary;
            (view.inner.config.clone(), summary.applied, summary.fragments)
        };
        if fragments > REPLAY_FRAGMENTS_MAX {
            let detail = format!("the past of more than {REPLAY_FRAGMENTS_MAX} fragments is not made anew");
            return Err(Refused::Conflict(detail));
        }
        let mut builder = Builder::new(core, config.clone(), as_of);
        let mut past = Past::new(core, config);
        let mut reader = core.journal.reader(Position(0));
        while let Some(items) = past.next_page(&mut reader, until)? {
            for item in &items {
                if let Item::Event(pending) = item {
                    builder.take(pending)?;
                }
            }
        }
        let scene = Arc::new(builder.finish(true)?);
        if !kept.iter().any(|(known, _)| *known == asked) {
            kept.insert(0, (asked, Kept::default()));
            kept.truncate(SCENES_KEPT);
        }
        if scene.fragments.len() <= SCENE_KEPT_FRAGMENTS_MAX
            && let Some((_, kept)) = kept.iter_mut().find(|(known, _)| *known == asked)
        {
            kept.scene = Some(scene.clone());
        }
        Ok(scene)
    }

    /// How many satisfied a formula at an instant. Nothing is kept.
    pub(crate) fn size_as_of(
        &self,
        config: &Arc<Config>,
        formula: &cdp_domain::segment::Formula,
        as_of: Timestamp,
    ) -> Result<u64> {
        refuse_derived(formula)?;
        let core = &self.core;
        let until = core.rows.read().inner.summary.applied;
        let mut builder = Builder::new(core, config.clone(), as_of);
        let mut past = Past::new(core, config.clone());
        let mut reader = core.journal.reader(Position(0));
        while let Some(items) = past.next_page(&mut reader, until)? {
            for item in &items {
                if let Item::Event(pending) = item {
                    builder.take(pending)?;
                }
            }
        }
        let scene = builder.finish(true)?;
        let mut size = 0;
        for root in &scene.roots {
            let holds = scene.person(core, *root, |person| scene.holds(person, formula))?;
            size += u64::from(holds == Some(true));
        }
        Ok(size)
    }
}

/// What plugins derived at an instant of the past is not made anew: better no answer than a wrong one.
fn refuse_derived(formula: &cdp_domain::segment::Formula) -> Result<()> {
    if formula.needs().derivations.is_empty() {
        return Ok(());
    }
    Err(Refused::Conflict("the rule reads what a plugin derives, of which no past is kept".to_owned()))
}
