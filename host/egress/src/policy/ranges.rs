//! Which addresses are the public internet, and what the others are.
//!
//! The table is the special-purpose registries of IANA, read strictly: what is not surely a host of the public internet
//! is refused, also where a registry calls a part of it reachable. An address that carries another one inside, as
//! translation and tunnels do, is refused whole: where it would come out is not for its writer to choose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is when it is no host of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    /// `0.0.0.0/8`, `::`: nobody, which systems take for themselves.
    Unspecified,
    /// This machine.
    Loopback,
    /// `10/8`, `172.16/12`, `192.168/16`, and site-local addresses of old.
    Private,
    /// `fc00::/7`.
    UniqueLocal,
    /// `100.64/10`: between a provider and its customers.
    SharedByProvider,
    /// `169.254/16`, `fe80::/10`; where clouds serve a machine's credentials.
    LinkLocal,
    /// Many at once.
    Multicast,
    /// `255.255.255.255` and the rest of `240/4`, and whatever IPv6 has not given out yet.
    Reserved,
    /// Examples in papers.
    Documentation,
    /// Measurements between devices.
    Benchmarking,
    /// Protocols' own: `192.0.0.0/24`, `2001::/23` and such.
    Protocol,
    /// An IPv4 address inside an IPv6 one (mapped or compatible).
    Mapped,
    /// An address that a translator turns into IPv4.
    Nat64,
    /// A tunnel to an IPv4 address (6to4, its relay, Teredo, ISATAP).
    Tunnel,
}

impl Range {
    /// The word for it in a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::UniqueLocal => "unique local",
            Self::SharedByProvider => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Protocol => "a protocol's own",
            Self::Mapped => "IPv4 inside IPv6",
            Self::Nat64 => "NAT64",
            Self::Tunnel => "a tunnel's",
        }
    }

    /// Whether an operator who allows a host by name means an address of this kind too. What reaches everybody, nobody,
    /// or a cloud's credentials has to be allowed as the address that it is, and some of it not even so.
    pub(crate) fn follows_from_a_name(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::UniqueLocal | Self::SharedByProvider => true,
            Self::Unspecified
            | Self::LinkLocal
            | Self::Multicast
            | Self::Reserved
            | Self::Documentation
            | Self::Benchmarking
            | Self::Protocol
            | Self::Mapped
            | Self::Nat64
            | Self::Tunnel => false,
        }
    }
}

/// What an address is when it is no host of the public internet; none when it is one.
#[must_use]
pub fn range(address: IpAddr) -> Option<Range> {
    match address {
        IpAddr::V4(address) => range_v4(address),
        IpAddr::V6(address) => range_v6(address),
    }
}

/// `(first address, length of the prefix, what it is)`; the first that fits.
const V4: &[([u8; 4], u32, Range)] = &[
    ([0, 0, 0, 0], 8, Range::Unspecified),
    ([10, 0, 0, 0], 8, Range::Private),
    ([100, 64, 0, 0], 10, Range::SharedByProvider),
    ([127, 0, 0, 0], 8, Range::Loopback),
    ([169, 254, 0, 0], 16, Range::LinkLocal),
    ([172, 16, 0, 0], 12, Range::Private),
    ([192, 0, 0, 0], 24, Range::Protocol),
    ([192, 0, 2, 0], 24, Range::Documentation),
    ([192, 88, 99, 0], 24, Range::Tunnel),
    ([192, 168, 0, 0], 16, Range::Private),
    ([198, 18, 0, 0], 15, Range::Benchmarking),
    ([198, 51, 100, 0], 24, Range::Documentation),
    ([203, 0, 113, 0], 24, Range::Documentation),
    ([224, 0, 0, 0], 4, Range::Multicast),
    ([240, 0, 0, 0], 4, Range::Reserved),
];

fn range_v4(address: Ipv4Addr) -> Option<Range> {
    let bits = u32::from(address);
    V4.iter()
        .find(|(first, length, _)| {
            let mask = u32::MAX << (32 - length);
            bits & mask == u32::from_be_bytes(*first)
        })
        .map(|(_, _, range)| *range)
}

/// As [`V4`], in groups of 16 bits; what is left out of a group list is zero.
const V6: &[(&[u16], u32, Range)] = &[
    (&[], 128, Range::Unspecified),
    (&[0, 0, 0, 0, 0, 0, 0, 1], 128, Range::Loopback),
    (&[0, 0, 0, 0, 0, 0xffff], 96, Range::Mapped),
    (&[0, 0, 0, 0, 0xffff], 96, Range::Mapped),
    (&[], 96, Range::Mapped),
    (&[0x64, 0xff9b], 96, Range::Nat64),
    (&[0x64, 0xff9b, 1], 48, Range::Nat64),
    (&[0x2001], 32, Range::Tunnel),
    (&[0x2001, 2], 48, Range::Benchmarking),
    (&[0x2001], 23, Range::Protocol),
    (&[0x2001, 0xdb8], 32, Range::Documentation),
    (&[0x2002], 16, Range::Tunnel),
    (&[0x3fff], 20, Range::Documentation),
    (&[0xfc00], 7, Range::UniqueLocal),
    (&[0xfe80], 10, Range::LinkLocal),
    (&[0xfec0], 10, Range::Private),
    (&[0xff00], 8, Range::Multicast),
];

fn range_v6(address: Ipv6Addr) -> Option<Range> {
    let bits = u128::from(address);
    let known = V6.iter().find(|(groups, length, _)| {
        let mut first = [0_u16; 8];
        first[..groups.len()].copy_from_slice(groups);
        let mask = u128::MAX << (128 - length);
        bits & mask == u128::from(Ipv6Addr::from(first))
    });
    if let Some((_, _, range)) = known {
        return Some(*range);
    }
    // Only 2000::/3 has been given out.
    if bits >> 125 != 0b001 {
        return Some(Range::Reserved);
    }
    // ISATAP: an interface's part that says which IPv4 address is meant.
    let interface = (bits >> 32) as u32;
    (interface & !0x0200_0000 == 0x5efe).then_some(Range::Tunnel)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is not public, written a second time and differently: as first and last addresses.
    const NAIVE_V4: &[(&str, &str)] = &[
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "239.255.255.255"),
        ("240.0.0.0", "255.255.255.255"),
    ];
    const NAIVE_V6: &[(&str, &str)] = &[
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().into()
    }

    fn v6(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().into()
    }

    fn naive_v4(bits: u32) -> bool {
        NAIVE_V4.iter().all(|(first, last)| !(v4(first)..=v4(last)).contains(&bits))
    }

    fn naive_v6(bits: u128) -> bool {
        let text = format!("{:032x}", bits);
        let isatap = ["00005efe", "02005efe"].contains(&&text[16..24]);
        !isatap && NAIVE_V6.iter().all(|(first, last)| !(v6(first)..=v6(last)).contains(&bits))
    }

    #[test]
    fn the_edges_of_every_range_are_inside_and_their_neighbours_are_judged_by_themselves() {
        for (first, last) in NAIVE_V4 {
            let (first, last) = (v4(first), v4(last));
            for bits in [first, first + (last - first) / 2, last, first.wrapping_sub(1), last.wrapping_add(1)]
            {
                assert_eq!(range_v4(bits.into()).is_none(), naive_v4(bits), "{}", Ipv4Addr::from(bits));
            }
        }
        for (first, last) in NAIVE_V6 {
            let (first, last) = (v6(first), v6(last));
            for bits in [first, first + (last - first) / 2, last, first.wrapping_sub(1), last.wrapping_add(1)]
            {
                assert_eq!(range_v6(bits.into()).is_none(), naive_v6(bits), "{}", Ipv6Addr::from(bits));
            }
        }
    }

    #[test]
    fn ranges_have_their_names() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("2606:4700:4700::1111", None),
            ("2a00:1450:4001:82a::200e", None),
            ("127.0.0.1", Some(Range::Loopback)),
            ("::1", Some(Range::Loopback)),
            ("::", Some(Range::Unspecified)),
            ("169.254.169.254", Some(Range::LinkLocal)),
            ("fd00:ec2::254", Some(Range::UniqueLocal)),
            ("::ffff:8.8.8.8", Some(Range::Mapped)),
            ("::8.8.8.8", Some(Range::Mapped)),
            ("::ffff:0:8.8.8.8", Some(Range::Mapped)),
            ("64:ff9b::8.8.8.8", Some(Range::Nat64)),
            ("64:ff9b:1::1", Some(Range::Nat64)),
            ("2002:7f00:1::", Some(Range::Tunnel)),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(Range::Tunnel)),
            ("2001:2::1", Some(Range::Benchmarking)),
            ("2001:20::1", Some(Range::Protocol)),
            ("2a00:1450::5efe:127.0.0.1", Some(Range::Tunnel)),
            ("2a00:1450::200:5efe:10.0.0.1", Some(Range::Tunnel)),
            ("100::1", Some(Range::Reserved)),
            ("5f00::1", Some(Range::Reserved)),
            ("fec0::1", Some(Range::Private)),
            ("ff02::1", Some(Range::Multicast)),
            ("100.100.100.200", Some(Range::SharedByProvider)),
            ("198.19.0.1", Some(Range::Benchmarking)),
            ("255.255.255.255", Some(Range::Reserved)),
        ] {
            assert_eq!(range(address.parse().unwrap()), expected, "{address}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_v4_address_is_judged_as_the_naive_table_does(bits in any::<u32>()) {
            prop_assert_eq!(range_v4(bits.into()).is_none(), naive_v4(bits));
        }

        #[test]
        fn any_v6_address_is_judged_as_the_naive_table_does(
            bits in any::<u128>(),
            head in prop::sample::select(vec![0, 0x64ff9b_u32, 0x2001_0000, 0x2001_0db8, 0x2002_7f00, 0x3fff_0000, 0x2606_4700]),
            keep in 0..=1_u8,
            isatap in any::<bool>(),
        ) {
            let mut bits = if keep == 1 { bits } else { bits & (u128::MAX >> 32) | u128::from(head) << 96 };
            if isatap {
                bits = bits & !(0xffff_ffff << 32) | 0x5efe << 32;
            }
            prop_assert_eq!(range_v6(bits.into()).is_none(), naive_v6(bits), "{}", Ipv6Addr::from(bits));
        }
    }
}
