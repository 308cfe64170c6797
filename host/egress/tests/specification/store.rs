//! A store that somebody else wrote (moto), which works every signature out by itself, and is read back with Amazon's own
//! library.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cdp_egress::object_store::{Credentials, PART_BYTES};
use cdp_egress::{Egress, ObjectStore, Policy};
use serde_json::Value;

use super::installed;

const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];

struct Store {
    child: Child,
    address: SocketAddr,
}

impl Drop for Store {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Store {
    /// Starts it; four requests are taken without a signature.
    fn start(packages: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .env("PYTHONPATH", packages)
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "4")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not listen");
            std::thread::yield_now();
        }
        store
    }

    fn ask(&self, request_line: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // Whose turn it is, is read from the scope of a signature, were it a wrong one; a store is asked without.
        let scope = match body {
            "" => "",
            _ => {
                "Authorization: AWS4-HMAC-SHA256 Credential=x/20261126/us-east-1/iam/aws4_request, \
                  SignedHeaders=host, Signature=x\r\n"
            }
        };
        let head = format!(
            "{request_line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{scope}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// A user who may do everything, and an empty bucket: the id and the secret of the user's key.
    fn user(&self) -> (String, String) {
        self.ask("POST /", "Action=CreateUser&UserName=cdp&Version=2010-05-08");
        let key = self.ask("POST /", "Action=CreateAccessKey&UserName=cdp&Version=2010-05-08");
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                      %22Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        let put = format!(
            "Action=PutUserPolicy&UserName=cdp&PolicyName=all&Version=2010-05-08&PolicyDocument={policy}"
        );
        self.ask("POST /", &put);
        self.ask("PUT /bucket", "");
        let part = |name: &str| {
            let (_, rest) = key.split_once(&format!("<{name}>")).unwrap();
            rest.split('<').next().unwrap().to_owned()
        };
        (part("AccessKeyId"), part("SecretAccessKey"))
    }
}

#[test]
fn files_stand_in_a_store_that_checks_signatures() {
    let test = "files_stand_in_a_store_that_checks_signatures";
    let packages = installed(test, "moto-5.2.5", |dir| {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        command.arg(dir).args(PACKAGES);
        command
    });
    let Some(packages) = packages else { return };
    let store = Store::start(&packages);
    let (id, secret) = store.user();
    let endpoint = format!("http://{}", store.address);
    let with = |secret: &str| ObjectStore {
        url: "s3://bucket/audi ences/über".to_owned(),
        credentials: Credentials::S3 {
            access_key_id: id.clone(),
            secret_access_key: secret.to_owned().into(),
            session_token: None,
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.clone()),
        },
    };
    let egress = Egress::new(Policy::read("127.0.0.1").unwrap()).unwrap();
    let dir = std::env::temp_dir().join(format!("cdp-egress-store-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("file");
    let put = |store: &ObjectStore, key: &str, bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        pollster::block_on(store.put(&egress, key, &file))
    };
    let good = with(&secret);
    pollster::block_on(good.check(&egress)).unwrap();
    let large: Vec<u8> = (0..PART_BYTES + 1).map(|n| (n % 253) as u8).collect();
    let mut expected = std::collections::BTreeMap::new();
    for (key, bytes) in [("run 1/part=1 & ü.csv", &b"a,b\r\n"[..]), ("empty", b""), ("large", &large)] {
        for again in [false, true] {
            let stored = put(&good, key, bytes).unwrap();
            assert_eq!((stored.was_there, stored.bytes), (again, bytes.len() as u64), "{key}");
            expected.insert(stored.key, serde_json::json!([bytes.len(), stored.sha256]));
        }
        assert_eq!(put(&good, key, b"another").unwrap_err().code(), "conflict", "{key}");
    }
    let fault = put(&with("another-secret"), "k", b"x").unwrap_err();
    assert_eq!(fault.code(), "unauthorised", "{fault}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specification/read.py");
    let read =
        Command::new("python3").arg(script).arg(&packages).args([&endpoint, &id, &secret]).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let mut found: std::collections::BTreeMap<String, Value> = serde_json::from_slice(&read.stdout).unwrap();
    assert!(found.remove("audi ences/über/cdp-check").is_some());
    assert_eq!(found, expected);
    std::fs::remove_dir_all(dir).unwrap();
}
