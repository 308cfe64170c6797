//! A receiver of webhooks: takes what is posted to it, answers as it is told, and remembers everything.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) signature: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    /// What it was answered.
    pub(crate) status: u16,
}

/// What to answer the message that came as the n-th, counted from 0: a status, further lines of the head, and how long to
/// wait before.
pub(crate) type Answering = Box<dyn Fn(usize, &Value) -> (u16, &'static str, Duration) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    /// Takes everything.
    pub(crate) fn willing() -> Self {
        Self::answering(Box::new(|_, _| (200, "", Duration::ZERO)))
    }

    pub(crate) fn answering(answer: Answering) -> Self {
        Self::serving("http", answer, |stream| stream)
    }

    /// Takes everything, over TLS; with it comes its certificate, as PEM.
    pub(crate) fn secure() -> (Self, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let named = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = named.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let config = Arc::new(config);
        let receiver = Self::serving("https", Box::new(|_, _| (200, "", Duration::ZERO)), move |stream| {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            rustls::StreamOwned::new(connection, stream)
        });
        (receiver, certificate.pem())
    }

    fn serving<S: Read + Write>(
        scheme: &str,
        answer: Answering,
        speak: impl Fn(std::net::TcpStream) -> S + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, messages: Arc::default() };
        let (messages, answer) = (receiver.messages.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (messages, answer, speak) = (messages.clone(), answer.clone(), speak.clone());
                std::thread::spawn(move || serve(speak(stream), &messages, &answer));
            }
        });
        receiver
    }

    /// Where it listens, without a path.
    pub(crate) fn origin(&self) -> &str {
        self.url.trim_end_matches("/hook")
    }

    /// Everything that came, in order.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// Messages with rows, in order.
    pub(crate) fn audiences(&self) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.body["type"] == "cdp.audience").collect()
    }

    /// What a receiver has that applies changes by a key, taking each message that it answered well.
    pub(crate) fn holds(&self, key: &str) -> BTreeMap<String, Value> {
        let mut held = BTreeMap::new();
        for message in self.audiences().iter().filter(|message| message.status < 300) {
            for row in message.body["rows"].as_array().unwrap() {
                let name = row[key].as_str().unwrap().to_owned();
                if row["change"] == "remove" {
                    held.remove(&name);
                } else {
                    let mut row = row.clone();
                    row.as_object_mut().unwrap().remove("change");
                    held.insert(name, row);
                }
            }
        }
        held
    }
}

fn serve(stream: impl Read + Write, messages: &Mutex<Vec<Message>>, answer: &Answering) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut headers, mut line) = (BTreeMap::new(), String::new());
        loop {
            line.clear();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let Some((name, value)) = text.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let n = messages.lock().unwrap().len();
        let (status, more, wait) = answer(n, &body);
        // Said before it is answered: what was answered was taken.
        messages.lock().unwrap().push(Message {
            id: header("webhook-id"),
            signature: header("webhook-signature") + &header("x-opendsr-signature"),
            authorization: header("authorization"),
            body,
            status,
        });
        std::thread::sleep(wait);
        let head = format!("HTTP/1.1 {status} As told\r\ncontent-length: 0\r\n{more}\r\n");
        let stream = reader.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}
