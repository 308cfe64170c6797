//! Pages of lists, as every list answers them.

use cdp_domain::ids::TenantNo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cursor::List;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;

/// A page: the items, and where the next one begins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// Cuts a page out of a short list that is held in memory, by a name that is unique and ordered.
///
/// # Errors
/// 400 for a bad `limit` or `cursor`.
pub(crate) fn of_names<T, U>(
    params: &Params,
    list: (&str, Option<TenantNo>),
    all: Vec<T>,
    name: impl Fn(&T) -> String,
    shape: impl Fn(T) -> U,
) -> Answer<Page<U>> {
    let limit = params.limit()?;
    let list = List::new(list.0, list.1, &[]);
    let after = match params.cursor() {
        Some(cursor) => Some(
            String::from_utf8(list.place(cursor)?)
                .map_err(|_| Failure::new(Code::InvalidCursor, "the cursor is not one of this list"))?,
        ),
        None => None,
    };
    let mut named: Vec<(String, T)> = all.into_iter().map(|item| (name(&item), item)).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let mut rest =
        named.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| name > after)).peekable();
    let (mut items, mut last) = (Vec::new(), String::new());
    while items.len() < limit {
        let Some((name, item)) = rest.next() else { break };
        items.push(shape(item));
        last = name;
    }
    let next_cursor = rest.peek().map(|_| list.cursor(last.as_bytes()));
    Ok(Page { items, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<_> = (0..5).map(|n| format!("n{n}")).collect();
        let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let params = Params::of(Some(&query));
            let page = of_names(&params, ("/v1/x", None), all.clone(), Clone::clone, |name| name).unwrap();
            seen.extend(page.items);
            let Some(cursor) = page.next_cursor else { break };
            query = format!("limit=2&cursor={cursor}");
        }
        assert_eq!(seen, all);
    }
}
