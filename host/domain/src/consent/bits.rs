//! Bits in the URL-safe base64 alphabet, six a letter, as the IAB's strings are written.

/// What is left of a string.
pub(super) struct Bits {
    sixes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// None when a letter is not of the alphabet. Padding at the end is tolerated.
    pub(super) fn of(text: &str) -> Option<Self> {
        let letters = text.trim_end_matches('=').bytes();
        let six = |byte| match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            b'-' | b'+' => Some(62),
            b'_' | b'/' => Some(63),
            _ => None,
        };
        Some(Self { sixes: letters.map(six).collect::<Option<_>>()?, at: 0 })
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let six = self.sixes.get(self.at / 6)?;
        let bit = six >> (5 - self.at % 6) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// A number of up to 64 bits, the most significant first.
    pub(super) fn number(&mut self, bits: u32) -> Option<u64> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u64::from(self.bit()?);
        }
        Some(number)
    }

    /// Two letters of six bits each.
    pub(super) fn letters(&mut self) -> Option<String> {
        let mut letter = || {
            let number = u8::try_from(self.number(6)?).ok().filter(|number| *number < 26)?;
            Some(char::from(b'A' + number))
        };
        Some([letter()?, letter()?].iter().collect())
    }

    /// The places, from 1, at which a bit is set.
    pub(super) fn places(&mut self, count: u8) -> Option<Vec<u8>> {
        let mut places = Vec::new();
        for place in 1..=count {
            if self.bit()? {
                places.push(place);
            }
        }
        Some(places)
    }

    /// A number in Fibonacci coding: bits for 1, 2, 3, 5, 8, …, ended by a one that follows a one.
    pub(super) fn fibonacci(&mut self) -> Option<u64> {
        let (mut this, mut next) = (1_u64, 2_u64);
        let (mut sum, mut before) = (0_u64, false);
        loop {
            let bit = self.bit()?;
            if bit && before {
                return Some(sum);
            }
            if bit {
                sum = sum.checked_add(this)?;
            }
            before = bit;
            (this, next) = (next, this.checked_add(next)?);
        }
    }
}
