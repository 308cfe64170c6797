//! How somebody becomes a console user, comes in, and goes.

use std::collections::HashMap;

use cdp_domain::ids::{TenantNo, UserId};
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_store::seal::Digests;
use parking_lot::Mutex;

use super::{
    Door, Entering, LINK_MS_MAX, LinkKind, PasswordHash, Role, SESSION_IDLE_MS_MAX, SESSION_MS_MAX, Session,
    USERS_MAX, UserInfo, read_name,
};
use crate::engine::Engine;
use crate::error::{Refused, Result};
use crate::registry::{Change, TenantInfo};
use crate::tenant::Tenant;

/// What is known of console users and not written down.
pub(crate) struct Doors {
    digests: Digests,
    started_at: Timestamp,
    /// Links for tenants that have no user: digest and end.
    first: Mutex<HashMap<TenantNo, ([u8; 16], Timestamp)>>,
    /// When sessions were last used.
    seen: Mutex<HashMap<[u8; 16], Timestamp>>,
}

impl Doors {
    pub(crate) fn new(digests: Digests, started_at: Timestamp) -> Self {
        Self { digests, started_at, first: Mutex::default(), seen: Mutex::default() }
    }
}

/// A fresh token, 256 random bits, and nothing that it could be told by.
fn token() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Refused::internal)?;
    Ok(cdp_domain::hex::encode(&bytes))
}

impl Engine {
    /// A tenant's console users that were not removed, by name.
    #[must_use]
    pub fn users(&self, tenant: &Tenant) -> Vec<UserInfo> {
        let registry = self.registry();
        let mut all: Vec<_> = registry.users.present(tenant.no()).map(|record| record.info.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The user of a name, with the tenant and the hash of the password. Without a slug only where there is one tenant.
    #[must_use]
    pub fn find_user(&self, slug: Option<&str>, name: &str) -> Option<(TenantInfo, UserInfo, PasswordHash)> {
        let name = read_name(name).ok()?;
        let registry = self.registry();
        let tenant = match slug {
            Some(slug) => registry.tenants.values().find(|tenant| tenant.slug == slug)?,
            None if registry.tenants.len() == 1 => registry.tenants.values().next()?,
            None => return None,
        };
        let record = registry.users.present(tenant.no).find(|record| record.info.name == name)?;
        Some((tenant.clone(), record.info.clone(), record.password.clone()?))
    }

    /// A link by which somebody becomes the first console user of a tenant, an admin; None where there is one already.
    /// The link before is void. Held in memory: a restart voids it too.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn first_link(&self, tenant: &Tenant) -> Result<Option<String>> {
        if self.registry().users.present(tenant.no()).next().is_some() {
            return Ok(None);
        }
        let token = token()?;
        let digest = self.doors().digests.wide(token.as_bytes());
        let until = Timestamp(self.clock().now().0 + LINK_MS_MAX);
        self.doors().first.lock().insert(tenant.no(), (digest, until));
        Ok(Some(token))
    }

    /// Makes a console user and the link by which they come in.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::Conflict`] when the name is taken or [`USERS_MAX`] are there.
    pub async fn invite_user(
        &self,
        tenant: &Tenant,
        name: &str,
        role: Role,
        kind: LinkKind,
    ) -> Result<(UserInfo, String)> {
        let _changing = self.changing().await;
        let user = self.new_user(tenant.no(), name, role)?;
        let (link, token) = self.new_link(tenant.no(), user.id, kind)?;
        self.append(&[Change::UserCreated { tenant: tenant.no(), user: user.clone() }, link]).await?;
        Ok((user, token))
    }

    /// Makes another link for a user; the one before is void.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn link_user(&self, tenant: &Tenant, id: UserId, kind: LinkKind) -> Result<String> {
        let _changing = self.changing().await;
        self.user(tenant, id)?;
        let (link, token) = self.new_link(tenant.no(), id, kind)?;
        self.append(&[link]).await?;
        Ok(token)
    }

    /// Where a one-time link leads; None when it leads nowhere any more.
    #[must_use]
    pub fn door(&self, token: &str) -> Option<Door> {
        let digest = self.doors().digests.wide(token.as_bytes());
        let now = self.clock().now();
        let registry = self.registry();
        if let Some(link) = registry.users.links.get(&digest).filter(|link| link.expires_at > now) {
            let record = registry.users.users.get(&link.user)?;
            let tenant = registry.tenants.get(&record.tenant)?;
            return Some(Door::Of(tenant.clone(), record.info.clone(), link.kind));
        }
        let first = self.doors().first.lock();
        let (no, _) = first.iter().find(|(_, (known, until))| *known == digest && *until > now)?;
        let unclaimed = registry.users.present(*no).next().is_none();
        registry.tenants.get(no).filter(|_| unclaimed).cloned().map(Door::First)
    }

    /// Goes through a one-time link, which leads nowhere afterwards, and opens a session: its token comes back.
    ///
    /// # Errors
    /// [`Refused::NotFound`] when the link leads nowhere any more; [`Refused::Invalid`] for a name that is none;
    /// [`Refused::Conflict`] when it is taken.
    pub async fn enter(&self, token: &str, entering: Entering) -> Result<(UserInfo, String)> {
        let _changing = self.changing().await;
        let now = self.clock().now();
        let missing = || Refused::invalid(Problem::new("/password", Code::Required, "is required"));
        let (tenant, user, mut changes) = match self.door(token).ok_or(Refused::NotFound("link"))? {
            Door::First(tenant) => {
                let name = entering.name.unwrap_or_default();
                let user = self.new_user(tenant.no, &name, Role::Admin)?;
                (tenant.no, user.clone(), vec![Change::UserCreated { tenant: tenant.no, user }])
            }
            Door::Of(tenant, user, LinkKind::SignIn) => {
                let used = Change::LinkUsed { tenant: tenant.no, id: user.id };
                return self.let_in(tenant.no, user, vec![used]).await;
            }
            Door::Of(tenant, user, LinkKind::Invite) => {
                (tenant.no, user.clone(), vec![Change::LinkUsed { tenant: tenant.no, id: user.id }])
            }
        };
        let hash = entering.password.ok_or_else(missing)?;
        changes.push(Change::PasswordSet { tenant, id: user.id, hash, at: now });
        let opened = self.let_in(tenant, user, changes).await?;
        self.doors().first.lock().remove(&tenant);
        Ok(opened)
    }

    /// Opens a session for somebody whose password was right; its token comes back.
    ///
    /// # Errors
    /// [`Refused::NotFound`] when they were removed meanwhile; the journal's.
    pub async fn open_session(&self, tenant: TenantNo, id: UserId) -> Result<String> {
        let _changing = self.changing().await;
        let tenant = self.tenant(tenant).ok_or(Refused::NotFound("tenant"))?;
        let user = self.user(&tenant, id)?;
        Ok(self.let_in(tenant.no(), user, Vec::new()).await?.1)
    }

    /// The session that a token opens; where it is `used`, its idle time begins anew.
    #[must_use]
    pub fn session(&self, token: &str, used: bool) -> Option<Session> {
        let digest = self.doors().digests.wide(token.as_bytes());
        let now = self.clock().now();
        let (tenant, user, opened_at) = {
            let registry = self.registry();
            let opened = registry.users.sessions.get(&digest)?;
            let record = registry.users.users.get(&opened.user)?;
            (record.tenant, record.info.clone(), opened.at)
        };
        let mut seen = self.doors().seen.lock();
        let last = seen.get(&digest).copied().unwrap_or_else(|| opened_at.max(self.doors().started_at));
        if now.0 - opened_at.0 >= SESSION_MS_MAX || now.0 - last.0 >= SESSION_IDLE_MS_MAX {
            return None;
        }
        if used {
            seen.insert(digest, now);
        }
        drop(seen);
        Some(Session { tenant: self.tenant(tenant)?, user, opened_at })
    }

    /// Ends the session of a token.
    ///
    /// # Errors
    /// The journal's.
    pub async fn end_session(&self, token: &str) -> Result<()> {
        let _changing = self.changing().await;
        let digest = self.doors().digests.wide(token.as_bytes());
        if !self.registry().users.sessions.contains_key(&digest) {
            return Ok(());
        }
        self.doors().seen.lock().remove(&digest);
        self.append(&[Change::SessionEnded { digest }]).await
    }

    /// Gives a user another password; all their sessions end.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn set_password(&self, tenant: &Tenant, id: UserId, hash: PasswordHash) -> Result<()> {
        let _changing = self.changing().await;
        self.user(tenant, id)?;
        self.append(&[Change::PasswordSet { tenant: tenant.no(), id, hash, at: self.clock().now() }]).await
    }

    /// Gives a user another role.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] for the last admin.
    pub async fn set_role(&self, tenant: &Tenant, id: UserId, role: Role) -> Result<()> {
        let _changing = self.changing().await;
        let user = self.user(tenant, id)?;
        if role != Role::Admin {
            self.spare_the_last_admin(tenant, &user)?;
        }
        self.append(&[Change::UserRole { tenant: tenant.no(), id, role }]).await
    }

    /// Removes a user; their sessions and links end.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] for the last admin.
    pub async fn remove_user(&self, tenant: &Tenant, id: UserId) -> Result<()> {
        let _changing = self.changing().await;
        let user = self.user(tenant, id)?;
        self.spare_the_last_admin(tenant, &user)?;
        self.append(&[Change::UserRemoved { tenant: tenant.no(), id, at: self.clock().now() }]).await
    }

    /// One console user.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn user(&self, tenant: &Tenant, id: UserId) -> Result<UserInfo> {
        let registry = self.registry();
        let found = registry.users.present(tenant.no()).find(|record| record.info.id == id);
        found.map(|record| record.info.clone()).ok_or(Refused::NotFound("user"))
    }

    fn spare_the_last_admin(&self, tenant: &Tenant, user: &UserInfo) -> Result<()> {
        let others = |one: &UserInfo| one.role == Role::Admin && one.id != user.id;
        if user.role == Role::Admin && !self.users(tenant).iter().any(others) {
            return Err(Refused::Conflict("this is the last admin: make another one first".to_owned()));
        }
        Ok(())
    }

    fn new_user(&self, tenant: TenantNo, name: &str, role: Role) -> Result<UserInfo> {
        let name = read_name(name)?;
        let registry = self.registry();
        if registry.users.present(tenant).any(|record| record.info.name == name) {
            return Err(Refused::Conflict("a console user with this name exists already".to_owned()));
        }
        if registry.users.present(tenant).count() >= USERS_MAX {
            return Err(Refused::Conflict(format!("there are {USERS_MAX} console users already")));
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(Refused::internal)?;
        let created_at = self.clock().now();
        Ok(UserInfo { id: UserId(id), name, role, created_at, password_set_at: None, removed_at: None })
    }

    fn new_link(&self, tenant: TenantNo, id: UserId, kind: LinkKind) -> Result<(Change, String)> {
        let token = token()?;
        let digest = self.doors().digests.wide(token.as_bytes());
        let expires_at = Timestamp(self.clock().now().0 + LINK_MS_MAX);
        Ok((Change::LinkMade { tenant, id, digest, kind, expires_at }, token))
    }

    async fn let_in(
        &self,
        tenant: TenantNo,
        user: UserInfo,
        mut changes: Vec<Change>,
    ) -> Result<(UserInfo, String)> {
        let token = token()?;
        let digest = self.doors().digests.wide(token.as_bytes());
        let at = self.clock().now();
        changes.push(Change::SessionOpened { tenant, id: user.id, digest, at });
        self.append(&changes).await?;
        let live = self.registry().users.sessions.keys().copied().collect::<std::collections::HashSet<_>>();
        self.doors().seen.lock().retain(|digest, _| live.contains(digest));
        Ok((user, token))
    }
}
