//! Golden bytes of every key, and that order and ranges are what they say.

use cdp_domain::ids::{ExportId, FragmentId, JobId, Ordinal, Position, TenantNo};
use cdp_domain::time::Timestamp;
use proptest::prelude::*;

use super::*;

fn ctx() -> TenantContext {
    TenantContext::new(TenantNo(0x0102_0304))
}

fn hex(key: Key) -> String {
    key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_every_key_stay_what_they_are() {
    let (a, b) = ("aa".repeat(16), "bb".repeat(16));
    let fragment = FragmentId([0xaa; 16]);
    for (key, bytes) in [
        (ctx().meta("applied"), "01 6170706c696564".to_owned()),
        (ctx().fragment(fragment), format!("02 {a}")),
        (ctx().profile(fragment), format!("03 {a}")),
        (ctx().identifier([0xbb; 16], fragment), format!("04 {b} {a}")),
        (ctx().ordinal(Ordinal(0x0a0b_0c0d)), "05 0a0b0c0d".to_owned()),
        (ctx().contact([0xbb; 16]), format!("06 {b}")),
        (ctx().member(7, 0x0809), "07 00000007 0809".to_owned()),
        (ctx().timer(Timestamp(1), Ordinal(2)), "08 8000000000000001 00000002".to_owned()),
        (ctx().timer(Timestamp(-1), Ordinal(2)), "08 7fffffffffffffff 00000002".to_owned()),
        (ctx().change(7, Position(8), 9), "09 00000007 0000000000000008 00000009".to_owned()),
        (ctx().dead_letter(Position(8)), "0a 0000000000000008".to_owned()),
        (ctx().timeline_log(Position(8), 9), "0b 0000000000000008 0009".to_owned()),
        (ctx().job(JobId([0xaa; 16])), format!("0c {a}")),
        (ctx().export(ExportId([0xaa; 16])), format!("0d {a}")),
        (ctx().config(), "0e".to_owned()),
        (ctx().replay(Position(8)), "20 0000000000000008".to_owned()),
        (ctx().pipeline(Position(8)), "21 0000000000000008".to_owned()),
        (ctx().definition(7), "22 00000007".to_owned()),
        (ctx().catalogue(7), "23 00000007".to_owned()),
        (ctx().company([0xbb; 16]), format!("30 {b}")),
        (ctx().identity_log(Position(8), 9), "31 0000000000000008 00000009".to_owned()),
        (ctx().identity_alert([0xbb; 16]), format!("32 {b}")),
        (ctx().void([0xbb; 16]), format!("14 {b}")),
        (ctx().waiting(Timestamp(1), Position(8)), "15 8000000000000001 0000000000000008".to_owned()),
        (ctx().ledger([0xbb; 16], Position(8), 9), format!("40 {b} 0000000000000008 00000009")),
        (ctx().suppression([0xbb; 16]), format!("41 {b}")),
        (ctx().erasure(JobId([0xaa; 16])), format!("42 {a}")),
        (ctx().restriction(7), "43 00000007".to_owned()),
        (ctx().subject_request([0xbb; 16]), format!("44 {b}")),
        (ctx().aged(fragment), format!("45 {a}")),
        (ctx().aging(Position(8)), "46 0000000000000008".to_owned()),
        (ctx().derived_state(fragment, 7), format!("50 {a} 00000007")),
        (ctx().derived_reading(fragment, 7), format!("51 {a} 00000007")),
        (ctx().derived_timer(Timestamp(1), fragment, 7), format!("52 8000000000000001 {a} 00000007")),
        (ctx().continuation(&ctx().member(7, 8), 3), "ff 07 00000007 0008 0003".to_owned()),
    ] {
        assert_eq!(hex(key), format!("01020304{}", bytes.replace(' ', "")));
    }
}

#[test]
fn a_key_of_another_table_is_not_decoded() {
    let key = ctx().fragment(FragmentId([1; 16]));
    assert_eq!(fragment(&key), Some(FragmentId([1; 16])));
    assert_eq!((profile(&key), job(&key), timer(&key)), (None, None, None));
}

#[test]
fn the_longest_keys_still_have_room_for_a_continuation() {
    let key = ctx().identifier([1; 16], FragmentId([2; 16]));
    assert_eq!(ctx().continuation(&key, 1).as_bytes().len(), 40);
    let key = ctx().meta("a name as long as a name may be.");
    assert_eq!(ctx().continuation(&key, 1).as_bytes().len(), 40);
}

#[test]
fn ranges_end_where_the_next_begins_also_for_the_last_of_all() {
    let last = TenantContext::new(TenantNo(u32::MAX));
    let key = last.member(u32::MAX, u16::MAX);
    let range = last.member_range(u32::MAX);
    assert!(range.from <= key && key < range.to);
    assert!(last.continuation(&key, u16::MAX) < last.continuations().to);
    assert_eq!(ctx().member_range(6).to, ctx().member_range(7).from);
}

proptest! {
    #[test]
    fn scanned_keys_decode_and_sort_as_their_parts(a: (i64, u32, u64, u16), b: (i64, u32, u64, u16)) {
        let timers = |p: (i64, u32, u64, u16)| ctx().timer(Timestamp(p.0), Ordinal(p.1));
        let changes = |p: (i64, u32, u64, u16)| ctx().change(p.1, Position(p.2), u32::from(p.3));
        prop_assert_eq!(timer(&timers(a)), Some((Timestamp(a.0), Ordinal(a.1))));
        prop_assert_eq!(waiting(&ctx().waiting(Timestamp(a.0), Position(a.2))), Some((Timestamp(a.0), Position(a.2))));
        prop_assert_eq!(change(&changes(a)), Some((a.1, Position(a.2), u32::from(a.3))));
        prop_assert_eq!(member(&ctx().member(a.1, a.3)), Some((a.1, a.3)));
        prop_assert_eq!(timeline_log(&ctx().timeline_log(Position(a.2), a.3)), Some((Position(a.2), a.3)));
        prop_assert_eq!(dead_letter(&ctx().dead_letter(Position(a.2))), Some(Position(a.2)));
        prop_assert_eq!(ledger(&ctx().ledger([7; 16], Position(a.2), a.1)), Some(([7; 16], Position(a.2), a.1)));
        prop_assert_eq!(pipeline(&ctx().pipeline(Position(a.2))), Some(Position(a.2)));
        prop_assert_eq!(timers(a).as_bytes().cmp(timers(b).as_bytes()), (a.0, a.1).cmp(&(b.0, b.1)));
        prop_assert_eq!(changes(a).as_bytes().cmp(changes(b).as_bytes()), (a.1, a.2, a.3).cmp(&(b.1, b.2, b.3)));
        let due = ctx().timers_due(Timestamp(b.0));
        prop_assert_eq!(due.from <= timers(a) && timers(a) < due.to, a.0 <= b.0);
        let from = ctx().change_range(b.1, Position(b.2), u32::from(b.3));
        let behind = (a.2, a.3) >= (b.2, b.3);
        prop_assert_eq!(from.from <= changes(a) && changes(a) < from.to, a.1 == b.1 && behind);
    }

    #[test]
    fn derived_keys_decode_and_sort_as_their_parts(a: (i64, [u8; 16], u32), b: (i64, [u8; 16], u32)) {
        let timers = |p: (i64, [u8; 16], u32)| ctx().derived_timer(Timestamp(p.0), FragmentId(p.1), p.2);
        prop_assert_eq!(derived_timer(&timers(a)), Some((Timestamp(a.0), FragmentId(a.1), a.2)));
        prop_assert_eq!(timers(a).as_bytes().cmp(timers(b).as_bytes()), a.cmp(&b));
        let due = ctx().derived_timers_due(Timestamp(b.0));
        prop_assert_eq!(due.from <= timers(a) && timers(a) < due.to, a.0 <= b.0);
        prop_assert_eq!(derived_state(&ctx().derived_state(FragmentId(a.1), a.2)), Some((FragmentId(a.1), a.2)));
        prop_assert_eq!(derived_reading(&ctx().derived_reading(FragmentId(a.1), a.2)), Some((FragmentId(a.1), a.2)));
        for (range, key) in [
            (ctx().derived_states_of(FragmentId(b.1)), ctx().derived_state(FragmentId(a.1), a.2)),
            (ctx().derived_readings_of(FragmentId(b.1)), ctx().derived_reading(FragmentId(a.1), a.2)),
        ] {
            prop_assert_eq!(range.from <= key && key < range.to, a.1 == b.1);
        }
    }

    #[test]
    fn keys_compare_as_their_bytes(a in proptest::collection::vec(0_u8..3, 5..12), b in proptest::collection::vec(0_u8..3, 5..12)) {
        prop_assert_eq!(Key::new(&[&a]).cmp(&Key::new(&[&b])), a.cmp(&b));
    }
}
