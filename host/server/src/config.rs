//! Settings: flag, then `CDP_…` environment, then `cdp.toml`, then the default.

use std::fs;
use std::path::{Path, PathBuf};

use cdp_store::seal::MasterKey;
use serde::Deserialize;

use crate::http::{FileRates, HttpFile};
use crate::{Failure, exit};

/// Settings of everything that opens a data directory.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StoreArgs {
    /// Where the data lives [default: cdp-data].
    #[arg(long, env = "CDP_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The key that seals the data, or the key itself in CDP_MASTER_KEY; made when it is missing [default: DIR.key, beside the data directory].
    #[arg(long, env = "CDP_MASTER_KEY_FILE", value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Where erasures are written down, so that an older copy of the data brings nobody back [default: DIR.erasures, beside the data directory].
    #[arg(long, env = "CDP_ERASURES_FILE", value_name = "FILE")]
    pub(crate) erasures_file: Option<PathBuf>,
    /// A file with settings [default: cdp.toml, if there is one].
    #[arg(long, env = "CDP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What may stand in `cdp.toml`. A name that means nothing is refused: it would be a typing error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) erasures_file: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) operator_key_file: Option<PathBuf>,
    pub(crate) egress_allow: Option<String>,
    pub(crate) cache_mib: Option<u64>,
    pub(crate) connections_max: Option<usize>,
    pub(crate) requests_per_second_max: Option<u64>,
    pub(crate) events_per_second_max: Option<u64>,
    pub(crate) bytes_per_second_max: Option<u64>,
    pub(crate) changes_per_second_max: Option<u64>,
    pub(crate) burst_seconds: Option<u64>,
    /// Every other bound of the front door, under its name in `/v1/limits`.
    #[serde(default)]
    pub(crate) http: HttpFile,
}

/// Where the data lives and what opens it.
pub(crate) struct Store {
    pub(crate) data_dir: PathBuf,
    pub(crate) master_key: MasterKey,
    pub(crate) erasures_file: PathBuf,
}

/// Where the data lives, and what lies beside it.
pub(crate) struct Places {
    pub(crate) data_dir: PathBuf,
    pub(crate) master_key_file: PathBuf,
    pub(crate) erasures_file: PathBuf,
}

impl Places {
    /// By flags, environment and file.
    pub(crate) fn of(args: &StoreArgs, file: &File) -> Self {
        let data_dir =
            args.data_dir.clone().or_else(|| file.data_dir.clone()).unwrap_or_else(|| "cdp-data".into());
        let key_file = args.master_key_file.clone().or_else(|| file.master_key_file.clone());
        let erasures = args.erasures_file.clone().or_else(|| file.erasures_file.clone());
        Self {
            master_key_file: key_file.unwrap_or_else(|| beside(&data_dir, "key")),
            erasures_file: erasures.unwrap_or_else(|| beside(&data_dir, "erasures")),
            data_dir,
        }
    }
}

impl File {
    /// What the file says of connections and rates.
    pub(crate) fn rates(&self) -> FileRates {
        FileRates {
            connections_max: self.connections_max,
            requests_per_second_max: self.requests_per_second_max,
            events_per_second_max: self.events_per_second_max,
            bytes_per_second_max: self.bytes_per_second_max,
            changes_per_second_max: self.changes_per_second_max,
            burst_seconds: self.burst_seconds,
        }
    }

    /// Reads the file that is named, or `cdp.toml` where there is one.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Failure> {
        let path = named.unwrap_or(Path::new("cdp.toml"));
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let doing = format!("read {}", path.display());
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::because(exit::CONFIGURATION, &doing, &error))?;
        Self::parse(&text).map_err(|error| Failure::because(exit::CONFIGURATION, &doing, &error))
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

impl Store {
    /// Finds the data directory and loads its key, which is made when it is missing.
    pub(crate) fn of(args: &StoreArgs, file: &File) -> Result<Self, Failure> {
        let Places { data_dir, master_key_file, erasures_file } = Places::of(args, file);
        let master_key = match std::env::var("CDP_MASTER_KEY") {
            Ok(digits) => MasterKey::from_hex(&digits).ok_or_else(|| {
                Failure::new(exit::CONFIGURATION, "CDP_MASTER_KEY does not hold 64 hexadecimal digits")
            })?,
            Err(_) => MasterKey::load_or_create(&master_key_file, &data_dir)
                .map_err(|error| Failure::because(exit::CONFIGURATION, "use the master key", &error))?,
        };
        Ok(Self { data_dir, master_key, erasures_file })
    }
}

impl Store {
    /// The usual settings of an installation that lies there.
    pub(crate) fn options(self) -> cdp_engine::Options {
        let mut options = cdp_engine::Options::new(self.data_dir, self.master_key);
        options.erasures_file = Some(self.erasures_file);
        options
    }
}

/// `DIR.ending`, beside the directory.
pub(crate) fn beside(dir: &Path, ending: &str) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    // Without a trailing slash, which `components` drops.
    let mut name = absolute.components().collect::<PathBuf>().into_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Opens the installation; says in one line what stands in the way.
pub(crate) fn open(options: cdp_engine::Options) -> Result<cdp_engine::Engine, Failure> {
    let dir = options.data_dir.display().to_string();
    cdp_engine::Engine::open(options).map_err(|refused| {
        if let cdp_engine::Refused::Internal(cause) = &refused
            && let Some(error @ cdp_store::Error::Locked { .. }) = cause.downcast_ref::<cdp_store::Error>()
        {
            return Failure::new(exit::CONFLICT, error.to_string());
        }
        Failure::because(exit::FAILED, &format!("open {dir}"), &refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_typing_errors_in_it_are_refused() {
        let file = File::parse("data_dir = \"/var/lib/cdp\"\nlisten = \"0.0.0.0:80\"\n").unwrap();
        assert_eq!(file.data_dir.as_deref(), Some(Path::new("/var/lib/cdp")));
        assert!(File::parse("data_dirr = \"x\"").unwrap_err().to_string().contains("data_dirr"));
    }

    #[test]
    fn the_key_lies_beside_the_directory_and_not_in_it() {
        assert_eq!(beside(Path::new("/a/data/"), "key"), Path::new("/a/data.key"));
        assert_eq!(beside(Path::new("/a/data"), "key"), Path::new("/a/data.key"));
    }

    #[test]
    fn a_locked_directory_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let _held = cdp_store::lock::DataLock::take(&data).unwrap();
        let options = cdp_engine::Options::new(data, MasterKey::from_bytes([7; 32]));
        let failure = open(options).err().unwrap();
        assert_eq!(failure.code, exit::CONFLICT);
        assert!(failure.to_string().contains("in use by process"), "{failure}");
    }
}
