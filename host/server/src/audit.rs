//! `cdp audit`: checks what is chained by hashes, offline.

use std::path::PathBuf;

use crate::config::{File, Store, StoreArgs};
use crate::{Failure, exit, say, serve};

/// What to do with the chains of a data directory that no server uses.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check every entry of every chain, and say where one does not hold.
    #[command(after_help = "Examples:
  cdp audit verify --data-dir /var/lib/cdp")]
    Verify(StoreArgs),
    /// Check a consent receipt with the public key of who gave it.
    #[command(after_help = "Examples:
  cdp audit receipt receipt.json --key 5f1c…")]
    Receipt(ReceiptArgs),
}

/// Which receipt, by whom.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReceiptArgs {
    /// The file with the receipt and its signature, as it was answered.
    file: PathBuf,
    /// The public key, 64 hexadecimal digits, from somewhere else than the receipt.
    #[arg(long, value_name = "HEX")]
    key: String,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    serve::log();
    let args = match command {
        Command::Verify(args) => args,
        Command::Receipt(args) => return receipt(&args),
    };
    let store = Store::of(&args, &File::read(args.config.as_deref())?)?;
    if !store.data_dir.exists() {
        let sentence = format!("there is no data directory {}", store.data_dir.display());
        return Err(Failure::new(exit::NOT_FOUND, sentence));
    }
    let checked = cdp_engine::chains::verify(&store.data_dir, &store.master_key)
        .map_err(|error| Failure::because(exit::FAILED, "check the chains", &error))?;
    let mut broken = 0;
    for one in checked {
        let what = match &one.found {
            Ok(found) => format!("{} entries hold, {} of them erased", found.entries, found.erased),
            Err(found) => {
                broken += 1;
                format!("entry {} does not hold: {}", found.line, found.what)
            }
        };
        say(&format!("tenant {}, {}: {what}", one.tenant.0, one.chain))?;
    }
    if broken > 0 {
        return Err(Failure::new(exit::CHECKS_FAILED, "a chain is not what was written"));
    }
    say("every chain is what was written")
}

fn receipt(args: &ReceiptArgs) -> Result<(), Failure> {
    let doing = format!("read {}", args.file.display());
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::because(exit::NOT_FOUND, &doing, &error))?;
    let document = serde_json::from_str(&text)
        .map_err(|error| Failure::because(exit::INPUT_REJECTED, &doing, &error))?;
    cdp_engine::consent::check_receipt(&document, &args.key)
        .map_err(|what| Failure::new(exit::CHECKS_FAILED, format!("the receipt does not hold: {what}")))?;
    say("the receipt is what was signed")
}
