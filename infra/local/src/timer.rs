//! Schedules: fires every scheduled function at its rate, as EventBridge Scheduler does; the first time when the
//! stack is up. Each invocation and its result is logged in `.local/log/schedules.log`. A failed one is not
//! retried.

use std::{fs, io::Write, path::PathBuf, sync::Arc};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{function::Function, stop::Stop, template::Schedule};

/// How much of a result is logged, in characters.
const OUTCOME_SHOWN: usize = 1_000;

/// One schedule of one function.
#[derive(Clone, Debug)]
pub struct Timer {
    pub function: Arc<Function>,
    pub schedule: Schedule,
    pub log: PathBuf,
}

impl Timer {
    /// Fires until `stop` turns true; invocations in flight are then abandoned. One that takes longer than the rate
    /// does not delay the next one.
    pub async fn run(self, mut stop: Stop) {
        let timer = Arc::new(self);
        let mut fires = JoinSet::new();
        let mut rate = interval(timer.schedule.every);
        rate.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            while fires.try_join_next().is_some() {}
            tokio::select! {
                () = stop.said() => return,
                _ = rate.tick() => {
                    fires.spawn(Arc::clone(&timer).fire());
                }
            }
        }
    }

    async fn fire(self: Arc<Self>) {
        let started = Instant::now();
        let outcome = match self.function.invoke(self.schedule.input.clone().into()).await {
            Ok(response) => String::from_utf8_lossy(&response).into_owned(),
            Err(problem) => format!("failed: {problem}"),
        };
        let outcome: String = outcome.chars().take(OUTCOME_SHOWN).collect();
        let line = format!(
            "{} {} ({} ms) {outcome}\n",
            self.function.name(),
            self.schedule.input,
            started.elapsed().as_millis()
        );
        // If the log cannot be written, the schedule fires all the same.
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let _ = log.and_then(|mut log| log.write_all(line.as_bytes()));
    }
}
