//! The entries of a window that are kept to the millisecond, small in memory and smaller at rest.
//!
//! A person of ten purchases has as many entries in each window over purchases, so what an entry takes decides what a
//! profile takes. At rest: times as differences, in seconds where all are whole ones; amounts without the zeros that all
//! of them end in. Both as LEB128 numbers, so an entry takes 3 to 5 bytes instead of 15.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// A time and an amount; ordered by time, then those without an amount, then by amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    at: i64,
    /// The upper half of the amount; [`NONE`] where there is none.
    high: i64,
    low: u64,
}

/// No amount reaches this: they are below 10³¹.
const NONE: i64 = i64::MIN;

impl Entry {
    pub(super) fn new(at: Timestamp, amount: Option<i128>) -> Self {
        let (high, low) = amount.map_or((NONE, 0), |amount| ((amount >> 64) as i64, amount as u64));
        Self { at: at.0, high, low }
    }

    pub(super) fn at(self) -> Timestamp {
        Timestamp(self.at)
    }

    pub(super) fn amount(self) -> Option<i128> {
        (self.high != NONE).then(|| i128::from(self.high) << 64 | i128::from(self.low))
    }
}

/// Entries, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entries(Vec<Entry>);

impl std::ops::Deref for Entries {
    type Target = Vec<Entry>;
    fn deref(&self) -> &Vec<Entry> {
        &self.0
    }
}

impl std::ops::DerefMut for Entries {
    fn deref_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.0
    }
}

impl Entries {
    pub(super) fn one(at: Timestamp, amount: Option<i128>) -> Self {
        Self(vec![Entry::new(at, amount)])
    }
}

/// Bits of the first byte.
const SECONDS: u8 = 0x10;
const SOME: u8 = 0x20;
const MIXED: u8 = 0x40;
const ZEROS: u8 = 0x0f;
/// Zeros that are left away at most: amounts are in units of 10⁻¹².
const ZEROS_MAX: u8 = 12;

fn zigzag(n: i128) -> u128 {
    (n << 1 ^ n >> 127) as u128
}

fn zagzig(n: u128) -> i128 {
    (n >> 1) as i128 ^ -((n & 1) as i128)
}

fn put(out: &mut Vec<u8>, mut n: u128) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut n = 0;
    for shift in (0..128).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u128::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// How many zeros all amounts end in, as decimal numbers.
fn common_zeros(entries: &[Entry]) -> u8 {
    let mut zeros = ZEROS_MAX;
    for amount in entries.iter().filter_map(|entry| entry.amount()) {
        while amount % 10_i128.pow(u32::from(zeros)) != 0 {
            zeros -= 1;
        }
    }
    zeros
}

fn write(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + 5 * entries.len());
    if entries.is_empty() {
        return out;
    }
    let with = entries.iter().filter(|entry| entry.amount().is_some()).count();
    let (some, mixed) = (with > 0, with > 0 && with < entries.len());
    let seconds = entries.iter().all(|entry| entry.at % 1000 == 0);
    let zeros = if some { common_zeros(entries) } else { 0 };
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(zeros | flag(seconds, SECONDS) | flag(some, SOME) | flag(mixed, MIXED));
    let (unit, scale) = (if seconds { 1000 } else { 1 }, 10_i128.pow(u32::from(zeros)));
    let mut before = 0;
    for entry in entries {
        put(&mut out, zigzag(i128::from(entry.at / unit) - i128::from(before)));
        before = entry.at / unit;
        let amount = entry.amount();
        if mixed {
            out.push(u8::from(amount.is_some()));
        }
        if let Some(amount) = amount {
            put(&mut out, zigzag(amount / scale));
        }
    }
    out
}

fn read(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let Some((flags, rest)) = bytes.split_first() else { return Some(Vec::new()) };
    bytes = rest;
    let (unit, zeros) = (if flags & SECONDS != 0 { 1000 } else { 1 }, flags & ZEROS);
    if zeros > ZEROS_MAX {
        return None;
    }
    let scale = 10_i128.pow(u32::from(zeros));
    let mut out: Vec<Entry> = Vec::with_capacity(bytes.len() / 2);
    let mut before = 0_i64;
    while !bytes.is_empty() {
        before = before.checked_add(i64::try_from(zagzig(take(&mut bytes)?)).ok()?)?;
        let some = if flags & MIXED != 0 { take(&mut bytes)? != 0 } else { flags & SOME != 0 };
        let amount = if some { Some(zagzig(take(&mut bytes)?).checked_mul(scale)?) } else { None };
        let entry = Entry::new(Timestamp(before.checked_mul(unit)?), amount);
        if out.last().is_some_and(|last| *last > entry) {
            return None;
        }
        out.push(entry);
    }
    Some(out)
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&write(&self.0))
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Entries;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the entries of a window")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Entries, E> {
                read(bytes).map(Entries).ok_or_else(|| E::custom("these are not the entries of a window"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Entries, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes).map_err(|error: A::Error| A::Error::custom(error))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(items: &[(i64, Option<i128>)]) -> Vec<Entry> {
        let mut entries: Vec<_> =
            items.iter().map(|(at, amount)| Entry::new(Timestamp(*at), *amount)).collect();
        entries.sort();
        entries
    }

    #[test]
    fn an_ordinary_purchase_takes_few_bytes() {
        let begin = 1_772_366_400_000;
        let items: Vec<_> = (0..10_i64)
            .map(|n| (begin + n * 86_400_000 + n * 7000, Some(i128::from(6420 + n * 17) * 10_i128.pow(10))))
            .collect();
        let bytes = write(&of(&items));
        assert!(bytes.len() <= 10 * 5 + 4, "{} bytes", bytes.len());
        assert_eq!(read(&bytes), Some(of(&items)));
    }

    #[test]
    fn order_is_by_time_then_without_amount_then_by_amount() {
        let sorted = [(1, None), (1, Some(-5)), (1, Some(0)), (1, Some(1 << 70)), (2, Some(-(1 << 70)))];
        let mut turned = sorted;
        turned.reverse();
        assert_eq!(of(&turned).iter().map(|e| (e.at, e.amount())).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn what_nobody_wrote_is_an_error() {
        for bytes in [&[0x0d, 0][..], &[0x20, 0], &[0, 0x80], &[0x10, 2, 1], &[0; 0]] {
            assert_eq!(read(bytes).is_some(), bytes.is_empty(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(
            mut items in proptest::collection::vec((-1_000_000_000_000_000_i64..1_000_000_000_000_000,
                proptest::option::of(-10_i128.pow(30)..10_i128.pow(30))), 0..40),
            rounded in any::<bool>(), zeros in 0_u32..13,
        ) {
            for (at, amount) in &mut items {
                if rounded { *at -= *at % 1000; }
                *amount = amount.map(|amount| amount - amount % 10_i128.pow(zeros));
            }
            let entries = of(&items);
            prop_assert_eq!(read(&write(&entries)), Some(entries.clone()));
            let bytes = postcard::to_stdvec(&Entries(entries.clone())).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Entries>(&bytes).unwrap(), Entries(entries));
        }
    }
}
