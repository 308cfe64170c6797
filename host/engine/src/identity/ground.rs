//! Reading what identity resolution needs: fragments by identifier, what is shared, what hangs together.
//!
//! What is read is remembered for as long as the ground lives: one decision, under one lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Company, Known, Level, Resolver, Standing};
use cdp_domain::ids::FragmentId;
use cdp_store::keys::{self, Key, KeyRange};
use cdp_store::kv::Order;

use crate::error::{Refused, Result};
use crate::rows::{Fragment, Hand, Look, View, decode};
use crate::tenant::TenantDigests;

/// Carriers of an identifier from which on its company is kept in a row of its own and not counted anew.
pub(crate) const COMPANY_KEPT_FROM: usize = 64;
/// Carriers read at a time, at first and later.
const PAGES: [usize; 2] = [16, 512];

/// What can be asked for rows and scanned.
pub(crate) trait Index: Look {
    /// At most `limit` rows of a range, forward.
    fn rows(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>>;
}

impl Index for View<'_> {
    fn rows(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>> {
        self.scan(range, Order::Forward, limit)
    }
}

impl Index for Hand<'_> {
    fn rows(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>> {
        self.scan(range, Order::Forward, limit)
    }
}

/// A fragment as it was read.
pub(crate) struct Found {
    pub(crate) known: Known,
    pub(crate) level: Level,
    pub(crate) profile: FragmentId,
}

impl Found {
    fn new(id: FragmentId, fragment: &Fragment) -> Self {
        let known = Known {
            id,
            first: fragment.first.clone(),
            identifiers: fragment.identifiers.to_vec(),
            origin: fragment.origin,
        };
        Self { known, level: fragment.level, profile: fragment.profile }
    }
}

/// The first carriers of an identifier, and where more are.
pub(super) struct FirstPage {
    ids: Vec<FragmentId>,
    rest: Option<KeyRange>,
}

/// What identity resolution reads.
pub(crate) struct Ground<'a> {
    pub(crate) look: &'a dyn Index,
    pub(crate) digests: &'a TenantDigests,
    pub(crate) resolver: &'a Resolver,
    /// Rows of company count for this revision of rules and constraints; None when no such row may be used.
    pub(crate) revision: Option<u32>,
    pub(super) found: RefCell<HashMap<FragmentId, Rc<Found>>>,
    pub(super) pages: RefCell<HashMap<Identifier, Rc<FirstPage>>>,
    pub(super) shared: RefCell<HashMap<Identifier, bool>>,
    /// Levels decided here, which count instead of those that are stored.
    pub(super) decided: RefCell<HashMap<FragmentId, Level>>,
    /// Fragments of which nothing that is stored counts.
    pub(super) all_afresh: Cell<bool>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(
        look: &'a dyn Index,
        digests: &'a TenantDigests,
        resolver: &'a Resolver,
        revision: Option<u32>,
    ) -> Self {
        Self {
            look,
            digests,
            resolver,
            revision,
            found: RefCell::default(),
            pages: RefCell::default(),
            shared: RefCell::default(),
            decided: RefCell::default(),
            all_afresh: Cell::new(false),
        }
    }

    pub(crate) fn digest(&self, identifier: &Identifier) -> [u8; 16] {
        self.digests.identifier.wide(&identifier.canonical_bytes())
    }

    /// A fragment that an index or a profile names.
    pub(crate) fn found(&self, id: FragmentId) -> Result<Rc<Found>> {
        if let Some(found) = self.found.borrow().get(&id) {
            return Ok(found.clone());
        }
        let missing = || Refused::internal("a fragment that the index names is missing");
        let fragment = self.look.fragment(id)?.ok_or_else(missing)?;
        let found = Rc::new(Found::new(id, &fragment));
        self.found.borrow_mut().insert(id, found.clone());
        Ok(found)
    }

    /// The first carriers of an identifier, read once.
    fn first_page(&self, identifier: &Identifier) -> Result<Rc<FirstPage>> {
        if let Some(page) = self.pages.borrow().get(identifier) {
            return Ok(page.clone());
        }
        let range = self.look.context().identifier_range(self.digest(identifier));
        let rows = self.look.rows(&range, PAGES[0])?;
        let rest = rows.last().filter(|_| rows.len() == PAGES[0]).map(|(last, _)| range.after(last));
        let ids = rows.iter().filter_map(|(key, _)| keys::identifier(key)).map(|(_, id)| id).collect();
        let page = Rc::new(FirstPage { ids, rest });
        self.pages.borrow_mut().insert(identifier.clone(), page.clone());
        Ok(page)
    }

    /// Notes that only one fragment carries an identifier, which is known already.
    pub(crate) fn carried_alone(&self, identifier: &Identifier, id: FragmentId) {
        let page = FirstPage { ids: vec![id], rest: None };
        self.pages.borrow_mut().insert(identifier.clone(), Rc::new(page));
    }

    /// Visits the fragments that carry an identifier, in the order of their ids, until `visit` says that it is enough.
    pub(crate) fn carriers(
        &self,
        identifier: &Identifier,
        mut visit: impl FnMut(FragmentId) -> Result<bool>,
    ) -> Result<()> {
        let first = self.first_page(identifier)?;
        for id in &first.ids {
            if visit(*id)? {
                return Ok(());
            }
        }
        let mut rest = first.rest;
        while let Some(range) = rest {
            let page = self.look.rows(&range, PAGES[1])?;
            for (_, id) in page.iter().filter_map(|(key, _)| keys::identifier(key)) {
                if visit(id)? {
                    return Ok(());
                }
            }
            rest = page.last().filter(|_| page.len() == PAGES[1]).map(|(last, _)| range.after(last));
        }
        Ok(())
    }

    /// The first carrier, but for `except`.
    pub(crate) fn carrier(&self, identifier: &Identifier, except: FragmentId) -> Result<Option<FragmentId>> {
        let mut first = None;
        self.carriers(identifier, |id| {
            first = (id != except).then_some(id);
            Ok(first.is_some())
        })?;
        Ok(first)
    }

    /// The company of an identifier, leaving out `except`; the second is over how many carriers it was counted, None
    /// when it was kept in a row.
    pub(crate) fn company(
        &self,
        identifier: &Identifier,
        except: Option<FragmentId>,
    ) -> Result<(Company, Option<usize>)> {
        // Whoever has so few has no such row.
        let many = self.first_page(identifier)?.rest.is_some();
        if let Some(revision) = self.revision.filter(|_| many) {
            let row = self.look.row(&self.look.context().company(self.digest(identifier)))?;
            if let Some(bytes) = row {
                let (of, company): (u32, Company) = decode(&bytes)?;
                if of == revision {
                    return Ok((company, None));
                }
            }
        }
        let (mut company, mut counted) = (Company::default(), 0);
        self.carriers(identifier, |id| {
            if Some(id) == except {
                return Ok(false);
            }
            counted += 1;
            Ok(company.see(self.resolver, identifier, &self.found(id)?.known.identifiers))
        })?;
        Ok((company, Some(counted)))
    }

    /// Whether an identifier is shared.
    pub(crate) fn shared(&self, identifier: &Identifier) -> Result<bool> {
        if !self.resolver.can_be_shared(identifier) {
            return Ok(false);
        }
        if let Some(shared) = self.shared.borrow().get(identifier) {
            return Ok(*shared);
        }
        let shared = self.company(identifier, None)?.0.shared();
        self.set_shared(identifier, shared);
        Ok(shared)
    }

    pub(crate) fn set_shared(&self, identifier: &Identifier, shared: bool) {
        self.shared.borrow_mut().insert(identifier.clone(), shared);
    }

    /// What an identifier does, level aside.
    pub(crate) fn may_link(&self, identifier: &Identifier) -> Result<bool> {
        Ok(!self.resolver.blocked(identifier) && !self.shared(identifier)?)
    }

    /// What an identifier does on a fragment of this level, set aside or not.
    pub(crate) fn standing(&self, identifier: &Identifier, level: Level) -> Result<Standing> {
        Ok(if self.resolver.blocked(identifier) {
            Standing::Blocked
        } else if self.shared(identifier)? {
            Standing::Shared
        } else if level.lets(self.resolver.strong(identifier)) {
            Standing::Links
        } else {
            Standing::Overgrown
        })
    }

    /// The fragment whose profile an identifier names; None when it links nobody and no event carries it alone.
    pub(crate) fn owner(&self, identifier: &Identifier) -> Result<Option<FragmentId>> {
        let mut owner = None;
        if self.may_link(identifier)? {
            self.carriers(identifier, |id| {
                let fragment = self.look.fragment(id)?;
                let fragment = fragment.ok_or_else(|| Refused::internal("a fragment is missing"))?;
                let lets = fragment.level.lets(self.resolver.strong(identifier));
                if lets && fragment.owns(identifier) {
                    owner = Some(id);
                }
                Ok(owner.is_some() || !lets)
            })?;
        }
        if owner.is_some() {
            return Ok(owner);
        }
        for client in [false, true] {
            let alone = std::slice::from_ref(identifier);
            let origin = cdp_domain::identity::Origin { client, ..Default::default() };
            let id = self.digests.fragment_of(alone, origin);
            if self.look.fragment(id)?.is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}
