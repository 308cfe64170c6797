//! Compresses what people read, where their browser takes that: pages, the stylesheet and the script.
//!
//! Answers for programs and files of audiences go as they are: they are long streams, or small, and speed counts there.
//! A page with a secret is compressed too: what could be guessed from its length (BREACH, 2013) needs a request that
//! another site sends with the session's cookie and whose answer's length it sees, and the cookie is `SameSite=Lax`.

use http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::compression::{CompressionLayer, Predicate};

/// Types of content that are compressed.
const TYPES: [&str; 4] = ["text/html", "text/css", "text/javascript", "text/markdown"];

/// The layer.
pub(crate) fn pages() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().gzip(true).compress_when(is_page)
}

fn is_page(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    TYPES.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_compressed_and_nothing_else() {
        for (kind, wanted) in [
            ("text/html; charset=utf-8", true),
            ("text/css", true),
            ("application/json", false),
            ("text/csv; charset=utf-8", false),
            ("application/x-ndjson", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(
                is_page(StatusCode::OK, Version::HTTP_11, &headers, &Extensions::new()),
                wanted,
                "{kind}"
            );
        }
        assert!(!is_page(StatusCode::OK, Version::HTTP_11, &HeaderMap::new(), &Extensions::new()));
    }
}
