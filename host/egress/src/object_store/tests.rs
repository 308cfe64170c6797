//! Putting, against stores that are scripted on loopback; a store that is somebody else's is in the journeys.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};

use parking_lot::Mutex;

use super::*;
use crate::testkit::{Fixture, read_request, to_loopback};

type Objects = Arc<Mutex<BTreeMap<String, (Vec<u8>, String)>>>;

/// A store with as much of S3 as is used here: PUT under a condition, HEAD, and parts.
fn store_like_s3(objects: &Objects) -> Fixture {
    let objects = Arc::clone(objects);
    let parts: Arc<Mutex<BTreeMap<usize, Vec<u8>>>> = Arc::default();
    let meta: Arc<Mutex<String>> = Arc::default();
    Fixture::new(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((lines, body)) = read_request(&mut reader) {
            let header = |name: &str| {
                lines.iter().find_map(|line| {
                    let (known, value) = line.split_once(':')?;
                    known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                })
            };
            assert!(header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
            let sha256 = header("x-amz-meta-cdp-sha256").unwrap_or_default();
            let mut words = lines[0].split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let mut objects = objects.lock();
            let answer = match (method, query) {
                ("PUT", "") if header("if-none-match").is_some() && objects.contains_key(path) => {
                    "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                ("PUT", "") => {
                    objects.insert(path.to_owned(), (body, sha256));
                    "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                ("HEAD", _) => match objects.get(path) {
                    Some((body, sha256)) => format!(
                        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Thu, 26 Nov 2026 10:00:00 GMT\r\n\
                         x-amz-meta-cdp-sha256: {sha256}\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    ),
                    None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                },
                ("POST", "uploads") | ("POST", "uploads=") => {
                    *meta.lock() = sha256;
                    let xml = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{xml}", xml.len())
                }
                ("PUT", query) if query.contains("partNumber=") => {
                    let number = query.split("partNumber=").nth(1).unwrap().split('&').next().unwrap();
                    parts.lock().insert(number.parse().unwrap(), body);
                    "HTTP/1.1 200 OK\r\nETag: \"p\"\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                ("POST", _) => {
                    let whole = std::mem::take(&mut *parts.lock()).into_values().flatten().collect();
                    objects.insert(path.to_owned(), (whole, meta.lock().clone()));
                    let xml =
                        "<CompleteMultipartUploadResult><ETag>\"2\"</ETag></CompleteMultipartUploadResult>";
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{xml}", xml.len())
                }
                _ => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn s3(url: &str, fixture: &Fixture) -> ObjectStore {
    ObjectStore {
        url: url.to_owned(),
        credentials: Credentials::S3 {
            access_key_id: "AKID".into(),
            secret_access_key: "canary-secret".to_owned().into(),
            session_token: None,
            region: "us-east-1".into(),
            endpoint: Some(format!("http://{}", fixture.address)),
        },
    }
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cdp-egress-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_file_is_put_once_and_nothing_is_written_over() {
    let objects = Objects::default();
    let fixture = store_like_s3(&objects);
    let egress = to_loopback();
    let store = s3("s3://bucket/audiences/", &fixture);
    let (path, other) = (file("one", b"a,b\r\n1,2\r\n"), file("other", b"a,b\r\n1,3\r\n"));
    let put = |path: &FilePath| pollster::block_on(store.put(&egress, "run_1/part 1.csv", path));
    let first = put(&path).unwrap();
    assert_eq!((first.bytes, first.was_there, &*first.key), (10, false, "audiences/run_1/part 1.csv"));
    assert_eq!(put(&path).unwrap(), Stored { was_there: true, ..first });
    let fault = put(&other).unwrap_err();
    assert_eq!((fault.code(), fault.is_retryable()), ("conflict", false));
    let kept = objects.lock();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept["/bucket/audiences/run_1/part%201.csv"].0, b"a,b\r\n1,2\r\n");
    drop(kept);
    pollster::block_on(store.check(&egress)).unwrap();
    assert!(objects.lock().contains_key("/bucket/audiences/cdp-check"));
    for path in [path, other] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_of_one_part_goes_whole_and_one_byte_more_in_parts() {
    let objects = Objects::default();
    let fixture = store_like_s3(&objects);
    let egress = to_loopback();
    let store = s3("s3://bucket", &fixture);
    for extra in [0, 1] {
        let bytes: Vec<u8> = (0..PART_BYTES + extra).map(|n| (n % 251) as u8).collect();
        let path = file(&format!("large{extra}"), &bytes);
        let key = format!("large{extra}");
        for again in [false, true] {
            let stored = pollster::block_on(store.put(&egress, &key, &path)).unwrap();
            assert_eq!((stored.bytes, stored.was_there), (bytes.len() as u64, again));
        }
        assert!(objects.lock()[&format!("/bucket/{key}")].0 == bytes, "the parts are the file");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_stores_answer_has_its_outcome_and_nothing_of_it_is_told() {
    let egress = to_loopback();
    let path = file("outcome", b"x");
    for (status, code, retryable) in [
        ("301 Moved Permanently", "redirected", true),
        ("400 Bad Request", "rejected", false),
        ("401 Unauthorized", "unauthorised", true),
        ("403 Forbidden", "unauthorised", true),
        ("404 Not Found", "not_found", true),
        ("429 Too Many Requests", "rate_limited", true),
        ("500 Internal Server Error", "unavailable", true),
        ("501 Not Implemented", "definition", false),
        ("503 Slow Down", "unavailable", true),
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nRetry-After: 9\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 12\r\n\r\ncanary-reply"
        );
        let fixture = Fixture::answering(Box::leak(answer.into_boxed_str()));
        let fault = pollster::block_on(s3("s3://bucket", &fixture).put(&egress, "k", &path)).unwrap_err();
        assert_eq!((fault.code(), fault.is_retryable()), (code, retryable), "{status}: {fault}");
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
        let limited = ["429", "500", "503"].contains(&&status[..3]);
        assert_eq!(fault.after(), limited.then(|| std::time::Duration::from_secs(9)), "{status}");
        assert_eq!(fixture.connections(), 1, "{status}: asked once");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn definitions_are_read_strictly_and_endpoints_are_judged() {
    let egress = to_loopback();
    let fixture = Fixture::new(drop);
    let with = |url: &str, endpoint: &str| {
        let mut store = s3(url, &fixture);
        if let Credentials::S3 { endpoint: old, .. } = &mut store.credentials {
            *old = Some(endpoint.to_owned());
        }
        store.read(&egress).err().map_or("ok", |fault| fault.code())
    };
    for (url, endpoint, expected) in [
        ("s3://bucket", "https://minio.example.com", "ok"),
        ("s3://bucket/a/b", "https://minio.example.com/", "ok"),
        ("s3://bucket", "http://minio.example.com", "refused_scheme"),
        ("s3://bucket", "https://169.254.169.254", "refused_literal"),
        ("s3://bucket", "https://minio.internal", "refused_name"),
        ("s3://bucket", "https://u:p@minio.example.com", "refused_user_info"),
        ("gs://bucket", "https://minio.example.com", "definition"),
        ("s3://b", "https://minio.example.com", "definition"),
        ("s3://bucket@evil", "https://minio.example.com", "definition"),
        ("s3://bu?ket", "https://minio.example.com", "definition"),
        ("https://bucket", "https://minio.example.com", "definition"),
        ("bucket", "https://minio.example.com", "definition"),
    ] {
        assert_eq!(with(url, endpoint), expected, "{url} {endpoint}");
    }
    let azure = |account: &str, key: &str| {
        let credentials =
            Credentials::Azure { account: account.into(), access_key: key.to_owned().into(), endpoint: None };
        ObjectStore { url: "az://container/p".into(), credentials }.read(&egress).is_ok()
    };
    assert!(azure("acmedata", "a2V5a2V5"));
    assert!(!azure("acme.evil", "a2V5a2V5") && !azure("acmedata", "not base64!"));
    let google = Credentials::Google { service_account_key: "canary, no JSON".to_owned().into() };
    let fault = ObjectStore { url: "gs://bucket".into(), credentials: google }.read(&egress).unwrap_err();
    assert!(!format!("{fault:?}").contains("canary"));
    for key in ["", "/a", "a/", "a/../b", "a//b"] {
        assert!(whole_key("p", key).is_err(), "{key}");
    }
    let long = |bytes: usize| whole_key("", &"k".repeat(bytes)).is_ok();
    assert_eq!((long(KEY_BYTES_MAX), long(KEY_BYTES_MAX + 1)), (true, false));
    assert_eq!(fixture.connections(), 0);
}
