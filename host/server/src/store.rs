//! `cdp store`: makes state anew from the journal, or checks that it is what the journal says.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::{self, File, Store, StoreArgs};
use crate::{Failure, exit, say, serve};

/// What to do with a data directory that no server uses.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Throw state away and make it anew from the journal.
    #[command(after_help = "Examples:
  cdp store rebuild --data-dir /var/lib/cdp")]
    Rebuild(StoreArgs),
    /// Make state anew in memory and compare it with what is stored.
    #[command(after_help = "Examples:
  cdp store verify --data-dir /var/lib/cdp")]
    Verify(StoreArgs),
}

/// Does it. The server must not run.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    serve::log();
    match command {
        Command::Rebuild(args) => rebuild(&args),
        Command::Verify(args) => verify(&args),
    }
}

fn options(args: &StoreArgs) -> Result<cdp_engine::Options, Failure> {
    let store = Store::of(args, &File::read(args.config.as_deref())?)?;
    if !store.data_dir.exists() {
        let sentence = format!("there is no data directory {}", store.data_dir.display());
        return Err(Failure::new(exit::NOT_FOUND, sentence));
    }
    let mut options = store.options();
    options.plugin_compiler = Some(crate::compile::compiler()?);
    Ok(options)
}

fn rebuild(args: &StoreArgs) -> Result<(), Failure> {
    let options = options(args)?;
    {
        // Nobody else may be using it while state is moved away.
        let lock = cdp_store::lock::DataLock::take(&options.data_dir);
        let _held = lock.map_err(|error| Failure::new(exit::CONFLICT, error.to_string()))?;
        let aside = cdp_engine::rebuild::set_state_aside(&options.data_dir);
        aside.map_err(|error| Failure::because(exit::FAILED, "set state aside", &error))?;
    }
    let engine = config::open(options)?;
    let applied = wait_until_applied(&engine);
    let lines: Vec<_> = engine
        .open_tenants()
        .iter()
        .map(|tenant| {
            let stats = tenant.stats();
            format!("tenant {}: {} events, {} profiles", tenant.no().0, stats.applied, stats.profiles)
        })
        .collect();
    engine.close();
    applied.map_err(|error| Failure::because(exit::FAILED, "bring state forward", &error))?;
    lines.iter().try_for_each(|line| say(line))?;
    say("state was rebuilt from the journal")
}

/// Waits until state stands at the journal's end, and shows how far it is.
fn wait_until_applied(engine: &cdp_engine::Engine) -> cdp_engine::Result<()> {
    let left = || engine.open_tenants().iter().map(|tenant| tenant.stats().lag_bytes).sum::<u64>();
    let total = left();
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {binary_bytes}/{binary_total_bytes} of journal {eta}")
    {
        bar.set_style(style);
    }
    let applied = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.wait_until_applied());
        while !waiting.is_finished() {
            bar.set_position(total.saturating_sub(left()));
            std::thread::sleep(Duration::from_millis(50));
        }
        waiting.join()
    });
    bar.finish_and_clear();
    applied.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn verify(args: &StoreArgs) -> Result<(), Failure> {
    let engine = config::open(options(args)?)?;
    let verified = engine.verify();
    engine.close();
    let verified = verified.map_err(|error| Failure::because(exit::FAILED, "verify", &error))?;
    let mut differences = 0;
    for one in verified {
        say(&format!(
            "tenant {}: {} events, {} rows compared, {} differ",
            one.tenant.0,
            one.events,
            one.rows,
            one.differences.len()
        ))?;
        one.differences.iter().try_for_each(|difference| say(&format!("  {difference}")))?;
        differences += one.differences.len();
    }
    if differences > 0 {
        return Err(Failure::new(
            exit::CHECKS_FAILED,
            "state is not what the journal says; `cdp store rebuild` makes it anew",
        ));
    }
    say("state is what the journal says")
}
