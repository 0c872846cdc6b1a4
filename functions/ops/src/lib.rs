//! Operations: health, runs, schedules, settings, keys, webhooks, audit.

mod audit;
mod cron;
mod health;
mod keys;
mod root;
mod runs;
mod schedules;
mod settings;
mod webhooks;

use app::Db;
use domain::access::Role::{Admin, Operator, Viewer};
use domain::webhook::Targets;
use lambda::sqs::Queue;
use lambda::{Access, Api, Auth};

#[derive(Clone)]
pub struct Ops {
    pub db: Db,
    pub segmentation: Queue,
    pub targets: Targets,
}

pub fn api(ops: &Ops) -> Api<Ops> {
    Api::new(Auth::new(app::platform::keys::lookup(ops.db.clone())))
        .get("/", Access::Public, root::get)
        .get("/health", Access::Public, health::get)
        .get("/api/health", Access::Public, health::get)
        .post("/api/batch/process", Operator, runs::batch)
        .post("/api/runs", Operator, runs::start)
        .get("/api/runs", Viewer, runs::list)
        .get("/api/runs/{run_id}", Viewer, runs::get)
        .post("/api/cron/expire-points", Operator, cron::expire_points)
        .post("/api/cron/recalculate", Operator, cron::recalculate)
        .get("/api/schedules", Viewer, schedules::list)
        .get("/api/schedules/{schedule_run_id}", Viewer, schedules::get)
        .get("/api/settings", Viewer, settings::get)
        .put("/api/settings", Admin, settings::put)
        .get("/api/keys", Admin, keys::list)
        .post("/api/keys", Admin, keys::create)
        .delete("/api/keys/{key_id}", Admin, keys::revoke)
        .get("/api/webhooks", Admin, webhooks::list)
        .post("/api/webhooks", Admin, webhooks::create)
        .delete("/api/webhooks/{webhook_id}", Admin, webhooks::delete)
        .post("/api/webhooks/{webhook_id}/ping", Admin, webhooks::ping)
        .get("/api/webhooks/{webhook_id}/deliveries", Admin, webhooks::deliveries)
        .post(
            "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
            Admin,
            webhooks::retry,
        )
        .get("/api/audit", Admin, audit::list)
}
