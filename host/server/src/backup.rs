//! `cdp backup`: copies of a data directory, while a server uses it or while none does.

use std::path::{Path, PathBuf};

use cdp_domain::time::Timestamp;
use cdp_store::backup;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::{File, Places, StoreArgs};
use crate::{Failure, exit, say, serve};

/// What to do with backups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a backup. A server may use the data directory meanwhile.
    #[command(after_help = "Examples:\n  cdp backup create /backups/2026-11-26 --data-dir /var/lib/cdp")]
    Create(CreateArgs),
    /// Check every byte of a backup. Ends with 9 when it is not what was written.
    #[command(after_help = "Examples:\n  cdp backup verify /backups/2026-11-26")]
    Verify(VerifyArgs),
    /// Put a backup back into a directory that is empty or missing.
    #[command(
        after_help = "Examples:\n  cdp backup restore /backups/2026-11-26 --data-dir /var/lib/cdp\n\nThe file of erasures, DIR.erasures, must be as new as the backup: who was erased since stays erased."
    )]
    Restore(RestoreArgs),
}

/// What to copy, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CreateArgs {
    /// Where the backup is to be; must be empty or missing.
    backup: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Which backup.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The backup.
    backup: PathBuf,
}

/// What to put back, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    backup: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// Put it back without the file of erasures: who was erased after the backup comes back.
    #[arg(long)]
    without_erasures: bool,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    serve::log();
    match command {
        Command::Create(args) => create(&args),
        Command::Verify(args) => verify(&args.backup),
        Command::Restore(args) => restore(&args),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let places = Places::of(&args.store, &File::read(args.store.config.as_deref())?);
    if !places.data_dir.exists() {
        let sentence = format!("there is no data directory {}", places.data_dir.display());
        return Err(Failure::new(exit::NOT_FOUND, sentence));
    }
    let bar = bar();
    let made =
        backup::create(&places.data_dir, &args.backup, Some(&places.erasures_file), &now(), &mut |bytes| {
            bar.inc(bytes)
        });
    bar.finish_and_clear();
    let made = made.map_err(|error| failure("make the backup", &error))?;
    say(&format!("{}: {} files, {} bytes", args.backup.display(), made.files, made.bytes))?;
    say(&format!(
        "the master key is not in it: keep {} apart, for without it nothing can be read",
        places.master_key_file.display()
    ))
}

fn verify(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::new(exit::NOT_FOUND, format!("there is no backup {}", path.display())));
    }
    let checked = backup::verify(path).map_err(|error| failure("check the backup", &error))?;
    for difference in &checked.differences {
        say(difference)?;
    }
    if !checked.differences.is_empty() {
        let sentence = format!("{} is not what was written", path.display());
        return Err(Failure::new(exit::CHECKS_FAILED, sentence));
    }
    let (made, files, bytes) = (&checked.created_at, checked.files, checked.bytes);
    say(&format!("{}: made {made}, {files} files, {bytes} bytes, all as written", path.display()))
}

fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    if !args.backup.exists() {
        let sentence = format!("there is no backup {}", args.backup.display());
        return Err(Failure::new(exit::NOT_FOUND, sentence));
    }
    let places = Places::of(&args.store, &File::read(args.store.config.as_deref())?);
    let erasures = Some(places.erasures_file.as_path()).filter(|_| !args.without_erasures);
    let bar = bar();
    let made = backup::restore(&args.backup, &places.data_dir, erasures, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let made = made.map_err(|error| failure("put the backup back", &error))?;
    say(&format!("{}: {} files, {} bytes", places.data_dir.display(), made.files, made.bytes))?;
    say("state is made anew from the journal at the next start; `cdp store rebuild` does it now")
}

fn failure(doing: &str, error: &cdp_store::Error) -> Failure {
    let code = match error {
        cdp_store::Error::Damaged { .. } | cdp_store::Error::Backup { .. } => exit::CHECKS_FAILED,
        cdp_store::Error::Occupied { .. } => exit::CONFLICT,
        cdp_store::Error::NoData { .. } => exit::NOT_FOUND,
        _ => exit::FAILED,
    };
    Failure::because(code, doing, error)
}

/// Now, as RFC 3339 writes it.
fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)).to_string()
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {binary_bytes} {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}
