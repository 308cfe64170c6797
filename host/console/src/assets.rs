//! The stylesheet, the script and the icon. Their addresses hold the beginning of their digest, so they may be kept for
//! ever and are never stale.

use std::sync::LazyLock;

/// A file that pages load.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its name, without the digest.
    pub name: &'static str,
    /// For `Content-Type`.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// All of them.
pub const ASSETS: [Asset; 3] = [
    Asset {
        name: "console.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/console.css"),
    },
    Asset {
        name: "console.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/console.js"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("../assets/icon.svg") },
];

static NAMES: LazyLock<[String; 3]> = LazyLock::new(|| {
    ASSETS.map(|asset| {
        let (stem, kind) = asset.name.split_once('.').unwrap_or((asset.name, ""));
        let digest = blake3::hash(asset.bytes).to_hex();
        format!("{stem}.{}.{kind}", &digest.as_str()[..16])
    })
});

/// The asset that is served under this name, if it is the current one.
#[must_use]
pub fn find(name: &str) -> Option<&'static Asset> {
    NAMES.iter().position(|known| known == name).map(|n| &ASSETS[n])
}

/// The address of the stylesheet.
#[must_use]
pub fn style() -> String {
    address(0)
}

/// The address of the script.
#[must_use]
pub fn script() -> String {
    address(1)
}

/// The address of the icon.
#[must_use]
pub fn icon() -> String {
    address(2)
}

fn address(n: usize) -> String {
    format!("/console/assets/{}", NAMES[n])
}
