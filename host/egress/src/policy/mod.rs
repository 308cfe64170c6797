//! Whom this machine may talk to: the one place that decides.
//!
//! A destination's address is read once ([`Target`]), its name is resolved once, *all* of its addresses are judged, and
//! one of those that were judged is dialled. A name with one address that is refused is refused whole: whoever writes a
//! mixed answer means harm or has made a mistake, and in both cases the owner should hear of it.
//!
//! What is refused can be allowed by the operator ([`Policy::read`], `CDP_EGRESS_ALLOW`), for all tenants: a host by name
//! may have private and loopback addresses, any port, and plain http; an address is allowed as itself.
//! Nothing allows what reaches nobody or everybody (unspecified, multicast, reserved), and a name never allows
//! link-local addresses, where clouds keep credentials: those have to be written out.

mod allow;
mod ranges;
mod target;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

pub use allow::{ALLOWED_MAX, AllowError, Policy};
pub use ranges::{Range, range};
pub use target::{Scheme, Target, URL_BYTES_MAX};

use crate::fault::Fault;

/// A rule that forbids a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The address is no URL that can be read in one way only.
    Url,
    /// Another scheme than https, or plain http to a host that is not allowed.
    Scheme,
    /// A user or a password stands in the address.
    UserInfo,
    /// The host is written as an address, and not allowed.
    Literal,
    /// The name is one of a machine's own or of a local network.
    Name,
    /// The port is none that the scheme uses, and not allowed.
    Port,
    /// The name has an address that is no host of the public internet.
    Address(Range),
    /// The name has an address of this machine.
    Own,
    /// Local files may not be written there.
    Path,
}

impl Rule {
    /// The rule's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Url => "refused_url",
            Self::Scheme => "refused_scheme",
            Self::UserInfo => "refused_user_info",
            Self::Literal => "refused_literal",
            Self::Name => "refused_name",
            Self::Port => "refused_port",
            Self::Address(_) => "refused_address",
            Self::Own => "refused_own_address",
            Self::Path => "refused_path",
        }
    }
}

impl Policy {
    /// Judges all addresses of a name; those to dial, in their order.
    ///
    /// # Errors
    /// The rule, when a single one of them is refused.
    pub(crate) fn judge(
        &self,
        target: &Target,
        found: &[IpAddr],
        is_own: impl Fn(IpAddr) -> bool,
    ) -> Result<Vec<SocketAddr>, Fault> {
        for &address in found {
            if self.allows_address(address, target.port()) {
                continue;
            }
            let by_name = self.allows_host(target);
            match range(address) {
                Some(range) if !(by_name && range.follows_from_a_name()) => {
                    return Err(Fault::refused(
                        Rule::Address(range),
                        format!("{} has the address {address}, which is {}", target.host(), range.as_str()),
                    ));
                }
                None if !by_name && is_own(address) => {
                    return Err(Fault::refused(
                        Rule::Own,
                        format!("{} has the address {address}, which is this machine's own", target.host()),
                    ));
                }
                Some(_) | None => {}
            }
        }
        Ok(found.iter().map(|&address| SocketAddr::new(address, target.port())).collect())
    }
}
