//! What clients can do. One operation, one file: request, handler, answer; in reading order.

pub mod accounting;
pub mod attributes;
pub mod catalogue;
pub mod channels;
pub mod consents;
pub mod console;
pub mod destinations;
pub mod docs;
pub mod events;
pub mod exports;
pub mod identity;
pub mod jobs;
pub mod keys;
pub mod operation;
pub(crate) mod page;
pub mod plugins;
pub mod privacy;
pub mod profiles;
pub mod purposes;
pub mod schedules;
pub mod segment;
pub mod segments;
pub mod signals;
pub mod tables;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod users;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// Registers every operation: the router and its description come from here.
pub(crate) fn all(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    let router = router
        .routes(routes!(operation::healthz))
        .routes(routes!(operation::readyz))
        .routes(routes!(operation::metrics))
        .routes(routes!(operation::limits))
        .routes(routes!(operation::openapi))
        .routes(routes!(docs::index))
        .routes(routes!(docs::search))
        .routes(routes!(docs::style))
        .routes(routes!(docs::page))
        .routes(routes!(docs::page_in_folder))
        .routes(routes!(docs::page_in_group))
        .routes(routes!(docs::llms))
        .routes(routes!(docs::landing))
        .routes(routes!(tenants::create::create_tenant, tenants::list::list_tenants))
        .routes(routes!(keys::create::create_key, keys::list::list_keys))
        .routes(routes!(keys::revoke::revoke_key))
        .routes(routes!(users::create_user, users::list_users))
        .routes(routes!(users::delete_user))
        .routes(routes!(users::link_user))
        .routes(routes!(events::ingest::send_events, events::dead_letters::list_events))
        .routes(routes!(events::receipt::get_event))
        .routes(routes!(events::recent::list_taken_events))
        .routes(routes!(events::replay::replay_dead_letters))
        .routes(routes!(accounting::get_accounting))
        .routes(routes!(catalogue::overview::get_catalogue))
        .routes(routes!(catalogue::types::list_event_types))
        .routes(routes!(catalogue::types::get_event_type))
        .routes(routes!(
            catalogue::schema::put_schema,
            catalogue::schema::get_schema,
            catalogue::schema::delete_schema
        ))
        .routes(routes!(consents::record_consents))
        .routes(routes!(channels::lookup_channel))
        .routes(routes!(channels::get_coverage))
        .routes(routes!(channels::get_receipt))
        .routes(routes!(signals::get_signals, signals::put_signals))
        .routes(routes!(profiles::lookup::lookup_profile))
        .routes(routes!(profiles::get::get_profile))
        .routes(routes!(profiles::timeline::list_profile_events))
        .routes(routes!(profiles::identity::get_identity))
        .routes(routes!(profiles::disclosures::list_disclosures))
        .routes(routes!(identity::rules::get_rules, identity::rules::put_rules))
        .routes(routes!(identity::constraints::create_constraint, identity::constraints::list_constraints))
        .routes(routes!(identity::constraints::delete_constraint))
        .routes(routes!(identity::explain::explain))
        .routes(routes!(identity::log::list_log))
        .routes(routes!(identity::log::list_alerts))
        .routes(routes!(attributes::list_attributes))
        .routes(routes!(attributes::get_attribute, attributes::put_attribute, attributes::delete_attribute))
        .routes(routes!(attributes::measure_rankings))
        .routes(routes!(segments::list_segments))
        .routes(routes!(segments::preview::preview_segment))
        .routes(routes!(segments::publish_segment))
        .routes(routes!(segments::explain::explain_member))
        .routes(routes!(segments::sizes::segment_history))
        .routes(routes!(segments::sizes::segment_overlap))
        .routes(routes!(segments::get_segment, segments::put_segment, segments::delete_segment))
        .routes(routes!(segments::members::list_members))
        .routes(routes!(segments::changes::list_changes))
        .routes(routes!(purposes::list_purposes))
        .routes(routes!(purposes::put_purpose))
        .routes(routes!(tables::list_tables))
        .routes(routes!(tables::get_table, tables::put_table, tables::delete_table))
        .routes(routes!(privacy::erasures::create_erasure, privacy::erasures::list_erasures))
        .routes(routes!(privacy::erasures::get_erasure))
        .routes(routes!(privacy::suppressions::list_suppressions))
        .routes(routes!(privacy::suppressions::lift_suppression))
        .routes(routes!(privacy::retention::get_retention, privacy::retention::put_retention))
        .routes(routes!(privacy::restrictions::restrict, privacy::restrictions::list_restrictions))
        .routes(routes!(privacy::restrictions::get_restriction, privacy::restrictions::lift_restriction))
        .routes(routes!(privacy::opendsr::discover))
        .routes(routes!(privacy::opendsr::get_settings, privacy::opendsr::put_settings))
        .routes(routes!(privacy::opendsr::create_request))
        .routes(routes!(privacy::opendsr::get_status, privacy::opendsr::cancel_request))
        .routes(routes!(privacy::access::create_access_request))
        .routes(routes!(privacy::access::get_access_request))
        .routes(routes!(privacy::access::get_access_document))
        .routes(routes!(crate::audit::list_audit))
        .routes(routes!(plugins::list_plugins))
        .routes(routes!(plugins::get_plugin))
        .routes(routes!(plugins::trust::get_plugin_trust, plugins::trust::put_plugin_trust))
        .routes(routes!(plugins::order::get_plugin_order, plugins::order::put_plugin_order))
        .routes(routes!(plugins::upload::upload_plugin))
        .routes(routes!(plugins::activate::activate_plugin))
        .routes(routes!(plugins::replay::replay_plugin))
        .routes(routes!(plugins::trial::test_plugin))
        .routes(routes!(plugins::plugin_logs))
        .routes(routes!(plugins::rollback_plugin))
        .routes(routes!(plugins::suspend_plugin))
        .routes(routes!(plugins::resume_plugin))
        .routes(routes!(exports::create::create_export, exports::list::list_exports))
        .routes(routes!(exports::create::preview_export))
        .routes(routes!(exports::get::get_export))
        .routes(routes!(exports::withheld::list_withheld))
        .routes(routes!(exports::proof::get_proof))
        .routes(routes!(exports::wish::cancel_export))
        .routes(routes!(exports::wish::pause_export))
        .routes(routes!(exports::wish::resume_export))
        .routes(routes!(exports::file::download_export))
        .routes(routes!(exports::manifest::get_manifest))
        .routes(routes!(destinations::list_destinations))
        .routes(routes!(
            destinations::put_destination,
            destinations::get_destination,
            destinations::delete_destination
        ))
        .routes(routes!(destinations::test_destination))
        .routes(routes!(destinations::pause_destination))
        .routes(routes!(destinations::resume_destination))
        .routes(routes!(destinations::list_destination_dead_letters))
        .routes(routes!(destinations::replay_destination))
        .routes(routes!(schedules::list_schedules))
        .routes(routes!(schedules::put_schedule, schedules::get_schedule, schedules::delete_schedule))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::get_job))
        .routes(routes!(jobs::cancel_job));
    segment::all(router)
}
