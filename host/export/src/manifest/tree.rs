//! A tree of hashes: its root commits to every leaf and their order.
//! Borrowed idea: the Merkle trees of certificate transparency (RFC 6962, section 2.1), with SHA-256 and the same prefixes.

use sha2::{Digest as _, Sha256};

/// A tree that grows leaf by leaf, in memory of its height.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Roots of complete trees, with their heights, largest first.
    peaks: Vec<(u32, [u8; 32])>,
    leaves: u64,
}

impl Tree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: [u8; 32]) {
        self.leaves += 1;
        let mut top = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(height, _)| *height == top.0) {
            top = (top.0 + 1, node(&left, &top.1));
        }
        self.peaks.push(top);
    }

    /// The root, and how many leaves there are.
    #[must_use]
    pub fn root(&self) -> ([u8; 32], u64) {
        let root = self.peaks.iter().rev().map(|(_, peak)| *peak).reduce(|right, left| node(&left, &right));
        (root.unwrap_or_else(|| Sha256::digest([]).into()), self.leaves)
    }
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// How many leaves the left side of a tree of `count` has.
fn left_of(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// The hashes beside the way from the leaf at `at` to the root, nearest first. `roots` gives the root of any range of
/// leaves that the tree is made of.
pub(crate) fn path_of<E>(
    at: u64,
    count: u64,
    roots: &mut impl FnMut(u64, u64) -> Result<[u8; 32], E>,
) -> Result<Vec<[u8; 32]>, E> {
    let (mut from, mut to, mut path) = (0, count, Vec::new());
    while to - from > 1 {
        let middle = from + left_of(to - from);
        if at < middle {
            path.push(roots(middle, to)?);
            to = middle;
        } else {
            path.push(roots(from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The root that a leaf at a place of a tree of `count` leaves leads to by its path; None when the path has another length.
#[must_use]
pub fn root_of(leaf: [u8; 32], at: u64, count: u64, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    if at >= count {
        return None;
    }
    let (mut from, mut to, mut turns) = (0, count, Vec::new());
    while to - from > 1 {
        let middle = from + left_of(to - from);
        turns.push(at < middle);
        if at < middle { to = middle } else { from = middle }
    }
    if turns.len() != path.len() {
        return None;
    }
    let steps = turns.iter().rev().zip(path);
    Some(
        steps
            .fold(leaf, |at, (is_left, beside)| if *is_left { node(&at, beside) } else { node(beside, &at) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 6962 writes it.
    fn naive(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let mut half = 1;
                while half * 2 < leaves.len() {
                    half *= 2;
                }
                node(&naive(&leaves[..half]), &naive(&leaves[half..]))
            }
        }
    }

    #[test]
    fn every_leaf_of_every_tree_leads_to_its_root_and_to_no_other() {
        for count in 0..40_u8 {
            let leaves: Vec<[u8; 32]> = (0..count).map(|n| [n; 32]).collect();
            let mut tree = Tree::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            let root = naive(&leaves);
            assert_eq!(tree.root(), (root, u64::from(count)));
            for at in 0..u64::from(count) {
                let mut roots = |from: u64, to: u64| Ok::<_, ()>(naive(&leaves[from as usize..to as usize]));
                let path = path_of(at, u64::from(count), &mut roots).unwrap();
                let lead = |leaf, at, path: &[[u8; 32]]| root_of(leaf, at, u64::from(count), path);
                assert_eq!(lead(leaves[at as usize], at, &path), Some(root));
                assert_ne!(lead([99; 32], at, &path), Some(root));
                assert_eq!(lead(leaves[at as usize], u64::from(count), &path), None);
                if let Some(first) = path.first() {
                    assert_eq!(lead(leaves[at as usize], at, &path[1..]), None);
                    let mut other = path.clone();
                    other[0][0] = !first[0];
                    assert_ne!(lead(leaves[at as usize], at, &other), Some(root));
                }
            }
        }
    }
}
