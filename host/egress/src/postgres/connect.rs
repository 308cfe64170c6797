//! A session with a server, over a connection that the policy allowed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::client::TlsStream;

use super::{ANSWER_BYTES_MAX, STATEMENT_MAX};
use crate::dial::Dialler;
use crate::exchange::BoxError;
use crate::fault::{Fault, Why};
use crate::policy::{Policy, Rule, Target};

/// How to connect, secrets included.
pub(super) struct Settings {
    pub(super) target: Target,
    config: Config,
    tls: bool,
}

/// Reads an address; nothing is resolved.
pub(super) fn settings(policy: &Policy, url: &str) -> Result<Settings, Fault> {
    let definition = |sentence: &str| Fault::permanent(Why::Definition, sentence);
    let (target, url) = policy.postgres(url)?;
    let mut tls = true;
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("sslmode", "require" | "verify-ca" | "verify-full") => tls = true,
            ("sslmode", "disable") => tls = false,
            ("sslmode", _) => {
                return Err(definition("sslmode is require, verify-ca, verify-full or disable"));
            }
            _ => return Err(definition("only sslmode may follow the database's name")),
        }
    }
    if !tls && !policy.allows_host(&target) {
        return Err(Fault::refused(
            Rule::Scheme,
            format!("{} without TLS is not allowed: have the operator allow it", target.host()),
        ));
    }
    let text = |part: &str| {
        let decoded = percent_decode_str(part).decode_utf8();
        let decoded = decoded.map_err(|_| definition("user, password and database are text"))?;
        if decoded.contains('\0') {
            Err(definition("user, password and database are text"))
        } else {
            Ok(decoded.into_owned())
        }
    };
    let user = text(url.username())?;
    let database = text(url.path().strip_prefix('/').unwrap_or_default())?;
    if user.is_empty() || database.is_empty() || database.contains('/') {
        return Err(definition("the address is of the form postgres://user:password@host/database"));
    }
    let mut config = Config::new();
    config.user(&user).dbname(&database).application_name("resultfly-cdp");
    if let Some(password) = url.password() {
        config.password(text(password)?);
    }
    config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
    Ok(Settings { target, config, tls })
}

/// A session; the connection ends with it.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) origin: String,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(super) async fn open(dialler: &Arc<Dialler>, settings: Settings) -> Result<Session, Fault> {
    let Settings { target, config, tls } = settings;
    let origin = target.origin();
    let tcp = Bounded { inner: dialler.tcp(&target).await?, left: ANSWER_BYTES_MAX };
    let (client, connection) = if tls {
        let wanted = Wanted { dialler: Arc::clone(dialler), target };
        let (client, connection) =
            config.connect_raw(tcp, wanted).await.map_err(|error| fault(&origin, &error))?;
        (client, tokio::spawn(async move { drop(connection.await) }))
    } else {
        let (client, connection) =
            config.connect_raw(tcp, NoTls).await.map_err(|error| fault(&origin, &error))?;
        (client, tokio::spawn(async move { drop(connection.await) }))
    };
    let session = Session { client, origin, connection };
    let millis = STATEMENT_MAX.as_millis();
    let bounds = format!("SET statement_timeout = {millis}; SET lock_timeout = {millis}");
    session.client.batch_execute(&bounds).await.map_err(|error| fault(&session.origin, &error))?;
    Ok(session)
}

/// The SQLSTATE, where the server rejects a value: data that is none of its column's, or a broken constraint.
pub(super) fn rejects(error: &tokio_postgres::Error) -> Option<String> {
    let state = state(error)?;
    (state.starts_with("22") || state.starts_with("23")).then_some(state)
}

fn state(error: &tokio_postgres::Error) -> Option<String> {
    let state = error.code()?.code();
    let plain = state.len() == 5 && state.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    Some(if plain { state.to_owned() } else { "?".to_owned() })
}

/// A fault in our words: what a server writes may quote the rows that it was sent.
pub(super) fn fault(origin: &str, error: &tokio_postgres::Error) -> Fault {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::FileTooLarge
        {
            return Fault::retry(Why::TooLarge, format!("{origin} sent more than {ANSWER_BYTES_MAX} bytes"));
        }
        cause = error.source();
    }
    let Some(state) = state(error) else {
        let text = error.to_string();
        return if text.contains("TLS") {
            Fault::retry(Why::Tls, format!("{origin} speaks no TLS"))
        } else if error.is_closed() || text.contains("communicating") {
            Fault::retry(Why::Closed, format!("{origin} closed the connection"))
        } else if text.contains("authentication") || text.contains("password") {
            Fault::retry(Why::Unauthorised, format!("{origin} wants another way to log in"))
        } else {
            Fault::retry(Why::Protocol, format!("what {origin} answered is none of PostgreSQL"))
        };
    };
    let said = |why: Why, words: &str| Fault::retry(why, format!("{origin}: {words} ({state})"));
    match (&state[..2], &*state) {
        ("28", _) => said(Why::Unauthorised, "the user or password is not taken"),
        (_, "42501") => said(Why::Unauthorised, "the user may not do this"),
        (_, "3D000") => said(Why::NotFound, "there is no such database"),
        (_, "42P01" | "42703" | "3F000") => said(Why::NotFound, "the table is not as it was"),
        (_, "42P10") => Fault::permanent(
            Why::Definition,
            format!("{origin}: no unique constraint is on the column that names a row ({state})"),
        ),
        (_, "57014" | "55P03") => said(Why::Timeout, "a statement took too long"),
        ("22" | "23", _) => {
            Fault::permanent(Why::Rejected, format!("{origin}: a value is not taken ({state})"))
        }
        _ => said(Why::Unavailable, "the server cannot do it now"),
    }
}

/// TLS for the name that was judged.
struct Wanted {
    dialler: Arc<Dialler>,
    target: Target,
}

impl TlsConnect<Bounded<TcpStream>> for Wanted {
    type Stream = Encrypted;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted, BoxError>> + Send>>;

    fn connect(self, stream: Bounded<TcpStream>) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(self.dialler.wrap(&self.target, stream).await?)) })
    }
}

struct Encrypted(TlsStream<Bounded<TcpStream>>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
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

/// A stream of which only so much is read: a message of this protocol may claim any length, and is kept until it is whole.
pub(super) struct Bounded<S> {
    inner: S,
    left: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        match this.left.checked_sub(read) {
            Some(left) => {
                this.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::ErrorKind::FileTooLarge.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
