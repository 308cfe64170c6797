//! Waiting for work that was begun: a bar on standard error where that is a terminal, and nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Server, done, part};
use crate::{Failure, exit};

/// How soon a job is asked for again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Server {
    /// Returns when the job that an answer names by `job` or `backfill_job` has ended, with its result; at once where it
    /// names none. Waits as long as it takes: whoever has waited enough interrupts, and the job goes on.
    pub(crate) fn ended(&self, answer: &Value) -> Result<Value, Failure> {
        self.ended_as(answer, |id| format!("/v1/jobs/{}", part(id)))
    }

    /// The same, looking elsewhere for how far it is: where that is told without a large result.
    pub(crate) fn ended_as(&self, answer: &Value, path: impl Fn(&str) -> String) -> Result<Value, Failure> {
        let id = answer["job"].as_str().or_else(|| answer["backfill_job"].as_str());
        let Some(id) = id else { return Ok(Value::Null) };
        let (client, path) = (self.client()?, path(id));
        let bar = bar()?;
        let mut pause = PAUSE_MIN;
        loop {
            let job = done(client.get_patiently(&path), &format!("read {path}"))?;
            show(&bar, &job);
            match job["status"].as_str() {
                Some("done") => {
                    bar.finish_and_clear();
                    return Ok(job["result"].clone());
                }
                Some("failed" | "cancelled") => {
                    bar.finish_and_clear();
                    return Err(Failure::new(exit::FAILED, ending(id, &job)));
                }
                _ => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Why a job did not come to its end.
fn ending(id: &str, job: &Value) -> String {
    match (job["status"].as_str(), job["error"].as_str()) {
        (_, Some(error)) => format!("job {id} failed: {error}"),
        (Some("cancelled"), None) => format!("job {id} was cancelled"),
        _ => format!("job {id} failed"),
    }
}

fn bar() -> Result<ProgressBar, Failure> {
    let template = "{msg} {wide_bar} {percent:>3} % {human_pos} of {human_len}, {eta} left";
    let style = ProgressStyle::with_template(template)
        .map_err(|error| Failure::because(exit::FAILED, "draw the progress", &error))?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn show(bar: &ProgressBar, job: &Value) {
    let number = |name: &str| job["progress"][name].as_u64().unwrap_or(0);
    bar.set_message(job["kind"].as_str().unwrap_or_default().replace('_', " "));
    bar.set_length(number("total"));
    bar.set_position(number("done"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_a_job_ended_is_said() {
        let said = |status: &str, error: Value| ending("j", &json!({"status": status, "error": error}));
        assert_eq!(said("failed", json!("the disk is full")), "job j failed: the disk is full");
        assert_eq!(said("cancelled", Value::Null), "job j was cancelled");
        assert_eq!(said("failed", Value::Null), "job j failed");
    }

    #[test]
    fn a_bar_follows_the_job() {
        let bar = bar().unwrap();
        show(&bar, &json!({"kind": "segment_build", "progress": {"done": 3, "total": 7}}));
        assert_eq!((bar.position(), bar.length(), bar.message()), (3, Some(7), "segment build".to_owned()));
    }
}
