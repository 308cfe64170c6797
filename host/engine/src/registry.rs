//! Which tenants there are and which keys open them: folded from the installation's own journal, held in memory.
//!
//! An API key reads `cdp_live_<kind>_<id>_<secret><checksum>`: the checksum (of what stands before it) tells a
//! typing error without a look-up, the id finds the record, the secret is compared by its keyed digest in constant
//! time. The secret itself is shown once and kept nowhere.

use std::collections::HashMap;
use std::fmt;

use cdp_domain::ids::{KeyId, TenantId, TenantNo, UserId};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_store::seal::Digests;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::users::{self, LinkKind, PasswordHash, Role, UserInfo};

use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Tenants of one installation.
pub const TENANTS_MAX: usize = 1000;
/// Keys of one tenant that are not revoked.
pub const KEYS_MAX: usize = 1000;

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Sending events.
    Ingest,
    /// Reading profiles, segments, attributes.
    Read,
    /// Destinations and exports.
    Export,
    /// Definitions, plugins, keys: everything of its tenant.
    Admin,
    /// The installation: tenants.
    Operator,
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(u8);

impl Scopes {
    /// The scopes that a tenant's key may have, with their names.
    pub const OF_TENANTS: [(&'static str, Scope); 4] = [
        ("ingest", Scope::Ingest),
        ("read", Scope::Read),
        ("export", Scope::Export),
        ("admin", Scope::Admin),
    ];

    /// These scopes.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | 1 << *scope as u8))
    }

    /// Whether they include this one; `admin` includes all of its tenant's.
    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        let has = |scope: Scope| self.0 & 1 << scope as u8 != 0;
        has(scope) || (scope != Scope::Operator && has(Scope::Admin))
    }

    /// Their names.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = Self::OF_TENANTS.into_iter().chain([("operator", Scope::Operator)]);
        all.filter(|(_, scope)| self.0 & 1 << *scope as u8 != 0).map(|(name, _)| name).collect()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A tenant as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantInfo {
    /// Its number in keys and paths.
    pub no: TenantNo,
    /// Its id for clients.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: CompactString,
    /// Its name for people.
    pub name: String,
    /// IANA name of the zone its days are counted in.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is needed to make a tenant.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// 1 to 64 of a–z, 0–9 and -.
    pub slug: String,
    /// For people.
    pub name: String,
    /// IANA name; UTC when None.
    pub time_zone: Option<String>,
}

/// What is needed to make a key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people, and the source of events that name none.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Whether anybody can read it, as in a web page: what it says joins nobody who is known already.
    pub public: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A key as listed; never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its id.
    pub id: KeyId,
    /// For people.
    pub name: CompactString,
    /// What it allows.
    pub scopes: Scopes,
    /// Whether anybody can read it, as in a web page.
    #[serde(default)]
    pub public: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who is asking.
#[derive(Clone)]
pub struct Principal {
    /// Whose data it may see.
    pub tenant: Tenant,
    /// What it may do.
    pub scopes: Scopes,
    /// With which key.
    pub key: KeyId,
    /// Whether anybody can read that key.
    pub public: bool,
    /// The source of events that name none.
    pub source: CompactString,
}

/// A change of the registry, as it stands in the installation's journal (JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum Change {
    /// A tenant was made.
    TenantCreated { tenant: TenantInfo },
    /// A key was made.
    KeyCreated { tenant: TenantNo, key: KeyInfo, digest: [u8; 16] },
    /// A key was revoked.
    KeyRevoked { tenant: TenantNo, id: KeyId, at: Timestamp },
    /// A console user was made, without a password.
    UserCreated { tenant: TenantNo, user: UserInfo },
    /// A console user may do other things from here on.
    UserRole { tenant: TenantNo, id: UserId, role: Role },
    /// A console user is none any more.
    UserRemoved { tenant: TenantNo, id: UserId, at: Timestamp },
    /// A console user has another password.
    PasswordSet { tenant: TenantNo, id: UserId, hash: PasswordHash, at: Timestamp },
    /// A link lets a console user in once; the one before is void.
    LinkMade { tenant: TenantNo, id: UserId, digest: [u8; 16], kind: LinkKind, expires_at: Timestamp },
    /// It did.
    LinkUsed { tenant: TenantNo, id: UserId },
    /// A console user signed in.
    SessionOpened { tenant: TenantNo, id: UserId, digest: [u8; 16], at: Timestamp },
    /// And out.
    SessionEnded { digest: [u8; 16] },
}

/// The fold over the installation's journal.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) tenants: HashMap<TenantNo, TenantInfo>,
    pub(crate) keys: HashMap<KeyId, Record>,
    pub(crate) users: users::Users,
}

/// A key and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) tenant: TenantNo,
    pub(crate) info: KeyInfo,
    digest: [u8; 16],
}

impl Registry {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::TenantCreated { tenant } => {
                self.tenants.insert(tenant.no, tenant);
            }
            Change::KeyCreated { tenant, key, digest } => {
                self.keys.insert(key.id, Record { tenant, info: key, digest });
            }
            Change::KeyRevoked { tenant, id, at } => {
                if let Some(record) = self.keys.get_mut(&id).filter(|record| record.tenant == tenant) {
                    record.info.revoked_at.get_or_insert(at);
                }
            }
            change => self.users.apply(change),
        }
    }

    /// The number of the next tenant; numbers are never reused.
    pub(crate) fn next_no(&self) -> TenantNo {
        TenantNo(self.tenants.keys().map(|no| no.0).max().unwrap_or(0) + 1)
    }

    /// The record that a presented key opens at `now`.
    pub(crate) fn find(&self, presented: &str, digests: &Digests, now: Timestamp) -> Option<&Record> {
        let (id, secret) = parse(presented)?;
        let record = self.keys.get(&id)?;
        let same: bool = digests.wide(secret.as_bytes()).ct_eq(&record.digest).into();
        let ended = record.info.expires_at.is_some_and(|end| end <= now);
        (same && record.info.revoked_at.is_none() && !ended).then_some(record)
    }
}

/// A fresh key: the record's change, and the text that is shown once.
pub(crate) fn mint(
    tenant: TenantNo,
    new: &NewKey,
    now: Timestamp,
    digests: &Digests,
) -> Result<(Change, KeyInfo, String)> {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes).map_err(Refused::internal)?;
    let id = KeyId(bytes[..16].try_into().expect("16 bytes"));
    let secret = cdp_domain::hex::encode(&bytes[16..]);
    let scopes = Scopes::of(&new.scopes);
    let kind = scopes.names().last().copied().unwrap_or("none");
    let bare = id.to_string();
    let bare = bare.trim_start_matches(KeyId::PREFIX);
    let mut text = format!("cdp_live_{kind}_{bare}_{secret}");
    text.push_str(&checksum(&text));
    let info = KeyInfo {
        id,
        name: new.name.as_str().into(),
        scopes,
        public: new.public,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    let digest = digests.wide(secret.as_bytes());
    Ok((Change::KeyCreated { tenant, key: info.clone(), digest }, info, text))
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().as_str()[..8].to_owned()
}

/// Takes a presented key apart: its id and its secret.
fn parse(presented: &str) -> Option<(KeyId, &str)> {
    let (text, sum) = presented.split_at_checked(presented.len().checked_sub(8)?)?;
    if checksum(text) != sum {
        return None;
    }
    let mut parts = text.strip_prefix("cdp_live_")?.splitn(3, '_');
    let (_, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    Some((format!("{}{id}", KeyId::PREFIX).parse().ok()?, secret))
}

/// Checks what a tenant is to be made of.
pub(crate) fn check_tenant(new: &NewTenant) -> Result<()> {
    let mut problems = Vec::new();
    let slug_ok = (1..=64).contains(&new.slug.len())
        && new.slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !slug_ok {
        problems.push(Problem::new("/slug", Code::Invalid, "must be 1 to 64 of a-z, 0-9 and -"));
    }
    if new.name.trim().is_empty() || new.name.len() > 200 {
        problems.push(Problem::new("/name", Code::Invalid, "must have 1 to 200 bytes"));
    }
    if let Some(zone) = &new.time_zone
        && !cdp_domain::time::is_zone(zone)
    {
        problems.push(Problem::new(
            "/time_zone",
            Code::Invalid,
            "is not a known time zone such as Europe/Riga",
        ));
    }
    if problems.is_empty() { Ok(()) } else { Err(Refused::Invalid(problems)) }
}

/// Checks what a key is to be made of.
pub(crate) fn check_key(new: &NewKey, now: Timestamp) -> Result<()> {
    let mut problems = Vec::new();
    if new.name.trim().is_empty() || new.name.len() > cdp_domain::limits::SOURCE_BYTES_MAX {
        problems.push(Problem::new("/name", Code::Invalid, "must have 1 to 128 bytes"));
    }
    if new.scopes.is_empty() || new.scopes.contains(&Scope::Operator) {
        problems.push(Problem::new("/scopes", Code::Invalid, "must be some of ingest, read, export, admin"));
    }
    if new.public && new.scopes != [Scope::Ingest] {
        let detail = "must be false unless `ingest` is the only scope";
        problems.push(Problem::new("/public", Code::Invalid, detail));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        problems.push(Problem::new("/expires_at", Code::Invalid, "must be in the future"));
    }
    if problems.is_empty() { Ok(()) } else { Err(Refused::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_store::seal::MasterKey;

    fn digests() -> Digests {
        Digests::new(&MasterKey::from_bytes([1; 32]), TenantNo(0), "test")
    }

    #[test]
    fn a_key_opens_until_it_ends_or_is_revoked() {
        let new = NewKey {
            name: "shop".into(),
            scopes: vec![Scope::Ingest],
            public: false,
            expires_at: Some(Timestamp(10)),
        };
        let (change, info, text) = mint(TenantNo(7), &new, Timestamp(0), &digests()).unwrap();
        let mut registry = Registry::default();
        registry.apply(change);
        let find = |registry: &Registry, text: &str, now| {
            registry.find(text, &digests(), Timestamp(now)).map(|r| r.tenant)
        };
        assert_eq!(find(&registry, &text, 9), Some(TenantNo(7)));
        assert_eq!(find(&registry, &text, 10), None);
        let mut other = text.clone();
        let last = other.pop().unwrap();
        other.push(if last == '0' { '1' } else { '0' });
        assert_eq!(find(&registry, &other, 0), None);
        registry.apply(Change::KeyRevoked { tenant: TenantNo(8), id: info.id, at: Timestamp(1) });
        assert_eq!(find(&registry, &text, 2), Some(TenantNo(7)), "another tenant cannot revoke it");
        registry.apply(Change::KeyRevoked { tenant: TenantNo(7), id: info.id, at: Timestamp(1) });
        assert_eq!(find(&registry, &text, 2), None);
    }

    #[test]
    fn a_key_with_another_secret_and_a_right_checksum_opens_nothing() {
        let new = NewKey { name: "shop".into(), scopes: vec![Scope::Admin], public: false, expires_at: None };
        let (change, _, text) = mint(TenantNo(7), &new, Timestamp(0), &digests()).unwrap();
        let mut registry = Registry::default();
        registry.apply(change);
        let body = &text[..text.len() - 9];
        let forged = format!("{body}x");
        let forged = format!("{forged}{}", checksum(&forged));
        assert!(registry.find(&forged, &digests(), Timestamp(0)).is_none());
        for bad in ["", "cdp_live_", "x", "cdp_live_a_b_c", "cdp_live_admin_00_ff00000000", "ключ"] {
            assert!(registry.find(bad, &digests(), Timestamp(0)).is_none(), "{bad}");
        }
    }

    #[test]
    fn admin_includes_its_tenants_scopes_and_not_the_installations() {
        let admin = Scopes::of(&[Scope::Admin]);
        assert!(
            [Scope::Ingest, Scope::Read, Scope::Export, Scope::Admin].iter().all(|scope| admin.allow(*scope))
        );
        assert!(!admin.allow(Scope::Operator));
        assert!(!Scopes::of(&[Scope::Ingest]).allow(Scope::Read));
    }
}
