//! Bringing profiles to what was decided: fragments move between them, and only what moved is written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Level, Placed, Subject};
use cdp_domain::ids::FragmentId;

use super::apply::Applier;
use super::evaluate::Cause;
use super::plan::Touched;
use crate::error::{Refused, Result};
use crate::identity::log::{About, Alert, Because, Entry, Happened};
use crate::identity::settle::Settled;
use crate::rows::{Fragment, Head, Look, encode};

/// A profile as it is to be.
struct Block {
    members: Vec<FragmentId>,
    entangled: bool,
    /// An identifier of it became its own, or ceased to be.
    owns_other: bool,
}

impl Applier<'_> {
    /// Makes profiles what was decided, logs what happened and evaluates whoever changed, but for the profile of `quiet`,
    /// which is evaluated when its event is taken in.
    pub(crate) fn rearrange(
        &mut self,
        settled: &[Settled],
        because: Because,
        quiet: Option<FragmentId>,
    ) -> Result<()> {
        let mut blocks = self.take_down(settled)?;
        let mut unchanged = Vec::new();
        for (root, block) in &blocks {
            if self.stands(*root, block)? {
                unchanged.push(*root);
            }
        }
        for root in unchanged {
            let block = blocks.remove(&root).expect("it was just there");
            if block.owns_other && quiet.is_none_or(|quiet| !block.members.contains(&quiet)) {
                self.evaluate(root, self.hand.inner.summary.as_of, Cause::Merge, &Touched::everything())?;
            }
        }
        let causes = self.move_fragments(&blocks, because)?;
        for (root, block) in &blocks {
            if quiet.is_none_or(|quiet| !block.members.contains(&quiet)) {
                let as_of = self.hand.inner.summary.as_of;
                self.evaluate(*root, as_of, causes[root], &Touched::everything())?;
            }
        }
        Ok(())
    }

    /// Writes down what each fragment's identifiers do; profiles as they are to be come back, by root.
    fn take_down(&mut self, settled: &[Settled]) -> Result<BTreeMap<FragmentId, Block>> {
        let mut blocks: BTreeMap<FragmentId, Block> = BTreeMap::new();
        for Settled { level, placed } in settled {
            let mut aside_of = Vec::with_capacity(placed.len());
            let mut any_aside = false;
            for one in placed {
                let mut aside = 0;
                for (n, _) in &one.set_aside {
                    aside |= 1 << n;
                    any_aside = true;
                }
                let fragment = self.known(one.id)?;
                aside_of.push(aside | self.blocked(&fragment.identifiers));
            }
            let roots: HashSet<_> = placed.iter().map(|placed| placed.profile).collect();
            let entangled = *level != Level::Full || any_aside || roots.len() > 1 || !self.plain(placed)?;
            for (one, aside) in placed.iter().zip(aside_of) {
                let fragment = self.known(one.id)?;
                let owns_other = fragment.aside != aside;
                if owns_other || fragment.level != *level {
                    let fragment = self.hand.fragment_mut(one.id)?.expect("it was just read");
                    (fragment.aside, fragment.level) = (aside, *level);
                }
                let block = blocks.entry(one.profile).or_insert_with(|| Block {
                    members: Vec::new(),
                    entangled,
                    owns_other: false,
                });
                block.members.push(one.id);
                block.owns_other |= owns_other;
            }
        }
        blocks.values_mut().for_each(|block| block.members.sort_unstable());
        Ok(blocks)
    }

    /// Whether nothing but the fragments themselves had a say in that they are one.
    fn plain(&self, placed: &[Placed]) -> Result<bool> {
        let (mut all, mut client, mut free) = (BTreeSet::new(), false, true);
        let constraints = &self.resolver.constraints;
        for one in placed {
            let fragment = self.known(one.id)?;
            client |= fragment.origin.client;
            free &= constraints.is_empty() || !constraints.concern(&Subject::Fragment(one.id));
            let owned = fragment.identifiers.iter().enumerate().filter(|(n, _)| one.owned & 1 << n != 0);
            all.extend(owned.map(|(_, identifier)| identifier.clone()));
        }
        let concerns = |one: &Identifier| constraints.concern(&Subject::Identifier(one.clone()));
        free &= constraints.is_empty() || !all.iter().any(concerns);
        Ok(free && self.resolver.plain(&all, client))
    }

    fn known(&self, id: FragmentId) -> Result<std::sync::Arc<Fragment>> {
        self.hand.fragment(id)?.ok_or_else(|| Refused::internal("a fragment is missing"))
    }

    /// Whether a profile is what it is to be; notes what changed about it without anybody moving.
    fn stands(&mut self, root: FragmentId, block: &Block) -> Result<bool> {
        let fragment = self.known(root)?;
        let Some(head) = &fragment.head else { return Ok(false) };
        let others = block.members.iter().filter(|member| **member != root);
        if !head.others.iter().eq(others) {
            return Ok(false);
        }
        if head.entangled != block.entangled {
            let fragment = self.hand.fragment_mut(root)?.expect("it was just read");
            fragment.head.as_mut().expect("it was just seen").entangled = block.entangled;
        }
        Ok(true)
    }

    /// Moves fragments to the profiles that are to be; why each changed comes back.
    fn move_fragments(
        &mut self,
        blocks: &BTreeMap<FragmentId, Block>,
        because: Because,
    ) -> Result<BTreeMap<FragmentId, Cause>> {
        let mut home_of: HashMap<FragmentId, FragmentId> = HashMap::new();
        for (root, block) in blocks {
            home_of.extend(block.members.iter().map(|member| (*member, *root)));
        }
        // What was, and where its old root goes. Heads are taken off in the order of ids.
        let mut was: HashMap<FragmentId, FragmentId> = HashMap::new();
        let mut heads: BTreeMap<FragmentId, Vec<(FragmentId, Box<Head>)>> = BTreeMap::new();
        let mut lost: HashSet<FragmentId> = HashSet::new();
        let mut members: Vec<_> = home_of.keys().copied().collect();
        members.sort_unstable();
        for member in members {
            let fragment = self.hand.fragment_mut(member)?.expect("it was read before");
            was.insert(member, fragment.profile);
            let Some(head) = fragment.head.take() else { continue };
            let home = home_of[&member];
            for other in &head.others {
                match home_of.get(other) {
                    Some(elsewhere) if *elsewhere != home => {
                        lost.insert(home);
                    }
                    Some(_) => {}
                    None => {
                        return Err(Refused::internal(
                            "a profile was to be split without all of its fragments",
                        ));
                    }
                }
            }
            heads.entry(home).or_default().push((member, head));
        }
        let mut causes = BTreeMap::new();
        for (root, block) in blocks {
            let mut old = heads.remove(root).unwrap_or_default();
            old.sort_by_key(|(_, head)| head.ordinal);
            let root_was_one = old.iter().any(|(id, _)| id == root);
            let mut cause = if lost.contains(root) { Cause::Split } else { Cause::Merge };
            let mut head = None;
            let mut was_called = *root;
            for (id, one) in old {
                if id != *root {
                    let renamed = head.is_none() && !root_was_one;
                    let happened = if renamed { Happened::Renamed } else { Happened::Merged };
                    self.log(happened, *root, id, because);
                }
                match head {
                    None => (head, was_called) = (Some(one), id),
                    Some(_) => self.absorb(id, &one)?,
                }
            }
            let mut head = match head {
                Some(head) => head,
                None => {
                    if let Some(from) =
                        block.members.iter().map(|member| was[member]).find(|from| from != root)
                    {
                        self.log(Happened::Split, *root, from, because);
                    }
                    cause = Cause::Split;
                    Box::new(self.new_head())
                }
            };
            self.rename(head.ordinal, was_called, *root, cause);
            head.others = block.members.iter().copied().filter(|member| member != root).collect();
            head.entangled = block.entangled;
            self.hand.put(self.hand.context().ordinal(head.ordinal), root.0.to_vec());
            for member in &block.members {
                self.hand.fragment_mut(*member)?.expect("it was read before").profile = *root;
            }
            self.hand.fragment_mut(*root)?.expect("it was read before").head = Some(head);
            causes.insert(*root, cause);
        }
        Ok(causes)
    }

    pub(super) fn log(
        &mut self,
        happened: Happened,
        profile: FragmentId,
        other: FragmentId,
        because: Because,
    ) {
        let summary = &mut self.hand.inner.summary;
        let (position, n, at) = (summary.last, summary.changes_at_last, summary.as_of);
        summary.changes_at_last += 1;
        let key = self.hand.context().identity_log(position, n);
        self.hand.put(key, encode(&Entry { happened, profile, other, because, at }));
    }

    /// Raises an alert, unless there is one about the same.
    pub(crate) fn alert(&mut self, digest: [u8; 16], about: About) -> Result<()> {
        let key = self.hand.context().identity_alert(digest);
        if self.hand.row(&key)?.is_none() {
            let summary = &mut self.hand.inner.summary;
            summary.identity_alerts += 1;
            let alert = Alert { about, position: summary.last, at: summary.as_of };
            self.hand.put(key, encode(&alert));
        }
        Ok(())
    }
}
