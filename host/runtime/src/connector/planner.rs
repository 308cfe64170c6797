//! The world `connector-plan`: what to send, and what the replies mean. Pure.

use std::fmt;
use std::sync::Arc;

use super::ITEMS_MAX;
use super::check::{self, Declared, Refused};
use super::words::{ConnectorCall, Delivery, HttpError, HttpRequest, HttpResponse, Verdict};
use crate::bindings::cdp::plugin::{delivery_types, http_types};
use crate::bindings::{self, RawPlanned};
use crate::deriver::Failed;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::error::{Error, Fault};
use crate::exports::Export;
use crate::guest::Guest;
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::state::Setting;
use crate::told::Probe;

type RawItem = delivery_types::Delivery;
type RawPlan = Result<Vec<RawPlanned>, bindings::Failure>;
type RawReply = Result<http_types::Response, http_types::HttpError>;

/// A connector that plans. Shared by all threads of a tenant.
pub struct Planner {
    guest: Arc<Guest>,
    limits: Limits,
    descriptor: Descriptor,
}

/// A request, and the items that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Positions of the items, at least one.
    pub covers: Vec<usize>,
    /// What is to be sent.
    pub request: HttpRequest,
}

/// What the world's functions take and give.
pub(crate) fn check_types(probe: &mut Probe<'_>) -> Result<(), Error> {
    probe.check::<(&str, i64, &[RawItem]), RawPlan>(Export::Plan)?;
    probe.check::<(&str, &[RawItem], &RawReply), Vec<delivery_types::Verdict>>(Export::Settle)
}

impl Planner {
    pub(crate) fn new(guest: Arc<Guest>, descriptor: Descriptor, limits: Limits) -> Self {
        Self { guest, limits, descriptor }
    }

    /// Names the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.guest.inspection.digest
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.guest.inspection
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Everything it asks of a tenant, in a stable order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.descriptor.requests()
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        let setting = self.guest.setting(self.limits);
        self.guest.run(Export::CheckConfig, (config,), &setting, None).0
    }

    /// Says what to send for these items, at most [`ITEMS_MAX`](super::ITEMS_MAX). Every item is covered exactly once,
    /// and every request is within its bounds and towards a granted host.
    ///
    /// # Errors
    /// [`Failed`]; then nothing is to be sent.
    pub fn plan(&self, call: &ConnectorCall<'_>, items: &[Delivery]) -> Result<Vec<Planned>, Failed> {
        if items.len() > ITEMS_MAX {
            return Err(Failed::Fault(Fault::Host(format!(
                "{} items, {ITEMS_MAX} are allowed",
                items.len()
            ))));
        }
        let raw: Vec<RawItem> = items.iter().map(RawItem::from).collect();
        let params = (call.config, call.now.0, raw.as_slice());
        let (answer, _) = self.guest.run::<_, RawPlan>(Export::Plan, params, &self.setting(call), None);
        let plan = answer.map_err(Failed::Fault)??;
        let declared = Declared { hosts: &self.descriptor.hosts, secrets: &self.descriptor.secrets };
        let mut covered = vec![false; items.len()];
        let mut out = Vec::with_capacity(plan.len());
        for (at, planned) in plan.into_iter().enumerate() {
            let broken = |why: String| Failed::Fault(Fault::Contract(format!("request {at}: {why}")));
            let mut covers = Vec::with_capacity(planned.covers.len());
            for item in planned.covers {
                let item = item as usize;
                match covered.get_mut(item) {
                    None => return Err(broken(format!("covers item {item} of {}", items.len()))),
                    Some(true) => return Err(broken(format!("item {item} is covered twice"))),
                    Some(free) => *free = true,
                }
                covers.push(item);
            }
            if covers.is_empty() {
                return Err(broken("covers no item".to_owned()));
            }
            let request = HttpRequest::from(planned.request);
            check::request(&request, &declared, call.grants).map_err(|refused| match refused {
                Refused::Malformed(why) | Refused::Denied(why) => broken(why),
            })?;
            out.push(Planned { covers, request });
        }
        match covered.iter().position(|covered| !covered) {
            Some(item) => {
                Err(Failed::Fault(Fault::Contract(format!("item {item} is covered by no request"))))
            }
            None => Ok(out),
        }
    }

    /// Says what a reply means for the items of its request: one verdict each, in their order.
    ///
    /// # Errors
    /// The fault; then nothing is known about the items.
    pub fn settle(
        &self,
        call: &ConnectorCall<'_>,
        items: &[Delivery],
        reply: Result<HttpResponse, HttpError>,
    ) -> Result<Vec<Verdict>, Fault> {
        let raw: Vec<RawItem> = items.iter().map(RawItem::from).collect();
        let reply: RawReply = reply.map(Into::into).map_err(Into::into);
        let params = (call.config, raw.as_slice(), &reply);
        let (answer, _) = self.guest.run::<_, Vec<delivery_types::Verdict>>(
            Export::Settle,
            params,
            &self.setting(call),
            None,
        );
        verdicts(answer?, items.len())
    }

    fn setting(&self, call: &ConnectorCall<'_>) -> Setting {
        self.guest.setting(self.limits.and(call.limits))
    }
}

/// One verdict for each item, or a broken contract.
pub(super) fn verdicts(raw: Vec<delivery_types::Verdict>, items: usize) -> Result<Vec<Verdict>, Fault> {
    if raw.len() != items {
        return Err(Fault::Contract(format!("{} verdicts for {items} items", raw.len())));
    }
    Ok(raw.into_iter().map(Verdict::from).collect())
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
