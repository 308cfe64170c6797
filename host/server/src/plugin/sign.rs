//! `cdp plugin keygen` and `sign`: who made a component, so that a server may take those of some makers only.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cdp_domain::hex;
use cdp_store::seal::Signer;

use crate::{Failure, exit, say};

/// What a signature's file is called: the component's name and this.
const ENDING: &str = ".sig";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin keygen maker.key")]
pub(crate) struct KeygenArgs {
    /// Where the key is written; it must not exist. Keep it: whoever has it signs in your name.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin sign build/order-totals.wasm --signing-key maker.key")]
pub(crate) struct SignArgs {
    /// A component.
    component: PathBuf,
    /// The key, as `keygen` wrote it.
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
}

pub(super) fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&args.file).map_err(|error| {
        let code =
            if error.kind() == std::io::ErrorKind::AlreadyExists { exit::CONFLICT } else { exit::FAILED };
        Failure::new(code, format!("{}: {error}", args.file.display()))
    })?;
    let written =
        file.write_all(format!("{}\n", hex::encode(&seed)).as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| Failure::new(exit::FAILED, format!("{}: {error}", args.file.display())))?;
    say(&hex::encode(&Signer::of_seed(&seed).public()))
}

pub(super) fn sign(args: &SignArgs) -> Result<(), Failure> {
    let text = String::from_utf8(super::read(&args.signing_key)?).unwrap_or_default();
    let seed: Option<[u8; 32]> = hex::decode(text.trim());
    let seed = seed.ok_or_else(|| {
        let detail = format!("{} is no key as `cdp plugin keygen` writes it", args.signing_key.display());
        Failure::new(exit::CONFIGURATION, detail)
    })?;
    let component = super::read(&args.component)?;
    let signature = Signer::of_seed(&seed).sign(&cdp_engine::signatures::signed_bytes(&component));
    let file = beside(&args.component);
    std::fs::write(&file, format!("{}\n", hex::encode(&signature)))
        .map_err(|error| Failure::new(exit::FAILED, format!("{}: {error}", file.display())))?;
    say(&file.display().to_string())
}

/// The signature that lies beside a component, in hex; None without one.
pub(super) fn signature_of(component: &Path) -> Option<String> {
    std::fs::read_to_string(beside(component)).ok().map(|text| text.trim().to_owned())
}

fn beside(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}
