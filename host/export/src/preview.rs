//! The first rows of an audience, to look at; nothing is written down and nothing leaves.

use cdp_domain::ids::Ordinal;
use cdp_domain::value::Value;
use cdp_engine::{Result, Tenant};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

use crate::Exports;
use crate::format::json_object;
use crate::plan::Plan;
use crate::project;

/// Rows that a preview shows.
pub const PREVIEW_ROWS_MAX: usize = 20;
/// Members that it looks at to find them.
const LOOKED_AT_MAX: usize = 1000;

impl Exports {
    /// Shows the first rows of an export as it would be now. Blocks.
    ///
    /// # Errors
    /// As beginning the export.
    pub fn preview(&self, tenant: &Tenant, request: &Value) -> Result<Json> {
        let plan = Plan::read(tenant, request)?;
        let members = tenant.take_members(&plan.segment)?;
        let (mut rows, mut withheld, mut looked_at) = (Vec::new(), BTreeMap::<&str, u64>::new(), 0);
        let mut from = Some(Ordinal(0));
        while let Some(ordinal) = from.filter(|_| rows.len() < PREVIEW_ROWS_MAX && looked_at < LOOKED_AT_MAX)
        {
            let page =
                tenant.audience(&members, &plan.sources(), &plan.consent, ordinal, PREVIEW_ROWS_MAX)?;
            for row in page.items {
                if rows.len() >= PREVIEW_ROWS_MAX {
                    break;
                }
                looked_at += 1;
                match row.values {
                    Ok((values, _)) => {
                        let values = project::project(&plan, values);
                        let mut text = String::new();
                        let names = plan.fields.iter().map(|field| field.name.as_str());
                        json_object(None, names, &values, &mut text);
                        rows.push(serde_json::from_str::<Json>(&text).unwrap_or_default());
                    }
                    Err(why) => *withheld.entry(why.as_str()).or_default() += 1,
                }
            }
            from = page.next;
        }
        Ok(json!({
            "request": plan.write(),
            "members": members.len(),
            "looked_at": looked_at,
            "rows": rows,
            "withheld": withheld,
        }))
    }
}
