//! `cdp serve`: runs the server until it is told to end, then drains and closes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cdp_export::Exports;
use clap::ArgMatches;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{self, File, Store, StoreArgs};
use crate::http::{self, HttpArgs};
use crate::{Failure, exit, say};

/// Where the server listens when nothing says otherwise.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";

/// Memory that the caches of state take unless something else is said.
pub(crate) const CACHE_MIB: u64 = 256;

/// Tenants without a console user for which a link is printed.
const FIRST_LINKS_MAX: usize = 10;

/// Flags of `cdp serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  CDP_OPERATOR_KEY_FILE=operator.key cdp serve
  cdp serve --data-dir /var/lib/cdp --listen 127.0.0.1:8080 --operator-key-file /etc/cdp/operator.key")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Address and port; port 0 picks a free one [default: 127.0.0.1:8080].
    #[arg(long, env = "CDP_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// A file with the operator's key, which makes tenants. Or the key itself in CDP_OPERATOR_KEY.
    #[arg(long, env = "CDP_OPERATOR_KEY_FILE", value_name = "FILE")]
    operator_key_file: Option<PathBuf>,
    /// Memory that the caches of state may take together [default: 256].
    #[arg(long, env = "CDP_CACHE_MIB", value_name = "MIB")]
    cache_mib: Option<u64>,
    /// Hosts and networks that destinations may be although they are refused otherwise, such as those inside; with commas.
    #[arg(long, env = "CDP_EGRESS_ALLOW", value_name = "HOSTS")]
    egress_allow: Option<String>,
    /// Panic where a request asks for it: for tests.
    #[arg(long, hide = true)]
    panic_probe: bool,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
}

/// Runs the server. Returns when it was told to end and everything is on disk. `given` knows which arguments were given.
pub(crate) fn run(args: Args, given: Option<&ArgMatches>) -> Result<(), Failure> {
    log();
    crate::panics::install();
    let settings = given.map(|given| crate::show::effective(&args, given)).transpose()?.unwrap_or_default();
    let file = File::read(args.store.config.as_deref())?;
    let operator_key = operator_key(args.operator_key_file.as_deref().or(file.operator_key_file.as_deref()))?;
    if operator_key.is_none() {
        tracing::warn!(
            "no operator key is set: tenants cannot be made; set CDP_OPERATOR_KEY or CDP_OPERATOR_KEY_FILE"
        );
    }
    let listen = args.listen.or(file.listen.clone()).unwrap_or_else(|| LISTEN.to_owned());
    let http = http::options(&args.http, &file.rates(), &file.http)?;
    let store = Store::of(&args.store, &file)?;
    let mut options = store.options();
    options.plugin_compiler = Some(crate::compile::compiler()?);
    if let Some(mib) = args.cache_mib.or(file.cache_mib) {
        options = options.caching(mib << 20);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::because(exit::FAILED, "start the runtime", &error))?;
    let allowed = args.egress_allow.or(file.egress_allow).unwrap_or_default();
    let api = cdp_api::Options {
        operator_key,
        http,
        panic_probe: args.panic_probe,
        docs: crate::docs::PARTS.to_vec(),
        settings,
    };
    runtime.block_on(serve(&listen, options, &allowed, api))
}

async fn serve(
    listen: &str,
    options: cdp_engine::Options,
    allowed: &str,
    api: cdp_api::Options,
) -> Result<(), Failure> {
    let (listener, address) = bind(listen).await?;
    let ended = signals()?;
    let open = tokio::task::spawn_blocking(move || config::open(options)).await;
    let engine = open.map_err(|error| Failure::because(exit::FAILED, "open the data", &error))??;
    let http = api.http.clone();
    let exports = Exports::open(engine.clone(), allowed)
        .map_err(|sentence| Failure::new(exit::CONFIGURATION, format!("CDP_EGRESS_ALLOW: {sentence}")))?;
    let router = cdp_api::router(exports.clone(), api);
    say(&format!("listening on http://{address}"))?;
    let links = first_links(&engine, address)?;
    links.iter().try_for_each(|line| say(line))?;
    tracing::info!(address = %address, "serving");
    let served = cdp_api::serve(listener, router, http, ended).await;
    tracing::info!("closing: what was accepted is being applied and written");
    let closed = tokio::task::spawn_blocking(move || {
        exports.close();
        engine.close();
    })
    .await;
    closed.map_err(|error| Failure::because(exit::FAILED, "close the data", &error))?;
    served.map_err(|error| Failure::because(exit::FAILED, "serve", &error))
}

/// Lines with the links by which the first admins of tenants come into the console that have no console user.
fn first_links(engine: &cdp_engine::Engine, address: SocketAddr) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for tenant in engine.open_tenants() {
        let token = engine.first_link(&tenant);
        let token =
            token.map_err(|error| Failure::because(exit::FAILED, "make a link to the console", &error))?;
        let Some(token) = token else { continue };
        if lines.len() == FIRST_LINKS_MAX {
            lines.push("more tenants have no console user: `cdp users invite` makes the first".to_owned());
            break;
        }
        let slug = &tenant.info().slug;
        lines.push(format!(
            "{slug} has no console user: the first admin comes in once at http://{address}/console/enter/{token}"
        ));
    }
    Ok(lines)
}

async fn bind(listen: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound =
        TcpListener::bind(listen).await.and_then(|listener| listener.local_addr().map(|at| (listener, at)));
    bound.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::AddrInUse => exit::CONFLICT,
            _ => exit::CONFIGURATION,
        };
        Failure::because(code, &format!("listen on {listen}"), &error)
    })
}

/// Resolves at the first SIGTERM or SIGINT; a second one ends the process at once.
fn signals() -> Result<impl Future<Output = ()>, Failure> {
    let of =
        |kind| signal(kind).map_err(|error| Failure::because(exit::FAILED, "listen for signals", &error));
    let (mut terminate, mut interrupt) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
    Ok(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("told to end: draining");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("told to end again: ending at once; what was acknowledged is on disk");
            std::process::exit(i32::from(exit::INTERRUPTED));
        });
    })
}

/// The operator's key from a file, or else from the environment. Blank means none.
fn operator_key(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let text = match file {
        Some(path) => {
            let doing = format!("read the operator's key from {}", path.display());
            fs::read_to_string(path).map_err(|error| Failure::because(exit::CONFIGURATION, &doing, &error))?
        }
        None => std::env::var("CDP_OPERATOR_KEY").unwrap_or_default(),
    };
    Ok(Some(text.trim().to_owned()).filter(|key| !key.is_empty()))
}

/// Logs to standard error; `CDP_LOG` (or else `RUST_LOG`) says what, such as `info` or `cdp_engine=debug`.
pub(crate) fn log() {
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let of = |name| EnvFilter::try_from_env(name).ok();
    let filter = of("CDP_LOG").or_else(|| of("RUST_LOG")).unwrap_or_else(|| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
}
