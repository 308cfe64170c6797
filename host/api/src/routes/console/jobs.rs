//! Background work: how far it is, what came of it, and stopping it.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Section, Tone};
use cdp_domain::ids::JobId;
use cdp_engine::{JobStatus, JobView};

use super::desk::Desk;
use super::{May, show};
use crate::app::App;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::routes::privacy::access::ACCESS_REQUEST;

fn is_over(job: &JobView) -> bool {
    !matches!(job.status, JobStatus::Queued | JobStatus::Running)
}

/// The page of all.
pub(super) async fn page(State(app): State<App>, desk: Desk) -> Answer<Response> {
    let mut page = desk.page("Jobs");
    desk.as_of(&mut page.frame);
    page.intro =
        "Work that takes a while goes on by itself; exports, backfills and erasures also after a restart."
            .to_owned();
    let all = app.engine().jobs().list(desk.tenant.no());
    let (over, going): (Vec<_>, Vec<_>) = all.iter().partition(|job| is_over(job));
    let block = |jobs: &[&JobView], what: &str| {
        if jobs.is_empty() {
            show::nothing(what, None, "cdp jobs list")
        } else {
            Block::Jobs(jobs.iter().take(show::ROWS_MAX).map(|job| show::job(job)).collect())
        }
    };
    let refresh = if going.is_empty() { 5_000 } else { 1_000 };
    let going = block(
        &going,
        "Nothing is under way. Backfills, exports, replays and erasures show here how far they are.",
    );
    page.sections.push(Section::new("going", "Under way", vec![going]).refresh(refresh));
    if !over.is_empty() {
        let over = block(&over, "");
        page.sections.push(
            Section::new("over", "Ended", vec![over]).note("since the server started").refresh(refresh),
        );
    }
    show::page(&page)
}

/// The page of one.
pub(super) async fn detail(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let job: JobId = id.parse().map_err(|_| Failure::not_found("job"))?;
    let view = app.engine().jobs().get(desk.tenant.no(), job).ok_or_else(|| Failure::not_found("job"))?;
    let mut page = desk.below(view.kind.replace('_', " "), &[("/console/jobs", "Jobs")]);
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    let over = is_over(&view);
    let mut blocks = vec![Block::Jobs(vec![show::job(&view)])];
    if !over && desk.may(May::Define) {
        blocks.push(Block::Forms(vec![Action {
            to: format!("/console/jobs/{id}/cancel"),
            label: "Cancel".to_owned(),
            tone: Tone::Bad,
            ask: "A waiting job never starts, a running one stops soon.".to_owned(),
            ..Action::default()
        }]));
    }
    if view.kind == ACCESS_REQUEST {
        // It tells about somebody: only those who may ask for it are told.
        if desk.may(May::Administer) {
            blocks.push(show::way(&format!("/console/privacy/access/{id}"), "To the request"));
        }
    } else if let Some(result) = view.result.filter(|result| !result.is_null()) {
        let differs = result["candidate_version"].is_number();
        if differs {
            blocks.push(super::plugins::detail::difference(&result));
        }
        let title = if differs { "As JSON".to_owned() } else { "What came of it".to_owned() };
        blocks.push(Block::Code(title, show::pretty_answer(&result)));
    }
    page.sections.push(Section::new("job", "", blocks).refresh(if over { 0 } else { 1_000 }));
    show::page(&page)
}

/// Stops one.
pub(super) async fn cancel(State(app): State<App>, desk: Desk, Path(id): Path<String>) -> Answer<Response> {
    let job: JobId = id.parse().map_err(|_| Failure::not_found("job"))?;
    let (jobs, no) = (app.engine().jobs(), desk.tenant.no());
    if jobs.get(no, job).is_none() {
        return Err(Failure::not_found("job"));
    }
    if !jobs.cancel(no, job) {
        return Err(Failure::new(Code::Conflict, "the job has ended"));
    }
    show::done(&format!("/console/jobs/{id}"), "cancelled")
}
