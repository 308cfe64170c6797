//! Spellings of internal addresses, resolvers that change their mind, and what an operator may allow. A listener on
//! loopback must see nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::testkit::{Fixture, Scripted};
use crate::{Caps, Egress, Request};

fn request(url: &str) -> Request {
    Request {
        method: http::Method::POST,
        url: url.to_owned(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::from_static(b"{}"),
        caps: Caps::STANDARD,
        destination: url.to_owned(),
    }
}

fn send(egress: &Egress, url: &str) -> Result<crate::Reply, Fault> {
    pollster::block_on(egress.send(request(url)))
}

/// Hosts that mean this machine or its neighbours, to whoever reads them generously.
const SPELLINGS: &[&str] = &[
    // This machine, in decimal, octal, hexadecimal, in one to four parts, and mixed.
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.1",
    "0177.0x0.0.01",
    "0000177.0.0.1",
    "127.0.0.0x1",
    "127.0x0.0.1",
    "127.00000.0.1",
    "127.0.0.1.",
    "2130706433.",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.0",
    "0x",
    // Digits and dots of other writings, and what a browser takes for them.
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "１２７.1",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "0x7f%2e1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "ｌｏｃａｌｈｏｓｔ",
    "local\u{ad}host",
    "loc\u{200d}alhost",
    "LOCALHOST",
    "lOcAlHoSt.",
    // IPv6.
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[2002:a00:1::]",
    "[2002:c0a8:101::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:53aa:64c:0:0:80ff:fffe]",
    "[2a00:1450::5efe:127.0.0.1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[fe80::1%25eth0]",
    "[::1%25lo]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd12:3456:789a::1]",
    "[ff02::1]",
    "[ff01::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[v1.::1]",
    "[::1",
    "::1",
    // Neighbours.
    "10.0.0.1",
    "10.1",
    "167772161",
    "0xa.0.0.1",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "0xac100001",
    "192.168.0.1",
    "192.168.1",
    "3232235521",
    "0xc0a80001",
    "100.64.0.1",
    "100.127.255.254",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "203.0.113.7",
    "198.51.100.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    // Where clouds keep credentials.
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.169.254.",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "100.100.100.200",
    "metadata.google.internal",
    "metadata.google.internal.",
    "metadata",
    "instance-data",
    // Names of a machine or of its network.
    "localhost",
    "localhost.",
    "localhost..",
    "a.localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "kubernetes.default.svc.cluster.local",
    "kubernetes",
    "router.lan",
    "printer.local",
    "db.intranet",
    "nas.home.arpa",
    ".",
    "..",
    ".localhost",
    "x..example",
    // Somebody before the host.
    "user@127.0.0.1",
    "user:password@localhost",
    "public.example@127.0.0.1",
    "public.example%40127.0.0.1",
    "public.example:443@127.0.0.1",
    "@127.0.0.1",
    ":@127.0.0.1",
    "127.0.0.1#@public.example",
    "public.example\\@127.0.0.1",
    "127.0.0.1\\.public.example",
    "127.0.0.1\t",
    "127.0.0.1\n",
    " 127.0.0.1",
    "127.0.\r\n0.1",
    "127.0.0.1\u{0}.public.example",
    "public.example\u{3000}127.0.0.1",
    "256.256.256.256",
    "1.2.3.4.5",
    "127.0.0.1.5",
    "0x7f.0.0.256",
    "4294967296",
];

#[test]
fn no_spelling_of_an_internal_address_opens_a_connection() {
    assert!(SPELLINGS.len() >= 120, "{}", SPELLINGS.len());
    let v4 = Fixture::on("0.0.0.0:0", |_| {});
    let v6 = std::net::TcpListener::bind("[::1]:0").is_ok().then(|| Fixture::on("[::1]:0", |_| {}));
    let ports: Vec<u16> =
        std::iter::once(v4.address.port()).chain(v6.as_ref().map(|fixture| fixture.address.port())).collect();
    let egress = Egress::new(Policy::default().with_any_port()).unwrap();
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for host in SPELLINGS {
        for port in &ports {
            for url in [
                format!("https://{host}:{port}/latest/meta-data"),
                format!("http://{host}:{port}/"),
                format!("HTTPS://{host}:{port}?x"),
            ] {
                match send(&egress, &url) {
                    Err(Fault::Refused { rule, .. }) => *rules.entry(rule.as_str()).or_default() += 1,
                    other => panic!("{url}: {other:?}"),
                }
            }
        }
    }
    assert_eq!(v4.connections() + v6.map_or(0, |fixture| fixture.connections()), 0);
    for rule in ["refused_url", "refused_user_info", "refused_literal", "refused_name"] {
        assert!(rules.contains_key(rule), "{rules:?}");
    }
}

#[test]
fn other_schemes_and_forms_are_refused() {
    let egress = Egress::new(Policy::default()).unwrap();
    for (url, code) in [
        ("ftp://x.example/", "refused_scheme"),
        ("file:///etc/passwd", "refused_url"),
        ("gopher://x.example/", "refused_scheme"),
        ("unix:///run/x.sock", "refused_url"),
        ("data:text/plain,x", "refused_url"),
        ("javascript:alert(1)", "refused_url"),
        ("ws://x.example/", "refused_scheme"),
        ("postgres://x.example/", "refused_scheme"),
        ("http://x.example/", "refused_scheme"),
        ("https:x.example", "refused_url"),
        ("https:/x.example", "refused_url"),
        ("https:///x.example", "refused_url"),
        ("//x.example/", "refused_url"),
        ("x.example", "refused_url"),
        ("", "refused_url"),
        ("https://", "refused_url"),
        ("https://x.example:0/", "refused_port"),
        ("https://x.example:22/", "refused_port"),
        ("https://x.example:80/", "refused_port"),
        ("https://x.example:6379/", "refused_port"),
        ("https://x.example:65536/", "refused_url"),
        ("https://x.example:/\\y", "refused_url"),
        ("https://x.example/#y", "refused_url"),
    ] {
        assert_eq!(send(&egress, url).unwrap_err().code(), code, "{url}");
    }
    let long = |bytes: usize| format!("https://x.example/{}", "a".repeat(bytes - 18));
    assert!(Policy::default().http(&long(URL_BYTES_MAX)).is_ok());
    assert_eq!(Policy::default().http(&long(URL_BYTES_MAX + 1)).unwrap_err().code(), "refused_url");
}

#[test]
fn public_names_are_read_to_one_form() {
    for (url, origin) in [
        ("https://Hooks.Example.com/a?b", "https://hooks.example.com"),
        ("https://hooks.example.com.:443/", "https://hooks.example.com"),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://ｅｘａｍｐｌｅ.com/", "https://example.com"),
    ] {
        assert_eq!(Policy::default().http(url).unwrap().0.origin(), origin);
    }
}

fn scripted(leads_to: Option<&Fixture>, policy: &str) -> (Egress, Arc<Scripted>) {
    let network = Arc::new(Scripted::leading_to(leads_to.map(|fixture| fixture.address)));
    let egress = Egress::over(Policy::read(policy).unwrap(), Arc::clone(&network) as _, Vec::new()).unwrap();
    (egress, network)
}

#[test]
fn a_mixed_answer_is_refused_whole() {
    let fixture = Fixture::new(|_| {});
    let (egress, network) = scripted(Some(&fixture), "");
    for internal in [
        "127.0.0.1",
        "10.0.0.7",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "fd00::1",
        "fe80::1",
    ] {
        for answer in [&["93.184.215.14", internal][..], &[internal, "93.184.215.14"], &[internal]] {
            network.name("mixed.example", &[answer]);
            let fault = send(&egress, "https://mixed.example/").unwrap_err();
            assert_eq!(fault.code(), "refused_address", "{answer:?}");
            assert!(fault.to_string().contains(internal), "{fault}");
        }
    }
    assert_eq!(network.dialled.lock().len(), 0);
    assert_eq!(fixture.connections(), 0);
}

#[test]
fn a_name_that_changes_its_mind_is_dialled_where_it_was_judged() {
    let (egress, network) = scripted(None, "");
    network.name("rebind.example", &[&["93.184.215.14"], &["127.0.0.1"]]);
    let first = send(&egress, "https://rebind.example/").unwrap_err();
    assert_eq!(first.code(), "connect", "the scripted network opens nothing");
    assert_eq!(*network.dialled.lock(), ["93.184.215.14:443".parse().unwrap()], "judged and dialled are one");
    assert_eq!(network.asked.load(std::sync::atomic::Ordering::SeqCst), 1, "asked once for a request");
    let second = send(&egress, "https://rebind.example/").unwrap_err();
    assert_eq!(second.code(), "refused_address");
    assert_eq!(network.dialled.lock().len(), 1);
}

#[test]
fn only_so_many_addresses_of_a_name_are_tried() {
    let (egress, network) = scripted(None, "");
    let many: Vec<String> = (1..=9).map(|n| format!("93.184.215.{n}")).collect();
    network.name("many.example", &[&many.iter().map(String::as_str).collect::<Vec<_>>()]);
    assert_eq!(send(&egress, "https://many.example/").unwrap_err().code(), "connect");
    assert_eq!(network.dialled.lock().len(), crate::ADDRESSES_TRIED_MAX);
    assert_eq!(send(&egress, "https://unknown.example/").unwrap_err().code(), "dns");
}

#[test]
fn what_the_operator_allows_is_reached_and_nothing_beside_it() {
    const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    let fixture = Fixture::answering(OK);
    let (egress, network) = scripted(Some(&fixture), "receiver.internal:8080,10.0.0.5,metadata.internal");
    network.name("receiver.internal", &[&["10.0.0.9"]]);
    network.name("metadata.internal", &[&["169.254.169.254"]]);
    network.name("other.example", &[&["10.0.0.5"]]);
    network.name("else.example", &[&["10.0.0.6"]]);
    for (url, expected) in [
        ("http://receiver.internal:8080/", None),
        ("http://receiver.internal:8081/", Some("refused_name")),
        ("http://10.0.0.5:9000/", None),
        ("http://10.0.0.6:9000/", Some("refused_literal")),
        // An allowed name still means no link-local address.
        ("http://metadata.internal/", Some("refused_address")),
        // An address that is allowed as itself is so under any name, but not in plain.
        ("http://other.example/", Some("refused_scheme")),
        ("https://else.example/", Some("refused_address")),
    ] {
        let code = send(&egress, url).err().map(|fault| fault.code());
        assert_eq!(code, expected, "{url}");
    }
    assert_eq!(fixture.connections(), 2);
}

#[test]
fn a_proxy_of_the_environment_is_not_asked() {
    // Nothing here reads the environment; a proxy would be found by the names that everybody uses.
    let proxy = Fixture::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let receiver = Fixture::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"];
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "policy::tests::asks_the_receiver_directly", "--nocapture"]);
    child.env("CDP_TEST_RECEIVER", receiver.url());
    for name in names {
        child.env(name, format!("http://{}", proxy.address));
    }
    let ended = child.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!((proxy.connections(), receiver.connections()), (0, 1));
}

#[test]
fn asks_the_receiver_directly() {
    let Ok(url) = std::env::var("CDP_TEST_RECEIVER") else { return };
    assert_eq!(send(&crate::testkit::to_loopback(), &url).unwrap().status, 204);
}
