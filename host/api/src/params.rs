//! What stands after the question mark, with answers of our own for what is not acceptable.

use std::time::Duration;

use axum::extract::FromRequestParts;
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_engine::Tenant;
use http::request::Parts;

use crate::error::{Answer, Code, Failure};

/// Longest wait for `min_position`.
pub const MIN_POSITION_WAIT_MAX: Duration = Duration::from_secs(5);
/// Items of a page where the request does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 100;
/// Items of a page, at most.
pub const PAGE_ITEMS_MAX: usize = 1000;

/// The parameters of the address. Names that a call does not know are ignored.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.uri.query()))
    }
}

impl Params {
    /// Reads what stands after the question mark.
    #[must_use]
    pub fn of(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// A yes or no; absent means no.
    ///
    /// # Errors
    /// 400 when it is neither `true` nor `false`.
    pub fn flag(&self, name: &str) -> Answer<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(refuse(name, "is true or false")),
        }
    }

    /// One of a few words; absent means false, the word means true.
    ///
    /// # Errors
    /// 400 when it is another word.
    pub fn word(&self, name: &str, word: &str) -> Answer<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(given) if given == word => Ok(true),
            Some(_) => Err(refuse(name, &format!("can only be `{word}`"))),
        }
    }

    /// How many items a page shall have.
    ///
    /// # Errors
    /// 400 when it is not a number from 1 to [`PAGE_ITEMS_MAX`].
    pub fn limit(&self) -> Answer<usize> {
        let Some(text) = self.get("limit") else { return Ok(PAGE_ITEMS_DEFAULT) };
        let number = text.parse::<usize>().ok().filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit));
        number.ok_or_else(|| refuse("limit", &format!("is a number from 1 to {PAGE_ITEMS_MAX}")))
    }

    /// Where the page begins.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.get("cursor")
    }

    /// The instant of the past that is asked about; None for now.
    ///
    /// # Errors
    /// 400 when it is no RFC 3339 time, or has not come yet.
    pub fn as_of(&self, tenant: &Tenant) -> Answer<Option<Timestamp>> {
        let Some(text) = self.get("as_of") else { return Ok(None) };
        // A plus stands for a space in addresses; in a time it can only be the sign of an offset.
        let at = Timestamp::parse(&text.replace(' ', "+")).map_err(|detail| refuse("as_of", &detail))?;
        if at > tenant.now() {
            return Err(refuse("as_of", "has not come yet"));
        }
        Ok(Some(at))
    }

    /// Waits until `min_position`, where it is asked for, is applied.
    ///
    /// # Errors
    /// 400 when it is not a position, 503 when it is not applied within [`MIN_POSITION_WAIT_MAX`].
    pub async fn wait(&self, tenant: &Tenant) -> Answer<()> {
        let Some(text) = self.get("min_position") else { return Ok(()) };
        let position: Position = text.parse().map_err(|_| refuse("min_position", "is not a position"))?;
        if tenant.applied() > position || tenant.wait_applied(position, MIN_POSITION_WAIT_MAX).await {
            return Ok(());
        }
        Err(Failure::new(Code::NotAppliedYet, "the position is not applied yet"))
    }
}

/// A parameter is not acceptable.
#[must_use]
pub fn refuse(name: &str, what: &str) -> Failure {
    Failure::new(Code::InvalidParameter, format!("the parameter `{name}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_1000_items() {
        for (query, wanted) in [("", Some(100)), ("limit=1", Some(1)), ("limit=1000", Some(1000))] {
            assert_eq!(Params::of(Some(query)).limit().ok(), wanted, "{query}");
        }
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit="] {
            assert_eq!(Params::of(Some(query)).limit().unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }

    #[test]
    fn flags_and_words_are_strict() {
        let params = Params::of(Some("strict=true&wait=applied&results=some"));
        assert!(params.flag("strict").unwrap() && params.word("wait", "applied").unwrap());
        assert!(!params.flag("absent").unwrap() && params.word("results", "all").is_err());
        assert!(Params::of(Some("strict=1")).flag("strict").is_err());
    }
}
