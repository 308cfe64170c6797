//! A key for each of 2^64 references out of one root, of which single ones can be destroyed for good.
//!
//! The references are the leaves of a tree; each node's key gives the keys of its sixteen children, and nothing gives a
//! parent's from a child's. Destroying a leaf replaces the node above it by the siblings along the way: 240 nodes of 40
//! bytes, after which that leaf's key can be computed by nobody, whatever other keys they have.
//! So a data key per fragment needs no write when the fragment is new, and the table that must be rewritten grows with
//! what was erased and not with what is there.
//! Borrowed idea: the pseudorandom functions of Goldreich, Goldwasser and Micali (1986), punctured as in Green and Miers,
//! "Forward secure asynchronous messaging from puncturable encryption" (2015).

use std::collections::BTreeMap;

use super::DataKey;

/// Levels below the root, of four bits each.
const LEVELS: u8 = 16;
/// Children of a node.
const FANOUT: u8 = 16;
/// Bytes of a node as stored: where its leaves begin, its level, its key.
const NODE_BYTES: usize = 8 + 1 + 32;

/// The keys that were not destroyed.
#[derive(Clone)]
pub(super) struct Tree {
    /// By the first leaf below; no two overlap.
    nodes: BTreeMap<u64, Node>,
}

#[derive(Clone)]
struct Node {
    level: u8,
    key: DataKey,
}

impl Node {
    /// The leaves that are not below it have other bits under this mask.
    fn mask(&self) -> u64 {
        if self.level == 0 { 0 } else { u64::MAX << (4 * u32::from(LEVELS - self.level)) }
    }
}

impl Tree {
    /// All keys of a root.
    pub(super) fn new(root: [u8; 32]) -> Self {
        Self { nodes: BTreeMap::from([(0, Node { level: 0, key: DataKey(root) })]) }
    }

    fn above(&self, leaf: u64) -> Option<(u64, &Node)> {
        let (first, node) = self.nodes.range(..=leaf).next_back()?;
        (leaf & node.mask() == *first).then_some((*first, node))
    }

    /// The key of a reference; None when it was destroyed.
    pub(super) fn key(&self, key_ref: &[u8; 16]) -> Option<DataKey> {
        let leaf = leaf(key_ref);
        let (_, node) = self.above(leaf)?;
        let mut key = node.key.clone();
        for level in node.level..LEVELS {
            key = child(&key, digit(leaf, level));
        }
        // References that share a leaf have different keys, and are destroyed together: one chance in 2^64 for two.
        Some(DataKey(*blake3::keyed_hash(&key.0, key_ref).as_bytes()))
    }

    /// Destroys the key of a reference; whether there was one.
    pub(super) fn destroy(&mut self, key_ref: &[u8; 16]) -> bool {
        let leaf = leaf(key_ref);
        let Some((first, _)) = self.above(leaf) else { return false };
        let mut node = self.nodes.remove(&first).expect("it was just found");
        let mut at = first;
        while node.level < LEVELS {
            let width = 1_u64 << (4 * u32::from(LEVELS - 1 - node.level));
            let on_the_way = digit(leaf, node.level);
            for n in (0..FANOUT).filter(|n| *n != on_the_way) {
                let sibling = Node { level: node.level + 1, key: child(&node.key, n) };
                self.nodes.insert(at + u64::from(n) * width, sibling);
            }
            at += u64::from(on_the_way) * width;
            node = Node { level: node.level + 1, key: child(&node.key, on_the_way) };
        }
        true
    }

    /// The nodes, to be sealed.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.nodes.len() as u64).to_le_bytes());
        for (first, node) in &self.nodes {
            out.extend_from_slice(&first.to_le_bytes());
            out.push(node.level);
            out.extend_from_slice(&node.key.0);
        }
    }

    /// Reads nodes back from the beginning of `bytes`; None when there are none.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (nodes, rest) = rest.split_at_checked(count.checked_mul(NODE_BYTES)?)?;
        *bytes = rest;
        let node = |part: &[u8]| {
            let first = u64::from_le_bytes(part[..8].try_into().expect("eight bytes"));
            let key = DataKey(part[9..].try_into().expect("32 bytes"));
            (first, Node { level: part[8], key })
        };
        Some(Self { nodes: nodes.chunks_exact(NODE_BYTES).map(node).collect() })
    }
}

fn leaf(key_ref: &[u8; 16]) -> u64 {
    u64::from_be_bytes(key_ref[..8].try_into().expect("eight bytes"))
}

fn digit(leaf: u64, level: u8) -> u8 {
    (leaf >> (4 * u32::from(LEVELS - 1 - level)) & 0xf) as u8
}

fn child(key: &DataKey, n: u8) -> DataKey {
    DataKey(*blake3::keyed_hash(&key.0, &[n]).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_ref(leaf: u64, rest: u64) -> [u8; 16] {
        let mut key_ref = [0; 16];
        key_ref[..8].copy_from_slice(&leaf.to_be_bytes());
        key_ref[8..].copy_from_slice(&rest.to_be_bytes());
        key_ref
    }

    #[test]
    fn a_destroyed_leaf_costs_its_siblings_and_nothing_else() {
        let mut tree = Tree::new([1; 32]);
        let before = tree.key(&key_ref(5, 0)).unwrap();
        assert!(tree.destroy(&key_ref(4, 7)));
        assert!(!tree.destroy(&key_ref(4, 7)));
        assert_eq!(tree.nodes.len(), 240);
        assert!(tree.key(&key_ref(4, 7)).is_none());
        assert_eq!(tree.key(&key_ref(5, 0)).unwrap().0, before.0);
        let mut bytes = Vec::new();
        tree.write(&mut bytes);
        bytes.push(9);
        let mut rest = bytes.as_slice();
        let again = Tree::read(&mut rest).unwrap();
        assert_eq!(rest, [9]);
        assert!(again.key(&key_ref(4, 0)).is_none());
        assert_eq!(again.key(&key_ref(u64::MAX, 1)).unwrap().0, tree.key(&key_ref(u64::MAX, 1)).unwrap().0);
        assert!(Tree::read(&mut &bytes[..100]).is_none());
    }

    proptest! {
        /// The model: a set of what was destroyed, and a tree that nothing was destroyed in.
        #[test]
        fn what_was_not_destroyed_keeps_its_key(
            destroyed in proptest::collection::vec(prop_oneof![0_u64..40, any::<u64>()], 0..20),
            asked in proptest::collection::vec(prop_oneof![0_u64..40, any::<u64>()], 1..20),
        ) {
            let whole = Tree::new([3; 32]);
            let mut tree = whole.clone();
            for leaf in &destroyed {
                tree.destroy(&key_ref(*leaf, 0));
            }
            for leaf in asked.iter().chain(&destroyed) {
                let wanted = whole.key(&key_ref(*leaf, 1)).filter(|_| !destroyed.contains(leaf));
                let key = tree.key(&key_ref(*leaf, 1));
                prop_assert_eq!(key.map(|key| key.0), wanted.map(|key| key.0));
            }
        }
    }
}
