//! Calls go down: which crate may name which, and which third party is known in one place only.
//!
//! To add a crate: a row in [`HOUSE`]. A new arrow is a commit of its own, with the paper that explains it.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Table;

/// A crate of ours and what it may name.
struct Room {
    name: &'static str,
    may_name: &'static [&'static str],
    /// What its tests may name besides.
    in_tests: &'static [&'static str],
}

const fn room(name: &'static str, may_name: &'static [&'static str]) -> Room {
    Room { name, may_name, in_tests: &[] }
}

const HOUSE: &[Room] = &[
    room("cdp-domain", &[]),
    room("cdp-threads", &[]),
    room("cdp-store", &["cdp-domain", "cdp-threads"]),
    room("cdp-egress", &["cdp-domain"]),
    Room {
        name: "cdp-runtime",
        may_name: &["cdp-domain"],
        // Guests that mean harm.
        in_tests: &["cdp-hostile"],
    },
    room("cdp-jobs", &["cdp-domain", "cdp-store", "cdp-threads"]),
    room("cdp-engine", &["cdp-domain", "cdp-store", "cdp-runtime", "cdp-jobs", "cdp-threads"]),
    room("cdp-export", &["cdp-domain", "cdp-store", "cdp-runtime", "cdp-jobs", "cdp-engine", "cdp-egress"]),
    Room {
        name: "cdp-api",
        may_name: &["cdp-domain", "cdp-engine", "cdp-export", "cdp-jobs", "cdp-threads", "cdp-console"],
        // An engine to test the front door on needs a directory and a master key.
        in_tests: &["cdp-store"],
    },
    room("cdp-console", &[]),
    Room {
        name: "cdp",
        may_name: &[
            "cdp-domain",
            "cdp-store",
            "cdp-egress",
            "cdp-runtime",
            "cdp-jobs",
            "cdp-engine",
            "cdp-export",
            "cdp-api",
            "cdp-console",
            "cdp-threads",
        ],
        in_tests: &["cdp-hostile"],
    },
    room("xtask", &[]),
    room("cdp-plugin-sdk", &[]),
    room("brevo-list", &["cdp-plugin-sdk"]),
    room("country-code", &["cdp-plugin-sdk"]),
    room("misbehave", &["cdp-plugin-sdk"]),
    room("misfold", &["cdp-plugin-sdk"]),
    room("order-lines", &["cdp-plugin-sdk"]),
    room("rfm", &["cdp-plugin-sdk"]),
    room("misplan", &[]),
    room("misdeliver", &[]),
    room("cdp-hostile", &[]),
    // Reads bodies and normalises as the front door does, without a server.
    room("cdp-fuzz", &["cdp-domain", "cdp-api"]),
    room("cdp-tests", &[]),
];

/// A third party and the only crates that may name it.
struct Wall {
    crates: &'static [&'static str],
    known_in: &'static [&'static str],
    why: &'static str,
}

const WALLS: &[Wall] = &[
    Wall { crates: &["sled"], known_in: &["cdp-store"], why: "bytes on disk are known in one crate" },
    Wall {
        crates: &["wasmtime", "wasmtime-wasi", "wasmparser"],
        known_in: &["cdp-runtime"],
        why: "WebAssembly is known in one crate",
    },
    Wall {
        crates: &["axum", "utoipa-axum", "tower-http"],
        known_in: &["cdp-api", "cdp-console", "cdp"],
        why: "HTTP ends at the front door",
    },
    Wall {
        crates: &[
            "reqwest",
            "object_store",
            "isahc",
            "curl",
            "hyper-tls",
            "hyper-rustls",
            "rustls",
            "tokio-rustls",
            "tokio-postgres",
        ],
        known_in: &["cdp-egress"],
        why: "one crate opens outbound connections",
    },
    Wall { crates: &["askama"], known_in: &["cdp-console"], why: "HTML is written in one crate" },
    Wall {
        crates: &["argon2", "multer"],
        known_in: &["cdp-api"],
        why: "passwords and forms end at the front door",
    },
    Wall { crates: &["ureq"], known_in: &["cdp"], why: "a tool of the demo, the bench and the tests" },
    Wall {
        crates: &["wit-bindgen"],
        known_in: &[
            "cdp-plugin-sdk",
            "country-code",
            "misbehave",
            "misdeliver",
            "misfold",
            "misplan",
            "order-lines",
            "rfm",
        ],
        why: "guests are built with the SDK",
    },
];

/// What only the tests of a crate may name beyond that: receivers that speak TLS stand on the other side.
const IN_TESTS: &[(&str, &str)] = &[("cdp", "rustls")];

/// What the domain is too pure for.
const NOT_IN_DOMAIN: &[&str] =
    &["tokio", "getrandom", "rand", "tracing", "tempfile", "rustix", "parking_lot"];

/// Every rule that one manifest breaks.
fn broken(manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap();
    let name = manifest["package"]["name"].as_str().unwrap();
    let Some(room) = HOUSE.iter().find(|room| room.name == name) else {
        return vec![format!("{name} is in no row of the house")];
    };
    let mut broken = Vec::new();
    for (dependency, in_tests) in dependencies(&manifest) {
        let ours = HOUSE.iter().any(|room| room.name == dependency);
        let allowed = room.may_name.contains(&dependency.as_str())
            || (in_tests && room.in_tests.contains(&dependency.as_str()));
        if ours && !allowed {
            broken.push(format!("{name} may not name {dependency}"));
        }
        for wall in WALLS {
            let tried = in_tests && IN_TESTS.contains(&(name, dependency.as_str()));
            if wall.crates.contains(&dependency.as_str()) && !wall.known_in.contains(&name) && !tried {
                broken.push(format!("{name} may not name {dependency}: {}", wall.why));
            }
        }
        if name == "cdp-domain" && !in_tests && NOT_IN_DOMAIN.contains(&dependency.as_str()) {
            broken.push(format!("{name} may not name {dependency}: it is pure"));
        }
    }
    broken
}

/// All dependencies, whatever the platform and whatever they are renamed to; and whether only tests have them.
fn dependencies(manifest: &Table) -> BTreeSet<(String, bool)> {
    let mut all = BTreeSet::new();
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(|target| target.as_table());
    tables.extend(
        targets.into_iter().flat_map(|targets| targets.values().filter_map(|target| target.as_table())),
    );
    for table in tables {
        for (kind, in_tests) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            for (key, value) in table.get(kind).and_then(|list| list.as_table()).into_iter().flatten() {
                let renamed = value.get("package").and_then(|package| package.as_str());
                all.insert((renamed.unwrap_or(key).to_owned(), in_tests));
            }
        }
    }
    all
}

fn members() -> Vec<String> {
    let root: Table = std::fs::read_to_string(super::root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

fn manifest(member: &str) -> String {
    std::fs::read_to_string(super::root().join(member).join("Cargo.toml")).unwrap()
}

#[test]
fn no_crate_names_what_it_may_not() {
    let broken: Vec<String> = members().iter().flat_map(|member| broken(&manifest(member))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What only a measurement builds, with engines of others in it: see its manifest.
const OUTSIDE: &[&str] = &["host/benches"];

#[test]
fn every_crate_below_the_roof_is_a_member() {
    let members = members();
    for folder in ["host", "plugins", "tests/guests"] {
        for entry in std::fs::read_dir(super::root().join(folder)).unwrap() {
            let path = Path::new(folder).join(entry.unwrap().file_name());
            if super::root().join(&path).join("Cargo.toml").is_file() {
                assert!(
                    members
                        .iter()
                        .map(String::as_str)
                        .chain(OUTSIDE.iter().copied())
                        .any(|m| Path::new(m) == path),
                    "{} is no member",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_forbidden_arrow_is_found() {
    let fixture = include_str!("fixtures/forbidden_arrow.toml");
    let found = broken(fixture);
    assert_eq!(
        found,
        [
            "cdp-store may not name cdp-api",
            "cdp-store may not name cdp-engine",
            "cdp-store may not name cdp-runtime",
            "cdp-store may not name reqwest: one crate opens outbound connections",
            "cdp-store may not name wasmtime: WebAssembly is known in one crate",
        ]
    );
}

#[test]
fn a_forbidden_arrow_added_to_any_real_manifest_is_found() {
    for member in members() {
        let manifest = manifest(&member);
        assert_eq!(broken(&manifest), Vec::<String>::new());
        let with =
            format!("{manifest}\n[target.'cfg(all())'.dependencies]\nxtask = {{ path = \"nowhere\" }}\n");
        assert!(broken(&with).iter().any(|sentence| sentence.ends_with("may not name xtask")), "{member}");
    }
}

#[test]
fn an_unknown_crate_is_found() {
    let found = broken("[package]\nname = \"cdp-misc\"\n");
    assert_eq!(found, ["cdp-misc is in no row of the house"]);
}
