//! S3 and SQS: a moto process, restarted when it ends. moto stores nothing on disk, so the template's resources are
//! created at every start.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{process::Command, time::sleep};

use crate::{
    aws::{Aws, AwsError},
    process::{ProcessError, Register, Running},
    stop::Stop,
    tell::caution,
    template::Template,
};

const NAME: &str = "moto";

#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// How to start moto.
#[derive(Debug)]
pub struct Moto {
    /// A Python that has moto installed.
    pub python: PathBuf,
    pub port: u16,
    pub dir: PathBuf,
    pub log: PathBuf,
    pub register: Register,
    pub aws: Aws,
    pub template: Template,
}

impl Moto {
    pub async fn start(&self) -> Result<Running, MotoError> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &self.port.to_string()])
            .current_dir(&self.dir);
        let mut running = Running::start(NAME, command, &self.log, &self.register)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        running.until_it_accepts(address, Duration::from_secs(60)).await?;
        self.aws.create(&self.template).await?;
        Ok(running)
    }

    /// Restarts moto whenever it ends, until `stop` turns true.
    pub async fn keep(self, mut running: Running, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.said() => return running.stop(Signal::TERM, Duration::from_secs(3)).await,
                status = running.ended() => caution!("{NAME} ended ({status}); starting it again"),
            }
            running = loop {
                tokio::select! {
                    () = stop.said() => return,
                    started = self.start() => match started {
                        Ok(running) => break running,
                        Err(problem) => caution!("{problem}"),
                    },
                }
                sleep(Duration::from_secs(1)).await;
            };
        }
    }
}
