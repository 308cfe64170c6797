//! The only crate that holds HTML, CSS and JavaScript.
//!
//! For now one static landing page that says what runs here and where to read on. It loads nothing from elsewhere and
//! runs no script; to add a page: a file in `src/`, a function here, a route in the front door.

/// The landing page, served for `/` and `/console`.
#[must_use]
pub fn landing() -> &'static str {
    include_str!("landing.html")
}

/// What browsers may do with our pages: nothing but show them.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    #[test]
    fn the_landing_page_loads_nothing_from_elsewhere() {
        let page = super::landing();
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
        for link in ["/docs", "/openapi.json", "/readyz", "/v1/limits"] {
            assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
        }
    }
}
