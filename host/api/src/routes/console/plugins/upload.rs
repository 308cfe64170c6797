//! Taking a component in.

use axum::extract::State;
use axum::response::Response;

use super::super::desk::Desk;
use super::super::form::Upload;
use super::super::show;
use super::list;
use crate::app::App;
use crate::body::UPLOAD_BYTES_MAX;
use crate::error::{Answer, Failure};
use crate::share::Class;

/// Uploads a version.
pub(in super::super) async fn upload(State(app): State<App>, desk: Desk, upload: Upload) -> Answer<Response> {
    let _held = app.shares().hold(Class::of(&desk.tenant), UPLOAD_BYTES_MAX)?;
    let name = upload.fields.trimmed("name");
    match desk.tenant.upload_plugin(name, upload.file.to_vec(), None).await {
        Ok(_) => show::done(&format!("/console/plugins/{}", show::step(name)), "uploaded"),
        Err(refused) => {
            let mut page = list::view(&desk, name);
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}
