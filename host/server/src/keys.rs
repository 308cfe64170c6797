//! `cdp keys`: API keys through a running server, and the key that opens a data directory.

use std::path::PathBuf;

use cdp_store::seal::MasterKey;

use crate::config::{File, Store, StoreArgs};
use crate::{Failure, exit, say, serve};

/// What to do with keys: those of clients, and the one that opens a data directory.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an API key.
    Create(crate::remote::keys::CreateArgs),
    /// List API keys.
    List(crate::remote::keys::ListArgs),
    /// Revoke an API key; in force within a second.
    Revoke(crate::remote::keys::RevokeArgs),
    /// Have another master key open the data from here on, while no server uses it.
    #[command(after_help = "Examples:
  cdp keys rotate --data-dir /var/lib/cdp --to-key-file /etc/cdp/master-2.key")]
    Rotate(RotateArgs),
}

/// Which key opens the data, and which is to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The file of the key that is to open the data; made when it is missing.
    #[arg(long, value_name = "FILE")]
    to_key_file: PathBuf,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let args = match command {
        Command::Create(args) => return crate::remote::keys::create(&args),
        Command::List(args) => return crate::remote::keys::list(&args),
        Command::Revoke(args) => return crate::remote::keys::revoke(&args),
        Command::Rotate(args) => args,
    };
    serve::log();
    let store = Store::of(&args.store, &File::read(args.store.config.as_deref())?)?;
    let wrapped = store.data_dir.join("keys").join("installation");
    if !wrapped.exists() {
        let sentence = format!("there is no data in {}", store.data_dir.display());
        return Err(Failure::new(exit::NOT_FOUND, sentence));
    }
    let lock = cdp_store::lock::DataLock::take(&store.data_dir);
    let _held = lock.map_err(|error| Failure::new(exit::CONFLICT, error.to_string()))?;
    let to = MasterKey::load_or_create(&args.to_key_file, &store.data_dir)
        .map_err(|error| Failure::because(exit::CONFIGURATION, "use the new master key", &error))?;
    let rotated = store.master_key.rotate(&wrapped, &to);
    rotated.map_err(|error| Failure::because(exit::FAILED, "wrap the installation's secret anew", &error))?;
    say(&format!(
        "the data opens with {} from here on; the key of before opens nothing",
        args.to_key_file.display()
    ))
}
