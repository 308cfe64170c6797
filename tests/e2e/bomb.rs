//! Bodies that are small on the way and enormous when they are unpacked.

use std::io::Write as _;
use std::time::Duration;

use crate::harness::Server;
use crate::harness::wire::Wire;

/// What the server may spend on refusing one.
const CPU_MAX: Duration = Duration::from_millis(20);
const MEMORY_MAX_KIB: u64 = 4 * 1024;

/// Gzip members of a MiB of zeros each, about a KiB on the way: so many MiB in all.
fn bomb(mib: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.finish().unwrap().repeat(mib)
}

/// Processor time of all threads that are alive.
fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_bomb_of_10_gib_costs_20_ms_and_4_mib_at_most() {
    if !std::path::Path::new("/proc/self/schedstat").exists() {
        eprintln!(
            "SKIPPED a_bomb_of_10_gib_costs_20_ms_and_4_mib_at_most: the system does not tell what a process uses"
        );
        return;
    }
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let whole = bomb(10 * 1024);
    assert!(whole.len() > 10 << 20);
    // As much of it as fits into a request: about 1 GiB in 1 MiB.
    let fits = &whole[..1 << 20];
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Encoding: gzip\r\n",
        tenant.key()
    );
    let announced = [format!("{head}Content-Length: {}\r\n\r\n", whole.len()).as_bytes(), &whole].concat();
    let fitting = [format!("{head}Content-Length: {}\r\n\r\n", fits.len()).as_bytes(), fits].concat();
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in whole.chunks(64 * 1024) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend([chunk, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    for (how, request) in [("announced", &announced), ("chunked", &chunked), ("1 GiB in 1 MiB", &fitting)] {
        let ask = || {
            let mut wire = Wire::to(&server.url);
            let told = wire.ask(request);
            assert_eq!(
                (told.status, &told.json()["code"]),
                (413, &"body_too_large".into()),
                "{how}: {told:?}"
            );
        };
        // The first one pays for threads and buffers that stay.
        ask();
        let costs = (0..5).map(|_| {
            let (cpu_before, memory_before) = (cpu(server.pid()), status_kib(server.pid(), "VmRSS:"));
            // Begins the peak anew.
            std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
            ask();
            let memory = status_kib(server.pid(), "VmHWM:").saturating_sub(memory_before);
            (cpu(server.pid()).saturating_sub(cpu_before), memory)
        });
        // Whatever else the server did meanwhile is in it: the least is what it costs.
        let costs: Vec<_> = costs.collect();
        let (cpu, memory) =
            (costs.iter().map(|cost| cost.0).min().unwrap(), costs.iter().map(|cost| cost.1).min().unwrap());
        eprintln!("{how}: {cpu:?} of processor time, {memory} KiB");
        assert!(cpu <= CPU_MAX, "{how}: {costs:?}");
        assert!(memory <= MEMORY_MAX_KIB, "{how}: {costs:?}");
    }
    server.finish();
}
