//! Passwords: hashed with Argon2id, two at a time, on threads for work that blocks. They are never logged.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_engine::users::PasswordHash;

use crate::app::App;
use crate::error::{Answer, Code, Failure};

/// Characters that a password has at least.
pub(crate) const PASSWORD_CHARS_MIN: usize = 12;
/// Bytes that it has at most.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;
/// How long somebody waits for their turn.
const TURN_MAX: Duration = Duration::from_secs(10);

/// What is compared with where there is no such user: takes as long as comparing with a password.
static NOBODY: LazyLock<Option<PasswordHash>> = LazyLock::new(|| hash_now("nobody has this").ok());

/// Whether a text may be a password.
pub(crate) fn check(text: &str) -> Answer<()> {
    if text.chars().count() < PASSWORD_CHARS_MIN || text.len() > PASSWORD_BYTES_MAX {
        let detail = format!("must have at least {PASSWORD_CHARS_MIN} characters");
        return Err(Failure::invalid(vec![Problem::new("/password", Wrong::Invalid, detail)]));
    }
    Ok(())
}

fn hash_now(text: &str) -> Result<PasswordHash, String> {
    let hashed = Argon2::default().hash_password(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(PasswordHash(hashed.to_string()))
}

/// The hash of a password that may be one.
///
/// # Errors
/// 422 for a text that is too short; 503 when too many wait.
pub(crate) async fn hash(app: &App, text: &str) -> Answer<PasswordHash> {
    check(text)?;
    let _turn = turn(app).await?;
    let text = text.to_owned();
    crate::work(true, move || hash_now(&text)).await?.map_err(Failure::internal)
}

/// Whether a text is the password of this hash. Takes as long without one.
///
/// # Errors
/// 503 when too many wait.
pub(crate) async fn verify(app: &App, text: &str, hash: Option<PasswordHash>) -> Answer<bool> {
    let text: String = if text.len() > PASSWORD_BYTES_MAX { String::new() } else { text.to_owned() };
    let _turn = turn(app).await?;
    crate::work(true, move || {
        let known = hash.is_some();
        let Some(hash) = hash.or_else(|| NOBODY.clone()) else { return false };
        Argon2::default().verify_password(text.as_bytes(), hash.0.as_str()).is_ok() && known
    })
    .await
}

async fn turn(app: &App) -> Answer<tokio::sync::SemaphorePermit<'_>> {
    let busy = || Failure::new(Code::Overloaded, "too many people sign in at this moment");
    let turn = tokio::time::timeout(TURN_MAX, app.console().passwords.acquire()).await;
    turn.map_err(|_| busy())?.map_err(|_| busy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_at_least_twelve_characters() {
        assert!(check(&"ä".repeat(PASSWORD_CHARS_MIN)).is_ok());
        assert!(check(&"ä".repeat(PASSWORD_CHARS_MIN - 1)).is_err());
        assert!(check(&"a".repeat(PASSWORD_BYTES_MAX)).is_ok());
        assert!(check(&"a".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_hash_is_argon2id_with_a_salt_of_its_own() {
        let (one, two) = (hash_now("correct horse").unwrap(), hash_now("correct horse").unwrap());
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_ne!(one, two);
        let right = |text: &str| Argon2::default().verify_password(text.as_bytes(), one.0.as_str()).is_ok();
        assert!(right("correct horse") && !right("correct horsf"));
    }
}
