//! How many may be reached: counted over every profile, so kept for a moment.

use cdp_domain::ids::TenantNo;
use cdp_engine::Tenant;
use cdp_engine::consent::Coverage;
use cdp_engine::exports::Consent;

use crate::app::App;

/// What a count came to: or why it could not be made.
pub(crate) type Reached = Result<Coverage, String>;

/// How many may be reached on a channel for a purpose; None while it is being counted for the first time.
pub(crate) async fn reached(app: &App, tenant: &Tenant, channel: &str, purpose: &str) -> Option<Reached> {
    let key: (TenantNo, String, String) = (tenant.no(), channel.to_owned(), purpose.to_owned());
    let asked = Consent { channel: channel.into(), purpose: purpose.into() };
    let tenant = tenant.clone();
    let count = move || tenant.coverage(&asked).map_err(|refused| refused.to_string());
    app.console().reached.get(key, count).await
}

/// The channels and purposes of a tenant that go together: those that purposes name, and e-mail where none does.
pub(crate) fn pairs(tenant: &Tenant) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, purpose) in tenant.purposes() {
        if purpose.channels.is_empty() {
            for channel in ["email", "sms"] {
                pairs.push((channel.to_owned(), name.to_string()));
            }
        }
        pairs.extend(purpose.channels.iter().map(|channel| (channel.to_string(), name.to_string())));
    }
    pairs
}
