//! What an operator allows beyond the public internet.

use std::net::IpAddr;

use super::Target;
use super::ranges::{Range, range};

/// Entries of an operator's list, at most.
pub const ALLOWED_MAX: usize = 256;

/// What may be reached. One value for the whole installation, read once.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allowed: Vec<Allowed>,
    /// For tests of the other rules, whose listeners have any port.
    #[cfg(test)]
    any_port: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowed {
    host: Host,
    /// None is any port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why an operator's list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {number}, {entry:?}: {why}")]
pub struct AllowError {
    /// Which one, from 1.
    pub number: usize,
    /// As it was written.
    pub entry: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Policy {
    /// Reads `host,host:port,address,…`; the empty text allows nothing beyond the public internet.
    ///
    /// A host is a name, an IPv4 address of four decimal numbers, or an IPv6 address (in brackets if a port follows).
    /// Without a port, every port of it is allowed.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn read(text: &str) -> Result<Self, AllowError> {
        let mut allowed = Vec::new();
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        for (entry, number) in entries.zip(1..) {
            let wrong = |why| AllowError { number, entry: entry.to_owned(), why };
            if number > ALLOWED_MAX {
                return Err(wrong("there are more entries than may be"));
            }
            allowed.push(read_entry(entry).map_err(wrong)?);
        }
        Ok(Self {
            allowed,
            #[cfg(test)]
            any_port: false,
        })
    }

    #[cfg(test)]
    pub(super) fn with_any_port(self) -> Self {
        Self { any_port: true, ..self }
    }

    pub(super) fn allows_any_port(&self) -> bool {
        #[cfg(test)]
        return self.any_port;
        #[cfg(not(test))]
        false
    }

    /// Whether a target's host is on the list, as it is written.
    pub(crate) fn allows_host(&self, target: &Target) -> bool {
        self.allowed.iter().any(|allowed| {
            allowed.port.is_none_or(|port| port == target.port())
                && match &allowed.host {
                    Host::Name(name) => target.literal().is_none() && name == target.host(),
                    Host::Address(address) => target.literal() == Some(*address),
                }
        })
    }

    /// Whether an address is on the list as itself.
    pub(crate) fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        self.allowed.iter().any(|allowed| {
            allowed.host == Host::Address(address) && allowed.port.is_none_or(|allowed| allowed == port)
        })
    }
}

fn read_entry(entry: &str) -> Result<Allowed, &'static str> {
    let address = |address: IpAddr, port| match range(address) {
        Some(Range::Unspecified | Range::Multicast | Range::Reserved) => {
            Err("nobody or everybody can be reached there, which cannot be allowed")
        }
        Some(Range::Mapped) => Err("write the IPv4 address itself"),
        _ => Ok(Allowed { host: Host::Address(address), port }),
    };
    if let Ok(plain) = entry.parse::<IpAddr>() {
        return address(plain, None);
    }
    if let Some(rest) = entry.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        let inside = inside.parse().map_err(|_| "what stands in brackets is no IPv6 address")?;
        return address(IpAddr::V6(inside), port(rest)?);
    }
    let (host, rest) = entry.find(':').map_or((entry, ""), |at| entry.split_at(at));
    let port = port(rest)?;
    if let Ok(plain) = host.parse::<IpAddr>() {
        return address(plain, port);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    match url::Host::parse(host) {
        Ok(url::Host::Domain(name)) if !host.contains('*') => Ok(Allowed { host: Host::Name(name), port }),
        Ok(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => Err("write an address as four decimal numbers"),
        Ok(url::Host::Domain(_)) | Err(_) => Err("is no name of a host and no address"),
    }
}

fn port(rest: &str) -> Result<Option<u16>, &'static str> {
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok(None),
        None => Err("is no name of a host and no address"),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err("its port is none"),
            Ok(port) => Ok(Some(port)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_strictly() {
        for good in [
            "",
            " , ",
            "receiver.internal",
            "Receiver.Internal:8080, 10.0.0.5",
            "[::1]:80,fd00::7",
            "localhost",
        ] {
            assert!(Policy::read(good).is_ok(), "{good}");
        }
        for bad in [
            "https://receiver.internal",
            "receiver/internal",
            "10.0.0.0/8",
            "0x7f.1",
            "2130706433",
            "a b",
            "*.example.com",
            "host:0",
            "host:99999",
            "host:",
            "[::1",
            "[::1]x",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "ff02::1",
            "::ffff:127.0.0.1",
            "ok.example,bad host",
        ] {
            let error = Policy::read(bad).unwrap_err();
            assert_eq!(error.number, if bad.starts_with("ok") { 2 } else { 1 }, "{bad}");
        }
    }

    #[test]
    fn as_many_entries_as_may_be_and_one_more() {
        let list = |n: usize| (0..n).map(|n| format!("h{n}.example")).collect::<Vec<_>>().join(",");
        assert!(Policy::read(&list(ALLOWED_MAX)).is_ok());
        assert_eq!(Policy::read(&list(ALLOWED_MAX + 1)).unwrap_err().number, ALLOWED_MAX + 1);
    }
}
