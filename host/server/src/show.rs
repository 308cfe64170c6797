//! `cdp config show`: every setting that holds, and where it comes from.

use cdp_api::Setting;
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::{Value, json};

use crate::config::{File, Places};
use crate::remote::{Column, Output};
use crate::{Failure, exit, http, serve};

const COLUMNS: &[Column] = &[("setting", "/setting"), ("value", "/value")];
const WITH_ORIGIN: &[Column] = &[("setting", "/setting"), ("value", "/value"), ("origin", "/origin")];

/// Settings of the command line and the environment, by their names in `cdp.toml`.
pub(crate) const SETTINGS: [&str; 13] = [
    "data_dir",
    "master_key_file",
    "erasures_file",
    "listen",
    "operator_key_file",
    "cache_mib",
    "egress_allow",
    "connections_max",
    "requests_per_second_max",
    "events_per_second_max",
    "bytes_per_second_max",
    "changes_per_second_max",
    "burst_seconds",
];

/// What to do with the settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the settings that `cdp serve` would run with.
    #[command(after_help = "Examples:
  cdp config show --origin
  CDP_CACHE_MIB=512 cdp config show --origin --config /etc/cdp.toml -o json")]
    Show(Box<ShowArgs>),
}

/// Settings as `cdp serve` takes them, and how to print.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    serve: serve::Args,
    /// Say where each comes from: a flag, the environment, the file, or nowhere.
    #[arg(long)]
    origin: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Does it. `matches` are those of the whole command line: they know whether a value was given or not.
pub(crate) fn run(command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    let Command::Show(args) = command;
    let given = matches.subcommand_matches("config").and_then(|config| config.subcommand_matches("show"));
    let given = given.ok_or_else(|| Failure::new(exit::FAILED, "the command line was not understood"))?;
    let row = |one: Setting| json!({ "setting": one.name, "value": one.value, "origin": one.origin });
    let rows: Vec<_> = effective(&args.serve, given)?.into_iter().map(row).collect();
    args.output.list(if args.origin { WITH_ORIGIN } else { COLUMNS }, &rows)
}

/// Every setting that holds with these arguments, and where it comes from; `given` knows which of them were given.
pub(crate) fn effective(args: &serve::Args, given: &ArgMatches) -> Result<Vec<Setting>, Failure> {
    let named = args.store.config.as_deref();
    let file = File::read(named)?;
    let path = named.map_or_else(|| "cdp.toml".to_owned(), |path| path.display().to_string());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if named.is_none() => String::new(),
        Err(error) => return Err(Failure::because(exit::CONFIGURATION, &format!("read {path}"), &error)),
    };
    let written: toml::Table = text
        .parse()
        .map_err(|error| Failure::because(exit::CONFIGURATION, &format!("read {path}"), &error))?;
    let places = Places::of(&args.store, &file);
    let usual = cdp_api::HttpOptions::default();
    let fallback = |name: &str| -> String {
        match name {
            "data_dir" => places.data_dir.display().to_string(),
            "master_key_file" => places.master_key_file.display().to_string(),
            "erasures_file" => places.erasures_file.display().to_string(),
            "listen" => serve::LISTEN.to_owned(),
            "operator_key_file" | "egress_allow" => String::new(),
            "cache_mib" => serve::CACHE_MIB.to_string(),
            other => plain(&cdp_api::limits::all(&usual)[other]),
        }
    };
    let mut settings = Vec::new();
    let mut add =
        |name: String, value: String, origin: String| settings.push(Setting { name, value, origin });
    for name in SETTINGS {
        let raw =
            given.get_raw(name).and_then(|mut raw| raw.next()).map(|raw| raw.to_string_lossy().into_owned());
        let in_file = written.get(name).map(written_as);
        let (value, origin) = match (given.value_source(name), raw, in_file) {
            (Some(ValueSource::CommandLine), Some(value), _) => {
                (value, format!("flag --{}", name.replace('_', "-")))
            }
            (Some(ValueSource::EnvVariable), Some(value), _) => {
                (value, format!("environment CDP_{}", name.to_uppercase()))
            }
            (_, _, Some(value)) => (value, format!("file {path}")),
            _ => (fallback(name), "default".to_owned()),
        };
        add(name.to_owned(), value, origin);
    }
    let keys = [("master_key", "CDP_MASTER_KEY"), ("operator_key", "CDP_OPERATOR_KEY")];
    for (name, variable) in keys.into_iter().filter(|(_, variable)| std::env::var_os(variable).is_some()) {
        // That it is there is a setting; what it is is nobody's business.
        add(name.to_owned(), "(secret)".to_owned(), format!("environment {variable}"));
    }
    let options = http::options(&args.http, &file.rates(), &file.http)?;
    let of_file = written.get("http").and_then(toml::Value::as_table);
    for (name, value) in cdp_api::limits::all(&options) {
        if http::FILE_SETTINGS.contains(&name.as_str()) {
            let is_written = of_file.is_some_and(|table| table.contains_key(&name));
            let origin = if is_written { format!("file {path}") } else { "default".to_owned() };
            add(format!("http.{name}"), plain(&value), origin);
        }
    }
    Ok(settings)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value as it stands in the file.
fn written_as(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        other => format!("{other:?}"),
    }
}
