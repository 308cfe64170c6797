//! Sending batches: a few requests under way, patience when the server asks for it, and no faster than was asked for.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::report::{Outcome, Reason, Refused, Report};
use super::{Batch, Ready};
use crate::{Failure, exit};

/// The longest answer read: 1,000 refused events with their reasons.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The longest pause that is kept at the server's wish.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The first pause after a server that could not be reached; doubled up to the last.
const UNREACHED_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where batches come from.
pub(super) trait Source {
    /// The next one; None at the end.
    fn next(&mut self) -> Result<Option<Batch>, Failure>;

    /// Says more about a row that the server refused.
    fn explain(&self, refused: &mut Refused, row: &Ready);
}

/// Speaks to the server as one key.
#[derive(Clone)]
pub(super) struct Sender {
    agent: Agent,
    url: String,
    authorization: String,
    patience: Duration,
    pace: Option<Arc<Pace>>,
}

/// No more rows a second than this.
struct Pace {
    a_row: Duration,
    next: Mutex<Instant>,
}

/// What came of a batch's rows, in their order.
struct Answered {
    batch: Batch,
    fates: Vec<Result<Outcome, Refused>>,
}

impl Sender {
    pub(super) fn new(url: &str, key: &str, patience: Duration, rate: Option<u32>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        let pace = rate.map(|rate| {
            let a_row = Duration::from_secs(1) / rate.max(1);
            Arc::new(Pace { a_row, next: Mutex::new(Instant::now()) })
        });
        let url = format!("{}/v1/events", url.trim_end_matches('/'));
        Self { agent: config.into(), url, authorization: format!("Bearer {key}"), patience, pace }
    }

    /// Sends a batch until the server has taken it or refused it.
    fn send(&self, batch: Batch) -> Result<Answered, Failure> {
        if let Some(pace) = &self.pace {
            pace.wait_for(batch.rows.len());
        }
        let mut body =
            String::with_capacity(batch.rows.iter().map(|row| row.text.len() + 1).sum::<usize>() + 16);
        body.push_str("{\"events\":[");
        for (n, row) in batch.rows.iter().enumerate() {
            if n > 0 {
                body.push(',');
            }
            body.push_str(&row.text);
        }
        body.push_str("]}");
        let until = Instant::now() + self.patience;
        let mut unreached_pause = UNREACHED_PAUSE.0;
        loop {
            let (failure, pause) = match self.post(&body) {
                Ok((202, answer, _)) => return Ok(Answered { fates: fates(&batch, &answer)?, batch }),
                Ok((422 | 409 | 413, answer, _)) if batch.rows.len() == 1 => {
                    let status = if answer["status"] == 409 { "conflict" } else { "invalid" };
                    let fate = fate_of(&batch.rows[0], status, &answer);
                    return Ok(Answered { fates: vec![fate], batch });
                }
                Ok((status @ (429 | 500 | 502 | 503 | 504), answer, retry_after)) => {
                    let pause = retry_after.unwrap_or(Duration::from_secs(1)).min(PAUSE_MAX);
                    let sentence = format!(
                        "the server took nothing for {} s: {status} {}",
                        self.patience.as_secs(),
                        detail(&answer)
                    );
                    (Failure::new(exit::UNREACHABLE, sentence), pause)
                }
                Ok((status, answer, _)) => {
                    let code = match status {
                        401 | 403 => exit::NOT_ALLOWED,
                        404 => exit::NOT_FOUND,
                        409 => exit::CONFLICT,
                        400..=499 => exit::INPUT_REJECTED,
                        _ => exit::FAILED,
                    };
                    return Err(Failure::new(
                        code,
                        format!("the server refused: {status} {}", detail(&answer)),
                    ));
                }
                Err(error) => {
                    let pause = unreached_pause;
                    unreached_pause = (unreached_pause * 2).min(UNREACHED_PAUSE.1);
                    (Failure::because(exit::UNREACHABLE, &format!("reach {}", self.url), &error), pause)
                }
            };
            if Instant::now() + pause > until {
                return Err(failure);
            }
            std::thread::sleep(pause);
        }
    }

    fn post(&self, body: &str) -> Result<(u16, Value, Option<Duration>), ureq::Error> {
        let request = self.agent.post(&self.url).header("authorization", &self.authorization);
        let mut response = request.header("content-type", "application/json").send(body.as_bytes())?;
        let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default(), retry_after))
    }
}

impl Pace {
    fn wait_for(&self, rows: usize) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + self.a_row * u32::try_from(rows).unwrap_or(u32::MAX);
            at
        };
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    }
}

fn detail(answer: &Value) -> &str {
    answer["detail"].as_str().unwrap_or("no reason was given")
}

/// What came of each row: an answer tells only of those that are not new.
fn fates(batch: &Batch, answer: &Value) -> Result<Vec<Result<Outcome, Refused>>, Failure> {
    let strange =
        || Failure::new(exit::FAILED, "the server answered in a form that this release does not know");
    let mut fates: Vec<Result<Outcome, Refused>> = batch.rows.iter().map(|_| Ok(Outcome::Accepted)).collect();
    for result in answer["results"].as_array().ok_or_else(strange)? {
        let index =
            result["index"].as_u64().and_then(|index| usize::try_from(index).ok()).ok_or_else(strange)?;
        let status = result["status"].as_str().ok_or_else(strange)?;
        fates[index] = fate_of(batch.rows.get(index).ok_or_else(strange)?, status, &result["problem"]);
    }
    let count = |wanted: &dyn Fn(&Result<Outcome, Refused>) -> bool| {
        fates.iter().filter(|fate| wanted(fate)).count() as u64
    };
    let new = count(&|fate| matches!(fate, Ok(Outcome::Accepted)));
    if answer["accepted"].as_u64() != Some(new) {
        return Err(strange());
    }
    Ok(fates)
}

fn fate_of(row: &Ready, status: &str, problem: &Value) -> Result<Outcome, Refused> {
    match status {
        "accepted" => return Ok(Outcome::Accepted),
        "duplicate" => return Ok(Outcome::Known),
        // The id was made from what the row says: only the time of the whole file is another.
        "conflict" if row.made_id => return Ok(Outcome::Known),
        _ => {}
    }
    let code = problem["code"].as_str().unwrap_or(status).to_owned();
    let mut reasons: Vec<Reason> = Vec::new();
    for error in problem["errors"].as_array().into_iter().flatten() {
        reasons.push(Reason {
            pointer: error["pointer"].as_str().unwrap_or_default().to_owned(),
            code: error["code"].as_str().unwrap_or(&code).to_owned(),
            detail: error["detail"].as_str().unwrap_or_default().to_owned(),
            column: None,
        });
    }
    if reasons.is_empty() {
        let detail = problem["detail"].as_str().unwrap_or("it was refused without a reason").to_owned();
        reasons.push(Reason { pointer: String::new(), code, detail, column: None });
    }
    Err(Refused { place: row.place, reasons })
}

/// Sends everything that `source` gives, a few requests at a time. `done` is called after each batch, in the order of the file.
///
/// # Errors
/// The first failure; batches before it are in the report.
pub(super) fn all(
    sender: &Sender,
    concurrency: usize,
    source: &mut dyn Source,
    report: &mut Report,
    mut done: impl FnMut(&mut Report, &Batch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let (give, take) = sync_channel::<Batch>(concurrency);
        let (answer, answers) = sync_channel::<Result<Answered, Failure>>(concurrency);
        let take = Arc::new(Mutex::new(take));
        for _ in 0..concurrency {
            let (take, answer) = (take.clone(), answer.clone());
            scope.spawn(move || work(sender, &take, &answer));
        }
        drop(answer);
        let mut waiting: BTreeMap<u64, Answered> = BTreeMap::new();
        let (mut given, mut next, mut under_way) = (0_u64, 0_u64, 0_u64);
        let mut ended = false;
        loop {
            // As many in all as fit into both channels: neither side can wait for the other.
            while !ended && given - next < concurrency as u64 {
                match source.next()? {
                    Some(batch) if batch.rows.is_empty() => {
                        given += 1;
                        waiting.insert(batch.number, Answered { batch, fates: Vec::new() });
                        break;
                    }
                    Some(batch) => {
                        (given, under_way) = (given + 1, under_way + 1);
                        if give.send(batch).is_err() {
                            ended = true;
                        }
                    }
                    None => ended = true,
                }
            }
            if given == next {
                return Ok(());
            }
            if under_way > 0 && !waiting.contains_key(&next) {
                let Ok(answered) = answers.recv() else {
                    return Err(Failure::new(exit::FAILED, "a sending thread ended without an answer"));
                };
                let answered = answered?;
                under_way -= 1;
                waiting.insert(answered.batch.number, answered);
            }
            while let Some(Answered { mut batch, fates }) = waiting.remove(&next) {
                let mut refused = std::mem::take(&mut batch.refused);
                for (row, fate) in batch.rows.iter().zip(fates) {
                    match fate {
                        Ok(outcome) => report.count(outcome),
                        Err(mut one) => {
                            source.explain(&mut one, row);
                            refused.push(one);
                        }
                    }
                }
                // In the order of the file, whoever refused them.
                refused.sort_by_key(|one| one.place.row);
                refused.into_iter().try_for_each(|one| report.refuse(one))?;
                report.rows = batch.rows_read;
                next += 1;
                done(report, &batch)?;
            }
        }
    })
}

fn work(sender: &Sender, take: &Mutex<Receiver<Batch>>, answer: &SyncSender<Result<Answered, Failure>>) {
    loop {
        let batch = take.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        if answer.send(sender.send(batch)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::input::Place;
    use super::*;

    /// A server that gives these answers, one a connection, and tells how many requests it had.
    fn serve(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let (head, body) = answer.split_once('|').unwrap();
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
            answers.len()
        });
        (url, served)
    }

    fn batch() -> Batch {
        let place = Place { row: 1, line: 1 };
        let row = Ready { place, text: r#"{"id":"1"}"#.to_owned(), made_id: false };
        Batch { number: 0, rows: vec![row], refused: Vec::new(), rows_read: 1, bytes_read: 10 }
    }

    const TAKEN: &str =
        r#"202 Accepted|{"accepted":1,"duplicates":0,"rejected":0,"position":"1","results":[]}"#;

    #[test]
    fn the_servers_wish_for_patience_is_kept() {
        let (url, served) =
            serve(&["429 Too Many\r\nretry-after: 1|{}", "503 Unavailable\r\nretry-after: 0|{}", TAKEN]);
        let began = Instant::now();
        let answered = Sender::new(&url, "key", Duration::from_secs(30), None).send(batch()).unwrap();
        assert!(matches!(answered.fates[..], [Ok(Outcome::Accepted)]));
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert_eq!(served.join().unwrap(), 3);
    }

    #[test]
    fn without_patience_the_first_refusal_is_the_last() {
        let (url, served) = serve(&["503 Unavailable\r\nretry-after: 2|{\"detail\":\"the disk is full\"}"]);
        let failure = Sender::new(&url, "key", Duration::ZERO, None).send(batch()).err().unwrap();
        assert!(failure.to_string().contains("503 the disk is full"), "{failure}");
        served.join().unwrap();
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_no_success() {
        const STRANGE: &str = r#"202 Accepted|{"accepted":0,"results":[]}"#;
        let (url, served) = serve(&[STRANGE]);
        let sender = Sender::new(&url, "key", Duration::ZERO, None);
        assert!(sender.send(batch()).is_err());
        served.join().unwrap();
    }

    #[test]
    fn rows_go_no_faster_than_was_asked_for() {
        let pace = Pace { a_row: Duration::from_millis(2), next: Mutex::new(Instant::now()) };
        let began = Instant::now();
        (0..3).for_each(|_| pace.wait_for(50));
        assert!(began.elapsed() >= Duration::from_millis(200), "two batches of 50 were waited for");
    }
}
