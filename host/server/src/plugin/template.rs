//! `cdp plugin new`: a project that builds as it is, with everything it needs inside.
//!
//! The texts are those of `plugins/templates` and `plugins/sdk`, carried in this executable, so that a project has the
//! helpers that belong to this server's contract and needs nothing of ours from a registry.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Shown;
use super::project::{Language, MANIFEST, World, check_name};
use crate::{Failure, exit};

/// What to start.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin new order-totals --world deriver --lang js
  cdp plugin new value-band --world transformer --lang rust --dir plugins/value-band
  cdp plugin new vip-list --world connector-plan --lang python")]
pub(crate) struct Args {
    /// The plugin's name: a-z, 0-9 and -.
    name: String,
    /// How it serves.
    #[arg(long, value_enum)]
    world: World,
    /// What it is written in.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// Where [default: a folder of that name].
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

/// A file of a new project.
#[derive(Debug, Clone, Copy)]
struct File {
    path: &'static str,
    text: &'static str,
}

macro_rules! template {
    ($path:literal, $from:literal) => {
        File { path: $path, text: include_str!(concat!("../../../../plugins/", $from)) }
    };
}

const CONTRACT: File =
    File { path: "wit/cdp-plugin.wit", text: include_str!("../../../../wit/cdp-plugin.wit") };

/// The guest SDK for Rust, which a project carries: it is in no registry.
const RUST_SDK: &[File] = &[
    template!("vendor/cdp-plugin-sdk/Cargo.toml", "templates/rust/sdk.toml"),
    template!("vendor/cdp-plugin-sdk/src/adapter.rs", "sdk/src/adapter.rs"),
    template!("vendor/cdp-plugin-sdk/src/config.rs", "sdk/src/config.rs"),
    template!("vendor/cdp-plugin-sdk/src/connector.rs", "sdk/src/connector.rs"),
    template!("vendor/cdp-plugin-sdk/src/decimal.rs", "sdk/src/decimal.rs"),
    template!("vendor/cdp-plugin-sdk/src/deriver.rs", "sdk/src/deriver.rs"),
    template!("vendor/cdp-plugin-sdk/src/deriver_adapter.rs", "sdk/src/deriver_adapter.rs"),
    template!("vendor/cdp-plugin-sdk/src/descriptor.rs", "sdk/src/descriptor.rs"),
    template!("vendor/cdp-plugin-sdk/src/lib.rs", "sdk/src/lib.rs"),
    template!("vendor/cdp-plugin-sdk/src/log.rs", "sdk/src/log.rs"),
    template!("vendor/cdp-plugin-sdk/src/lookup.rs", "sdk/src/lookup.rs"),
    template!("vendor/cdp-plugin-sdk/src/patch.rs", "sdk/src/patch.rs"),
    template!("vendor/cdp-plugin-sdk/src/row.rs", "sdk/src/row.rs"),
    template!("vendor/cdp-plugin-sdk/src/session.rs", "sdk/src/session.rs"),
    template!("vendor/cdp-plugin-sdk/src/testing.rs", "sdk/src/testing.rs"),
    template!("vendor/cdp-plugin-sdk/src/testing/derived.rs", "sdk/src/testing/derived.rs"),
    template!("vendor/cdp-plugin-sdk/src/time.rs", "sdk/src/time.rs"),
];

/// What every project of a language has.
fn common(language: Language) -> &'static [File] {
    match language {
        Language::Rust => &[
            template!("Cargo.toml", "templates/rust/project.toml"),
            template!(".cargo/config.toml", "templates/rust/cargo-config.toml"),
        ],
        Language::Js => &[template!("cdp.js", "templates/js/cdp.js")],
        Language::Ts => &[
            template!("cdp.js", "templates/js/cdp.js"),
            template!("cdp.d.ts", "templates/ts/cdp.d.ts"),
            template!("contract.d.ts", "templates/ts/contract.d.ts"),
            template!("tsconfig.json", "templates/ts/tsconfig.json"),
        ],
        Language::Python => &[template!("cdp.py", "templates/python/cdp.py")],
        Language::Go => &[
            template!("go.mod", "templates/go/go.mod"),
            template!("cdp/cdp.go", "templates/go/cdp/cdp.go"),
            template!("cdp/decimal.go", "templates/go/cdp/decimal.go"),
        ],
        Language::C => &[template!("cdp.h", "templates/c/cdp.h"), template!("cdp.c", "templates/c/cdp.c")],
    }
}

/// What a world adds in a language; None where there is no template.
fn particular(language: Language, world: World) -> Option<&'static [File]> {
    Some(match (language, world) {
        (Language::Rust, World::Deriver) => &[template!("src/lib.rs", "templates/rust/deriver/lib.rs")],
        (Language::Rust, World::Transformer) => {
            &[template!("src/lib.rs", "templates/rust/transformer/lib.rs")]
        }
        (Language::Rust, World::ConnectorPlan) => {
            &[template!("src/lib.rs", "templates/rust/connector-plan/lib.rs")]
        }
        (Language::Rust, World::ConnectorIo) => {
            &[template!("src/lib.rs", "templates/rust/connector-io/lib.rs")]
        }
        (Language::Js, World::Deriver) => &[template!("plugin.js", "templates/js/deriver/plugin.js")],
        (Language::Js, World::Transformer) => &[template!("plugin.js", "templates/js/transformer/plugin.js")],
        (Language::Js, World::ConnectorPlan) => {
            &[template!("plugin.js", "templates/js/connector-plan/plugin.js")]
        }
        (Language::Ts, World::Deriver) => &[template!("plugin.ts", "templates/ts/deriver/plugin.ts")],
        (Language::Ts, World::Transformer) => &[template!("plugin.ts", "templates/ts/transformer/plugin.ts")],
        (Language::Ts, World::ConnectorPlan) => {
            &[template!("plugin.ts", "templates/ts/connector-plan/plugin.ts")]
        }
        (Language::Python, World::Deriver) => &[template!("plugin.py", "templates/python/deriver/plugin.py")],
        (Language::Python, World::Transformer) => {
            &[template!("plugin.py", "templates/python/transformer/plugin.py")]
        }
        (Language::Python, World::ConnectorPlan) => {
            &[template!("plugin.py", "templates/python/connector-plan/plugin.py")]
        }
        (Language::Go, World::Deriver) => &[
            template!("plugin.go", "templates/go/deriver/plugin.go"),
            template!("cdp/deriver.go", "templates/go/cdp/deriver.go"),
        ],
        (Language::Go, World::Transformer) => &[
            template!("plugin.go", "templates/go/transformer/plugin.go"),
            template!("cdp/transformer.go", "templates/go/cdp/transformer.go"),
        ],
        (Language::C, World::Deriver) => &[
            template!("plugin.c", "templates/c/deriver/plugin.c"),
            template!("world.c", "templates/c/deriver.c"),
        ],
        (Language::C, World::Transformer) => &[
            template!("plugin.c", "templates/c/transformer/plugin.c"),
            template!("world.c", "templates/c/transformer.c"),
        ],
        (Language::Js, World::ConnectorIo) => {
            &[template!("plugin.js", "templates/js/connector-io/plugin.js")]
        }
        (Language::Ts, World::ConnectorIo) => {
            &[template!("plugin.ts", "templates/ts/connector-io/plugin.ts")]
        }
        (Language::Python, World::ConnectorIo) => {
            &[template!("plugin.py", "templates/python/connector-io/plugin.py")]
        }
        (Language::Go | Language::C, World::ConnectorPlan | World::ConnectorIo) => return None,
    })
}

/// The same, or where else such a project is started.
fn started_from(language: Language, world: World) -> Result<&'static [File], Failure> {
    particular(language, world).ok_or_else(|| {
        let others = Language::ALL.into_iter().filter(|other| particular(*other, world).is_some());
        let others: Vec<&str> = others.map(Language::name).collect();
        let detail = format!("a {} is started in {}", world.name(), others.join(", "));
        Failure::new(exit::USAGE, format!("there is no template for {}: {detail}", language.name()))
    })
}

/// What a test of a world looks like.
fn fixtures(world: World) -> &'static [File] {
    match world {
        World::Deriver => &[template!("tests/two-orders.json", "templates/fixtures/deriver.json")],
        World::Transformer => &[template!("tests/bands.json", "templates/fixtures/transformer.json")],
        World::ConnectorPlan => &[template!("tests/list.json", "templates/fixtures/connector-plan.json")],
        World::ConnectorIo => &[template!("tests/batch.json", "templates/fixtures/connector-io.json")],
    }
}

const IGNORED: &str = "/build/\n/target/\nnode_modules/\n.venv/\n__pycache__/\n";

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let written = write(&dir, &args.name, args.world, args.lang)?;
    let document = json!({"dir": dir, "name": args.name, "world": args.world.name(),
        "language": args.lang.name(), "files": written});
    args.shown.print(&document, || {
        let mut lines: Vec<String> = written
            .iter()
            .filter(|path| !path.starts_with("vendor/"))
            .map(|path| format!("  {path}"))
            .collect();
        lines.insert(0, format!("{} is a {} in {}:", dir.display(), args.world.name(), args.lang.name()));
        lines.push(format!("Go on with: cd {} && cdp plugin test", dir.display()));
        lines
    })
}

/// Writes a project; gives the paths of its files.
pub(super) fn write(
    dir: &Path,
    name: &str,
    world: World,
    language: Language,
) -> Result<Vec<String>, Failure> {
    check_name(name)?;
    let particular = started_from(language, world)?;
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file();
    if occupied {
        return Err(Failure::new(
            exit::CONFLICT,
            format!("{} is there already and not empty", dir.display()),
        ));
    }
    let rust: &[File] = if language == Language::Rust { RUST_SDK } else { &[] };
    let manifest = format!(
        "# What this project is; `cdp plugin build` and `cdp plugin test` read it.\nname = \"{name}\"\nworld = \"{}\"\nlanguage = \"{}\"\n",
        world.name(),
        language.name()
    );
    let mut written = Vec::new();
    let mut put = |path: &str, text: &str| -> Result<(), Failure> {
        let to = dir.join(path);
        let made = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&to, text));
        made.map_err(|error| {
            Failure::because(exit::CONFIGURATION, &format!("write {}", to.display()), &error)
        })?;
        written.push(path.to_owned());
        Ok(())
    };
    put(MANIFEST, &manifest)?;
    let templates = [particular, common(language), fixtures(world)].into_iter().flatten();
    for file in templates {
        put(file.path, &file.text.replace("{{name}}", name))?;
    }
    put(CONTRACT.path, CONTRACT.text)?;
    for file in rust {
        put(file.path, file.text)?;
    }
    put(".gitignore", IGNORED)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every file below a folder, relative to it.
    fn files(root: &Path, below: &Path, out: &mut BTreeSet<String>) {
        for entry in fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(root, &path, out);
            } else {
                out.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }

    #[test]
    fn a_rust_project_carries_the_whole_sdk() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk/src");
        let mut there = BTreeSet::new();
        files(&sdk, &sdk, &mut there);
        let carried: BTreeSet<String> = RUST_SDK
            .iter()
            .filter_map(|file| file.path.strip_prefix("vendor/cdp-plugin-sdk/src/"))
            .map(str::to_owned)
            .collect();
        assert_eq!(carried, there);
    }

    #[test]
    fn every_language_and_world_makes_a_project_that_can_be_opened() {
        for language in Language::ALL {
            for world in World::ALL {
                let home = tempfile::tempdir().unwrap();
                let dir = home.path().join("p");
                let written = match write(&dir, "my-plugin", world, language) {
                    Ok(written) => written,
                    Err(refused) => {
                        let why = refused.to_string();
                        assert!(particular(language, world).is_none() && why.contains("rust"), "{why}");
                        assert!(!dir.exists(), "nothing is begun that cannot be ended");
                        continue;
                    }
                };
                assert!(written.iter().any(|path| path.starts_with("tests/")), "{language:?}");
                let project = super::super::project::Project::open(&dir).unwrap();
                assert_eq!((project.world, project.language), (world, language));
                for path in written {
                    let text = fs::read_to_string(dir.join(&path)).unwrap();
                    assert!(!text.contains("{{name}}"), "{path} has a place that was not filled in");
                }
            }
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("mine"), "").unwrap();
        let failure = write(home.path(), "my-plugin", World::Deriver, Language::C).unwrap_err();
        assert!(failure.to_string().ends_with("is there already and not empty"), "{failure}");
    }

    #[test]
    fn a_name_that_a_language_would_not_take_is_refused() {
        for name in ["", "Orders", "1st", "a_b", "a-", "ä", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name(&"a".repeat(64)).is_ok());
    }
}
