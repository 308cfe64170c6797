//! Seeded randomness: a failure can be run again.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// From `CDP_TEST_SEED`, else `default`; says which.
    pub(crate) fn seeded(default: u64) -> Self {
        let seed = std::env::var("CDP_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
        eprintln!("CDP_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Any order, each as likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
