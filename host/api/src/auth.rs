//! Who calls: the key from the request, and what it may do.

use axum::extract::FromRequestParts;
use cdp_domain::ids::KeyId;
use cdp_engine::Tenant;
use cdp_engine::registry::{Principal, Scope, Scopes};
use compact_str::CompactString;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::access::Access;
use crate::app::App;
use crate::body;
use crate::error::{Answer, Code, Failure};
use crate::rate::Wanted;

/// A caller who acts for one tenant. The tenant comes from the key alone.
#[derive(Clone)]
pub struct Member {
    /// Whose data it is about.
    pub tenant: Tenant,
    /// What the key may do.
    pub scopes: Scopes,
    /// The key: what it sends is counted together.
    pub key: KeyId,
    /// Whether anybody can read the key.
    pub public: bool,
    /// The source of events that name none.
    pub source: CompactString,
}

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let missing = || Failure::internal("a handler asks for a tenant on a route that has none");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// Decides whether a request with these headers may use a route; the tenant's member where it acts for one.
///
/// # Errors
/// 401 without a key or with a wrong, revoked or expired one; 403 when the key lacks the scope.
pub fn admit(app: &App, headers: &HeaderMap, access: Access) -> Answer<Option<Member>> {
    if access == Access::Public {
        return Ok(None);
    }
    let Some(key) = key_of(headers)? else {
        if access == Access::Message {
            return Ok(None);
        }
        return Err(Failure::new(Code::MissingKey, "send an API key: `Authorization: Bearer <key>`"));
    };
    let scope = match access {
        Access::Public | Access::AnyKey | Access::NotOnlyIngest => None,
        Access::Operator => return admit_operator(app, &key),
        Access::Message => Some(Scope::Ingest),
        Access::Tenant(scope) => Some(scope),
    };
    let member = member(app, &key, scope)?;
    let more = |scope: &Scope| member.scopes.allow(*scope);
    if access == Access::NotOnlyIngest && ![Scope::Read, Scope::Export].iter().any(more) {
        return Err(missing_scope(Scope::Read));
    }
    Ok(Some(member))
}

/// The tenant's member behind a key, which must have the scope where one is named.
///
/// # Errors
/// As [`admit`].
pub fn member(app: &App, key: &str, scope: Option<Scope>) -> Answer<Member> {
    let principal = match app.engine().authenticate(key) {
        Some(principal) => principal,
        None if app.is_operator(key) => {
            return Err(Failure::new(
                Code::MissingScope,
                "the operator's key acts for no tenant: use a key of the tenant",
            ));
        }
        None => return Err(invalid_key()),
    };
    if let Some(scope) = scope.filter(|scope| !principal.scopes.allow(*scope)) {
        return Err(missing_scope(scope));
    }
    let Principal { tenant, scopes, key, public, source } = principal;
    Ok(Member { tenant, scopes, key, public, source })
}

/// Takes a request from what its key may send, and the bytes that it announces.
///
/// # Errors
/// 429 when the key sends more than it may.
pub(crate) fn charge(app: &App, member: &Member, headers: &HeaderMap) -> Answer<()> {
    app.limiter().take(member.key, Wanted { requests: 1, bytes: charged(headers), ..Wanted::default() })
}

/// The bytes that [`charge`] took.
pub(crate) fn charged(headers: &HeaderMap) -> u64 {
    // No body is read beyond what the largest may have, whatever is announced.
    body::announced(headers).unwrap_or_default().min(body::UPLOAD_BYTES_MAX as u64)
}

fn admit_operator(app: &App, key: &str) -> Answer<Option<Member>> {
    if app.is_operator(key) {
        return Ok(None);
    }
    Err(if app.engine().authenticate(key).is_some() { missing_scope(Scope::Operator) } else { invalid_key() })
}

fn invalid_key() -> Failure {
    Failure::new(Code::InvalidKey, "the API key does not exist, was revoked or has expired")
}

fn missing_scope(scope: Scope) -> Failure {
    let name = match scope {
        Scope::Ingest => "ingest",
        Scope::Read => "read",
        Scope::Export => "export",
        Scope::Admin => "admin",
        Scope::Operator => "operator",
    };
    Failure::new(Code::MissingScope, format!("this call needs a key with the scope `{name}`"))
}

/// The key in the `Authorization` header: a bearer token, or the user name of HTTP Basic.
fn key_of(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let refuse = || {
        Failure::new(Code::InvalidKey, "the Authorization header is neither `Bearer <key>` nor HTTP Basic")
    };
    let text = value.to_str().map_err(|_| refuse())?.trim();
    let (scheme, rest) = text.split_once(' ').ok_or_else(refuse)?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded =
            unbase64(rest.trim()).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(refuse)?;
        decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user).to_owned()
    } else {
        return Err(refuse());
    };
    // An SDK without a key sends an empty user name; the key may still stand in the body.
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// Standard base64 with or without padding.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &'static str) -> Answer<Option<String>> {
        key_of(&HeaderMap::from_iter([(header::AUTHORIZATION, http::HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_key_is_a_bearer_token_or_a_basic_user_name() {
        for (value, wanted) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic d2tfZGVtb183YjFjOg==", Some("wk_demo_7b1c")),
            ("basic d2tfZGVtb183YjFjOmFueQ", Some("wk_demo_7b1c")),
            ("Basic Og==", None),
        ] {
            assert_eq!(key(value).unwrap().as_deref(), wanted, "{value}");
        }
        for bad in ["abc", "Digest x", "Basic ?", "Basic A"] {
            assert_eq!(key(bad).unwrap_err().code, Code::InvalidKey, "{bad}");
        }
    }
}
