//! A store that speaks as much of S3 as a small file needs: PUT under a condition, and HEAD. It remembers every object.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Objects by `/bucket/key`, with the digest that stands beside them.
type Objects = Arc<Mutex<BTreeMap<String, (Vec<u8>, String)>>>;

#[derive(Clone)]
pub(crate) struct Store {
    endpoint: String,
    objects: Objects,
}

impl Store {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let store = Self { endpoint, objects: Arc::default() };
        let objects = store.objects.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let objects = objects.clone();
                std::thread::spawn(move || serve(stream, &objects));
            }
        });
        store
    }

    /// The destination's definition.
    pub(crate) fn destination(&self) -> Value {
        json!({"kind": "object_store", "url": "s3://audiences/shop", "endpoint": self.endpoint,
               "access_key_id": "AKID", "secret_access_key": "canary-secret", "region": "us-east-1"})
    }

    /// An object as text, by its key below the destination's prefix.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().find(|(path, _)| path.ends_with(key));
        found.map(|(_, (bytes, _))| String::from_utf8(bytes.clone()).unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.lock().unwrap().len()
    }
}

fn serve(stream: TcpStream, objects: &Mutex<BTreeMap<String, (Vec<u8>, String)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        let header = |name: &str| {
            let found = lines.iter().filter_map(|line| line.split_once(':'));
            let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim().to_owned())
        };
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut objects = objects.lock().unwrap();
        let answer = match (method, objects.get(&path)) {
            ("PUT", Some(_)) if header("if-none-match").is_some() => {
                "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            ("PUT", _) => {
                objects.insert(path, (body, header("x-amz-meta-cdp-sha256").unwrap_or_default()));
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            ("HEAD", Some((body, sha256))) => format!(
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Thu, 26 Nov 2026 10:00:00 GMT\r\n\
                 x-amz-meta-cdp-sha256: {sha256}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ),
            ("HEAD", None) => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        drop(objects);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
