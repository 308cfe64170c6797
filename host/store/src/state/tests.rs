//! Values of all sizes over a model, and that no piece outlives its value.

use std::collections::BTreeMap;

use cdp_domain::ids::TenantNo;
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::keys::tag;
use crate::kv::{MemoryKv, Order, VALUE_BYTES_MAX};

fn context() -> TenantContext {
    TenantContext::new(TenantNo(3))
}

fn open(kv: &Arc<MemoryKv>) -> State {
    State::open(kv.clone(), context()).unwrap()
}

fn put(state: &State, key: Key, bytes: &[u8]) {
    let mut write = state.write();
    write.put(key, 1, bytes);
    write.commit().unwrap();
}

fn stored(kv: &MemoryKv) -> usize {
    kv.scan(&[0], &[0xff; 9], Order::Forward, usize::MAX).unwrap().len()
}

#[test]
fn a_value_at_every_border_of_a_piece_is_read_back() {
    let kv = Arc::new(MemoryKv::new());
    let state = open(&kv);
    let key = context().config();
    for around in [0, 1, VALUE_BYTES_MAX, 2 * VALUE_BYTES_MAX - 12, 3 * VALUE_BYTES_MAX - 12, 100_000] {
        for len in around.saturating_sub(2)..around + 3 {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            put(&state, key, &bytes);
            let envelope = state.get(&key).unwrap().unwrap();
            assert_eq!((envelope.version(), envelope.bytes()), (1, &bytes[..]), "{len}");
        }
    }
}

#[test]
fn no_piece_outlives_its_value_also_over_a_reopening() {
    let kv = Arc::new(MemoryKv::new());
    let key = context().meta("large");
    put(&open(&kv), key, &[7; 50_000]);
    assert_eq!(stored(&kv), 13);
    put(&open(&kv), key, &[7; 20_000]);
    assert_eq!(stored(&kv), 5);
    let state = open(&kv);
    put(&state, key, b"small");
    assert_eq!(stored(&kv), 1);
    put(&state, key, &[7; 20_000]);
    let mut write = state.write();
    write.delete(key);
    write.commit().unwrap();
    assert_eq!(stored(&kv), 0);
}

#[test]
fn keys_and_ranges_of_another_tenant_are_refused() {
    let state = open(&Arc::new(MemoryKv::new()));
    let other = TenantContext::new(TenantNo(4));
    let mut write = state.write();
    write.put(context().config(), 1, b"mine");
    write.delete(other.config());
    assert!(matches!(write.commit(), Err(Error::WrongTenant)));
    assert!(matches!(state.get(&other.config()), Err(Error::WrongTenant)));
    assert!(matches!(state.scan(&other.all(), Order::Forward, 1), Err(Error::WrongTenant)));
    assert!(state.get(&context().config()).unwrap().is_none());
}

#[test]
fn readers_beside_the_writer_see_whole_values() {
    let kv = Arc::new(MemoryKv::new());
    let state = open(&kv);
    let key = context().config();
    put(&state, key, &[0; 9000]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..2000_usize {
                put(&state, key, &vec![n as u8; 3000 + n * 7 % 12_000]);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    // Under a writer that never pauses a read may give up; what it gives is whole.
                    if let Ok(found) = state.get(&key) {
                        let found = found.expect("it is never deleted");
                        assert!(found.bytes().iter().all(|byte| *byte == found.bytes()[0]));
                    }
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_behaves_like_a_map(writes in proptest::collection::vec(
        proptest::collection::vec((0_u16..6, proptest::option::of(prop_oneof![0_usize..50, 4000_usize..20_000])), 1..8), 1..12)) {
        let kv = Arc::new(MemoryKv::new());
        let mut model = BTreeMap::new();
        for operations in writes {
            let state = open(&kv);
            let mut write = state.write();
            for (chunk, len) in operations {
                let key = context().member(1, chunk);
                match len {
                    Some(len) => {
                        write.put(key, 2, vec![len as u8; len]);
                        model.insert(key, vec![len as u8; len]);
                    }
                    None => {
                        write.delete(key);
                        model.remove(&key);
                    }
                }
            }
            write.commit().unwrap();
            for order in [Order::Forward, Order::Backward] {
                let found = state.scan(&context().table(tag::MEMBER), order, 100).unwrap();
                let mut found: Vec<_> = found.into_iter().map(|(key, e)| (key, e.bytes().to_vec())).collect();
                if order == Order::Backward {
                    found.reverse();
                }
                prop_assert_eq!(found, model.iter().map(|(k, v)| (*k, v.clone())).collect::<Vec<_>>());
            }
            let pieces: usize = model.values().map(|v| v.len()).filter(|len| *len >= VALUE_BYTES_MAX)
                .map(|len| (len - (VALUE_BYTES_MAX - 12)).div_ceil(VALUE_BYTES_MAX)).sum();
            prop_assert_eq!(stored(&kv), model.len() + pieces);
        }
    }
}
