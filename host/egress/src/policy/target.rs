//! A destination's address, read once.

use std::net::IpAddr;

use url::Url;

use super::{Policy, Rule};
use crate::fault::Fault;

/// Bytes of a destination's address, at most.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// How the other side is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP inside TLS.
    Https,
    /// Plain HTTP; only to hosts that the operator allows.
    Http,
    /// PostgreSQL's protocol.
    Postgres,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Postgres => "postgres",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Postgres => 5432,
        }
    }

    /// Ports that need nobody's permission: the usual one, and those that pools and hosted services have.
    pub(crate) fn ports(self) -> &'static [u16] {
        match self {
            Self::Https => &[443, 8443],
            Self::Http => &[80],
            Self::Postgres => &[5432, 5433, 6432, 6543],
        }
    }
}

/// Where to connect to, of which the policy has nothing against the spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: Scheme,
    /// In lower case and ASCII, without brackets and final dot.
    host: String,
    literal: Option<IpAddr>,
    port: u16,
}

impl Target {
    /// How it is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name in ASCII, or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host, where it is written as an address.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    /// `scheme://host[:port]`, which is safe to show.
    #[must_use]
    pub fn origin(&self) -> String {
        let host = match self.literal {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        let name = self.scheme.name();
        if self.port == self.scheme.default_port() {
            format!("{name}://{host}")
        } else {
            format!("{name}://{host}:{}", self.port)
        }
    }
}

impl Policy {
    /// Reads the address of something that speaks HTTP; what it is and the address in its one form.
    ///
    /// Nothing is resolved: what the name stands for is judged when it is dialled.
    ///
    /// # Errors
    /// The rule that the spelling breaks.
    pub fn http(&self, text: &str) -> Result<(Target, Url), Fault> {
        plain(text)?;
        let url = parse(text)?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(Fault::refused(Rule::Scheme, "the address does not begin with https://")),
        };
        if has_user(text, &url) {
            return Err(Fault::refused(Rule::UserInfo, "the address has a user or a password in it"));
        }
        if url.fragment().is_some() {
            return Err(Fault::refused(Rule::Url, "the address has a fragment (#…), which is never sent"));
        }
        let target = self.target(scheme, &url)?;
        if scheme == Scheme::Http && !self.allows_host(&target) {
            return Err(Fault::refused(
                Rule::Scheme,
                format!(
                    "plain http to {} is not allowed: use https, or have the operator allow it",
                    target.host
                ),
            ));
        }
        Ok((target, url))
    }

    /// Reads the address of a PostgreSQL server, in which a user and a password may stand.
    ///
    /// # Errors
    /// As [`Self::http`].
    pub(crate) fn postgres(&self, text: &str) -> Result<(Target, Url), Fault> {
        plain(text)?;
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest =
            rest.ok_or_else(|| Fault::refused(Rule::Scheme, "the address does not begin with postgres://"))?;
        // Of a scheme that the standard for URLs knows, so that hosts are read by the same rules as everywhere.
        let url = parse(&format!("ftp://{rest}"))?;
        if rest.split(['/', '?']).next().is_some_and(|authority| authority.ends_with(":21")) {
            return Err(Fault::refused(Rule::Port, "the port 21 is none of PostgreSQL"));
        }
        if url.fragment().is_some() {
            return Err(Fault::refused(Rule::Url, "the address has a fragment (#…)"));
        }
        Ok((self.target(Scheme::Postgres, &url)?, url))
    }

    fn target(&self, scheme: Scheme, url: &Url) -> Result<Target, Fault> {
        let (host, literal) = match url.host() {
            Some(url::Host::Domain(name)) => (name.strip_suffix('.').unwrap_or(name).to_owned(), None),
            Some(url::Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(url::Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
            None => return Err(Fault::refused(Rule::Url, "the address has no host")),
        };
        let port = url.port().unwrap_or(scheme.default_port());
        let target = Target { scheme, host, literal, port };
        if self.allows_host(&target) {
            return Ok(target);
        }
        if literal.is_some() {
            return Err(Fault::refused(
                Rule::Literal,
                format!(
                    "{} is written as an address: use a name, or have the operator allow it",
                    target.host
                ),
            ));
        }
        name(&target.host)?;
        if !scheme.ports().contains(&port) && !self.allows_any_port() {
            let ports: Vec<String> = scheme.ports().iter().map(u16::to_string).collect();
            return Err(Fault::refused(
                Rule::Port,
                format!(
                    "port {port} is none of {}: use one of those, or have the operator allow {}:{port}",
                    ports.join(", "),
                    target.host
                ),
            ));
        }
        Ok(target)
    }
}

/// A user in an address, also an empty one: who reads past it reads another host.
fn has_user(text: &str, url: &Url) -> bool {
    let authority = text.split_once("//").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@') || !url.username().is_empty() || url.password().is_some()
}

/// What a parser would drop or turn into something else is not there to begin with.
fn plain(text: &str) -> Result<(), Fault> {
    if text.len() > URL_BYTES_MAX {
        return Err(Fault::refused(
            Rule::Url,
            format!("the address has {} bytes, {URL_BYTES_MAX} are allowed", text.len()),
        ));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Fault::refused(Rule::Url, "the address has blanks, control characters or backslashes"));
    }
    // A parser of the web forgives `https:host` and `https:///host`; nobody else does.
    let rest = text.split_once("://").map(|(_, rest)| rest);
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Err(Fault::refused(Rule::Url, "the address is not of the form https://host/…"));
    }
    Ok(())
}

fn parse(text: &str) -> Result<Url, Fault> {
    Url::parse(text).map_err(|error| Fault::refused(Rule::Url, format!("the address is no URL: {error}")))
}

/// Names that belong to a machine or to a local network, and names that are not whole.
const LOCAL: &[&str] =
    &["localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa", "onion"];

fn name(host: &str) -> Result<(), Fault> {
    let refused = |why: &str| Err(Fault::refused(Rule::Name, format!("{host} {why}")));
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if host.split('.').any(str::is_empty) || !host.bytes().all(known) {
        return refused("is no name of a host");
    }
    let local = LOCAL
        .iter()
        .any(|local| host == *local || host.strip_suffix(local).is_some_and(|before| before.ends_with('.')));
    if local {
        return refused("is a name of a local network");
    }
    if !host.contains('.') {
        return refused("is no whole name: it has no dot");
    }
    Ok(())
}
