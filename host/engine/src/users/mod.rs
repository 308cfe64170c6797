//! Console users: who works in a tenant's console, as what, and the sessions in which they do.
//!
//! Users, links and sessions are folded from the installation's own journal, like tenants and keys. Of a password only a
//! hash is kept that somebody else made (this crate hashes none), of a session's or a link's token only a keyed digest.
//! When a session was last used is held in memory: a restart begins its idle time anew, never its whole time.

mod doors;
mod fold;
#[cfg(test)]
mod tests;

use std::fmt;

use cdp_domain::ids::UserId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::{Refused, Result};
use crate::registry::TenantInfo;
use crate::tenant::Tenant;

pub(crate) use doors::Doors;
pub(crate) use fold::Users;

/// Console users of one tenant.
pub const USERS_MAX: usize = 200;
/// Bytes of a console user's name.
pub const USER_NAME_BYTES_MAX: usize = 128;
/// Sessions of one console user at a time: the one that was opened first makes way.
pub const SESSIONS_PER_USER_MAX: usize = 10;
/// Milliseconds after which a session ends, however much it is used.
pub const SESSION_MS_MAX: i64 = 12 * 3_600_000;
/// Milliseconds after which a session ends that nobody uses.
pub const SESSION_IDLE_MS_MAX: i64 = 2 * 3_600_000;
/// Milliseconds for which a one-time link lets somebody in.
pub const LINK_MS_MAX: i64 = 24 * 3_600_000;

/// What a console user is there for; what each may do stands in one table of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Finds, defines and exports audiences.
    Marketer,
    /// Sends events and writes plugins.
    Developer,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Marketer, Self::Developer, Self::Admin];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketer => "marketer",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A console user as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    /// Their id.
    pub id: UserId,
    /// By which they sign in; unique in the tenant, in lower case.
    pub name: CompactString,
    /// What they are there for.
    pub role: Role,
    /// When they were made.
    pub created_at: Timestamp,
    /// When their password was set; None while they have none.
    pub password_set_at: Option<Timestamp>,
    /// When they were removed.
    pub removed_at: Option<Timestamp>,
}

/// The hash of a password, as a PHC string. Its printed form tells nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A password is set, then it lets in.
    Invite,
    /// It lets in at once.
    SignIn,
}

impl LinkKind {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::SignIn => "sign_in",
        }
    }
}

/// Where a one-time link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// To a tenant that has no console user: whoever opens it becomes the first, an admin.
    First(TenantInfo),
    /// To a user.
    Of(TenantInfo, UserInfo, LinkKind),
}

/// What somebody brings who goes through a one-time link.
#[derive(Debug, Clone, Default)]
pub struct Entering {
    /// The name of the first user; not asked for of others.
    pub name: Option<String>,
    /// The hash of the password that they chose; not needed for [`LinkKind::SignIn`].
    pub password: Option<PasswordHash>,
}

/// A session in which somebody works.
#[derive(Clone)]
pub struct Session {
    /// Whose data it is about.
    pub tenant: Tenant,
    /// Who.
    pub user: UserInfo,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// The name that a text is, or why it is none.
///
/// # Errors
/// [`Refused::Invalid`].
pub fn read_name(text: &str) -> Result<CompactString> {
    let name = text.trim().to_lowercase();
    let usual = |c: char| !c.is_whitespace() && !c.is_control();
    if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || !name.chars().all(usual) {
        let detail =
            format!("must have 1 to {USER_NAME_BYTES_MAX} bytes and no space, such as ana@example.com");
        return Err(Refused::invalid(Problem::new("/name", Code::Invalid, detail)));
    }
    Ok(name.into())
}
