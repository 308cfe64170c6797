//! From a target to a connection: resolved once, judged, and dialled at an address that was judged.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fault::{Fault, Why};
use crate::network::Network;
use crate::policy::{Policy, Scheme, Target};

/// How long resolving a name may take.
pub const RESOLVE_MAX: Duration = Duration::from_secs(5);
/// How long it may take until a connection stands, with its name resolved and its certificate checked.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
pub const ADDRESSES_TRIED_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Dialler {
    pub(crate) policy: Policy,
    pub(crate) network: Arc<dyn Network>,
    /// Whom to trust besides the machine's own roots.
    pub(crate) more_roots: Vec<CertificateDer<'static>>,
    pub(crate) tls: OnceLock<Tls>,
}

/// Settings of TLS, made when they are first needed: reading a machine's roots takes milliseconds.
#[derive(Debug)]
pub(crate) struct Tls {
    http: Arc<ClientConfig>,
    plain: Arc<ClientConfig>,
}

impl Dialler {
    /// Connects, by TCP only.
    pub(crate) async fn tcp(&self, target: &Target) -> Result<TcpStream, Fault> {
        timeout(CONNECT_MAX, self.tcp_in_any_time(target)).await.map_err(|_| slow(target))?
    }

    /// Connects, and wraps the connection in TLS where the target wants it.
    async fn stream(&self, target: &Target) -> Result<Stream, Fault> {
        let dialling = async {
            let tcp = self.tcp_in_any_time(target).await?;
            Ok(match target.scheme() {
                Scheme::Http => Stream::Plain(tcp),
                Scheme::Https => {
                    let config = Arc::clone(&self.tls().http);
                    Stream::Tls(Box::new(handshake(config, target, tcp).await?))
                }
                Scheme::Postgres => {
                    return Err(Fault::permanent(Why::Internal, "this is no address of HTTP"));
                }
            })
        };
        timeout(CONNECT_MAX, dialling).await.map_err(|_| slow(target))?
    }

    /// Wraps a connection in TLS, for protocols that begin without.
    pub(crate) async fn wrap<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        target: &Target,
        stream: S,
    ) -> Result<TlsStream<S>, Fault> {
        let config = Arc::clone(&self.tls().plain);
        timeout(CONNECT_MAX, handshake(config, target, stream)).await.map_err(|_| slow(target))?
    }

    async fn tcp_in_any_time(&self, target: &Target) -> Result<TcpStream, Fault> {
        let found = match target.literal() {
            Some(address) => vec![address],
            None => self.resolve(target).await?,
        };
        let judged = self.policy.judge(target, &found, |address| self.network.is_own(address))?;
        let tried = &judged[..judged.len().min(ADDRESSES_TRIED_MAX)];
        let each = CONNECT_MAX / u32::try_from(tried.len().max(1)).expect("a few");
        for &address in tried {
            match timeout(each, self.network.connect(address)).await {
                Ok(Ok(tcp)) => {
                    _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a connection could not be opened");
                }
                Err(_) => tracing::debug!(%address, "a connection was not opened in time"),
            }
        }
        Err(Fault::retry(Why::Connect, format!("no connection to {}", target.origin())))
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, Fault> {
        let none = |why: &str| Fault::retry(Why::Dns, format!("{} {why}", target.host()));
        // What an operator wrote down may be a short name of his own network.
        let whole = !self.policy.allows_host(target);
        let found = timeout(RESOLVE_MAX, self.network.resolve(target.host(), whole)).await;
        let found = found.map_err(|_| none("was not resolved in time"))?;
        let mut found = found.map_err(|error| {
            tracing::debug!(%error, "a name could not be resolved");
            none("could not be resolved")
        })?;
        found.dedup();
        if found.is_empty() { Err(none("has no address")) } else { Ok(found) }
    }

    fn tls(&self) -> &Tls {
        self.tls.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            roots.add_parsable_certificates(self.more_roots.iter().cloned());
            if roots.is_empty() {
                tracing::error!(
                    "no certificate authority is known to this machine: no TLS connection will be trusted; \
                     install ca-certificates, or name a file in SSL_CERT_FILE"
                );
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let plain = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("ring has what TLS 1.2 and 1.3 need")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let mut http = plain.clone();
            http.alpn_protocols = vec![b"http/1.1".to_vec()];
            Tls { http: Arc::new(http), plain: Arc::new(plain) }
        })
    }
}

fn slow(target: &Target) -> Fault {
    Fault::retry(Why::Timeout, format!("no connection to {} within {CONNECT_MAX:?}", target.origin()))
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    target: &Target,
    stream: S,
) -> Result<TlsStream<S>, Fault> {
    let untrusted = |why: &str| Fault::retry(Why::Tls, format!("{}: {why}", target.origin()));
    let name = ServerName::try_from(target.host().to_owned())
        .map_err(|_| untrusted("no certificate can have this name"))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| untrusted(tls_words(&error)))
}

/// What went wrong, in our words: a certificate's own are the other side's.
fn tls_words(error: &io::Error) -> &'static str {
    let rustls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::UnknownIssuer => "nobody who is trusted here vouches for its certificate",
            CertificateError::Revoked => "its certificate is revoked",
            _ => "its certificate is not valid",
        },
        Some(_) => "no TLS could be agreed on",
        None => "the connection ended while TLS was being agreed on",
    }
}

/// A connection for HTTP.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Connections as the HTTP client wants them. A pooled one was judged when it was opened, under the same policy.
#[derive(Debug, Clone)]
pub(crate) struct Connector(pub(crate) Arc<Dialler>);

pub(crate) struct Io(TokioIo<Stream>);

impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = Io;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Io, Fault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let dialler = Arc::clone(&self.0);
        Box::pin(async move {
            // Read again, by the same rules: what is dialled is what was judged, whoever calls.
            let (target, _) = dialler.policy.http(&uri.to_string())?;
            Ok(Io(TokioIo::new(dialler.stream(&target).await?)))
        })
    }
}
