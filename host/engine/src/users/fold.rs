//! The fold over what the installation's journal says of console users.

use std::collections::HashMap;

use cdp_domain::ids::{TenantNo, UserId};
use cdp_domain::time::Timestamp;

use super::{LinkKind, PasswordHash, SESSION_MS_MAX, SESSIONS_PER_USER_MAX, UserInfo};
use crate::registry::Change;

/// Everybody, their links and their sessions.
#[derive(Default)]
pub(crate) struct Users {
    pub(super) users: HashMap<UserId, Record>,
    pub(super) links: HashMap<[u8; 16], Link>,
    pub(super) sessions: HashMap<[u8; 16], Opened>,
}

/// A user and whose they are.
pub(super) struct Record {
    pub(super) tenant: TenantNo,
    pub(super) info: UserInfo,
    pub(super) password: Option<PasswordHash>,
}

/// A link that was not used.
pub(super) struct Link {
    pub(super) user: UserId,
    pub(super) kind: LinkKind,
    pub(super) expires_at: Timestamp,
}

/// A session that was opened and not ended.
pub(super) struct Opened {
    pub(super) user: UserId,
    pub(super) at: Timestamp,
}

impl Users {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::UserCreated { tenant, user } => {
                self.users.insert(user.id, Record { tenant, info: user, password: None });
            }
            Change::UserRole { tenant, id, role } => {
                if let Some(record) = self.of(tenant, id) {
                    record.info.role = role;
                }
            }
            Change::UserRemoved { tenant, id, at } => {
                if let Some(record) = self.of(tenant, id) {
                    record.info.removed_at.get_or_insert(at);
                    record.password = None;
                    self.shut(id);
                }
            }
            Change::PasswordSet { tenant, id, hash, at } => {
                if let Some(record) = self.of(tenant, id) {
                    record.password = Some(hash);
                    record.info.password_set_at = Some(at);
                    self.shut(id);
                }
            }
            Change::LinkMade { tenant, id, digest, kind, expires_at } => {
                if self.of(tenant, id).is_some() {
                    self.links.retain(|_, link| link.user != id);
                    self.links.insert(digest, Link { user: id, kind, expires_at });
                }
            }
            Change::LinkUsed { tenant, id } => {
                if self.of(tenant, id).is_some() {
                    self.links.retain(|_, link| link.user != id);
                }
            }
            Change::SessionOpened { tenant, id, digest, at } => {
                if self.of(tenant, id).is_some() {
                    self.open(id, digest, at);
                }
            }
            Change::SessionEnded { digest } => {
                self.sessions.remove(&digest);
            }
            Change::TenantCreated { .. } | Change::KeyCreated { .. } | Change::KeyRevoked { .. } => {}
        }
    }

    /// Those of a tenant that were not removed.
    pub(super) fn present(&self, tenant: TenantNo) -> impl Iterator<Item = &Record> {
        self.users.values().filter(move |one| one.tenant == tenant && one.info.removed_at.is_none())
    }

    fn of(&mut self, tenant: TenantNo, id: UserId) -> Option<&mut Record> {
        self.users.get_mut(&id).filter(|record| record.tenant == tenant)
    }

    /// Ends everything by which somebody could go on.
    fn shut(&mut self, id: UserId) {
        self.sessions.retain(|_, session| session.user != id);
        self.links.retain(|_, link| link.user != id);
    }

    fn open(&mut self, id: UserId, digest: [u8; 16], at: Timestamp) {
        self.sessions.retain(|_, session| at.0 - session.at.0 < SESSION_MS_MAX);
        let mut own: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, one)| one.user == id)
            .map(|(digest, one)| (one.at, *digest))
            .collect();
        own.sort_unstable();
        for (_, first) in own.iter().take((own.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX)) {
            self.sessions.remove(first);
        }
        self.sessions.insert(digest, Opened { user: id, at });
    }
}
