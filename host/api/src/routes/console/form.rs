//! What a form sends: names and values, in the order of its fields.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header;

use crate::app::App;
use crate::body::{self, Bounds, media_type};
use crate::error::{Answer, Code, Failure};

/// Fields of one form.
pub(crate) const FIELDS_MAX: usize = 4_000;

/// The fields of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl FromRequest<App> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        if media_type(&parts.headers) != "application/x-www-form-urlencoded" {
            body::discard(&parts.headers, body).await;
            return Err(Failure::new(
                Code::UnsupportedMediaType,
                "a form is sent as application/x-www-form-urlencoded",
            ));
        }
        let bytes = body::read(&parts.headers, body, Bounds::json(app)).await?;
        Self::parse(&bytes)
    }
}

impl Form {
    fn parse(bytes: &[u8]) -> Answer<Self> {
        let pairs = form_urlencoded::parse(bytes).take(FIELDS_MAX + 1);
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        if pairs.len() > FIELDS_MAX {
            return Err(Failure::new(Code::BodyTooLarge, format!("a form has at most {FIELDS_MAX} fields")));
        }
        Ok(Self(pairs))
    }

    /// The first value of a name; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|pair| pair.0 == name).map_or("", |pair| pair.1.as_str())
    }

    /// The same without what surrounds it.
    pub(crate) fn trimmed(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// Whether a box is ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pair| pair.0.as_str())
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self::parse(text.as_bytes()).expect("tests send few fields")
    }
}

/// A form with a file: the fields, and the file's bytes.
pub(crate) struct Upload {
    pub(crate) fields: Form,
    pub(crate) file: Bytes,
}

impl FromRequest<App> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(boundary) = kind.and_then(|kind| multer::parse_boundary(kind).ok()) else {
            body::discard(&parts.headers, body).await;
            return Err(Failure::new(
                Code::UnsupportedMediaType,
                "a form with a file is multipart/form-data",
            ));
        };
        let bytes = body::read(&parts.headers, body, Bounds::upload(app)).await?;
        Self::parse(bytes, boundary).await
    }
}

impl Upload {
    async fn parse(bytes: Bytes, boundary: String) -> Answer<Self> {
        let broken = |_| Failure::new(Code::MalformedBody, "the form cannot be read");
        let (mut fields, mut file) = (Vec::new(), Bytes::new());
        let whole = Body::from(bytes).into_data_stream();
        let mut form = multer::Multipart::new(whole, boundary);
        while let Some(field) = form.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            if field.file_name().is_some() {
                file = field.bytes().await.map_err(broken)?;
            } else {
                fields.push((name, field.text().await.map_err(broken)?));
            }
            if fields.len() > FIELDS_MAX {
                return Err(Failure::new(
                    Code::BodyTooLarge,
                    format!("a form has at most {FIELDS_MAX} fields"),
                ));
            }
        }
        Ok(Self { fields: Form(fields), file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_so_many_fields() {
        let form = |fields: usize| Form::parse("a=1&".repeat(fields).as_bytes());
        assert_eq!(form(FIELDS_MAX).unwrap().all("a").count(), FIELDS_MAX);
        assert_eq!(form(FIELDS_MAX + 1).unwrap_err().code, Code::BodyTooLarge);
        let form = Form::of("a=+x+&b=%26&a=2&c=");
        assert_eq!(
            (form.trimmed("a"), form.get("b"), form.ticked("c"), form.get("d")),
            ("x", "&", false, "")
        );
        assert_eq!(form.names().collect::<Vec<_>>(), ["a", "b", "a", "c"]);
    }

    #[tokio::test]
    async fn a_file_comes_beside_fields() {
        let text = "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nltv\r\n--x\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"a.wasm\"\r\n\r\n\0asm\r\n--x--\r\n";
        let upload = Upload::parse(Bytes::from_static(text.as_bytes()), "x".to_owned()).await.unwrap();
        assert_eq!((upload.fields.get("name"), &upload.file[..]), ("ltv", &b"\0asm"[..]));
        let broken = Upload::parse(Bytes::from_static(b"--x\r\nno"), "x".to_owned()).await;
        assert_eq!(broken.map(|_| ()).unwrap_err().code, Code::MalformedBody);
    }
}
