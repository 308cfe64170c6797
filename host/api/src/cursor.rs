//! Opaque places in lists. A cursor names the list and the filters it was made for; used elsewhere it is refused.

use cdp_domain::hex;
use cdp_domain::ids::TenantNo;

use crate::error::{Code, Failure};

/// A list with its filters: what a cursor belongs to.
#[derive(Debug, Clone)]
pub struct List([u8; 4]);

/// Form of the bytes inside; a cursor of another form is refused and the client begins anew.
const VERSION: u8 = 1;

impl List {
    /// The list at `route` of a tenant, under these filters.
    #[must_use]
    pub fn new(route: &str, tenant: Option<TenantNo>, filters: &[&str]) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(route.as_bytes());
        hash.update(&tenant.map_or(0, |no| no.0).to_be_bytes());
        for filter in filters {
            hash.update(&[0]);
            hash.update(filter.as_bytes());
        }
        let [a, b, c, d, ..] = *hash.finalize().as_bytes();
        Self([a, b, c, d])
    }

    /// A cursor for the place `at`.
    #[must_use]
    pub fn cursor(&self, at: &[u8]) -> String {
        let bytes = [&[VERSION][..], &self.0, at].concat();
        hex::encode(&bytes)
    }

    /// The place in a cursor.
    ///
    /// # Errors
    /// 400 when it is not one of this list.
    pub fn place(&self, cursor: &str) -> Result<Vec<u8>, Failure> {
        let refuse =
            || Failure::new(Code::InvalidCursor, "the cursor is not one of this list with these filters");
        let bytes = hex::decode_all(cursor).filter(|_| cursor.len() <= 1024).ok_or_else(refuse)?;
        let rest = bytes.strip_prefix(&[VERSION]).and_then(|rest| rest.strip_prefix(&self.0));
        rest.map(<[u8]>::to_vec).ok_or_else(refuse)
    }

    /// The place in a cursor whose places have `N` bytes.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub fn fixed<const N: usize>(&self, cursor: Option<&str>) -> Result<Option<[u8; N]>, Failure> {
        let Some(cursor) = cursor else { return Ok(None) };
        let place = self.place(cursor)?;
        let fixed = <[u8; N]>::try_from(place.as_slice());
        fixed.map(Some).map_err(|_| Failure::new(Code::InvalidCursor, "the cursor is not one of this list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place_and_to_no_other_list() {
        let list = List::new("/v1/segments/{name}/members", Some(TenantNo(1)), &["vip"]);
        let cursor = list.cursor(&7_u32.to_be_bytes());
        assert_eq!(list.fixed::<4>(Some(&cursor)).unwrap(), Some(7_u32.to_be_bytes()));
        for other in [
            List::new("/v1/segments/{name}/changes", Some(TenantNo(1)), &["vip"]),
            List::new("/v1/segments/{name}/members", Some(TenantNo(2)), &["vip"]),
            List::new("/v1/segments/{name}/members", Some(TenantNo(1)), &["new"]),
        ] {
            assert_eq!(other.place(&cursor).unwrap_err().code, Code::InvalidCursor);
        }
        for bad in ["", "0", "zz", "01", "é1", &format!("{cursor}00"), &cursor[2..]] {
            assert!(list.fixed::<4>(Some(bad)).is_err(), "{bad}");
        }
    }
}
