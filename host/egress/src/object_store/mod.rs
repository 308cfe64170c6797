//! Object storage: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! An object appears whole or not at all, and nothing that is there already is written over: putting is conditional. The
//! same file under the same key again is a success that writes nothing, which is what a run that was broken off wants.
//! Files above [`PART_BYTES`] go in parts, which no store begins under a condition: there the key is looked at before, and
//! two writers of the same key at the same time would both succeed. The runs of one destination do not.
//!
//! `object_store` knows the dialects and the signatures; every request of it goes out by [`Wire`], so that endpoints and
//! token services are judged like any other address. It takes nothing from the environment here.

#[cfg(test)]
mod tests;
mod wire;

use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore as Store, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload,
};
use zeroize::Zeroizing;

use crate::Egress;
use crate::fault::{Fault, Why};
use wire::Wire;

/// Bytes of a part, and of the largest file that goes in one piece under a condition. Two are in memory at once.
pub const PART_BYTES: usize = 16 << 20;
/// Bytes of a file, at most: parts are at most ten thousand.
pub const FILE_BYTES_MAX: u64 = 10_000 * PART_BYTES as u64;
/// Bytes of a key with its prefix, at most.
pub const KEY_BYTES_MAX: usize = 1_024;

/// The header that a file's SHA-256 is kept under, in hexadecimal.
const SHA256: &str = "cdp-sha256";
/// What `check` writes, and leaves there.
const CHECK_KEY: &str = "cdp-check";

/// A bucket or container, and a prefix in it.
#[derive(Clone)]
pub struct ObjectStore {
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// How to get in; of the same vendor as the address.
    pub credentials: Credentials,
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStore").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How to get into a store.
#[derive(Clone)]
pub enum Credentials {
    /// For `s3://`.
    S3 {
        /// The key's id.
        access_key_id: String,
        /// The key.
        secret_access_key: Zeroizing<String>,
        /// Of temporary keys.
        session_token: Option<Zeroizing<String>>,
        /// Such as `eu-central-1`; stores that are only like S3 mostly say `us-east-1` or `auto`.
        region: String,
        /// `https://…` of a store that is only like S3; Amazon's own without.
        endpoint: Option<String>,
    },
    /// For `gs://`: the key file of a service account, as JSON text.
    Google {
        /// The whole text.
        service_account_key: Zeroizing<String>,
    },
    /// For `az://`.
    Azure {
        /// The storage account.
        account: String,
        /// One of its keys, in base64.
        access_key: Zeroizing<String>,
        /// Another address than `https://ACCOUNT.blob.core.windows.net`.
        endpoint: Option<String>,
    },
}

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The whole key, prefix included.
    pub key: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Whether the same file was there already.
    pub was_there: bool,
}

impl ObjectStore {
    /// Whether it can be used at all: the address, the endpoint by the policy, the form of the credentials. Nothing is
    /// resolved or sent.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(&self, egress: &Egress) -> Result<(), Fault> {
        self.store(Wire::new(egress, self.url.clone())).map(drop)
    }

    /// Puts a file under a key below the prefix.
    ///
    /// # Errors
    /// [`Fault`]; [`Why::Conflict`] when another file is there. After one that may be retried the object may be there.
    pub async fn put(&self, egress: &Egress, key: &str, file: &FilePath) -> Result<Stored, Fault> {
        let wire = Wire::new(egress, self.url.clone());
        let (store, prefix) = self.store(wire.clone())?;
        let key = whole_key(&prefix, key)?;
        let file = file.to_owned();
        egress
            .on_own_threads(async move {
                let put = Put { store: &*store, wire: &wire, key };
                put.file(file).await
            })
            .await
    }

    /// Writes the object `cdp-check` below the prefix, of a few bytes, and leaves it there.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn check(&self, egress: &Egress) -> Result<(), Fault> {
        let wire = Wire::new(egress, self.url.clone());
        let (store, prefix) = self.store(wire.clone())?;
        let key = whole_key(&prefix, CHECK_KEY)?;
        egress
            .on_own_threads(async move {
                let put =
                    store.put(&key, PutPayload::from_static(b"written by a test of a destination\n")).await;
                put.map(drop).map_err(|error| wire.fault(&error))
            })
            .await
    }

    /// The store, and the prefix.
    fn store(&self, wire: Wire) -> Result<(Box<dyn Store>, String), Fault> {
        let definition = |sentence: &str| Fault::permanent(Why::Definition, sentence);
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
        if !is_name || !["s3", "gs", "az"].contains(&scheme) {
            return Err(definition(
                "the address is of the form s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
            ));
        }
        // A builder's own words may have what it was given in them.
        let built = |made: object_store::Result<Box<dyn Store>>| {
            made.map_err(|_| definition("the credentials are not of the form that this store has"))
        };
        let none = object_store::RetryConfig { max_retries: 0, ..object_store::RetryConfig::default() };
        let policy = wire.policy();
        let store = match (scheme, &self.credentials) {
            ("s3", Credentials::S3 { access_key_id, secret_access_key, session_token, region, endpoint }) => {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                if region.is_empty() || region.len() > 40 || !region.bytes().all(plain) {
                    return Err(definition("the region is none"));
                }
                let mut builder = object_store::aws::AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(region)
                    .with_access_key_id(access_key_id)
                    .with_secret_access_key(secret_access_key.as_str())
                    .with_retry(none)
                    .with_allow_http(true)
                    .with_http_connector(wire.clone());
                if let Some(token) = session_token {
                    builder = builder.with_token(token.as_str());
                }
                if let Some(endpoint) = endpoint {
                    policy.http(endpoint)?;
                    builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
                }
                built(builder.build().map(|store| Box::new(store) as _))?
            }
            ("gs", Credentials::Google { service_account_key }) => {
                let builder = object_store::gcp::GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_service_account_key(service_account_key.as_str())
                    .with_retry(none)
                    .with_http_connector(wire.clone());
                built(builder.build().map(|store| Box::new(store) as _))?
            }
            ("az", Credentials::Azure { account, access_key, endpoint }) => {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                if !(3..=24).contains(&account.len()) || !account.bytes().all(plain) {
                    return Err(definition("the account is none"));
                }
                let mut builder = object_store::azure::MicrosoftAzureBuilder::new()
                    .with_container_name(bucket)
                    .with_account(account)
                    .with_access_key(access_key.as_str())
                    .with_retry(none)
                    .with_allow_http(true)
                    .with_http_connector(wire.clone());
                if let Some(endpoint) = endpoint {
                    policy.http(endpoint)?;
                    builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
                }
                built(builder.build().map(|store| Box::new(store) as _))?
            }
            _ => return Err(definition("the credentials are for another store than the address")),
        };
        Ok((store, prefix.trim_matches('/').to_owned()))
    }
}

fn whole_key(prefix: &str, key: &str) -> Result<Path, Fault> {
    let whole = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
    let wrong = || Fault::permanent(Why::Definition, "the key of the object is none");
    if key.is_empty() || whole.len() > KEY_BYTES_MAX || key.starts_with('/') || whole.ends_with('/') {
        return Err(wrong());
    }
    Path::parse(&whole).map_err(|_| wrong())
}

struct Put<'a> {
    store: &'a dyn Store,
    wire: &'a Wire,
    key: Path,
}

impl Put<'_> {
    async fn file(&self, file: PathBuf) -> Result<Stored, Fault> {
        let path = file.clone();
        let (bytes, sha256) = on_disk(move || measure(&path)).await?;
        if bytes > FILE_BYTES_MAX {
            return Err(Fault::permanent(
                Why::Definition,
                format!("the file has {bytes} bytes, {FILE_BYTES_MAX} are allowed"),
            ));
        }
        let stored =
            |was_there| Stored { key: self.key.to_string(), bytes, sha256: sha256.clone(), was_there };
        let attributes = Attributes::from_iter([(Attribute::Metadata(SHA256.into()), sha256.clone())]);
        if bytes <= PART_BYTES as u64 {
            let whole = on_disk(move || Parts::open(&file)?.next()).await?;
            let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
            return match self.store.put_opts(&self.key, whole.into(), options).await {
                Ok(_) => Ok(stored(false)),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    self.same(bytes, &sha256).await.map(|_| stored(true))
                }
                Err(error) => Err(self.wire.fault(&error)),
            };
        }
        if self.same(bytes, &sha256).await? {
            return Ok(stored(true));
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let begun = self.store.put_multipart_opts(&self.key, options).await;
        let mut upload = begun.map_err(|error| self.wire.fault(&error))?;
        let sent = async {
            let mut parts = on_disk(move || Parts::open(&file)).await?;
            loop {
                let (part, rest) = on_disk(move || Ok((parts.next()?, parts))).await?;
                parts = rest;
                if part.is_empty() {
                    break;
                }
                upload.put_part(part.into()).await.map_err(|error| self.wire.fault(&error))?;
            }
            upload.complete().await.map(drop).map_err(|error| self.wire.fault(&error))
        }
        .await;
        if let Err(fault) = sent {
            // Parts that were left would be paid for; whether taking them away works changes nothing here.
            _ = upload.abort().await;
            return Err(fault);
        }
        Ok(stored(false))
    }

    /// Whether the object is there and is this file; an error when it is another.
    async fn same(&self, bytes: u64, sha256: &str) -> Result<bool, Fault> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.store.get_opts(&self.key, options).await {
            Ok(found) => {
                let known = found.attributes.get(&Attribute::Metadata(SHA256.into()));
                if found.meta.size == bytes && known.is_some_and(|known| known.as_ref() == sha256) {
                    return Ok(true);
                }
                Err(Fault::permanent(Why::Conflict, "another object is there under this key"))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.wire.fault(&error)),
        }
    }
}

/// A file, part by part.
struct Parts(std::fs::File);

impl Parts {
    fn open(path: &FilePath) -> std::io::Result<Self> {
        std::fs::File::open(path).map(Self)
    }

    /// The next part; an empty one at the end.
    fn next(&mut self) -> std::io::Result<Vec<u8>> {
        let mut part = Vec::new();
        (&mut self.0).take(PART_BYTES as u64).read_to_end(&mut part)?;
        Ok(part)
    }
}

fn measure(path: &FilePath) -> std::io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let digest = context.finish();
            return Ok((bytes, cdp_domain::hex::encode(digest.as_ref())));
        }
        context.update(&buffer[..read]);
        bytes += read as u64;
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    let lost = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a file to hand out could not be read");
        Fault::retry(Why::File, "the file to hand out could not be read")
    };
    done.map_err(|error| lost(&error))?.map_err(|error| lost(&error))
}

/// Shared so that every request of a put can be told where it came to.
type Last = Arc<parking_lot::Mutex<Option<wire::Seen>>>;
