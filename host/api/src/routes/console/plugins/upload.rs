//! Taking a component in.

use axum::extract::State;
use axum::response::Response;
use cdp_domain::hex;
use cdp_domain::problem::{Code as Wrong, Problem};

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
    let taken = async {
        let signature = signature(upload.fields.trimmed("signature"))?;
        Ok::<_, Failure>(desk.tenant.upload_plugin(name, upload.file.to_vec(), signature).await?)
    };
    match taken.await {
        Ok(_) => show::done(&format!("/console/plugins/{}", show::step(name)), "uploaded"),
        Err(failure) => {
            let mut page = list::view(&desk, name);
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// The maker's signature, if there is one.
fn signature(text: &str) -> Answer<Option<[u8; 64]>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let detail = "must be 128 digits of hex in lower case, as stand in the .sig file that `cdp plugin sign` writes";
        Failure::invalid(vec![Problem::new("/signature", Wrong::Invalid, detail)])
    };
    hex::decode(text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_hex_or_absent() {
        assert_eq!(signature("").unwrap(), None);
        assert_eq!(signature(&"0a".repeat(64)).unwrap(), Some([10; 64]));
        for wrong in ["0a", &"0A".repeat(64), &"zz".repeat(64), &"0a".repeat(65)] {
            assert!(signature(wrong).is_err(), "{wrong}");
        }
    }
}
