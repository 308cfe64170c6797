//! Restricting somebody, and lifting that.

use axum::extract::{Path, State};
use axum::response::Response;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::{Who, page};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::routes::privacy::restrictions::number;

/// Restricts.
pub(in super::super) async fn restrict(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let who = Who { kind: form.trimmed("who_type").to_owned(), value: form.trimmed("who_value").to_owned() };
    let (reason, by) = (form.trimmed("who_reason"), desk.user.id.to_string());
    match desk.tenant.restrict(&who.kind, &who.value, reason, &by).await {
        Ok(_) => show::done("/console/privacy", "restricted"),
        Err(refused) => {
            let mut page = page::view(&desk, &who, reason).await?;
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Lifts one.
pub(in super::super) async fn lift(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let number = number(&id)?;
    desk.tenant.lift_restriction(number, "lifted in the console", &desk.user.id.to_string()).await?;
    show::done("/console/privacy", "lifted")
}
