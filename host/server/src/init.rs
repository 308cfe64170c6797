//! `cdp init`: lays down what a server needs, so that the next command is `cdp serve`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cdp_store::seal::MasterKey;
use serde_json::Value;

use crate::config::{File, Places, StoreArgs};
use crate::{Failure, exit, say};

/// Where to.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cdp init --data-dir /var/lib/cdp --listen 0.0.0.0:8080
  cdp init && cdp serve")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// The address that the server is to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: String,
    /// Where the operator's key is to be [default: DIR.operator, beside the data directory].
    #[arg(long, value_name = "FILE")]
    operator_key_file: Option<PathBuf>,
}

/// Does it. Nothing that is there is changed.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let places = Places::of(&args.store, &File::default());
    let config = args.store.config.clone().unwrap_or_else(|| "cdp.toml".into());
    let operator = args.operator_key_file.clone();
    let operator = operator.unwrap_or_else(|| crate::config::beside(&places.data_dir, "operator"));
    for there in [&config, &operator] {
        if there.exists() {
            let sentence = format!("{} is there already; nothing was changed", there.display());
            return Err(Failure::new(exit::CONFLICT, sentence));
        }
    }
    if places.data_dir.join("keys").exists() {
        let sentence = format!("{} holds an installation already", places.data_dir.display());
        return Err(Failure::new(exit::CONFLICT, sentence));
    }
    let failed =
        |doing: &str, error: &(dyn std::error::Error + 'static)| Failure::because(exit::FAILED, doing, error);
    cdp_store::files::create_dir(&places.data_dir)
        .map_err(|error| failed("make the data directory", &error))?;
    if std::env::var_os("CDP_MASTER_KEY").is_none() {
        MasterKey::load_or_create(&places.master_key_file, &places.data_dir)
            .map_err(|error| Failure::because(exit::CONFIGURATION, "make the master key", &error))?;
    }
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|_| Failure::new(exit::FAILED, "the system gives no randomness"))?;
    let digits = cdp_domain::hex::encode(&secret);
    let checksum = &blake3::hash(digits.as_bytes()).to_hex()[..8];
    write(&operator, &format!("cdp_live_operator_{digits}{checksum}\n"), 0o600)?;
    let text = format!(
        "# What stands here is outranked by CDP_… in the environment, and that by a flag.\n\
         # `cdp config show --origin` tells what holds.\n\
         data_dir = {}\nmaster_key_file = {}\nerasures_file = {}\noperator_key_file = {}\nlisten = {}\n",
        quoted(&places.data_dir),
        quoted(&places.master_key_file),
        quoted(&places.erasures_file),
        quoted(&operator),
        Value::from(args.listen.as_str()),
    );
    write(&config, &text, 0o644)?;
    say(&format!("{}: the settings", config.display()))?;
    say(&format!(
        "{}: the master key; keep a copy apart, for without it nothing can be read",
        places.master_key_file.display()
    ))?;
    say(&format!("{}: the operator's key, which makes tenants", operator.display()))?;
    say(&format!(
        "go on with:\n  cdp serve --config {}\n  cdp tenants create shop --operator-key-file {} --url http://{}",
        config.display(),
        operator.display(),
        args.listen
    ))
}

fn quoted(path: &Path) -> Value {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // A basic string of TOML is written like a string of JSON.
    Value::from(absolute.to_string_lossy().into_owned())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::because(exit::FAILED, &format!("write {}", path.display()), &error))
}
