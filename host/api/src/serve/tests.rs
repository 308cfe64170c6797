use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Served {
    at: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn served(options: HttpOptions) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let slow = get(async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    });
    let router = Router::new().route("/", get(async || "ok")).route("/slow", slow);
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let ended = tokio::spawn(serve(listener, router, options, shutdown));
    Served { at, stop, ended }
}

async fn ask(at: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_request_is_answered_and_slow_headers_are_given_up() {
    let options = HttpOptions { header_read_timeout: Duration::from_millis(200), ..Default::default() };
    let served = served(options).await;
    let answer = ask(served.at, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    let began = Instant::now();
    let answer = ask(served.at, "GET / HTTP/1.1\r\nHost: x\r\n").await;
    assert!(!answer.contains("200") && began.elapsed() < Duration::from_secs(5), "{answer}");
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Pad: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(ask(served.at, &large).await.contains("431") || ask(served.at, &large).await.is_empty());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let options = HttpOptions { idle_timeout: Duration::from_millis(200), ..Default::default() };
    let served = served(options).await;
    let began = Instant::now();
    assert_eq!(ask(served.at, "").await, "");
    assert_eq!(ask(served.at, "GET").await, "");
    let kept = ask(served.at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(kept.ends_with("ok"), "{kept}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let served = served(HttpOptions { connections_max: 1, ..Default::default() }).await;
    let mut first = TcpStream::connect(served.at).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 12];
    first.read_exact(&mut some).await.unwrap();
    let answer = ask(served.at, "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: 1"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "overloaded");
    assert_eq!(body.len(), 192);
}

#[tokio::test]
async fn running_requests_end_before_the_server_does() {
    let served = served(HttpOptions::default()).await;
    let asking = tokio::spawn(ask(served.at, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    let idle = tokio::spawn(ask(served.at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.send(()).unwrap();
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
    served.ended.await.unwrap().unwrap();
    assert!(idle.await.unwrap().ends_with("ok"));
}
