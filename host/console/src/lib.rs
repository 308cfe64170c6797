//! The only crate that holds HTML, CSS and JavaScript.
