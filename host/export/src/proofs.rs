//! Opening a commitment: the row, the consent record behind it, and the way to the manifest's root.

use cdp_domain::hex;
use cdp_domain::ids::ExportId;
use cdp_domain::json;
use cdp_engine::{Refused, Result, Tenant};
use serde_json::{Value as Json, json as to_json};

use crate::format::json_object;
use crate::manifest::{Salts, Tree, consent_json, leaf, path_of};
use crate::plan::Plan;
use crate::run::beside::Leaves;
use crate::{Change, Exports, exports_dir, project};

impl Exports {
    /// The proof of a row, counted from 0, for whoever checks it offline against the manifest. Blocks.
    ///
    /// The row and its consent record are taken from what is known now: nothing of them is kept for this.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when what is known of the person is not any more what was sent.
    pub fn proof(&self, tenant: &Tenant, id: ExportId, row: u64) -> Result<Json> {
        let info = tenant.export(id)?;
        let leaves = Leaves::open(&exports_dir(&self.0.engine, tenant.no()), id)?;
        let (wanted, profile) = leaves.get(row)?;
        let request = json::parse(info["request"].to_string().as_bytes(), json::Options::default());
        let plan = Plan::read(tenant, &request.map_err(Refused::internal)?)?;
        let salt = Salts::new(tenant, id).of(row);
        let found = tenant.audience_member(profile, &plan.sources(), &plan.consent)?;
        let changed = || {
            Refused::Conflict(
                "what is known of the person is not any more what was sent: it cannot be opened".to_owned(),
            )
        };
        let (values, granted) = found.and_then(|row| row.values.ok()).ok_or_else(changed)?;
        let values = project::project(&plan, values);
        let consent = consent_json(&plan.consent.purpose, &granted);
        let names = || plan.fields.iter().map(|field| field.name.as_str());
        let spelt = [None, Some(Change::Add), Some(Change::Update)].map(|change| {
            let mut text = String::new();
            json_object(change, names(), &values, &mut text);
            text
        });
        let text =
            spelt.into_iter().find(|text| leaf(&salt, text, &consent) == wanted).ok_or_else(changed)?;
        let mut root_of = |from: u64, to: u64| {
            let mut tree = Tree::default();
            for at in from..to {
                tree.push(leaves.get(at)?.0);
            }
            Ok::<_, Refused>(tree.root().0)
        };
        let path = path_of(row, leaves.count(), &mut root_of)?;
        Ok(to_json!({
            "export": id.to_string(),
            "row": row,
            "profile_id": profile.to_string(),
            "salt": hex::encode(&salt),
            "values": text,
            "consent": consent,
            "path": path.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>(),
        }))
    }
}
