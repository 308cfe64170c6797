//! What every backend must do, as one suite: call [`check`] from the backend's tests.
//!
//! Compiled into the crate, so that backends of other crates can use it; it panics at the first thing that does not hold.

use std::collections::BTreeMap;

use super::{Batch, KEY_BYTES_MAX, Kv, Order, VALUE_BYTES_MAX};

/// Checks a backend. `fresh` gives an empty store and whatever must live as long as it does (a temporary directory).
///
/// # Panics
/// When the backend does not conform.
pub fn check<K: Kv, Guard>(fresh: impl Fn() -> (Guard, K)) {
    batches_are_applied_in_order_and_answers_stand_in_order(&fresh().1);
    scans_are_half_open_ordered_and_limited(&fresh().1);
    bounds_are_kept_and_nothing_is_applied_beyond_them(&fresh().1);
    for seed in 1..=4 {
        it_behaves_like_a_sorted_map(&fresh().1, seed);
    }
}

fn put(kv: &dyn Kv, pairs: &[(&[u8], &[u8])]) {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(*key, *value);
    }
    kv.write(batch).expect("a write succeeds");
}

fn get(kv: &dyn Kv, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let found = kv.get_many(keys).expect("a read succeeds");
    found.into_iter().map(|value| value.map(|value| value.to_vec())).collect()
}

fn scan(kv: &dyn Kv, from: &[u8], to: &[u8], order: Order, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let found = kv.scan(from, to, order, limit).expect("a scan succeeds");
    found.into_iter().map(|(key, value)| (key, value.to_vec())).collect()
}

fn batches_are_applied_in_order_and_answers_stand_in_order(kv: &dyn Kv) {
    put(kv, &[(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"empty", b"")]);
    let found = get(kv, &[b"b", b"none", b"a", b"b", b"empty"]);
    let some = |value: &[u8]| Some(value.to_vec());
    assert_eq!(found, [some(b"3"), None, some(b"2"), some(b"3"), some(b"")]);
    let mut batch = Batch::new();
    batch.put(*b"a", *b"4");
    batch.delete(*b"a");
    batch.delete(*b"b");
    batch.put(*b"b", *b"5");
    batch.delete(*b"was never there");
    kv.write(batch).expect("a write succeeds");
    assert_eq!(get(kv, &[b"a", b"b"]), [None, some(b"5")]);
    kv.write(Batch::new()).expect("an empty batch is fine");
    kv.flush().expect("a flush succeeds");
}

fn scans_are_half_open_ordered_and_limited(kv: &dyn Kv) {
    put(kv, &[(b"a", b"1"), (b"b", b"2"), (b"b\0", b"3"), (b"c", b"4"), (&[0xff, 0xff], b"5")]);
    let keys = |from: &[u8], to: &[u8], order, limit| -> Vec<Vec<u8>> {
        scan(kv, from, to, order, limit).into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(b"a", b"c", Order::Forward, 9), [&b"a"[..], b"b", b"b\0"]);
    assert_eq!(keys(b"a", b"c", Order::Backward, 9), [&b"b\0"[..], b"b", b"a"]);
    assert_eq!(keys(b"a", b"c", Order::Backward, 2), [&b"b\0"[..], b"b"]);
    assert_eq!(keys(b"aa", b"c", Order::Forward, 1), [&b"b"[..]]);
    assert_eq!(keys(b"d", &[0xff; 3], Order::Forward, 9), [&[0xff, 0xff][..]]);
    for (from, to, limit) in [(&b"c"[..], &b"a"[..], 9), (b"b", b"b", 9), (b"a", b"z", 0), (b"x", b"z", 9)] {
        assert!(keys(from, to, Order::Forward, limit).is_empty());
        assert!(keys(from, to, Order::Backward, limit).is_empty());
    }
}

fn bounds_are_kept_and_nothing_is_applied_beyond_them(kv: &dyn Kv) {
    let largest = vec![7; VALUE_BYTES_MAX];
    let longest = vec![8; KEY_BYTES_MAX];
    put(kv, &[(&longest, &largest)]);
    assert_eq!(get(kv, &[&longest]), [Some(largest.clone())]);
    for (key, value) in
        [(longest.clone(), [largest, vec![0]].concat()), ([longest, vec![0]].concat(), vec![])]
    {
        let mut batch = Batch::new();
        batch.put(*b"before", *b"");
        batch.put(key, value);
        assert!(matches!(kv.write(batch), Err(crate::Error::TooLarge { .. })));
        assert_eq!(get(kv, &[b"before"]), [None]);
    }
}

/// Random batches, reads and scans against the standard library's map; the same for the same seed.
fn it_behaves_like_a_sorted_map(kv: &dyn Kv, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for _ in 0..60 {
        let mut batch = Batch::new();
        for _ in 0..below(40) {
            let key: Vec<u8> = (0..below(4)).map(|_| below(4) as u8 * 85).collect();
            if below(3) == 0 {
                batch.delete(key.clone());
                model.remove(&key);
            } else {
                let value = vec![below(256) as u8; below(300) as usize];
                batch.put(key.clone(), value.clone());
                model.insert(key, value);
            }
        }
        kv.write(batch).expect("a write succeeds");
        let mut bound = || (0..below(4)).map(|_| below(4) as u8 * 85).collect::<Vec<u8>>();
        let (from, to) = (bound(), bound());
        let limit = below(20) as usize;
        let within = |key: &[u8]| *key >= *from && *key < *to;
        let mut expected: Vec<_> =
            model.iter().filter(|(key, _)| within(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let forward: Vec<_> = expected.iter().take(limit).cloned().collect();
        assert_eq!(scan(kv, &from, &to, Order::Forward, limit), forward);
        expected.reverse();
        expected.truncate(limit);
        assert_eq!(scan(kv, &from, &to, Order::Backward, limit), expected);
        assert_eq!(get(kv, &[&from, &to]), [model.get(&from).cloned(), model.get(&to).cloned()]);
    }
}
