//! A receiver of webhooks: takes what is posted to it, answers as it is told, and remembers everything.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) signature: String,
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, messages: Arc::default() };
        let (messages, answer) = (receiver.messages.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (messages, answer) = (messages.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &messages, &answer));
            }
        });
        receiver
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

fn serve(stream: TcpStream, messages: &Mutex<Vec<Message>>, answer: &Answering) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
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
            signature: header("webhook-signature"),
            body,
            status,
        });
        std::thread::sleep(wait);
        let head = format!("HTTP/1.1 {status} As told\r\ncontent-length: 0\r\n{more}\r\n");
        if stream.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}
